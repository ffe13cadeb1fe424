"""The grammar of expressions: operators by precedence, literals, columns, CASE and CAST. Calls are in `calls`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from sqlglot import exp

from msq.faults import invalid_sql
from msq.sql.cursor import MAX_NESTING, too_deep
from msq.sql.lexer import (
    BINARY,
    NUMBER,
    QUOTED,
    RESERVED,
    RESERVED_FUNCTIONS,
    STRING,
    SYMBOL,
    UNICODE,
    WORD,
    Token,
    reserved_word,
)  # fmt: skip
from msq.sql.literals import LiteralGrammar
from msq.sql.nodes import Query

# Calcite's precedences
OR, AND, NOT, IS, COMPARE, RANGE, ADD, MULTIPLY, PREFIX = 22, 24, 26, 28, 30, 32, 40, 60, 80

_SYMBOLS: dict[str, tuple[int, type[exp.Binary]]] = {
    "=": (COMPARE, exp.EQ), "<>": (COMPARE, exp.NEQ), "<": (COMPARE, exp.LT), ">": (COMPARE, exp.GT),
    "<=": (COMPARE, exp.LTE), ">=": (COMPARE, exp.GTE), "+": (ADD, exp.Add), "-": (ADD, exp.Sub),
    "*": (MULTIPLY, exp.Mul), "/": (MULTIPLY, exp.Div), "||": (MULTIPLY, exp.DPipe),
}  # fmt: skip
_QUANTIFIERS: dict[str, type[exp.Expr]] = {"SOME": exp.Any, "ANY": exp.Any, "ALL": exp.All}
_RANGE_WORDS = ("BETWEEN", "IN", "LIKE", "ILIKE", "SIMILAR")

START_OF_EXPRESSION = (
    '"+"', '"-"', '"NOT"', '"EXISTS"', '"INTERVAL"', "<UNSIGNED_INTEGER_LITERAL>", "<DECIMAL_NUMERIC_LITERAL>",
    "<APPROX_NUMERIC_LITERAL>", "<QUOTED_STRING>", "<UNICODE_STRING_LITERAL>", '"TRUE"', '"FALSE"', '"UNKNOWN"',
    '"NULL"', '"DATE"', '"TIMESTAMP"', '"?"', '"CAST"', '"CASE"', '"ARRAY"', '"ROW"', '"("', "<IDENTIFIER>",
    "<QUOTED_IDENTIFIER>",
)  # fmt: skip


class ExpressionGrammar(LiteralGrammar, ABC):
    # --- what the other parts of the grammar bring ---

    @abstractmethod
    def query(self) -> Query: ...

    @abstractmethod
    def call(self, name: Token) -> exp.Expr: ...

    @abstractmethod
    def special_form(self, word: str) -> Callable[[], exp.Expr] | None: ...

    # --- operators ---

    def value(self, least: int = 0) -> exp.Expr:
        """An expression whose operators bind at least as tightly as `least`."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise too_deep()
        left = self._prefix()
        while True:
            token = self.token
            if token.kind == SYMBOL:
                if token.upper == "%":
                    raise invalid_sql(
                        "Percent remainder '%' is not allowed under the current SQL conformance level, use MOD",
                        envelope=False,
                    )
                operator = _SYMBOLS.get(token.upper)
                if operator is None or operator[0] < least:
                    break
                left = self._binary(left, *operator)
            elif token.kind == WORD:
                made = self._word_operator(left, least)
                if made is None:
                    break
                left = made
            else:
                break
        self._nesting -= 1
        return left

    def _binary(self, left: exp.Expr, binds: int, kind: type[exp.Binary]) -> exp.Expr:
        if kind is exp.DPipe:
            return self._chain(left, exp.DPipe, binds)
        self.advance()
        if binds == COMPARE and self.at_word(*_QUANTIFIERS) and self.peek().upper == "(":
            right: exp.Expr = self._quantified()
        else:
            right = self.value(binds + 1)
        return self.mark(kind(this=left, expression=right), left)

    def _chain(self, first: exp.Expr, kind: type[exp.Binary], binds: int) -> exp.Expr:
        """A run of one associative operator as a balanced tree, so that a thousand of them nest ten deep."""
        word = self.token.upper
        operands = [first]
        while self.token.upper == word:
            self.advance()
            operands.append(self.value(binds + 1))
        while len(operands) > 1:
            paired = [
                self._joined(kind, operands[i], operands[i + 1]) if i + 1 < len(operands) else operands[i]
                for i in range(0, len(operands), 2)
            ]
            operands = paired
        return operands[0]

    def _joined(self, kind: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
        node = kind(this=left, expression=right)
        first, last = left.meta["offsets"][0], right.meta["offsets"][1]
        node.meta["offsets"] = (first, last)
        node.meta["position"] = self.source.span(first, last)
        return node

    def _word_operator(self, left: exp.Expr, least: int) -> exp.Expr | None:
        """The expression that a word at hand makes of `left`; None when the word is no operator here."""
        word = self.token.upper
        if word == "AND":
            return self._chain(left, exp.And, AND) if least <= AND else None
        if word == "OR":
            return self._chain(left, exp.Or, OR) if least <= OR else None
        if word == "IS":
            return self._is(left) if least <= IS else None
        if least > RANGE:
            return None
        if word == "NOT":
            if self.peek().upper not in _RANGE_WORDS:
                return None
            self.advance()
            return self.mark(exp.Not(this=self._range(left)), left)
        return self._range(left) if word in _RANGE_WORDS else None

    def _is(self, left: exp.Expr) -> exp.Expr:
        self.advance()
        negated = self.take_word("NOT") is not None
        start = self.token
        if self.take_words("DISTINCT", "FROM"):
            kind = exp.NullSafeEQ if negated else exp.NullSafeNEQ
            return self.mark(kind(this=left, expression=self.value(IS + 1)), left)
        word = self.need_word("NULL", "TRUE", "FALSE", "UNKNOWN")
        right = exp.Null() if word in ("NULL", "UNKNOWN") else exp.Boolean(this=word == "TRUE")
        node = self.mark(exp.Is(this=left, expression=self.mark(right, start)), left)
        return self.mark(exp.Not(this=node), left) if negated else node

    def _range(self, left: exp.Expr) -> exp.Expr:
        word = self.advance().upper
        if word == "BETWEEN":
            symmetric = self.take_word("SYMMETRIC", "ASYMMETRIC") == "SYMMETRIC"
            low = self.value(RANGE + 1)
            self.need_word("AND")
            high = self.value(RANGE + 1)
            return self.mark(exp.Between(this=left, low=low, high=high, symmetric=symmetric or None), left)
        if word == "IN":
            return self._in(left)
        if word == "SIMILAR":
            self.need_word("TO")
        kind: type[exp.Binary] = {"LIKE": exp.Like, "ILIKE": exp.ILike, "SIMILAR": exp.SimilarTo}[word]
        node: exp.Expr = self.mark(kind(this=left, expression=self.value(RANGE + 1)), left)
        if self.take_word("ESCAPE"):
            node = self.mark(exp.Escape(this=node, expression=self.value(RANGE + 1)), left)
        return node

    def _in(self, left: exp.Expr) -> exp.Expr:
        self.need_symbol("(")
        if self.at_query():
            node = exp.In(this=left, query=self._subquery_until_parenthesis())
        else:
            node = exp.In(this=left, expressions=self.list_of(self.value))
            self.need_symbol(")")
        return self.mark(node, left)

    def _quantified(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        if self.at_query():
            inner: exp.Expr = self._subquery_until_parenthesis()
        else:
            inner = self.mark(exp.Tuple(expressions=self.list_of(self.value)), start)
            self.need_symbol(")")
        return self.mark(_QUANTIFIERS[start.upper](this=inner), start)

    def _prefix(self) -> exp.Expr:
        token = self.token
        if token.kind == SYMBOL and token.upper in ("-", "+"):
            self.advance()
            inner = self.value(PREFIX)
            return inner if token.upper == "+" else self.mark(exp.Neg(this=inner), token)
        if token.kind == WORD:
            if token.upper == "NOT":
                self.advance()
                return self.mark(exp.Not(this=self.value(NOT)), token)
            if token.upper == "EXISTS" and self.peek().upper == "(":
                self.advance()
                self.advance()
                return self.mark(exp.Exists(this=self._subquery_until_parenthesis()), token)
        node = self._primary()
        while self.at_symbol("["):
            self.advance()
            index = self.value()
            self.need_symbol("]")
            node = self.mark(exp.Bracket(this=node, expressions=[index]), node)
        return node

    # --- operands ---

    def _primary(self) -> exp.Expr:
        token = self.token
        if token.kind == NUMBER:
            return self.number()
        if token.kind == STRING or token.kind == UNICODE:
            return self.string_literal()
        if token.kind == SYMBOL:
            if token.upper == "(":
                return self._parenthesis()
            if token.upper == "?":
                return self.placeholder()
        elif token.kind == WORD:
            form = self.special_form(token.upper)
            if form is not None:
                return form()
            if token.upper in RESERVED and not (token.upper in RESERVED_FUNCTIONS and self.peek().upper == "("):
                raise self._misplaced(token)
            return self._column_or_call()
        elif token.kind == QUOTED:
            return self._column_or_call()
        elif token.kind == BINARY:
            self.advance()
            size = f"BINARY({len(token.text) // 2})"
            raise invalid_sql(f"Cannot handle literal [X'{token.text}':{size}] of unsupported type [BINARY].")
        raise self.unexpected(*START_OF_EXPRESSION)

    def _misplaced(self, token: Token) -> Exception:
        """A reserved word where an operand belongs: meant as a name when what follows would fit a name."""
        after = self.peek()
        ends = after.kind not in (WORD, QUOTED, STRING, NUMBER) and after.upper not in ("(", "*", "[")
        follows = after.upper in ("FROM", "AS", "AND", "OR", "IS", "IN", "ASC", "DESC", "PARTITIONED", "CLUSTERED")
        if (ends or follows) and token.upper not in _CLAUSES:
            return reserved_word(self.source, token)
        return self.unexpected(*START_OF_EXPRESSION)

    def _parenthesis(self) -> exp.Expr:
        start = self.advance()
        if self.at_query():
            return self._subquery_until_parenthesis(start)
        items = self.list_of(self.value)
        self.need_symbol(")")
        node: exp.Expr = exp.Paren(this=items[0]) if len(items) == 1 else exp.Tuple(expressions=items)
        return self.mark(node, start)

    def at_query(self) -> bool:
        """Whether a query starts here, behind any number of opening parentheses."""
        parentheses = self.query_ahead()
        return parentheses is not None and self._query_behind(parentheses)

    def query_ahead(self) -> int | None:
        """How many opening parentheses come before a query's first word; None when they lead to something else."""
        ahead = 0
        while self.peek(ahead).upper == "(" and ahead <= MAX_NESTING:
            ahead += 1
        token = self.peek(ahead)
        return ahead if token.kind == WORD and token.upper in ("SELECT", "WITH", "VALUES") else None

    def _query_behind(self, parentheses: int) -> bool:
        """`((SELECT 1) + 1)` starts like a query and is none: after the inner parentheses only set operations, ORDER
        BY, LIMIT, OFFSET, FETCH or the end may come."""
        if parentheses == 0:
            return True
        depth, at = 0, self.index
        while at < len(self.tokens):
            upper = self.tokens[at].upper
            depth += (upper == "(") - (upper == ")")
            at += 1
            if depth == 0:
                break
        after = self.tokens[min(at, len(self.tokens) - 1)].upper
        return after in (")", ";", "", "UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH")

    def _subquery_until_parenthesis(self, start: Token | None = None) -> exp.Subquery:
        first = start or self.tokens[self.index - 1]
        inner = self.query()
        self.need_symbol(")")
        return self.mark(exp.Subquery(this=inner), first)

    def _column_or_call(self) -> exp.Expr:
        token = self.token
        if self.peek().upper == "(":
            self.advance()
            return self.call(token)
        self.advance()
        parts = [self.mark(exp.Identifier(this=token.text, quoted=token.kind == QUOTED), token)]
        while self.at_symbol("."):
            self.advance()
            if self.at_symbol("*"):
                star = self.advance()
                return self._path(parts, self.mark(exp.Star(), star), token)
            parts.append(self.name())
        return self._path(parts[:-1], parts[-1], token)

    def _path(self, qualifiers: list[exp.Identifier], last: exp.Expr, start: Token) -> exp.Expr:
        if len(qualifiers) > 3:
            raise self.refuse(f"Object '{qualifiers[0].name}' not found", qualifiers[0])
        arguments = dict(zip(("table", "db", "catalog"), reversed(qualifiers)))
        return self.mark(exp.Column(this=last, **arguments), start)

    # --- CASE, CAST and constructors ---

    def case(self) -> exp.Expr:
        start = self.advance()
        subject = None if self.at_word("WHEN") else self.value()
        branches = []
        while self.at_word("WHEN"):
            when = self.advance()
            condition: exp.Expr = self.value()
            if subject is not None and self.at_symbol(","):
                others = [condition]
                while self.take_symbol(","):
                    others.append(self.value())
                condition = self.mark(exp.Tuple(expressions=others), others[0])
            self.need_word("THEN")
            branches.append(self.mark(exp.If(this=condition, true=self.value()), when))
        if not branches:
            raise self.unexpected('"WHEN"')
        default = self.value() if self.take_word("ELSE") else None
        self.need_word("END")
        return self.mark(exp.Case(this=subject, ifs=branches, default=default), start)

    def cast(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        inner = self.value()
        self.need_word("AS")
        to = self.type_name()
        self.need_symbol(")")
        return self.mark(exp.Cast(this=inner, to=to), start)

    def array(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("[")
        items = [] if self.at_symbol("]") else self.list_of(self.value)
        self.need_symbol("]")
        return self.mark(exp.Array(expressions=items), start)

    def row(self) -> exp.Expr:
        start = self.advance()
        return self.mark(exp.Tuple(expressions=self.parenthesised(self.value)), start)


_CLAUSE_WORDS = """
SELECT FROM WHERE GROUP HAVING ORDER LIMIT OFFSET FETCH UNION INTERSECT EXCEPT MINUS WITH AS ON USING JOIN INNER LEFT
RIGHT FULL CROSS NATURAL WINDOW QUALIFY AND OR NOT IN LIKE BETWEEN IS WHEN THEN ELSE END CASE BY PARTITIONED
CLUSTERED INSERT SET TABLE
"""
_CLAUSES = frozenset(_CLAUSE_WORDS.split())
"""Reserved words that a slip of the pen, not a name, puts in an operand's place."""
