"""ARRAY_ and MV_ functions, SQL side."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import LONG
from msq.expr.binding import BindEnv, Typed, literal, make, refuse_types
from msq.expr.casting import text_node
from msq.expr.declare_sql import Emit, ResultType, sql
from msq.expr.nodes import Call, Identifier, Lambda, Literal
from msq.expr.sqltypes import BOOLEAN, INTEGER, SQL_DOUBLE, VARCHAR, SqlType, sql_array
from msq.faults import DruidException


def _element(position: int) -> ResultType:
    def rule(args: Sequence[Typed]) -> SqlType:
        of = args[position].sql_type
        return of.element if of.element is not None else of

    return rule


def _array_of(position: int) -> ResultType:
    """An array argument's own type; a scalar counts as one element."""

    def rule(args: Sequence[Typed]) -> SqlType:
        of = args[position].sql_type
        return of if of.name == "ARRAY" else sql_array(VARCHAR if of.is_character or of.is_null else of)

    return rule


def _twins(
    array: str, mv: str, count: str, result: ResultType, native: str, doc: str, mv_result: SqlType | None
) -> None:
    """An ARRAY_ function and its MV_ twin; `mv_result` VARCHAR makes the twin's result multi-valued."""
    forms = _forms(array, native, count)
    sql(array, count, result, _checked(array, native, forms), doc, nullable=True, forms=forms)
    if mv:
        of = mv_result if mv_result is not None else result
        multi = of == VARCHAR and native not in ("array_offset", "array_ordinal", "array_to_string")

        def emit(args: Sequence[Typed], env: BindEnv, made: SqlType) -> Typed:
            return make(native, args, made, multi_value=multi)

        sql(mv, count, of, emit, f"{doc} Over a multi-value string.", nullable=True, forms=_forms(mv, native, count))


def _forms(name: str, native: str, count: str) -> str:
    if native == "array_slice":
        return f"'{name}(expr, start)'\n'{name}(expr, start, end)'"
    rest = ["array" if native == "array_concat" else "expr"] * (len(count.split()) - 1)
    return f"'{name}({', '.join(['array', *rest])})'"


def _checked(name: str, native: str, forms: str) -> Emit:
    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        arrays = {"array_prepend": (1,), "array_concat": (0, 1), "array_overlap": (0, 1)}.get(native, (0,))
        for position in arrays:
            kind = args[position].sql_type
            if not (kind.name == "ARRAY" or kind.is_character or kind.is_null):
                refuse_types(name, forms, args, env.position)
        if args[arrays[0]].is_null and of.name not in ("ARRAY", "OTHER"):
            return literal(None, of)
        return make(native, args, of)

    return emit


_twins("ARRAY_LENGTH", "MV_LENGTH", "VALUE", INTEGER, "array_length", "Number of elements.", INTEGER)
_twins(
    "ARRAY_OFFSET",
    "MV_OFFSET",
    "VALUE NUMERIC",
    _element(0),
    "array_offset",
    "The element at a 0-based position.",
    VARCHAR,
)
_twins(
    "ARRAY_ORDINAL",
    "MV_ORDINAL",
    "VALUE NUMERIC",
    _element(0),
    "array_ordinal",
    "The element at a 1-based position.",
    VARCHAR,
)
_twins(
    "ARRAY_OFFSET_OF",
    "MV_OFFSET_OF",
    "VALUE VALUE",
    INTEGER,
    "array_offset_of",
    "0-based position of an element.",
    INTEGER,
)
_twins(
    "ARRAY_ORDINAL_OF",
    "MV_ORDINAL_OF",
    "VALUE VALUE",
    INTEGER,
    "array_ordinal_of",
    "1-based position of an element.",
    INTEGER,
)
_twins(
    "ARRAY_APPEND", "MV_APPEND", "VALUE VALUE", _array_of(0), "array_append", "One more element at the end.", VARCHAR
)
_twins(
    "ARRAY_PREPEND",
    "MV_PREPEND",
    "VALUE VALUE",
    _array_of(1),
    "array_prepend",
    "One more element at the start.",
    VARCHAR,
)
_twins("ARRAY_CONCAT", "MV_CONCAT", "VALUE VALUE", _array_of(0), "array_concat", "Two arrays joined.", VARCHAR)
_twins(
    "ARRAY_SLICE",
    "MV_SLICE",
    "ANY NUMERIC [NUMERIC]",
    _array_of(0),
    "array_slice",
    "Elements from start up to end.",
    VARCHAR,
)
_twins("ARRAY_TO_STRING", "MV_TO_STRING", "VALUE VALUE", VARCHAR, "array_to_string", "The elements joined.", VARCHAR)
_twins(
    "ARRAY_CONTAINS",
    "",
    "VALUE VALUE",
    BOOLEAN,
    "array_contains",
    "Whether the array holds an element or all of them.",
    None,
)
_twins("ARRAY_OVERLAP", "", "VALUE VALUE", BOOLEAN, "array_overlap", "Whether two arrays share an element.", None)
sql("MV_CONTAINS", "VALUE VALUE", BOOLEAN, "mv_contains", "Whether the values hold a value, or all of an array.",
    forms="'MV_CONTAINS(array, array)'")  # fmt: skip
sql("MV_OVERLAP", "VALUE VALUE", BOOLEAN, "mv_overlap", "Whether two multi-value strings share a value.",
    forms="'MV_OVERLAP(array, array)'")  # fmt: skip
sql("SCALAR_IN_ARRAY", "VALUE VALUE", BOOLEAN, "scalar_in_array", "Whether a value is among the elements.",
    forms="'SCALAR_IN_ARRAY(expr, array)'")  # fmt: skip
sql(
    "ARRAY_QUANTILE",
    "ARRAY NUMERIC",
    SQL_DOUBLE,
    "array_quantile",
    "The quantile of an array at a rank.",
    literals=(1,),
)


def _to_mv(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    return make("array_to_mv", args, of, multi_value=True)


def _mv_to_array(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    node = args[0].node
    path = isinstance(node, Call) and node.function == "json_value" and isinstance(node.args[0], Identifier)
    if not isinstance(node, Identifier) and not path:  # a path of a column is planned as a column
        shown = _shown(node)
        raise DruidException(
            f"Function[mv_to_array] argument {shown} should be an identifier expression. Use array() instead",
            category="UNCATEGORIZED", persona="OPERATOR",
        )  # fmt: skip
    return make("mv_to_array", args, of)


def _shown(node: object) -> str:
    """A node as Druid's own tree prints in messages: `(upper [m])`."""
    if isinstance(node, Call):
        return f"({node.function} [{', '.join(_shown(a) for a in node.args)}])"
    if isinstance(node, Literal):
        return str(node.value)
    return node.name if isinstance(node, Identifier) else str(node)


sql("ARRAY_TO_MV", "VALUE", VARCHAR, _to_mv, "The array as a multi-value string.")
sql("MV_TO_ARRAY", "VALUE", sql_array(VARCHAR), _mv_to_array, "A multi-value string column as an array.")


def _filtered(test: str) -> Emit:
    """`filter((x) -> test, mv)`; what is left nothing of is NULL. Over a column it is a virtual column of its own."""

    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        item, given = Identifier("x"), args[1].node
        if test == "only":
            body: Call = Call("array_contains", (given, item))
        elif test == "none":
            body = Call("!", (Call("array_contains", (given, item)),))
        elif test == "regex":
            body = Call("regexp_like", (item, given))
        else:
            prefix = str(args[1].literal_value)
            size = len(prefix.encode("utf-16-le")) // 2
            body = Call("==", (Call("left", (item, Literal(size, LONG))), text_node(prefix)))
        return make("filter", [Lambda(("x",), body), args[0]], of, multi_value=True)

    return emit


sql("MV_FILTER_ONLY", "VALUE VALUE", VARCHAR, _filtered("only"), "The values that are in an array.")
sql("MV_FILTER_NONE", "VALUE VALUE", VARCHAR, _filtered("none"), "The values that are not in an array.")
sql(
    "MV_FILTER_REGEX", "VALUE CHARACTER", VARCHAR, _filtered("regex"), "The values that match a pattern.", literals=(1,)
)
sql(
    "MV_FILTER_PREFIX",
    "VALUE CHARACTER",
    VARCHAR,
    _filtered("prefix"),
    "The values that start with a text.",
    literals=(1,),
)
