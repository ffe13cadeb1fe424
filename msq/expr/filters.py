"""Native filters to boolean DuckDB SQL: three-valued, and over multi-value strings true when any value makes it so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, STRING_ARRAY, ColumnType
from msq.expr.filtering import to_filter
from msq.expr.functions.operators import compare
from msq.expr.kernels.text import to_double
from msq.expr.lower import (
    InputColumn,
    Lowered,
    LowerEnv,
    as_array,
    convert,
    literal_sql,
    lower_condition,
    quote,
)
from msq.expr.nodes import Literal
from msq.expr.parser import parse
from msq.expr.printer import double_text
from msq.faults import DruidException
from msq.intervals import Interval
from msq.native.filters import (
    AndFilter,
    ArrayContainsFilter,
    BoundFilter,
    ColumnComparisonFilter,
    DimFilter,
    EqualsFilter,
    ExpressionFilter,
    FalseFilter,
    InFilter,
    IntervalFilter,
    InTypeFilter,
    IsFalseFilter,
    IsTrueFilter,
    LikeFilter,
    NotFilter,
    NullFilter,
    OrFilter,
    RangeFilter,
    RegexFilter,
    SelectorFilter,
    TrueFilter,
)

Inputs = Mapping[str, InputColumn]


def lower_filter(condition: DimFilter, inputs: Inputs, env: LowerEnv | None = None) -> str:
    """BOOLEAN SQL of a filter over `inputs` (a column that is not there is NULL). WHERE keeps true rows."""
    rule = _RULES.get(type(condition))
    if rule is None:
        raise DruidException(f"Filters of type [{type(condition).__name__}] are not supported", category="UNSUPPORTED")
    return rule(condition, inputs, env or LowerEnv())


def _column(name: str, inputs: Inputs) -> Lowered:
    found = inputs.get(name)
    if found is None:
        return Lowered("CAST(NULL AS VARCHAR)", STRING)
    return Lowered(found.sql_name, found.type, found.multi_value)


def _any(column: Lowered, test: Callable[[Lowered], str]) -> str:
    """`test` of the value, or of any value of a multi-value string."""
    if not column.multi_value:
        return test(column)
    inner = f"coalesce(CAST({test(Lowered('__f', STRING))} AS TINYINT) * 2, 1)"
    most = f"list_max(list_transform(d_some({column.sql}), lambda __f: {inner}))"
    return f"(CASE {most} WHEN 2 THEN true WHEN 0 THEN false END)"


def _never(column: Lowered) -> str:
    """False, NULL for NULL."""
    return f"(CASE WHEN {column.sql} IS NOT NULL THEN false END)"


# ---------------------------------------------------------------------------------------------------- match values


def match_value(value: Any, of: ColumnType, column: ColumnType) -> Any:
    """A filter's constant as the column's type holds it; None when no value of that type equals it."""
    if value is None:
        return None
    if column.element is not None:
        if not isinstance(value, (list, tuple)):
            value = [value]
        inner = of.element or of
        made = [match_value(v, inner, column.element) for v in value]
        lost = any(m is None and v is not None for m, v in zip(made, value))
        return None if lost else tuple(made)
    if column == STRING:
        return (
            double_text(value)
            if isinstance(value, float)
            else str(int(value))
            if isinstance(value, bool)
            else str(value)
        )
    if column.is_numeric:
        number = to_double(value) if isinstance(value, str) else value
        if isinstance(value, str) and column == LONG and value.lstrip("+-").isdigit():
            number = int(value)
        if number is None:
            return None
        if column == LONG:
            return int(number) if not isinstance(number, float) or number.is_integer() else None
        return float(number)
    return value


def _equals_sql(column: Lowered, value: Any) -> str:
    """Equality with a constant of the column's type; doubles compare bit-wise at zero."""
    if column.type in (DOUBLE, FLOAT) and value == 0:
        sign = "" if math.copysign(1.0, value) < 0 else "NOT "
        return f"({column.sql} = 0 AND {sign}signbit({column.sql}))"
    if column.type.is_json:
        return f"(d_json_of({column.sql}) = d_json_of({quote(str(value))}))"
    return f"({column.sql} = {literal_sql(value, column.type)})"


def _equals(f: EqualsFilter, inputs: Inputs, env: LowerEnv) -> str:
    column = _column(f.column, inputs)
    value = match_value(f.match_value, f.match_value_type, column.type)
    if value is None:
        return _never(column)
    return _with_fractions(_any(column, lambda v: _equals_sql(v, value)), f.column, [value], inputs)


def _with_fractions(test: str, column: str, values: Sequence[Any], inputs: Inputs) -> str:
    """The test, or that the number at a path of a JSON column equals a text among the values: '1' is 1.0, as Druid
    looks a text up among the texts, whole numbers and fractions of a path."""
    fraction = inputs[column].fraction if column in inputs else None
    numbers = [] if fraction is None else [n for v in values if isinstance(v, str) and (n := to_double(v)) is not None]
    if not numbers:
        return test
    listed = ", ".join(literal_sql(n, DOUBLE) for n in dict.fromkeys(numbers))
    return f"({test} OR coalesce({fraction} IN ({listed}), false))"


def _null(f: NullFilter, inputs: Inputs, env: LowerEnv) -> str:
    column = _column(f.column, inputs)
    if column.multi_value:
        return f"(coalesce(len({column.sql}), 0) = 0 OR d_nulls({column.sql}))"
    return f"({column.sql} IS NULL)"


def _in_type(f: InTypeFilter, inputs: Inputs, env: LowerEnv) -> str:
    test = _in_list(_column(f.column, inputs), f.sorted_values, f.match_value_type)
    return _with_fractions(test, f.column, f.sorted_values, inputs)


def _in_list(column: Lowered, values: tuple[Any, ...], of: ColumnType) -> str:
    """Membership; a NULL among the values matches NULL."""
    made = [match_value(v, of, column.type) for v in values if v is not None]
    kept = [v for v in dict.fromkeys(made) if v is not None]

    def test(value: Lowered) -> str:
        zeros = [v for v in kept if isinstance(v, float) and v == 0]
        listed = ", ".join(literal_sql(v, value.type) for v in kept if v not in zeros)
        terms = [f"({value.sql} IN ({listed}))"] if listed else []
        terms += [_equals_sql(value, v) for v in zeros]
        found = " OR ".join(terms) if terms else _never(value)
        if None in values:
            return f"({value.sql} IS NULL OR coalesce({found}, false))"
        return f"({found})"

    return _any(column, test)


# ---------------------------------------------------------------------------------------------------------- ranges


def _range(f: RangeFilter, inputs: Inputs, env: LowerEnv) -> str:
    column = _column(f.column, inputs)
    bounds = [(f.lower, ">" if f.lower_open else ">="), (f.upper, "<" if f.upper_open else "<=")]

    def test(value: Lowered) -> str:
        terms = [_bound(value, limit, operator, f.match_value_type) for limit, operator in bounds if limit is not None]
        return "(" + " AND ".join(terms) + ")"

    return _any(column, test)


def _bound(value: Lowered, limit: Any, operator: str, of: ColumnType) -> str:
    if value.type == LONG and isinstance(limit, float) and math.isfinite(limit):
        # A LONG against a fraction: the next whole number on that side decides.
        whole = math.floor(limit) if operator in ("<", "<=") else math.ceil(limit)
        if whole != limit:
            operator = "<=" if operator in ("<", "<=") else ">="
        if -(2**63) <= whole < 2**63:
            return f"({value.sql} {operator} {literal_sql(whole, LONG)})"
    if value.type == FLOAT and of.is_numeric:
        nearest = Lowered(
            f"CAST({literal_sql(float(limit), FLOAT)} AS DOUBLE)", DOUBLE, literal=Literal(float(limit), DOUBLE)
        )
        return compare(operator, [Lowered(f"CAST({value.sql} AS DOUBLE)", DOUBLE), nearest])
    if value.type == LONG and of == LONG and not isinstance(limit, str):
        return f"({value.sql} {operator} {literal_sql(int(limit), LONG)})"
    if isinstance(limit, list):
        limit = tuple(limit)
    constant = Lowered(literal_sql(limit, of), of, literal=Literal(limit, of))
    if value.type == STRING and of.is_numeric:
        value = Lowered(convert(value, DOUBLE), DOUBLE)
    if value.type.is_numeric and of == STRING:
        constant = Lowered(convert(constant, DOUBLE), DOUBLE)
    return compare(operator, [value, constant])


def _bound_filter(f: BoundFilter, inputs: Inputs, env: LowerEnv) -> str:
    _no_extraction(f)
    column = _column(f.dimension, inputs)
    ordering = f.ordering.get("type") if isinstance(f.ordering, dict) else f.ordering
    bounds = [(f.lower, ">" if f.lower_strict else ">="), (f.upper, "<" if f.upper_strict else "<=")]
    if ordering == "strlen":
        return _any(column, lambda value: _by_length(_text(value), bounds))
    if ordering not in ("lexicographic", "numeric"):
        raise DruidException(f"Bound filters of ordering [{ordering}] are not supported", category="UNSUPPORTED")
    of = DOUBLE if ordering == "numeric" else STRING

    def test(value: Lowered) -> str:
        side = Lowered(convert(value, of), of) if value.type != LONG or of == STRING else value
        terms = []
        for limit, operator in bounds:
            if limit is not None:
                made = limit if of == STRING else to_double(limit)
                terms.append(_bound(side, made, operator, of))
        return "(" + (" AND ".join(terms) or "true") + ")"

    return _any(column, test)


def _by_length(value: str, bounds: Sequence[tuple[Any, str]]) -> str:
    """Texts compared by length, those of one length by their characters."""
    terms = []
    for limit, operator in bounds:
        if limit is None:
            continue
        same = compare(
            operator, [Lowered(value, STRING), Lowered(quote(limit), STRING, literal=Literal(limit, STRING))]
        )
        terms.append(
            f"(CASE WHEN d_len({value}) = d_len({quote(limit)}) THEN {same} "
            f"ELSE d_len({value}) {operator} d_len({quote(limit)}) END)"
        )
    return "(" + (" AND ".join(terms) or "true") + ")"


# ------------------------------------------------------------------------------------------------------------ others


def _text(column: Lowered) -> str:
    return convert(column, STRING)


def _like(f: LikeFilter, inputs: Inputs, env: LowerEnv) -> str:
    _no_extraction(f)
    tail = f" ESCAPE {quote(f.escape)}" if f.escape is not None else ""
    return _any(_column(f.dimension, inputs), lambda v: f"({_text(v)} LIKE {quote(f.pattern)}{tail})")


def _regex(f: RegexFilter, inputs: Inputs, env: LowerEnv) -> str:
    from msq.expr.kernels.regex import searchable

    _no_extraction(f)
    plain = searchable(f.pattern)
    function, pattern = ("py_regexp_like", f.pattern) if plain is None else ("regexp_matches", plain)
    return _any(_column(f.dimension, inputs), lambda v: f"{function}({_text(v)}, {quote(pattern)})")


def _array_contains(f: ArrayContainsFilter, inputs: Inputs, env: LowerEnv) -> str:
    column = as_array(_column(f.column, inputs))
    assert column.type.element is not None
    value = match_value(f.element_match_value, f.element_match_value_type, column.type.element)
    if value is None and f.element_match_value is not None:
        return _never(column)
    return f"(d_has({column.sql}, {literal_sql(value, column.type.element)}))"


def _interval(f: IntervalFilter, inputs: Inputs, env: LowerEnv) -> str:
    _no_extraction(f)
    value = convert(_column(f.dimension, inputs), LONG)
    parts = [Interval.parse(text) for text in f.intervals]
    return "(" + (" OR ".join(f"({value} >= {p.start} AND {value} < {p.end})" for p in parts) or "false") + ")"


def _expression(f: ExpressionFilter, inputs: Inputs, env: LowerEnv) -> str:
    return lower_condition(parse(f.expression), inputs, env)


def _join(word: str, nothing: str) -> Callable[[Any, Inputs, LowerEnv], str]:
    def rule(f: Any, inputs: Inputs, env: LowerEnv) -> str:
        return "(" + (f" {word} ".join(lower_filter(field, inputs, env) for field in f.fields) or nothing) + ")"

    return rule


def _selector(f: SelectorFilter, inputs: Inputs, env: LowerEnv) -> str:
    _no_extraction(f)
    if f.value is None:
        return _null(NullFilter(f.dimension), inputs, env)
    return _equals(EqualsFilter(f.dimension, STRING, f.value), inputs, env)


def _in(f: InFilter, inputs: Inputs, env: LowerEnv) -> str:
    _no_extraction(f)
    return _in_list(_column(f.dimension, inputs), f.values, STRING)


def _column_comparison(f: ColumnComparisonFilter, inputs: Inputs, env: LowerEnv) -> str:
    sides = [_column(n, inputs) for n in f.dimensions]
    if any(s.multi_value for s in sides):
        lists = [s.sql if s.multi_value else convert(as_array(s), STRING_ARRAY) for s in sides]
        return "(" + " AND ".join(f"d_overlap(d_some({a}), d_some({b}))" for a, b in pairwise(lists)) + ")"
    return "(" + " AND ".join(f"{_text(a)} IS NOT DISTINCT FROM {_text(b)}" for a, b in pairwise(sides)) + ")"


def _no_extraction(f: Any) -> None:
    if f.extraction_fn is not None:
        raise DruidException("Filters with an extraction function are not supported", category="UNSUPPORTED")


_RULES: dict[type[DimFilter], Callable[[Any, Inputs, LowerEnv], str]] = {
    EqualsFilter: _equals, NullFilter: _null, RangeFilter: _range, InTypeFilter: _in_type, LikeFilter: _like,
    ArrayContainsFilter: _array_contains, ExpressionFilter: _expression, IntervalFilter: _interval,
    AndFilter: _join("AND", "true"), OrFilter: _join("OR", "false"), SelectorFilter: _selector, InFilter: _in,
    NotFilter: lambda f, inputs, env: f"(NOT {lower_filter(f.field, inputs, env)})",
    IsTrueFilter: lambda f, inputs, env: f"coalesce({lower_filter(f.field, inputs, env)}, false)",
    IsFalseFilter: lambda f, inputs, env: f"coalesce(NOT {lower_filter(f.field, inputs, env)}, false)",
    TrueFilter: lambda f, inputs, env: "true", FalseFilter: lambda f, inputs, env: "false",
    BoundFilter: _bound_filter, RegexFilter: _regex, ColumnComparisonFilter: _column_comparison,
}  # fmt: skip


__all__ = ["lower_filter", "match_value", "to_filter"]
