"""The grammar of FROM: tables, subqueries, joins, UNNEST, table functions and their column lists."""

from __future__ import annotations

from sqlglot import exp

from msq.faults import invalid_sql
from msq.sql.cursor import MAX_NESTING, too_deep
from msq.sql.extern import resolve
from msq.sql.lexer import QUOTED, STRING, WORD, Token
from msq.sql.nodes import ColumnDefinition, JoinedTables, PivotedTable, TableFunction
from msq.sql.pivot import PivotGrammar

_JOIN_WORDS = ("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF")


class TableGrammar(PivotGrammar):
    def from_items(self) -> tuple[exp.Expr, list[exp.Join]]:
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
        return self._with_alias(self.table_name(), start)

    def table_name(self) -> exp.Expr:
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
        alias = exp.TableAlias(this=self.alias_from_string() if self.token.kind == STRING else self.name())
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
        first, joins = self.from_items()
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
            table = self.table_name()
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

    def alias_from_string(self) -> exp.Identifier:
        token = self.advance()
        return self.mark(exp.Identifier(this=token.text, quoted=True), token)
