"""The grammar of calls: ordinary ones with their modifiers, and the forms with words between the arguments."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from msq.sql.expressions import ExpressionGrammar
from msq.sql.lexer import QUOTED, STRING, WORD, Token
from msq.sql.nodes import Call, FrameBound, NamedArgument, Option, TypeName, WindowFrame, WindowOver

_WITHOUT_PARENTHESES = frozenset(["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"])
_SESSION_WORDS = """
USER CURRENT_USER SESSION_USER SYSTEM_USER CURRENT_CATALOG CURRENT_SCHEMA CURRENT_ROLE CURRENT_PATH
"""
_COLUMN_WORDS = frozenset(_SESSION_WORDS.split())
"""Words for functions that Druid has not: as operands they are columns, so `SELECT user` needs no quotes."""

_UNIT_FIRST = frozenset(["TIMESTAMPADD", "TIMESTAMPDIFF"])


class CallGrammar(ExpressionGrammar):
    def special_form(self, word: str) -> Callable[[], exp.Expr] | None:
        """How to read what starts with `word`, when it is more than a name or an ordinary call."""
        after = self.peek()
        opens = after.upper == "("
        if word in ("NULL", "UNKNOWN", "TRUE", "FALSE"):
            return self._constant
        if word == "CASE":
            return self.case
        if word in ("TIMESTAMP", "DATE", "TIME") and after.kind == STRING:
            return self.temporal_literal
        if word == "INTERVAL" and (after.kind == STRING or after.upper in ("+", "-")):
            return self.interval_literal
        if word == "ARRAY":
            return self.array if after.upper == "[" else (self._array_query if opens else None)
        if not opens:
            if word in _COLUMN_WORDS and after.upper != ".":
                return self._word_column
            return self._bare_call if word in _WITHOUT_PARENTHESES else None
        if word in _UNIT_FIRST:
            return self._unit_call
        return getattr(self, _FORMS[word]) if word in _FORMS else None

    def _constant(self) -> exp.Expr:
        token = self.advance()
        node = exp.Null() if token.upper in ("NULL", "UNKNOWN") else exp.Boolean(this=token.upper == "TRUE")
        return self.mark(node, token)

    def _bare_call(self) -> exp.Expr:
        token = self.advance()
        return self.mark(Call(this=token.text, expressions=[], bare=True), token)

    def _word_column(self) -> exp.Expr:
        token = self.advance()
        return self.mark(exp.Column(this=self.mark(exp.Identifier(this=token.text, quoted=False), token)), token)

    # --- ordinary calls ---

    def call(self, name: Token) -> exp.Expr:
        """A call whose name is taken and whose opening parenthesis is at hand."""
        self.need_symbol("(")
        node = Call(this=name.text)
        if self.take_word("DISTINCT"):
            node.set("distinct", True)
        else:
            self.take_word("ALL")
        node.set("expressions", self._arguments())
        if self.at_words("ORDER", "BY"):
            node.set("order", self.order_by())
        self.need_symbol(")")
        return self._modifiers(node, name)

    def _arguments(self) -> list[exp.Expr]:
        if self.at_symbol(")"):
            return []
        if self.at_symbol("*") and self.peek().upper == ")":
            return [self.mark(exp.Star(), self.advance())]
        return self.list_of(self._argument)

    def _argument(self) -> exp.Expr:
        if self.peek().upper == "=>" and self.token.kind in (WORD, QUOTED):
            return self.named_argument()
        return self.value()

    def named_argument(self) -> NamedArgument:
        start = self.advance()
        name = self.mark(exp.Identifier(this=start.text, quoted=start.kind == QUOTED), start)
        self.need_symbol("=>")
        return self.mark(NamedArgument(this=name, expression=self.value()), start)

    def _modifiers(self, node: Call, name: Token) -> exp.Expr:
        self.mark(node, name)
        changed = False
        while self.token.kind == WORD:
            before = self.index
            if self.at_words("IGNORE", "NULLS") or self.at_words("RESPECT", "NULLS"):
                start = self.advance()
                self.advance()
                node.set("nulls", self.mark(exp.Var(this=f"{start.upper} NULLS"), start))
            elif self.at_words("WITHIN", "GROUP"):
                self.need_words("WITHIN", "GROUP")
                self.need_symbol("(")
                node.set("order", self.order_by())
                self.need_symbol(")")
            elif self.at_word("FILTER") and self.peek().upper == "(":
                self.advance()
                self.need_symbol("(")
                self.need_word("WHERE")
                node.set("filter", self.value())
                self.need_symbol(")")
            elif self.take_word("OVER"):
                node.set("over", self.window() if self.at_symbol("(") else self.name())
            if self.index == before:
                break
            changed = True
        return self.mark(node, name) if changed else node

    def order_by(self) -> exp.Order:
        start = self.token
        self.need_words("ORDER", "BY")
        return self.mark(exp.Order(expressions=self.list_of(self.order_item)), start)

    def order_item(self) -> exp.Ordered:
        """desc: True, False, or None when no direction is written; nulls_first: the same for NULLS FIRST and LAST."""
        node = self.value()
        direction = self.take_word("ASC", "DESC")
        nulls = None
        if self.take_word("NULLS"):
            nulls = self.need_word("FIRST", "LAST") == "FIRST"
        desc = None if direction is None else direction == "DESC"
        return self.mark(exp.Ordered(this=node, desc=desc, nulls_first=nulls), node)

    # --- windows ---

    def window(self) -> WindowOver:
        start = self.token
        self.need_symbol("(")
        node = WindowOver()
        if self.at_name() and not self.at_word("PARTITION", "ORDER", "ROWS", "RANGE"):
            node.set("this", self.name())
        if self.take_words("PARTITION", "BY"):
            node.set("partition_by", self.list_of(self.value))
        if self.at_words("ORDER", "BY"):
            node.set("order", self.order_by())
        if self.at_word("ROWS", "RANGE"):
            node.set("frame", self._frame())
        self.need_symbol(")")
        return self.mark(node, start)

    def _frame(self) -> WindowFrame:
        start = self.advance()
        if self.take_word("BETWEEN"):
            first = self._bound()
            self.need_word("AND")
            node = WindowFrame(this=start.upper, start=first, end=self._bound())
        else:
            node = WindowFrame(this=start.upper, start=self._bound())
        return self.mark(node, start)

    def _bound(self) -> FrameBound:
        start = self.token
        if self.take_words("CURRENT", "ROW"):
            return self.mark(FrameBound(this="CURRENT ROW"), start)
        distance = None if self.take_word("UNBOUNDED") else self.value()
        return self.mark(FrameBound(this=self.need_word("PRECEDING", "FOLLOWING"), expression=distance), start)

    # --- forms with words between the arguments ---

    def _array_query(self) -> exp.Expr:
        raise self.unexpected('"["')

    def _word(self) -> exp.Var:
        """A unit such as DAY, as a node: also written as a text ('DAY')."""
        token = self.token
        if token.kind not in (WORD, QUOTED):
            raise self.unexpected("<IDENTIFIER>")
        self.advance()
        return self.mark(exp.Var(this=token.text.upper()), token)

    def _finish(self, start: Token, arguments: list[exp.Expr]) -> exp.Expr:
        self.need_symbol(")")
        return self._modifiers(Call(this=start.text, expressions=arguments), start)

    def _unit_call(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        unit: exp.Expr = self._word() if self.token.kind == WORD else self.value()
        arguments = [unit]
        while self.take_symbol(","):
            arguments.append(self.value())
        return self._finish(start, arguments)

    def _extract(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        unit = self._word()
        self.need_word("FROM")
        return self._finish(start, [unit, self.value()])

    def _rounding(self) -> exp.Expr:
        """FLOOR(x), FLOOR(x, n) and FLOOR(x TO unit), which ends in a `Var`."""
        start = self.advance()
        self.need_symbol("(")
        arguments = [] if self.at_symbol(")") else self.list_of(self._argument)
        if self.take_word("TO"):
            arguments.append(self._word())
        return self._finish(start, arguments)

    def _position(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        arguments = [self.value(33)]
        self.need_word("IN")
        arguments.append(self.value())
        if self.take_word("FROM"):
            arguments.append(self.value())
        return self._finish(start, arguments)

    def _substring(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        arguments = [self.value()]
        if self.take_word("FROM"):
            arguments.append(self.value())
            if self.take_word("FOR"):
                arguments.append(self.value())
        else:
            while self.take_symbol(","):
                arguments.append(self.value())
        return self._finish(start, arguments)

    def _trim(self) -> exp.Expr:
        """TRIM(x) and TRIM([side] [chars] FROM x): the latter has three arguments, a `Var` first; chars may be Null."""
        start = self.advance()
        self.need_symbol("(")
        side = self._word() if self.at_word("BOTH", "LEADING", "TRAILING") else None
        if side is not None and self.take_word("FROM"):
            blank = self.mark(exp.Literal(this=" ", is_string=True), side)
            return self._finish(start, [side, blank, self.value()])
        first = self.value()
        if self.take_word("FROM"):
            side = side or self.mark(exp.Var(this="BOTH"), start)
            return self._finish(start, [side, first, self.value()])
        if side is not None:
            raise self.unexpected('"FROM"')
        arguments = [first]
        while self.take_symbol(","):
            arguments.append(self.value())
        return self._finish(start, arguments)

    def _overlay(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        arguments = [self.value()]
        self.need_word("PLACING")
        arguments.append(self.value())
        self.need_word("FROM")
        arguments.append(self.value())
        if self.take_word("FOR"):
            arguments.append(self.value())
        return self._finish(start, arguments)

    def _unknown_cast(self) -> exp.Expr:
        """TRY_CAST and SAFE_CAST read like CAST and are functions that Druid does not have."""
        node = self.cast()
        word = self.source.text[node.meta["offsets"][0] :].split("(")[0].strip()
        raise self.refuse(f"No match found for function signature {word.upper()}", node)

    def _json_function(self) -> exp.Expr:
        """JSON_VALUE, JSON_QUERY and JSON_EXISTS: (input, path, clauses)."""
        start = self.advance()
        self.need_symbol("(")
        arguments = [self.value()]
        self._format_json()
        options: list[Option] = []
        returning: TypeName | None = None
        while self.take_symbol(","):
            arguments.append(self.value())
        while not self.at_symbol(")"):
            if self.take_word("RETURNING"):
                returning = self.type_name()
                self._format_json()
            else:
                options.append(self._json_option())
        self.need_symbol(")")
        node = Call(this=start.text, expressions=arguments, returning=returning, options=options or None)
        return self._modifiers(node, start)

    def _format_json(self) -> None:
        if self.take_words("FORMAT", "JSON"):
            self.take_word("ENCODING") and self._word()

    def _json_option(self) -> Option:
        """One of `{NULL | ERROR | EMPTY [ARRAY | OBJECT] | TRUE | FALSE | UNKNOWN | DEFAULT v} ON {EMPTY | ERROR}` and
        `WITH[OUT] [CONDITIONAL | UNCONDITIONAL] [ARRAY] WRAPPER`."""
        start = self.token
        if self.at_word("WITH", "WITHOUT"):
            words = [self.advance().upper]
            for word in ("CONDITIONAL", "UNCONDITIONAL", "ARRAY"):
                if self.take_word(word):
                    words.append(word)
            words.append(self.need_word("WRAPPER"))
            return self.mark(Option(this=" ".join(words)), start)
        value = None
        word = self.need_word("NULL", "ERROR", "EMPTY", "TRUE", "FALSE", "UNKNOWN", "DEFAULT")
        if word == "DEFAULT":
            value = self.value()
        elif word == "EMPTY" and self.at_word("ARRAY", "OBJECT"):
            word += f" {self.advance().upper}"
        self.need_word("ON")
        clause = f"{word} ON {self.need_word('EMPTY', 'ERROR')}"
        return self.mark(Option(this=clause, expression=value), start)

    def _json_object(self) -> exp.Expr:
        """JSON_OBJECT([KEY] k VALUE v | k : v | k, v ..): keys and values by turns."""
        start = self.advance()
        self.need_symbol("(")
        arguments: list[exp.Expr] = []
        options: list[Option] = []
        while not self.at_symbol(")"):
            if self.at_words("NULL", "ON") or self.at_words("ABSENT", "ON"):
                options.append(self._on_null())
                break
            if self.at_word("KEY") and self.peek().upper not in (":", ",", ".", "(") and not self._value_follows():
                self.advance()
            arguments.append(self.value())
            if not (self.take_symbol(":") or self.take_symbol(",")):
                self.need_word("VALUE")
            arguments.append(self.value())
            self._format_json()
            if not self.take_symbol(","):
                if self.at_words("NULL", "ON") or self.at_words("ABSENT", "ON"):
                    options.append(self._on_null())
                break
        self.need_symbol(")")
        node = Call(this=start.text, expressions=arguments, options=options or None)
        return self._modifiers(node, start)

    def _value_follows(self) -> bool:
        after = self.peek()
        return after.kind == WORD and after.upper == "VALUE"

    def _json_array(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        arguments: list[exp.Expr] = []
        options: list[Option] = []
        if not self.at_symbol(")") and not self.at_words("NULL", "ON") and not self.at_words("ABSENT", "ON"):
            arguments = self.list_of(self.value)
        if self.at_words("NULL", "ON") or self.at_words("ABSENT", "ON"):
            options.append(self._on_null())
        self.need_symbol(")")
        return self._modifiers(Call(this=start.text, expressions=arguments, options=options or None), start)

    def _on_null(self) -> Option:
        start = self.advance()
        self.need_words("ON", "NULL")
        return self.mark(Option(this=f"{start.upper} ON NULL"), start)

    def _refused_form(self) -> exp.Expr:
        start = self.advance()
        name = self.mark(exp.Identifier(this=start.text), start)
        raise self.refuse(f"{start.upper} is not supported", name)


_FORMS = {
    "CAST": "cast", "TRY_CAST": "_unknown_cast", "SAFE_CAST": "_unknown_cast", "ROW": "row", "EXTRACT": "_extract",
    "FLOOR": "_rounding", "CEIL": "_rounding", "CEILING": "_rounding", "POSITION": "_position",
    "SUBSTRING": "_substring", "TRIM": "_trim", "OVERLAY": "_overlay", "JSON_VALUE": "_json_function",
    "JSON_QUERY": "_json_function", "JSON_EXISTS": "_json_function", "JSON_OBJECT": "_json_object",
    "JSON_ARRAY": "_json_array", "MULTISET": "_refused_form", "UNIQUE": "_refused_form", "PERIOD": "_refused_form",
    "MATCH_NUMBER": "_refused_form", "CLASSIFIER": "_refused_form",
}  # fmt: skip
"""Words before a parenthesis whose arguments have a grammar of their own, and the method that reads them."""
