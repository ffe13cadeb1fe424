"""Group-bys put together: dimensions, aggregators, post-aggregators, having, order and limit of the native types.

timeseries and topN are group-bys, too. A bucket of time is a further dimension in front of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from controller.native.errors import TYPE_CLASS, refused, unsupported
from controller.native.extraction import extracted, looked_up, mapped
from controller.native.filters import filter_json, filter_of
from controller.native.granularity import Buckets
from controller.native.reading import (
    Json,
    items,
    literal,
    number,
    obj,
    post_aggregators_of,
    quoted,
    read,
    text,
)
from controller.native.sources import Base
from msq.aggregate.post import ExpressionPostAggregator, FieldAccess, FinalizingFieldAccess
from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, ColumnType, RowSignature
from msq.expr.parser import parse
from msq.expr.types import infer
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.filters import DimFilter
from msq.native.query import (
    DefaultDimensionSpec,
    DefaultLimitSpec,
    FilterHaving,
    GroupByQuery,
    NoopLimitSpec,
    OrderByColumnSpec,
)
from msq.native.virtual import VirtualColumn
from msq.plan.group_by import final_signature

_NUMERIC = {"type": "numeric"}
_FILTERED = {
    "listFiltered": "mv-filtered",
    "regexFiltered": "mv-regex-filtered",
    "prefixFiltered": "mv-prefix-filtered",
}


@dataclass
class Groups:
    """A group-by in the making over `base`. `bucket` is the name of the time bucket's column; None for `all`."""

    base: Base
    bucket: str | None = None
    dimensions: list[DefaultDimensionSpec] = field(default_factory=list)
    aggregators: tuple[Aggregator, ...] = ()
    posts: tuple[PostAggregator, ...] = ()
    having: DimFilter | None = None
    order: list[OrderByColumnSpec] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    subtotals: tuple[tuple[str, ...], ...] | None = None
    hidden: list[PostAggregator] = field(default_factory=list)

    @staticmethod
    def of(base: Base, body: Json, buckets: Buckets, dimensions: Iterable[Any] = ()) -> Groups:
        """Dimensions and values as `body` names them."""
        made = Groups(base)
        if not buckets.is_all:
            if base.type_of("__time") is None:
                raise refused("The data source has no column [__time]: only granularity [all] fits")
            made.bucket = "__time"
            name = base.compute(buckets.expression, LONG)
            made.dimensions.append(DefaultDimensionSpec(name, made.bucket, LONG))
        made.dimensions += [dimension_of(base, d) for d in dimensions]
        made.aggregators = aggregators_of(base, body.get("aggregations"))
        made.posts = post_aggregators_of(body.get("postAggregations"))
        made._check_names()
        return made

    @property
    def names(self) -> list[str]:
        """Output columns without the bucket, in Druid's order."""
        dimensions = [d.output_name for d in self.dimensions if d.output_name != self.bucket]
        return [*dimensions, *(a.name for a in self.aggregators), *(str(p.name) for p in self.posts)]

    def _check_names(self) -> None:
        seen = {self.bucket} if self.bucket is not None else set()
        for name in self.names:
            if name == "__time" and self.bucket is not None:
                raise refused(
                    "'__time' cannot be used as an output name for dimensions, aggregators, or post-aggregators."
                )
            if name in seen:
                raise refused(f"Duplicate output name[{name}]")
            seen.add(name)
        known = {d.output_name for d in self.dimensions} | {a.name for a in self.aggregators}
        for post in self.posts:
            missing = sorted(set(_accessed(post)) - known)
            if missing:
                raise refused(f"Missing fields [{', '.join(missing)}] for postAggregator [{post.name}]")
            known.add(str(post.name))

    def query(self, context: Mapping[str, Any] | None = None) -> GroupByQuery:
        base = self.base
        limit = NoopLimitSpec()
        made: Any = limit
        if self.order or self.limit is not None or self.offset:
            made = DefaultLimitSpec(tuple(self.order), self.offset or None, self.limit)
        return GroupByQuery(
            base.source, base.intervals, tuple(base.virtual) or None, base.filter,
            dimensions=tuple(self.dimensions), aggregations=self.aggregators or None,
            post_aggregations=(*self.posts, *self.hidden) or None,
            having=None if self.having is None else FilterHaving(self.having), limit_spec=made,
            subtotals_spec=self.subtotals, context=dict(context or {}),
        )  # fmt: skip

    def signature(self) -> RowSignature:
        """The bucket, if there is one, and `names`, with their types."""
        types = {c.name: c.type for c in final_signature(self.query())}
        names = ([self.bucket] if self.bucket else []) + self.names
        return RowSignature((n, types[n]) for n in names)

    # -- order ---------------------------------------------------------------------------------------------------------

    def sort(self, column: str, direction: str, order: Any) -> None:
        """One more ordering column. `order`: name or object of a comparator; None for the column's own."""
        types = {c.name: c.type for c in self.signature()}
        if column not in types:
            raise refused(f"Unknown column in order clause[{column}]: known are {', '.join(types)}")
        name = str(order.get("type") if isinstance(order, Mapping) else order or "").lower()
        kind = types[column]
        if kind.is_numeric or kind.is_array or name in ("", "lexicographic"):
            how = _NUMERIC if kind.is_numeric else {"type": "lexicographic"}
            self.order.append(OrderByColumnSpec(column, direction, how))
        elif name in ("numeric", "strlen"):
            key = f"__order{len(self.hidden)}"
            expression = f"strlen({quoted(column)})" if name == "strlen" else f"CAST({quoted(column)}, 'DOUBLE')"
            self.hidden.append(ExpressionPostAggregator(key, expression, LONG if name == "strlen" else DOUBLE))
            self.order.append(OrderByColumnSpec(key, direction, _NUMERIC))
            self.order.append(OrderByColumnSpec(column, direction))
        else:
            raise unsupported(f"Sorting by comparator [{name}] is not supported")

    def sort_rest(self) -> None:
        """Ties are in the order of the dimensions, so that answers do not change from run to run."""
        sorted_by = {o.dimension for o in self.order}
        types = {d.output_name: d.output_type for d in self.dimensions}
        for name, kind in types.items():
            if name not in sorted_by and not kind.is_complex:
                self.order.append(
                    OrderByColumnSpec(name, "ascending", _NUMERIC if kind.is_numeric else {"type": "lexicographic"})
                )

    def sort_by_bucket(self, descending: bool = False) -> None:
        if self.bucket is not None:
            self.order.append(OrderByColumnSpec(self.bucket, "descending" if descending else "ascending", _NUMERIC))

    def take_limit_spec(self, value: Any) -> None:
        """groupBy's `limitSpec`: the bucket comes first, then its columns, then the dimensions."""
        if value is None:
            return
        spec = obj(value, "limitSpec")
        if spec.get("type", "default") == "NoopLimitSpec":
            return
        if spec.get("type", "default") != "default":
            raise refused(f"Could not resolve type id '{spec.get('type')}' as a subtype of [LimitSpec]", TYPE_CLASS)
        self.limit, self.offset = number(spec.get("limit"), "limit"), number(spec.get("offset"), "offset") or 0
        columns = items(spec.get("columns"), "columns")
        if not columns:
            return
        self.sort_by_bucket()
        for one in columns:
            given = {"dimension": one} if isinstance(one, str) else obj(one, "columns")
            direction = str(given.get("direction") or "ascending").lower()
            if direction not in ("ascending", "descending", "asc", "desc"):
                raise refused(f"Unknown direction [{direction}]: known are ascending and descending")
            full = "descending" if direction.startswith("desc") else "ascending"
            self.sort(text(given.get("dimension"), "dimension"), full, given.get("dimensionOrder"))
        self.sort_rest()


def _accessed(post: Any) -> Iterator[str]:
    """Columns that a post-aggregator names as fields."""
    if isinstance(post, (FieldAccess, FinalizingFieldAccess)):
        yield post.field_name
    for part in fields(post):
        value = getattr(post, part.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, PostAggregator):
                yield from _accessed(inner)


# -- dimensions --------------------------------------------------------------------------------------------------------


def dimension_of(base: Base, value: Any) -> DefaultDimensionSpec:
    """A dimension spec; what its column is not by itself becomes a virtual column."""
    if isinstance(value, str):
        value = {"type": "default", "dimension": value}
    spec = obj(value, "dimensions")
    kind = spec.get("type", "default")
    if kind in _FILTERED:
        return _filtered(base, spec, _FILTERED[str(kind)])
    if kind == "extraction" and spec.get("extractionFn") is not None:
        return _extraction(base, spec)
    if kind == "lookup":
        return _looked_up(base, spec)
    if kind not in ("default", "extraction"):
        known = ", ".join(sorted(["default", "extraction", "lookup", *_FILTERED]))
        raise refused(
            f"Could not resolve type id '{kind}' as a subtype of [DimensionSpec]: known type ids = [{known}]",
            TYPE_CLASS,
        )
    dimension = text(spec.get("dimension"), "dimension")
    name = text(spec.get("outputName") or dimension, "outputName")
    wanted = read(ColumnType, str(spec["outputType"])) if spec.get("outputType") else STRING
    have = base.type_of(dimension)
    if have is None or have == wanted or have.is_complex:
        return DefaultDimensionSpec(dimension, name, wanted if have is None or have == wanted else have)
    if have.is_array and not wanted.is_array:
        return DefaultDimensionSpec(dimension, name, have)
    return DefaultDimensionSpec(base.compute(f"CAST({quoted(dimension)}, '{wanted}')", wanted), name, wanted)


def _filtered(base: Base, spec: Json, kind: str) -> DefaultDimensionSpec:
    delegate = dimension_of(base, spec.get("delegate"))
    column = {
        **{k: v for k, v in spec.items() if k not in ("type", "delegate")}, "type": kind,
        "delegate": {"type": "default", "dimension": delegate.dimension},
        "isAllowList": spec.get("isWhitelist", spec.get("isAllowList", True)),
    }  # fmt: skip
    made = base.add(lambda name: read(VirtualColumn, {**column, "name": name}))
    return DefaultDimensionSpec(made, delegate.output_name, STRING)


def _extraction(base: Base, spec: Json) -> DefaultDimensionSpec:
    dimension = text(spec.get("dimension"), "dimension")
    name = text(spec.get("outputName") or dimension, "outputName")
    expression = extracted(quoted(dimension), spec.get("extractionFn"))
    wanted = read(ColumnType, str(spec["outputType"])) if spec.get("outputType") else STRING
    if wanted != STRING:
        expression = f"CAST({expression}, '{wanted}')"
    return DefaultDimensionSpec(base.compute(expression, wanted), name, wanted)


def _looked_up(base: Base, spec: Json) -> DefaultDimensionSpec:
    """The value of a lookup, by its name or of type `map`."""
    dimension = text(spec.get("dimension"), "dimension")
    column = quoted(dimension)
    if (spec.get("lookup") is None) == (spec.get("name") is None):
        raise refused("A dimension of type [lookup] needs either a [name] or a [lookup]")
    if spec.get("name") is not None:
        found = f"lookup({column},{literal(text(spec.get('name'), 'name'))})"
    else:
        found = mapped(column, obj(spec.get("lookup"), "lookup"))
    name = text(spec.get("outputName") or dimension, "outputName")
    return DefaultDimensionSpec(base.compute(looked_up(column, found, spec), STRING), name, STRING)


# -- aggregators -------------------------------------------------------------------------------------------------------

_NUMBERS = {"long": LONG, "double": DOUBLE, "float": FLOAT}


def aggregators_of(base: Base, value: Any) -> tuple[Aggregator, ...]:
    return tuple(read(Aggregator, _aggregator(base, one)) for one in items(value, "aggregations"))


def _aggregator(base: Base, value: Any) -> dict[str, Any]:
    out = dict(obj(value, "aggregations"))
    kind = str(out.get("type"))
    if kind == "filtered":
        inner = _aggregator(base, out.get("aggregator"))
        name = out.get("name") or inner.get("name")
        return {
            **out,
            "aggregator": {**inner, "name": name},
            "filter": filter_json(out.get("filter"), base.compute),
            "name": name,
        }
    if kind not in Aggregator.members:
        return out
    if kind == "cardinality":
        listed = items(out.get("fields", out.get("fieldNames")), "fields")
        specs = [dimension_of(base, f) for f in listed]
        out["fields"] = [
            {"type": "default", "dimension": s.dimension, "outputName": s.output_name, "outputType": str(s.output_type)}
            for s in specs
        ]
        if out.get("byRow") is True:
            raise unsupported("Aggregator [cardinality] with [byRow] is not supported")
    elif kind != "expression" and out.get("expression") is not None:
        expression = text(out["expression"], "expression")
        types = {**{c.name: c.type for c in base.columns}, **{v.output: v.column_type for v in base.virtual}}
        prefix = next((p for p in _NUMBERS if kind.startswith(p)), None)
        of = _NUMBERS[prefix] if prefix else infer(parse(expression), types)
        out["fieldName"] = base.compute(expression, of)
    elif _needs_field(kind) and out.get("fieldName") is None:
        raise refused(
            f"Must have a valid, non-null fieldName or expression in aggregator [{out.get('name')}] of [{kind}]"
        )
    return out


def _needs_field(kind: str) -> bool:
    """Whether an aggregator cannot be without `fieldName`: forms that merge read the column of their own name."""
    return any(f.name == "field_name" and f.default != "" for f in fields(Aggregator.members[kind]))


# -- having ------------------------------------------------------------------------------------------------------------

_COMPARED = {"greaterThan": {"lowerOpen": True}, "lessThan": {"upperOpen": True}}


def having_of(value: Any) -> DimFilter | None:
    """A having spec as a filter over the group-by's columns; None for none."""
    return None if value is None else filter_of(_having(obj(value, "having")))


def _having(spec: Json) -> dict[str, Any]:
    kind = spec.get("type")
    if kind == "filter":
        return dict(obj(spec.get("filter"), "filter"))
    if kind in ("always", "never"):
        return {"type": "true" if kind == "always" else "false"}
    if kind in ("and", "or"):
        return {
            "type": kind,
            "fields": [_having(obj(s, "havingSpecs")) for s in items(spec.get("havingSpecs"), "havingSpecs")],
        }
    if kind == "not":
        return {"type": "not", "field": _having(obj(spec.get("havingSpec"), "havingSpec"))}
    if kind == "dimSelector":
        return {"type": "selector", "dimension": spec.get("dimension"), "value": spec.get("value")}
    column, value = spec.get("aggregation"), spec.get("value")
    if kind in ("equalTo", *_COMPARED) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise refused(f"[value] of a having spec [{kind}] must be a number, but is {value!r:.80}")
    if kind == "equalTo":
        return {"type": "equals", "column": column, "matchValueType": "DOUBLE", "matchValue": value}
    if kind in _COMPARED:
        end = "lower" if kind == "greaterThan" else "upper"
        return {"type": "range", "column": column, "matchValueType": "DOUBLE", end: value, **_COMPARED[str(kind)]}
    known = "always, and, dimSelector, equalTo, filter, greaterThan, lessThan, never, not, or"
    raise refused(
        f"Could not resolve type id '{kind}' as a subtype of [HavingSpec]: known type ids = [{known}]", TYPE_CLASS
    )
