"""Array functions, native side; the MV_ functions of SQL use most of them. Positions count from 0 unless said."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import DOUBLE, LONG, STRING, STRING_ARRAY, ColumnType, array_of
from msq.expr.declare import common_type, native
from msq.expr.lower import Lowered, Lowering, as_array, as_output, convert, java_int, literal_sql, quote
from msq.expr.nodes import Call
from msq.expr.registry import ALL_ARGS, LowerRule, Types
from msq.faults import invalid_input


def _array_type(types: Types) -> ColumnType | None:
    return array_of(common_type([t.element or t if t is not None else None for t in types]) or LONG)


def _first_array(types: Types, position: int = 0) -> ColumnType | None:
    """An array argument's own type; a scalar counts as one element."""
    of = types[position]
    return STRING_ARRAY if of is None else of if of.is_array else array_of(of)


def _array(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = _array_type([None if a.is_null else a.type for a in args])
    assert of is not None and of.element is not None
    return Lowered(f"[{', '.join(convert(a, of.element) for a in args)}]", of)


native("array", "An array of the arguments, at their common type.", _array_type, _array, whole=True)


def _on(position: int, body: object, result: object) -> LowerRule:
    """A rule over the array at `position`: body(array, args) gives SQL, result(array type) its type."""

    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        array = as_array(args[position])
        return Lowered(body(array, args), result(array.type) if callable(result) else result)  # type: ignore[operator,arg-type]

    return rule


def _element(of: ColumnType) -> ColumnType:
    assert of.element is not None
    return of.element


def _element_type(types: Types) -> ColumnType | None:
    found = _first_array(types)
    return found.element if found is not None else None


native("array_length", "Number of elements.", LONG, _on(0, lambda a, args: f"CAST(len({a.sql}) AS BIGINT)", LONG), (0,))
native("array_offset", "The element at a 0-based position; NULL outside.", _element_type,
       _on(0, lambda a, args: f"(d_off({a.sql}, coalesce({java_int(args[1])}, 0)))", _element), (0,))  # fmt: skip
native("array_ordinal", "The element at a 1-based position; NULL outside.", _element_type,
       _on(0, lambda a, args: f"(d_off({a.sql}, coalesce({java_int(args[1])}, 0) - 1))", _element),
       (0,))  # fmt: skip


def _index_of(first: int) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        array = as_array(args[0])
        element = _element(array.type)
        wanted = args[1]
        if not wanted.is_null and wanted.type != element and {wanted.type, element} != {LONG, DOUBLE}:
            return Lowered("CAST(NULL AS BIGINT)", LONG)
        sql = f"list_position({array.sql}, {convert(wanted, element)})"
        return Lowered(
            f"(CAST(nullif({sql}, 0) AS BIGINT) - {1 - first})" if first == 0 else f"CAST(nullif({sql}, 0) AS BIGINT)",
            LONG,
        )

    return rule


native("array_offset_of", "0-based position of the first equal element; NULL when absent.", LONG, _index_of(0), (0,))
native("array_ordinal_of", "1-based position of the first equal element; NULL when absent.", LONG, _index_of(1), (0,))


def _sides(args: Sequence[Lowered]) -> tuple[str, str]:
    """Two arrays, the second at the element type of the first."""
    first = as_array(args[0])
    second = as_array(args[1])
    return first.sql, convert(second, first.type)


def _exact(value: Lowered, element: ColumnType) -> tuple[str, str]:
    """(the value at the element type, SQL that tells the conversion lost it)."""
    made = convert(value, element)
    if value.is_null or value.type == element or value.boolean:
        return made, "false"
    if element == LONG and value.type == DOUBLE:
        return made, f"({value.sql} IS NOT NULL AND CAST({made} AS DOUBLE) <> {value.sql})"
    return made, f"({value.sql} IS NOT NULL AND {made} IS NULL)"


def _contains(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = as_array(args[0])
    wanted = args[1]
    if wanted.type.is_array or wanted.multi_value:
        second = convert(as_array(wanted), array.type)
        return Lowered(f"(d_all({array.sql}, {second}))", LONG, boolean=True)
    made, lost = _exact(wanted, _element(array.type))
    sql = f"d_has({array.sql}, {made})"
    if lost != "false":
        sql = f"CASE WHEN {lost} AND {array.sql} IS NOT NULL THEN false ELSE {sql} END"
    return Lowered(f"({sql})", LONG, boolean=True)


native(
    "array_contains", "Whether the array holds the element, or all elements of an array.", LONG, _contains, (ALL_ARGS,)
)
native("array_overlap", "Whether two arrays share an element.", LONG,
       lambda lowering, node, args: Lowered("(d_overlap({}, {}))".format(*_sides(args)), LONG, boolean=True),
       (ALL_ARGS,))  # fmt: skip


def _scalar_in(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = as_array(args[1])
    made, lost = _exact(args[0], _element(array.type))
    items = node.args[1]
    from msq.expr.nodes import Literal

    if lost == "false" and isinstance(items, Call) and items.function == "array" and items.args:
        values = [a.value for a in items.args if isinstance(a, Literal)]
        if len(values) == len(items.args) and None not in values:
            listed = ", ".join(literal_sql(v, _element(array.type)) for v in values)
            return Lowered(f"({made} IN ({listed}))", LONG, boolean=True)
    sql = f"d_in({made}, {array.sql})"
    if lost != "false":
        sql = f"CASE WHEN {lost} AND {array.sql} IS NOT NULL THEN false ELSE {sql} END"
    return Lowered(f"({sql})", LONG, boolean=True)


native("scalar_in_array", "Whether a value is among the elements.", LONG, _scalar_in, whole=True)


def _append(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = as_array(args[0])
    made = convert(args[1], _element(array.type))
    return Lowered(f"(CASE WHEN {array.sql} IS NOT NULL THEN list_append({array.sql}, {made}) END)", array.type)


def _prepend(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = as_array(args[1])
    made = convert(args[0], _element(array.type))
    return Lowered(f"(CASE WHEN {array.sql} IS NOT NULL THEN list_prepend({made}, {array.sql}) END)", array.type)


def _concat(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    first, second = _sides(args)
    of = as_array(args[0]).type
    return Lowered(
        f"(CASE WHEN {first} IS NOT NULL AND {second} IS NOT NULL THEN list_concat({first}, {second}) END)", of
    )


def _set_add(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    made = _append(lowering, node, args) if not args[1].type.is_array else _concat(lowering, node, args)
    return Lowered(f"list_sort(list_distinct({made.sql}))", made.type)


native("array_append", "The array with one more element at its end.", _first_array, _append, (0,))
native("array_prepend", "The array with one more element at its start.", lambda t: _first_array(t, 1), _prepend, (1,))
native("array_concat", "Two arrays joined, at the element type of the first.", _first_array, _concat, (ALL_ARGS,))
native("array_set_add", "The array as a set with one more element.", _first_array, _set_add, (0,))
native("array_set_add_all", "The union of two arrays as sets.", _first_array, _set_add, (ALL_ARGS,))


def _slice(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = as_array(args[0])
    start = java_int(args[1])
    end = f"d_sized('array_slice', {java_int(args[2])})" if len(args) > 2 else f"len({array.sql})"
    return Lowered(f"(d_slice({array.sql}, {start}, {end}))", array.type)


native(
    "array_slice",
    "Elements from a start up to before an end; NULLs fill up beyond the end.",
    _first_array,
    _slice,
    (0,),
)


def _to_string(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    texts = convert(as_array(args[0]), STRING_ARRAY)
    separator = args[1].literal
    if separator is not None:
        # joining pair by pair, as for a separator of rows, copies long lists over and over
        constant = quote("" if separator.value is None else str(separator.value))
        return Lowered(f"(d_joined({texts}, {constant}))", STRING)
    return Lowered(f"(d_join({texts}, coalesce({convert(args[1], STRING)}, '')))", STRING)


native("array_to_string", "The elements joined; NULL elements print `null`.", STRING, _to_string, (0,))


def _to_mv(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    return as_output(as_array(args[0]), STRING)


native("array_to_mv", "The array as a multi-value string.", STRING, _to_mv, (0,))
native("mv_to_array", "A multi-value string as an array.", STRING_ARRAY,
       lambda lowering, node, args: Lowered(convert(as_array(args[0]), STRING_ARRAY), STRING_ARRAY), (0,))  # fmt: skip
native("mv_harmonize_nulls", "A multi-value string whose empty forms are one NULL value.", STRING_ARRAY,
       lambda lowering, node, args: Lowered(f"d_some({_as_list(args[0])})", STRING_ARRAY), (0,))  # fmt: skip


def _as_list(value: Lowered) -> str:
    """A multi-value string's values for MV_CONTAINS and MV_OVERLAP: its empty forms are [NULL]."""
    if value.multi_value:
        return f"d_some({value.sql})"
    if value.type.is_array:
        return convert(value, STRING_ARRAY)
    return f"[{convert(value, STRING)}]"


def _held(value: Lowered) -> str:
    """The values that MV_CONTAINS and MV_OVERLAP look into: those of an array have one empty form, too."""
    return f"d_some({_as_list(value)})" if value.type.is_array and not value.is_null else _as_list(value)


def _mv_contains(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    first = _held(args[0])
    if args[1].type.is_array or args[1].multi_value:
        return Lowered(f"(d_all({first}, {_as_list(args[1])}))", LONG, boolean=True)
    return Lowered(f"(d_has({first}, {convert(args[1], STRING)}))", LONG, boolean=True)


def _mv_overlap(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    return Lowered(f"(d_mv_overlap({_held(args[0])}, {_as_list(args[1])}))", LONG, boolean=True)


native(
    "mv_contains", "Whether a multi-value string holds the value, or all of an array.", LONG, _mv_contains, (ALL_ARGS,)
)
native("mv_overlap", "Whether two multi-value strings share a value.", LONG, _mv_overlap, (ALL_ARGS,))


def _quantile(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    array = convert(as_array(args[0]), array_of(DOUBLE))
    rank = args[1].literal
    if rank is None or rank.value is None:
        raise invalid_input("Function[array_quantile] rank must be a literal")
    if not 0 <= float(rank.value) <= 1:
        return Lowered(f"(CASE WHEN {array} IS NOT NULL THEN CAST('nan' AS DOUBLE) END)", DOUBLE)
    sql = f"list_aggregate({array}, 'quantile_cont', {float(rank.value)!r})"
    return Lowered(f"(CASE WHEN {array} IS NOT NULL THEN coalesce({sql}, CAST('nan' AS DOUBLE)) END)", DOUBLE)


native("array_quantile", "The quantile at a rank, interpolated; NaN without elements.", DOUBLE, _quantile, (0,))
