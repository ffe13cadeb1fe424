"""Conditions as native filters: what Druid plans for WHERE, HAVING, FILTER and join conditions.

A comparison of a column, or of an expression through a virtual column, with a constant has a filter type of its own;
what has none is an expression filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from msq.datatypes import LONG, STRING, ColumnType, RowSignature
from msq.expr.kernels.times import add, floor, period
from msq.expr.nodes import Call, Identifier, Literal, Node, transform
from msq.expr.printer import to_text
from msq.expr.types import infer
from msq.expr.zones import zone
from msq.native.filters import (
    AndFilter,
    ArrayContainsFilter,
    DimFilter,
    EqualsFilter,
    ExpressionFilter,
    FalseFilter,
    InTypeFilter,
    LikeFilter,
    NotFilter,
    NullFilter,
    OrFilter,
    RangeFilter,
    RegexFilter,
    TrueFilter,
)

Signature = RowSignature | Mapping[str, ColumnType]
Allocator = Callable[[Node, ColumnType], str]
"""(node, type) to the name of the virtual column that holds it."""

_FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def to_filter(node: Node, signature: Signature, virtual: Allocator | None) -> DimFilter:
    """The filter of a condition over columns of `signature`. `virtual` names expressions that a filter compares;
    without it a condition over an expression is an expression filter."""
    return _Walk(signature, virtual).filter(node)


class _Unnamed(Exception):
    """A filter needs a virtual column and there may be none."""


class _Walk:
    def __init__(self, signature: Signature, virtual: Allocator | None) -> None:
        self.signature = signature
        self.virtual = virtual

    def filter(self, node: Node) -> DimFilter:
        if isinstance(node, Literal):
            if node.value is None:
                return ExpressionFilter("null")
            true = node.value.lower() == "true" if isinstance(node.value, str) else node.value > 0
            return TrueFilter() if true else FalseFilter()
        if isinstance(node, Call):
            rule = _RULES.get(node.function)
            try:
                made = rule(self, node) if rule is not None else None
            except _Unnamed:
                made = None
            if made is not None:
                return made
        return self.expression(node)

    def expression(self, node: Node) -> DimFilter:
        """The condition as an expression filter; JSON paths inside it are virtual columns."""
        if isinstance(node, Call) and node.function == "CAST" and infer(node.args[0], self.signature) == STRING:
            node = node.args[0]

        def apart(at: Node) -> Node | None:
            if (
                isinstance(at, Call)
                and at.function in ("json_value", "json_query")
                and isinstance(at.args[0], Identifier)
            ):
                return None if self.virtual is None else Identifier(self.virtual(at, infer(at, self.signature)))
            return None

        return ExpressionFilter(to_text(transform(node, apart)))

    def column(self, node: Node) -> str:
        """The name of the column, or virtual column, that holds the node."""
        if isinstance(node, Identifier):
            return node.name
        if isinstance(node, Call) and node.function == "CAST" and isinstance(node.args[0], Identifier):
            # A plain column keeps its own type; the filter's match value says how it is compared.
            return node.args[0].name
        if self.virtual is None:
            raise _Unnamed
        return self.virtual(node, infer(node, self.signature))

    # --- logic ---

    def conjunction(self, node: Call) -> DimFilter:
        fields: list[DimFilter] = []
        for term in _flat(node, "&&"):
            made = self.filter(term)
            fields += made.fields if isinstance(made, AndFilter) else [made]
        if any(isinstance(f, FalseFilter) for f in fields):
            return FalseFilter()
        merged = _merge_ranges([f for f in fields if not isinstance(f, TrueFilter)])
        return merged[0] if len(merged) == 1 else AndFilter(tuple(merged)) if merged else TrueFilter()

    def disjunction(self, node: Call) -> DimFilter:
        fields: list[DimFilter] = []
        for term in _flat(node, "||"):
            made = self.filter(term)
            fields += made.fields if isinstance(made, OrFilter) else [made]
        if any(isinstance(f, TrueFilter) for f in fields):
            return TrueFilter()
        merged = _merge_equals([f for f in fields if not isinstance(f, FalseFilter)])
        return merged[0] if len(merged) == 1 else OrFilter(tuple(merged)) if merged else FalseFilter()

    def negation(self, node: Call) -> DimFilter:
        inner = self.filter(node.args[0])
        if isinstance(inner, NotFilter):
            return inner.field
        if isinstance(inner, (TrueFilter, FalseFilter)):
            return FalseFilter() if isinstance(inner, TrueFilter) else TrueFilter()
        return NotFilter(inner)

    # --- comparisons ---

    def comparison(self, node: Call) -> DimFilter | None:
        left, right, operator = node.args[0], node.args[1], node.function
        if _constant(right) is None and _constant(left) is not None:
            left, right, operator = right, left, _FLIPPED[operator]
        constant = _constant(right)
        if constant is None or constant.value is None or _constant(left) is not None:
            return None
        assert constant.type is not None
        if operator == "!=":
            inner = self.comparison(Call("==", (left, right)))
            return None if inner is None else NotFilter(inner)
        bucket = _time_bucket(left, constant, operator)
        if bucket is not None:
            return bucket
        name = self.column(left)
        value = list(constant.value) if isinstance(constant.value, tuple) else constant.value
        return _compared(name, operator, value, constant.type)

    def null_test(self, node: Call) -> DimFilter:
        tested = node.args[0]
        if (
            isinstance(tested, Call)
            and tested.function == "CAST"
            and infer(tested.args[0], self.signature) == STRING != infer(tested, self.signature)
        ):
            # a text that is no number casts to NULL
            if self.virtual is None:
                raise _Unnamed
            return NullFilter(self.virtual(tested, infer(tested, self.signature)))
        return NullFilter(self.column(tested))

    def not_null_test(self, node: Call) -> DimFilter:
        return NotFilter(self.null_test(node))

    def membership(self, node: Call) -> DimFilter | None:
        """scalar_in_array(x, array(..)) with constants; a NULL among them needs the expression."""
        constant = _constant(node.args[1])
        if constant is None or not isinstance(constant.value, tuple) or None in constant.value:
            return None
        assert constant.type is not None and constant.type.element is not None
        return self._in(node.args[0], constant.value, constant.type.element)

    def _in(self, node: Node, values: Sequence[Any], of: ColumnType) -> DimFilter:
        name = self.column(node)
        listed = sorted(set(values))
        if len(listed) == 1:
            return EqualsFilter(name, of, listed[0])
        return InTypeFilter(name, of, tuple(listed))

    def like(self, node: Call) -> DimFilter | None:
        pattern = node.args[1]
        escape = node.args[2] if len(node.args) > 2 else Literal(None, None)
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str) or not isinstance(escape, Literal):
            return None
        return LikeFilter(self.column(node.args[0]), pattern.value, escape.value)

    def regexp_like(self, node: Call) -> DimFilter | None:
        pattern = node.args[1]
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            return None
        return RegexFilter(self.column(node.args[0]), pattern.value)

    # --- arrays and multi-value strings ---

    def array_contains(self, node: Call) -> DimFilter | None:
        constant = _constant(node.args[1])
        if constant is None or not infer(node.args[0], self.signature).is_array:
            return None
        if not isinstance(constant.value, tuple):
            if constant.value is None and constant.type is None:
                return None
            return ArrayContainsFilter(self.column(node.args[0]), constant.type or STRING, constant.value)
        return _all_of([self._holds(node.args[0], v, constant) for v in constant.value])

    def array_overlap(self, node: Call) -> DimFilter | None:
        constant = _constant(node.args[1])
        if (
            constant is None
            or not isinstance(constant.value, tuple)
            or not infer(node.args[0], self.signature).is_array
        ):
            return None
        fields = [self._holds(node.args[0], v, constant) for v in constant.value]
        return None if not fields else fields[0] if len(fields) == 1 else OrFilter(tuple(fields))

    def _holds(self, node: Node, value: Any, array: Literal) -> DimFilter:
        assert array.type is not None and array.type.element is not None
        return ArrayContainsFilter(self.column(node), array.type.element, value)

    def mv_contains(self, node: Call) -> DimFilter | None:
        constant = _constant(node.args[1])
        if constant is None or infer(node.args[0], self.signature).is_array:
            return None
        values = constant.value if isinstance(constant.value, tuple) else (constant.value,)
        return _all_of([self._has_value(node.args[0], v) for v in values])

    def mv_overlap(self, node: Call) -> DimFilter | None:
        constant = _constant(node.args[1])
        if constant is None or infer(node.args[0], self.signature).is_array:
            return None
        values = constant.value if isinstance(constant.value, tuple) else (constant.value,)
        texts = [str(v) for v in values if v is not None]
        fields: list[DimFilter] = [self._in(node.args[0], texts, STRING)] if texts else []
        if None in values:
            fields.append(NullFilter(self.column(node.args[0])))
        return None if not fields else fields[0] if len(fields) == 1 else OrFilter(tuple(fields))

    def _has_value(self, node: Node, value: Any) -> DimFilter:
        name = self.column(node)
        return NullFilter(name) if value is None else EqualsFilter(name, STRING, str(value))


_RULES: dict[str, Callable[[_Walk, Call], DimFilter | None]] = {
    "&&": _Walk.conjunction, "||": _Walk.disjunction, "!": _Walk.negation,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _Walk.comparison),
    "isnull": _Walk.null_test, "notnull": _Walk.not_null_test, "scalar_in_array": _Walk.membership, "like": _Walk.like,
    "regexp_like": _Walk.regexp_like, "array_contains": _Walk.array_contains, "array_overlap": _Walk.array_overlap,
    "mv_contains": _Walk.mv_contains, "mv_overlap": _Walk.mv_overlap,
}  # fmt: skip


def _flat(node: Node, operator: str) -> list[Node]:
    if isinstance(node, Call) and node.function == operator:
        return [n for arg in node.args for n in _flat(arg, operator)]
    return [node]


def _constant(node: Node) -> Literal | None:
    """A literal, or an array(..) of literals as one; else None."""
    if isinstance(node, Literal):
        return node
    if isinstance(node, Call) and node.function == "array" and all(isinstance(a, Literal) for a in node.args):
        return Literal(tuple(a.value for a in node.args if isinstance(a, Literal)), infer(node, {}))
    return None


def _all_of(fields: Sequence[DimFilter]) -> DimFilter:
    return TrueFilter() if not fields else fields[0] if len(fields) == 1 else AndFilter(tuple(fields))


def _compared(name: str, operator: str, value: Any, of: ColumnType) -> DimFilter:
    if operator == "==":
        return EqualsFilter(name, of, value)
    if operator in (">", ">="):
        return RangeFilter(name, of, lower=value, lower_open=operator == ">")
    return RangeFilter(name, of, upper=value, upper_open=operator == "<")


def _time_bucket(left: Node, constant: Literal, operator: str) -> DimFilter | None:
    """A comparison of a floored `__time` as a range of `__time` itself."""
    if not (isinstance(left, Call) and left.function == "timestamp_floor" and left.args[0] == Identifier("__time")):
        return None
    if constant.type != LONG or len(left.args) != 4 or not all(isinstance(a, Literal) for a in left.args[1:]):
        return None
    text, origin, tz = (a.value for a in left.args[1:] if isinstance(a, Literal))
    length, where = period(str(text)), zone(str(tz or "UTC"))
    at = np.array([constant.value], np.int64)
    start = int(floor(at, length, origin, where)[0])
    following = int(add(np.array([start], np.int64), length, np.ones(1, np.int64), where)[0])
    aligned = start == constant.value
    if operator == "==":
        return RangeFilter("__time", LONG, lower=start, upper=following, upper_open=True) if aligned else FalseFilter()
    # floor(t) > v: t from the next bucket on; floor(t) >= v: from v's bucket if v starts one, else from the next.
    limit = start if aligned and operator in (">=", "<") else following
    if operator in (">", ">="):
        return RangeFilter("__time", LONG, lower=limit)
    return RangeFilter("__time", LONG, upper=limit, upper_open=True)


def _merge_ranges(fields: Sequence[DimFilter]) -> list[DimFilter]:
    """Ranges over one column and type become one, at the place of the first, when the result is not empty."""
    merged: list[DimFilter] = []
    places: dict[tuple[str, ColumnType], int] = {}
    for field in fields:
        if not isinstance(field, RangeFilter):
            merged.append(field)
            continue
        key = (field.column, field.match_value_type)
        at = places.get(key)
        made = None if at is None else _tighter(merged[at], field)
        if at is None or made is None:
            places.setdefault(key, len(merged))
            merged.append(field)
        else:
            merged[at] = made
    return merged


def _tighter(one: DimFilter, two: RangeFilter) -> RangeFilter | None:
    assert isinstance(one, RangeFilter)
    made = one
    if two.lower is not None and (
        made.lower is None or two.lower > made.lower or (two.lower == made.lower and two.lower_open)
    ):
        made = replace(made, lower=two.lower, lower_open=two.lower_open)
    if two.upper is not None and (
        made.upper is None or two.upper < made.upper or (two.upper == made.upper and two.upper_open)
    ):
        made = replace(made, upper=two.upper, upper_open=two.upper_open)
    if made.lower is not None and made.upper is not None and made.lower > made.upper:
        return None
    return made


def _merge_equals(fields: Sequence[DimFilter]) -> list[DimFilter]:
    """Equalities and lists over one column and type become one list, at the place of the first."""
    groups: dict[tuple[str, ColumnType], list[Any]] = {}
    for field in fields:
        if isinstance(field, EqualsFilter) and not field.match_value_type.is_array:
            groups.setdefault((field.column, field.match_value_type), []).append(field.match_value)
        elif isinstance(field, InTypeFilter):
            groups.setdefault((field.column, field.match_value_type), []).extend(field.sorted_values)
    done: set[tuple[str, ColumnType]] = set()
    merged: list[DimFilter] = []
    for field in fields:
        key = (field.column, field.match_value_type) if isinstance(field, (EqualsFilter, InTypeFilter)) else None
        if key is None or key not in groups or len(groups[key]) == 1 or key[1].is_array:
            merged.append(field)
        elif key not in done:
            done.add(key)
            listed = sorted(set(groups[key]))
            merged.append(InTypeFilter(*key, tuple(listed)) if len(listed) > 1 else EqualsFilter(*key, listed[0]))
    return merged
