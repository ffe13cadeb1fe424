"""The registry of SQL aggregate functions: names, operand checks, result types and the native aggregators they become.

Each function is declared once, in a module `sql_*` of this package; doors: `bind_aggregate` and `aggregate_type`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msq import extensions
from msq.aggregate.base import NativeAggregator
from msq.aggregate.post import FieldAccess
from msq.aggregate.wrappers import FilteredAggregator
from msq.datatypes import ColumnType
from msq.expr.binding import Position, Typed, refuse, refuse_types, refuse_unknown
from msq.expr.nodes import Node
from msq.expr.sqltypes import SqlType
from msq.faults import DruidException
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.filters import AndFilter, DimFilter


@dataclass(frozen=True)
class AggregateSite:
    """One call as its rule sees it. `output` is the name of the value's column (`a0`).

    `column` gives the name of the column that holds a node of a type: its own, or a virtual column. `groupings`:
    names of the dimensions that GROUPING(..) asks about. `has_time`: whether the input has a column `__time`.
    """

    name: str
    args: tuple[Typed, ...]
    output: str
    column: Callable[[Node, ColumnType], str]
    distinct: bool = False
    context: Mapping[str, Any] = field(default_factory=dict)
    groupings: tuple[str, ...] = ()
    has_time: bool = True
    position: Position | None = None

    def field(self, at: int = 0, of: ColumnType | None = None) -> str:
        """Name of the column of an argument, as its own native type or as `of`."""
        arg = self.args[at]
        return self.column(arg.node, of or arg.native_type)

    def literal(self, at: int, default: Any = None) -> Any:
        """The constant given as argument `at`, `default` where there is none. Refuses what is no literal."""
        if at >= len(self.args):
            return default
        arg = self.args[at]
        if not arg.is_literal:
            refuse(f"Argument to function '{self.name}' must be a literal", arg.position or self.position)
        return arg.literal_value

    def flag(self, key: str, default: bool) -> bool:
        value = self.context.get(key, default)
        return value.lower() == "true" if isinstance(value, str) else bool(value)


@dataclass(frozen=True)
class BoundAggregate:
    """What a call becomes: aggregators and, where the value is computed of them, post-aggregators.

    `output` is the column that holds the value: the last post-aggregator, else the aggregator.
    """

    aggregators: tuple[Aggregator, ...]
    posts: tuple[PostAggregator, ...]
    output: str
    sql_type: SqlType


TypeRule = Callable[[AggregateSite], SqlType]
EmitRule = Callable[[AggregateSite], tuple[Sequence[Aggregator], Sequence[PostAggregator]]]


@dataclass(frozen=True)
class SqlAggregate:
    """A function as SQL knows it. `type` checks the operands and gives the result's type; `emit` the native form.

    `distinct`: whether DISTINCT has a native form of its own. `forms` is the text after `Supported form(s):`.
    """

    name: str
    doc: str
    minimum: int
    maximum: int | None
    type: TypeRule
    emit: EmitRule
    distinct: bool = False
    forms: str = ""
    example: str = ""
    """A call over the columns of msq.sql.function_examples; where the examples of that module have none."""
    extension: str = ""
    """The extension that declared it."""


_registry: dict[str, SqlAggregate] = {}


def add(function: SqlAggregate, *aliases: str) -> SqlAggregate:
    for name in (function.name, *aliases):
        if name in _registry:
            raise ValueError(f"SQL aggregate [{name}] is declared twice")
        _registry[name] = replace(function, name=name, extension=extensions.loading())
    return function


def sql_aggregates() -> Mapping[str, SqlAggregate]:
    """All aggregate functions by upper-case name."""
    import msq.aggregate  # the package's import declares every function

    del msq
    extensions.load()
    return _registry


def is_aggregate(name: str) -> bool:
    """Whether SQL knows an aggregate function of that name."""
    return name.upper() in sql_aggregates()


def needs_exact_distinct(name: str, distinct: bool, context: Mapping[str, Any]) -> bool:
    """Whether the call is a DISTINCT that must become a group-by below (`useApproximateCountDistinct` false)."""
    value = context.get("useApproximateCountDistinct", True)
    approximate = value.lower() == "true" if isinstance(value, str) else bool(value)
    function = sql_aggregates().get(name.upper())
    if not distinct or function is None or approximate:
        return False
    return name.upper() == "COUNT" or not function.distinct


def aggregate_type(
    name: str, args: Sequence[Typed], *, distinct: bool = False, context: Mapping[str, Any] | None = None,
    has_time: bool = True, position: Position | None = None,
) -> SqlType:  # fmt: skip
    """The SQL type of a call. Raises invalid SQL for an unknown name, wrong operands, or DISTINCT without a form.

    A call that `needs_exact_distinct` is checked like one without DISTINCT.
    """
    site = AggregateSite(
        name.upper(), tuple(args), "", lambda node, of: "", distinct, context or {}, (), has_time, position
    )
    return _checked(site)[1]


def bind_aggregate(
    name: str, args: Sequence[Typed], *, output: str, column: Callable[[Node, ColumnType], str], distinct: bool = False,
    filter: DimFilter | None = None, context: Mapping[str, Any] | None = None, groupings: Sequence[str] = (),
    has_time: bool = True, position: Position | None = None,
) -> BoundAggregate:  # fmt: skip
    """The native form of a call whose arguments speak of native column names; raises as `aggregate_type` does.

    `output`: name of the value's column. `filter`: of FILTER (WHERE ..); every aggregator is wrapped in it.
    """
    site = AggregateSite(
        name.upper(), tuple(args), output, column, distinct, context or {}, tuple(groupings), has_time, position
    )
    function, sql_type = _checked(site)
    aggregators, posts = function.emit(site)
    if filter is not None:
        aggregators = [filtered(a, filter) for a in aggregators]
    last = posts[-1].name if posts else aggregators[0].name
    assert last is not None
    return BoundAggregate(tuple(aggregators), tuple(posts), last, sql_type)


def with_shared(made: BoundAggregate, known: Sequence[Aggregator]) -> BoundAggregate:
    """The same form, with the aggregator of `known` that equals its own but for the name, where it may be shared.

    Several quantiles of one column are so read from one sketch, as Druid's planner has them.
    """
    if len(made.aggregators) != 1 or not _shareable(made.aggregators[0]):
        return made
    own = made.aggregators[0]
    same = next((k for k in known if _shareable(k) and renamed(k, _name(own)) == own), None)
    if same is None:
        return made
    old, new = _name(own), _name(same)
    posts = tuple(_reading(p, old, new) for p in made.posts)
    return BoundAggregate((), posts, new if made.output == old else made.output, made.sql_type)


def _name(aggregator: Aggregator) -> str:
    assert isinstance(aggregator, NativeAggregator)
    return aggregator.name


def _shareable(aggregator: Aggregator) -> bool:
    inner = aggregator.aggregator if isinstance(aggregator, FilteredAggregator) else aggregator
    return isinstance(inner, NativeAggregator) and inner.shareable


def renamed(aggregator: Aggregator, name: str) -> Aggregator:
    """The aggregator under another name."""
    if isinstance(aggregator, FilteredAggregator):
        return replace(aggregator, aggregator=renamed(aggregator.aggregator, name), name=name)
    return replace(aggregator, name=name)  # type: ignore[type-var]


def _reading(post: PostAggregator, old: str, new: str) -> PostAggregator:
    """The post-aggregator over aggregator `new` in the place of `old`."""
    if getattr(post, "field", None) == FieldAccess(old, old):
        return replace(post, field=FieldAccess(new, new))  # type: ignore[type-var]
    assert getattr(post, "field_name", None) == old
    return replace(post, field_name=new)  # type: ignore[type-var]


def filtered(aggregator: Aggregator, condition: DimFilter) -> FilteredAggregator:
    """The aggregator over the rows that fulfil `condition`; one already filtered gets both conditions."""
    if isinstance(aggregator, FilteredAggregator):
        parts: list[DimFilter] = []
        for one in (aggregator.filter, condition):
            parts.extend(one.fields if isinstance(one, AndFilter) else [one])
        return FilteredAggregator(aggregator.aggregator, AndFilter(tuple(dict.fromkeys(parts))), aggregator.name)
    return FilteredAggregator(aggregator, condition, aggregator.name)


def _checked(site: AggregateSite) -> tuple[SqlAggregate, SqlType]:
    function = sql_aggregates().get(site.name)
    if function is None:
        refuse_unknown(site.name, site.args, site.position)
    count = len(site.args)
    if count < function.minimum or (function.maximum is not None and count > function.maximum):
        refuse(
            f"Invalid number of arguments to function '{site.name}'. Was expecting {function.minimum} arguments",
            site.position,
        )
    if site.distinct and not function.distinct and not needs_exact_distinct(site.name, True, site.context):
        refuse(
            f"Aggregation [{site.name}] with DISTINCT is not supported when useApproximateCountDistinct is enabled. "
            "Run with disabling it.",
            site.position,
        )
    return function, function.type(site)


def unplanned(reason: str) -> DruidException:
    """Druid's refusal of a call that passes validation and has no native form."""
    return DruidException(f"Query could not be planned. A possible reason is [{reason}]", category="INVALID_INPUT")


def wrong_types(site: AggregateSite, forms: str | None = None) -> None:
    """Refuses the call for the types of its arguments."""
    function = _registry[site.name]
    refuse_types(site.name, forms if forms is not None else function.forms, site.args, site.position)
