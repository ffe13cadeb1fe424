"""The grammar of queries: WITH, SELECT, VALUES, set operations, and what FROM may hold."""

from __future__ import annotations

from sqlglot import exp

from msq.faults import DruidException, invalid_sql
from msq.sql.cursor import MAX_NESTING, too_deep
from msq.sql.extern import resolve
from msq.sql.lexer import END, HINT, NUMBER, QUOTED, STRING, WORD, Token
from msq.sql.nodes import ColumnDefinition, JoinedTables, NamedWindow, PivotedTable, Query, TableFunction
from msq.sql.pivot import PivotGrammar

_SET_OPERATIONS: dict[str, type[exp.SetOperation]] = {
    "UNION": exp.Union, "EXCEPT": exp.Except, "MINUS": exp.Except, "INTERSECT": exp.Intersect,
}  # fmt: skip
_JOIN_WORDS = ("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF")


class QueryGrammar(PivotGrammar):
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
            table = self._table_name()
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
            return self._primary()
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
            first, joins = self._from()
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
            return self._alias_from_string() if self.token.kind == STRING else self.name()
        if self.token.kind == STRING:
            return self._alias_from_string()
        return self.name() if self.at_name() else None

    def _alias_from_string(self) -> exp.Identifier:
        token = self.advance()
        return self.mark(exp.Identifier(this=token.text, quoted=True), token)

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

    # --- FROM ---

    def _from(self) -> tuple[exp.Expr, list[exp.Join]]:
        first = self._table()
        joins: list[exp.Join] = []
        while True:
            start = self.token
            if self.take_symbol(","):
                joins.append(self.mark(exp.Join(this=self._table(), kind="CROSS"), start))
            elif self.at_word(*_JOIN_WORDS):
                joins.append(self._join())
            else:
                return first, joins

    def _join(self) -> exp.Join:
        start = self.token
        node = exp.Join()
        if self.take_word("NATURAL"):
            node.set("method", "NATURAL")
        side = self.take_word("LEFT", "RIGHT", "FULL")
        if side is not None:
            node.set("side", side)
            self.take_word("OUTER")
        else:
            kind = self.take_word("INNER", "CROSS")
            node.set("kind", kind)
        self.need_word("JOIN")
        node.set("this", self._table())
        if self.take_word("ON"):
            node.set("on", self.value())
        elif self.take_word("USING"):
            node.set("using", self.names())
        return self._checked_join(self.mark(node, start))

    def _checked_join(self, node: exp.Join) -> exp.Join:
        conditions = sum(bool(node.args.get(key)) for key in ("method", "on", "using"))
        if node.args.get("kind") == "CROSS":
            if conditions:
                raise self.refuse(
                    "Cannot specify condition (NATURAL keyword, or ON or USING clause) following CROSS JOIN", node
                )
        elif conditions == 0:
            raise self.refuse(
                "INNER, LEFT, RIGHT or FULL join requires a condition (NATURAL keyword or ON or USING clause)", node
            )
        elif conditions > 1:
            raise self.refuse("Cannot specify NATURAL keyword with ON or USING clause", node)
        return node

    def _table(self) -> exp.Expr:
        start = self.token
        lateral = self.take_word("LATERAL") is not None
        if self.at_word("UNNEST"):
            return self._unnest()
        if self.at_word("TABLE") and self.peek().upper == "(":
            return self._table_function()
        if self.at_symbol("("):
            return self._parenthesised_table(lateral)
        if lateral:
            raise self.unexpected('"UNNEST"', '"("', '"TABLE"')
        return self._with_alias(self._table_name(), start)

    def _table_name(self) -> exp.Expr:
        start = self.token
        if not self.at_name() and not self.token.reserved:
            raise self.unexpected("<IDENTIFIER>", "<QUOTED_IDENTIFIER>", '"LATERAL"', '"UNNEST"', '"TABLE"', '"("')
        parts = [self.name()]
        while self.take_symbol("."):
            parts.append(self.name())
        if self.at_symbol("("):
            text = ".".join(p.name for p in parts)
            raise self.refuse(f"Object '{text}' not found", self.mark(exp.Identifier(this=text), start))
        if len(parts) > 3:
            text = ".".join(p.name for p in parts)
            raise self.refuse(f"Object '{text}' not found", self.mark(exp.Identifier(this=text), start))
        return self.mark(exp.Table(**dict(zip(("this", "db", "catalog"), reversed(parts)))), start)

    def _with_alias(self, node: exp.Expr, start: Token) -> exp.Expr:
        alias = self._table_alias()
        if alias is not None:
            node.set("alias", alias)
        self.mark(node, start)
        while self.at_word("PIVOT", "UNPIVOT") and self.peek().upper in ("(", "INCLUDE", "EXCLUDE"):
            pivot = self.pivot() if self.at_word("PIVOT") else self.unpivot()
            node = self.mark(PivotedTable(this=node, pivot=pivot, alias=self._table_alias()), start)
        return node

    def _table_alias(self) -> exp.TableAlias | None:
        start = self.token
        if self.at_word("PIVOT", "UNPIVOT") and self.peek().upper in ("(", "INCLUDE", "EXCLUDE"):
            return None
        if not self.take_word("AS") and not self.at_name():
            return None
        alias = exp.TableAlias(this=self._alias_from_string() if self.token.kind == STRING else self.name())
        if self.at_symbol("("):
            alias.set("columns", self.names())
        return self.mark(alias, start)

    def _unnest(self) -> exp.Expr:
        start = self.advance()
        arrays = self.parenthesised(self.value)
        node = exp.Unnest(expressions=arrays)
        if self.take_words("WITH", "ORDINALITY"):
            raise invalid_sql("UNNEST with ordinality is not supported")
        return self._with_alias(self.mark(node, start), start)

    def _parenthesised_table(self, lateral: bool) -> exp.Expr:
        start = self.advance()
        if self.at_query():
            query = self.query()
            self.need_symbol(")")
            node: exp.Expr = self.mark(exp.Subquery(this=query), start)
            node = self._with_alias(node, start)
            return self.mark(exp.Lateral(this=node), start) if lateral else node
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise too_deep()
        first, joins = self._from()
        self._nesting -= 1
        self.need_symbol(")")
        if not joins:
            if not self.at_name() and not self.at_word("AS"):
                return first
            raise self.unexpected('")"')
        return self.mark(JoinedTables(this=first, joins=joins), start)

    # --- table functions ---

    def _table_function(self) -> exp.Expr:
        start = self.advance()
        self.need_symbol("(")
        if self.token.kind not in (WORD, QUOTED):
            raise self.unexpected("<IDENTIFIER>")
        if self.peek().upper != "(":
            table = self._table_name()
            self.need_symbol(")")
            return self._with_alias(table, start)
        name = self.advance()
        self.need_symbol("(")
        arguments = self._arguments()
        self.need_symbol(")")
        node = self.mark(TableFunction(this=name.text, expressions=arguments), name)
        self.need_symbol(")")
        if self.take_word("EXTEND") or self.at_symbol("("):
            node.set("columns", self.parenthesised(self._column_definition))
        made = resolve(node)
        made.meta.update(node.meta)
        return self._with_alias(made, start)

    def _column_definition(self) -> ColumnDefinition:
        start = self.token
        name = self.name()
        if self.at_symbol("."):
            parts = [name.name]
            while self.take_symbol("."):
                parts.append(self.name().name)
            raise invalid_sql(f"Column [{'.'.join(parts)}] must have a simple name")
        kind = self.type_name()
        if self.take_word("NOT"):
            self.need_word("NULL")
        else:
            self.take_word("NULL")
        return self.mark(ColumnDefinition(this=name, kind=kind), start)




def parse_query(text: str) -> Query:
    """The query that is all of `text`. Raises the refusal of anything else."""
    grammar = QueryGrammar(text)
    query = grammar.query()
    if grammar.token.kind != END:
        raise grammar.unexpected("<EOF>")
    return query
