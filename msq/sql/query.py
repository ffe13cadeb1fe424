"""The grammar of queries: WITH, SELECT, VALUES, set operations, and what FROM may hold."""

from __future__ import annotations

from sqlglot import exp

from msq.faults import DruidException, invalid_sql
from msq.sql.cursor import MAX_NESTING, too_deep
from msq.sql.lexer import END, HINT, NUMBER, QUOTED, STRING, WORD, Token
from msq.sql.nodes import NamedWindow, Query
from msq.sql.tables import TableGrammar

_SET_OPERATIONS: dict[str, type[exp.SetOperation]] = {
    "UNION": exp.Union, "EXCEPT": exp.Except, "MINUS": exp.Except, "INTERSECT": exp.Intersect,
}  # fmt: skip


class QueryGrammar(TableGrammar):
    def query(self) -> Query:
        """`[WITH ..] terms [ORDER BY] [LIMIT] [OFFSET]`: an `exp.Select`, `exp.SetOperation` or `exp.Values`."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise too_deep()
        start = self.token
        names = self._with() if self.at_word("WITH") else None
        node = self._modifiers_of_query(self._set_operations())
        if names is not None:
            node = self._modifiable(node, "with_")
            node.set("with_", names)
        self._nesting -= 1
        return self.mark(node, start)

    def _with(self) -> exp.With:
        start = self.advance()
        recursive = self.take_word("RECURSIVE") is not None
        return self.mark(exp.With(expressions=self.list_of(self._common_table), recursive=recursive or None), start)

    def _common_table(self) -> exp.CTE:
        start = self.token
        alias = exp.TableAlias(this=self.name())
        if self.at_symbol("("):
            alias.set("columns", self.names())
        self.mark(alias, start)
        self.need_word("AS")
        self.need_symbol("(")
        inner = self.query()
        self.need_symbol(")")
        return self.mark(exp.CTE(this=inner, alias=alias), start)

    # --- set operations ---

    def _set_operations(self) -> Query:
        """UNION, EXCEPT from the left; INTERSECT binds tighter. Runs of UNION ALL make a balanced tree."""
        left = self._intersections()
        while self.at_word("UNION", "EXCEPT", "MINUS"):
            if self.at_words("UNION", "ALL"):
                left = self._union_all(left)
                continue
            kind, distinct = self._set_operator()
            left = self._set_operation(kind, left, self._intersections(), distinct)
        return left

    def _union_all(self, first: Query) -> Query:
        branches = [first]
        while self.take_words("UNION", "ALL"):
            branches.append(self._intersections())
        while len(branches) > 1:
            branches = [
                self._set_operation(exp.Union, branches[i], branches[i + 1], False)
                if i + 1 < len(branches)
                else branches[i]
                for i in range(0, len(branches), 2)
            ]
        return branches[0]

    def _intersections(self) -> Query:
        left = self._term()
        while self.at_word("INTERSECT"):
            kind, distinct = self._set_operator()
            left = self._set_operation(kind, left, self._term(), distinct)
        return left

    def _set_operator(self) -> tuple[type[exp.SetOperation], bool]:
        kind = _SET_OPERATIONS[self.advance().upper]
        return kind, self.take_word("ALL", "DISTINCT") != "ALL"

    def _set_operation(
        self, kind: type[exp.SetOperation], left: Query, right: Query, distinct: bool
    ) -> exp.SetOperation:
        node = kind(this=left, expression=right, distinct=distinct)
        first, last = left.meta["offsets"][0], right.meta["offsets"][1]
        node.meta["offsets"] = (first, last)
        node.meta["position"] = self.source.span(first, last)
        return node

    def _term(self) -> Query:
        start = self.token
        if self.at_word("SELECT"):
            return self._select()
        if self.at_word("VALUES"):
            self.advance()
            return self.mark(exp.Values(expressions=self.list_of(self._values_row)), start)
        if self.at_word("TABLE") and (self.peek().kind == QUOTED or (self.peek().kind == WORD)):
            self.advance()
            table = self.table_name()
            return self.mark(exp.Select(expressions=[exp.Star()], from_=exp.From(this=table)), start)
        if self.take_symbol("("):
            inner = self.query()
            self.need_symbol(")")
            return inner
        raise self.no_query()

    def no_query(self) -> DruidException:
        """The refusal of a token that starts no query."""
        if self.at_name() or self.token.kind in (NUMBER, STRING):
            return invalid_sql("Non-query expression encountered in illegal context", envelope=False)
        return self.unexpected('"SELECT"', '"WITH"', '"VALUES"', '"("')

    def _values_row(self) -> exp.Tuple:
        start = self.token
        if self.at_word("ROW"):
            self.advance()
        if self.at_symbol("("):
            return self.mark(exp.Tuple(expressions=self.parenthesised(self.value)), start)
        return self.mark(exp.Tuple(expressions=[self.value()]), start)

    # --- ORDER BY, LIMIT, OFFSET ---

    def _modifiers_of_query(self, node: Query) -> Query:
        if self.at_words("ORDER", "BY"):
            node = self._modifiable(node, "order")
            node.set("order", self.order_by())
        while self.at_word("LIMIT", "OFFSET", "FETCH"):
            start = self.advance()
            if start.upper == "OFFSET":
                self._set_once(node := self._modifiable(node, "offset"), "offset", exp.Offset, self._count(), start)
                self.take_word("ROW", "ROWS")
            elif start.upper == "FETCH":
                self.need_word("FIRST", "NEXT")
                one = self.mark(exp.Literal(this="1", is_string=False), start)
                count = one if self.at_word("ROW", "ROWS") else self._count()
                self.need_word("ROW", "ROWS")
                self.need_word("ONLY")
                self._set_once(node := self._modifiable(node, "limit"), "limit", exp.Limit, count, start)
            elif not self.take_word("ALL"):
                count = self._count(start)
                node = self._modifiable(node, "limit")
                if self.take_symbol(","):
                    self._set_once(node := self._modifiable(node, "offset"), "offset", exp.Offset, count, start)
                    count = self._count()
                self._set_once(node, "limit", exp.Limit, count, start)
        return node

    def _set_once(self, node: Query, key: str, kind: type[exp.Expr], count: exp.Expr, start: Token) -> None:
        node.set(key, self.mark(kind(expression=count), start))

    def _count(self, keyword: Token | None = None) -> exp.Expr:
        """A number of rows: an unsigned literal or a parameter."""
        if self.token.kind == NUMBER or self.at_symbol("?"):
            return self.placeholder() if self.at_symbol("?") else self.number()
        raise self.unexpected("<UNSIGNED_INTEGER_LITERAL>", "<DECIMAL_NUMERIC_LITERAL>", '"?"')

    def _modifiable(self, node: Query, key: str) -> Query:
        """`node`, or `SELECT * FROM (node)` where it has that clause, or one that comes after it, already."""
        later = {"order": ("order", "limit", "offset"), "with_": ("with_",)}.get(key, (key,))
        if not isinstance(node, exp.Values) and not any(node.args.get(k) for k in later):
            return node
        inner = exp.Subquery(this=node)
        inner.meta.update(node.meta)
        outer = exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner))
        outer.meta.update(node.meta)
        return outer

    # --- SELECT ---

    def _select(self) -> exp.Select:
        start = self.advance()
        node = exp.Select()
        if self.token.kind == HINT:
            hint = self.advance()
            words = [w for w in hint.text.replace(",", " ").split() if w]
            node.set("hint", self.mark(exp.Hint(expressions=[exp.Var(this=w) for w in words]), hint))
        if self.at_word("DISTINCT"):
            node.set("distinct", self.mark(exp.Distinct(), self.advance()))
        else:
            self.take_word("ALL")
        node.set("expressions", self.list_of(self._projection))
        if self.take_word("FROM"):
            first, joins = self.from_items()
            node.set("from_", exp.From(this=first))
            node.set("joins", joins or None)
        if self.at_word("WHERE"):
            node.set("where", self._clause(exp.Where))
        if self.at_words("GROUP", "BY"):
            node.set("group", self._group_by())
        if self.at_word("HAVING"):
            node.set("having", self._clause(exp.Having))
        if self.take_word("WINDOW"):
            node.set("windows", self.list_of(self._named_window))
        if self.at_word("QUALIFY"):
            node.set("qualify", self._clause(exp.Qualify))
        return self.mark(node, start)

    def _clause(self, kind: type[exp.Expr]) -> exp.Expr:
        start = self.advance()
        return self.mark(kind(this=self.value()), start)

    def _projection(self) -> exp.Expr:
        if self.at_symbol("*"):
            return self.mark(exp.Star(), self.advance())
        node = self.value()
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            return node
        alias = self._alias()
        return node if alias is None else self.mark(exp.Alias(this=node, alias=alias), node)

    def _alias(self) -> exp.Identifier | None:
        if self.take_word("AS"):
            return self.alias_from_string() if self.token.kind == STRING else self.name()
        if self.token.kind == STRING:
            return self.alias_from_string()
        return self.name() if self.at_name() else None

    def _named_window(self) -> NamedWindow:
        start = self.token
        name = self.name()
        self.need_word("AS")
        return self.mark(NamedWindow(this=name, window=self.window()), start)

    def _group_by(self) -> exp.Group:
        start = self.advance()
        self.advance()
        self.take_word("ALL", "DISTINCT")
        return self.mark(exp.Group(expressions=self.list_of(self._grouping)), start)

    def _grouping(self) -> exp.Expr:
        """A grouping element: an expression, a `Tuple`, or `exp.GroupingSets`, `exp.Rollup`, `exp.Cube` of them."""
        start = self.token
        if self.take_words("GROUPING", "SETS"):
            return self.mark(exp.GroupingSets(expressions=self.parenthesised(self._grouping)), start)
        if self.at_word("ROLLUP", "CUBE") and self.peek().upper == "(":
            kind = exp.Rollup if self.advance().upper == "ROLLUP" else exp.Cube
            return self.mark(kind(expressions=self.parenthesised(self._grouping)), start)
        if self.at_symbol("(") and self.peek().upper == ")":
            self.advance()
            self.advance()
            return self.mark(exp.Tuple(), start)
        return self.value()


def parse_query(text: str) -> Query:
    """The query that is all of `text`. Raises the refusal of anything else."""
    grammar = QueryGrammar(text)
    query = grammar.query()
    if grammar.token.kind != END:
        raise grammar.unexpected("<EOF>")
    return query
