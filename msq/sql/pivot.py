"""The grammar of PIVOT and UNPIVOT behind an item of FROM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlglot import exp

from msq.sql.calls import CallGrammar
from msq.sql.nodes import Call, Pivot, PivotValue, Unpivot

E = TypeVar("E", bound=exp.Expr)


class PivotGrammar(CallGrammar):
    def pivot(self) -> Pivot:
        start = self.advance()
        self.need_symbol("(")
        aggregates = self.list_of(self._aggregate)
        self.need_word("FOR")
        axes = self._one_or_more(self._axis)
        self.need_word("IN")
        values = self.parenthesised(self._pivot_value)
        self.need_symbol(")")
        return self.mark(Pivot(expressions=aggregates, axes=axes, values=values), start)

    def unpivot(self) -> Unpivot:
        start = self.advance()
        nulls = self.take_word("INCLUDE", "EXCLUDE")
        if nulls is not None:
            self.need_word("NULLS")
        self.need_symbol("(")
        measures = self._one_or_more(self.name)
        self.need_word("FOR")
        axes = self._one_or_more(self.name)
        self.need_word("IN")
        values = self.parenthesised(self._unpivot_value)
        self.need_symbol(")")
        node = Unpivot(expressions=measures, axes=axes, values=values, nulls=nulls == "INCLUDE" or None)
        return self.mark(node, start)

    def _one_or_more(self, item: Callable[[], E]) -> list[E]:
        """One item, or several in parentheses."""
        return self.parenthesised(item) if self.at_symbol("(") else [item()]

    def _aggregate(self) -> exp.Expr:
        start = self.token
        node = self.value()
        if not isinstance(node, Call):
            raise self.refuse("PIVOT expects aggregate functions", self.mark(node, start))
        if self.take_word("AS") or self.at_name():
            return self.mark(exp.Alias(this=node, alias=self.name()), start)
        return node

    def _axis(self) -> exp.Column:
        start = self.token
        return self.mark(exp.Column(this=self.name()), start)

    def _pivot_value(self) -> PivotValue:
        start = self.token
        node = self.value()
        items = node.expressions if isinstance(node, exp.Tuple) else [node]
        made = PivotValue(expressions=items)
        if self.take_word("AS") or self.at_name():
            made.set("alias", self.name())
        return self.mark(made, start)

    def _unpivot_value(self) -> PivotValue:
        start = self.token
        made = PivotValue(expressions=self._one_or_more(self._axis))
        if self.take_word("AS"):
            node = self.value()
            made.set("constants", node.expressions if isinstance(node, exp.Tuple) else [node])
        return self.mark(made, start)
