"""Rows as the partial step reads them: one SELECT over a run of batches, with virtual columns, filter and keys lowered.

Owns the names of inner columns; what expressions and filters mean is msq.expr's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msq.aggregate.base import quote
from msq.datatypes import LONG, STRING
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn, Lowered, LowerEnv, as_output
from msq.expr.lower import quote as quote_text
from msq.expr.nodes import identifiers
from msq.expr.virtual import lower_virtual, virtual_node
from msq.native.filters import DimFilter
from msq.native.query import DefaultDimensionSpec
from msq.native.virtual import VirtualColumn

ROW_NUMBER = "__row_number"
MULTI_VALUE_MARK = "multi-value dimension: "
"""Start of the error text that a multi-valued key raises inside DuckDB when it may not be unnested."""


def codes_name(column: str) -> str:
    """What the column is called that holds the places of a text column's values in its dictionary."""
    return f"__codes_{column}"


class RowScope:
    """A `Scope` over one relation; collects the inner columns that aggregators ask for, then prints the SELECT."""

    def __init__(
        self, relation: str, inputs: Mapping[str, InputColumn], virtual_columns: Sequence[VirtualColumn],
        row_filter: DimFilter | None, env: LowerEnv,
    ) -> None:  # fmt: skip
        self._relation = relation
        self._env = env
        computed = lower_virtual_columns(virtual_columns, inputs, env)
        self._columns = {**inputs, **computed}
        self._texts = {n for n, c in inputs.items() if c.type == STRING and not c.multi_value and n not in computed}
        self.coded: dict[str, str] = {}
        """Text columns whose dictionary places are read, and the input columns that must hold these."""
        self._filter = row_filter
        self._items: dict[str, str] = {}
        self._unnested: list[str] = []

    def column(self, name: str) -> InputColumn:
        found = self._columns.get(name)
        if found is None:
            return InputColumn("CAST(NULL AS VARCHAR)", STRING)
        return InputColumn(self._item(found.sql_name), found.type, found.multi_value)

    def codes(self, name: str) -> InputColumn | None:
        if name not in self._texts:
            return None
        self.coded[name] = codes_name(name)
        return InputColumn(self._item(quote(codes_name(name))), LONG)

    def number_rows(self) -> None:
        """Gives the relation's rows their numbers, where its chunks do not have them."""
        self._relation = f"(SELECT *, row_number() OVER () AS {quote(ROW_NUMBER)} FROM {self._relation})"

    def row_number(self) -> str:
        """The number of a row in its chunk, which the relation must have then."""
        return self._item(quote(ROW_NUMBER))

    def condition(self, condition: DimFilter) -> str:
        return self._item(lower_filter(condition, self._columns, self._env))

    def key(self, spec: DefaultDimensionSpec, unnest: bool) -> InputColumn:
        """The inner column of a grouping key; a multi-valued one becomes one row a value, or an error."""
        found = self._columns.get(spec.dimension, InputColumn("CAST(NULL AS VARCHAR)", STRING))
        wanted = spec.output_type
        value = as_output(Lowered(found.sql_name, found.type, found.multi_value), wanted)
        if not value.multi_value:
            return InputColumn(self._item(value.sql), wanted)
        if unnest:
            name = self._item(f"d_some({value.sql})")
            if name not in self._unnested:
                self._unnested.append(name)
            return InputColumn(name, wanted)
        mark = quote_text(MULTI_VALUE_MARK + spec.dimension)
        refuse = f"CASE WHEN len({value.sql}) > 1 THEN py_fail({mark}) ELSE ({value.sql})[1] END"
        return InputColumn(self._item(refuse), wanted)

    def sql(self) -> str:
        """The SELECT that yields the inner columns asked for so far."""
        items = ", ".join(f"{sql} AS {name}" for sql, name in self._items.items()) or "1 AS one"
        where = f" WHERE {lower_filter(self._filter, self._columns, self._env)}" if self._filter is not None else ""
        made = f"SELECT {items} FROM {self._relation}{where}"
        for name in self._unnested:
            made = f"SELECT * REPLACE (unnest({name}) AS {name}) FROM ({made})"
        return made

    def _item(self, sql: str) -> str:
        return self._items.setdefault(sql, quote(f"c{len(self._items)}"))


def lower_virtual_columns(
    virtual_columns: Sequence[VirtualColumn], inputs: Mapping[str, InputColumn], env: LowerEnv
) -> dict[str, InputColumn]:
    """The virtual columns as SQL over the inputs; one may read another, whatever their order."""
    known = dict(inputs)
    made: dict[str, InputColumn] = {}
    waiting = list(virtual_columns)
    names = {v.output for v in virtual_columns}
    while waiting:
        ready = [v for v in waiting if not (set(virtual_inputs(v)) & names - set(made))] or waiting[:1]
        for column in ready:
            value = lower_virtual(column, known, env)
            made[column.output] = InputColumn(f"({value.sql})", value.type, value.multi_value)
            known[column.output] = made[column.output]
        waiting = [v for v in waiting if v.output not in made]
    return made


def virtual_inputs(column: VirtualColumn) -> tuple[str, ...]:
    """Names of the columns that a virtual column reads."""
    return identifiers(virtual_node(column))
