"""JSON functions, SQL side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import DOUBLE, FLOAT, STRING
from msq.expr.binding import BindEnv, Position, Typed, bind_call, finish, make, refuse, refuse_types
from msq.expr.casting import cast, text_node
from msq.expr.declare_sql import sql
from msq.expr.jsonpath import parse_path
from msq.expr.nodes import Call, Literal
from msq.expr.sqltypes import SQL_JSON, VARCHAR, SqlType, native, sql_array
from msq.faults import DruidException


def bind_json_value(args: Sequence[Typed], returning: SqlType | None, env: BindEnv) -> Typed:
    """`JSON_VALUE(e, path [RETURNING type])`."""
    path = _path(args)
    of = VARCHAR if returning is None else returning
    native_type = native(of)
    expected = DOUBLE if native_type == FLOAT else native_type
    if expected.is_complex:
        refuse(f"JSON_VALUE cannot return a value of type {of}", env.position)
    if of.is_time:
        text = make("json_value", [args[0], path, text_node(str(STRING))], VARCHAR)
        return cast(text, of, env)
    return finish(make("json_value", [args[0], path, text_node(str(expected))], of, multi_value=False), env)


def bind_json_call(
    name: str, args: Sequence[Typed], returning: SqlType | None, options: Sequence[str], env: BindEnv,
    position: Position | None = None,
) -> Typed:  # fmt: skip
    """A JSON function with clauses: RETURNING, `NULL ON EMPTY` and the like (others are refused by name)."""
    env = env.at(position if position is not None else env.position)
    for option in options:
        if option not in ("NULL ON EMPTY", "NULL ON ERROR", "NULL ON NULL", "WITHOUT WRAPPER", "WITHOUT ARRAY WRAPPER"):
            word = " ".join(option.split()[-2:])
            raise DruidException(
                f"Unsupported {name} parameter '{word}' defined - please re-issue this query without this argument",
                category="RUNTIME_FAILURE", error_code="legacyQueryException",
            )  # fmt: skip
    if name == "JSON_VALUE" and returning is not None:
        if len(args) != 2:
            refuse(f"Invalid number of arguments to function '{name}'. Was expecting 2 arguments", env.position)
        _check_path(name, args, env)
        return bind_json_value(args, returning, env)
    return bind_call(name, args, env, position)


def _path(args: Sequence[Typed]) -> Literal:
    path = args[1].literal_value
    parse_path(str(path))
    return text_node(str(path))


def _check_path(name: str, args: Sequence[Typed], env: BindEnv) -> None:
    """The first argument may be of any type: a plain value is its own root, an array has elements."""
    if not args[1].is_literal:
        refuse(f"Argument to function '{name}' must be a literal", args[1].position or env.position)


def _value(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    _check_path("JSON_VALUE", args, env)
    return bind_json_value(args, None, env)


def _pathed(name: str, native_name: str, of: SqlType, doc: str) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, result: SqlType) -> Typed:
        _check_path(name, args, env)
        return make(native_name, [args[0], _path(args)], result)

    sql(name, "ANY CHARACTER", of, emit, doc)


sql("JSON_VALUE", "ANY CHARACTER", VARCHAR, _value, "The scalar at a path.")
_pathed("JSON_QUERY", "json_query", SQL_JSON, "The JSON value at a path.")
_pathed("JSON_QUERY_ARRAY", "json_query_array", sql_array(SQL_JSON), "The elements of the array at a path.")
_pathed("JSON_KEYS", "json_keys", sql_array(VARCHAR), "Names of the object at a path.")
sql("JSON_PATHS", "ANY", sql_array(VARCHAR), "json_paths", "Paths of the leaves.")
sql("TO_JSON_STRING", "ANY", VARCHAR, "to_json_string", "The JSON text of any value.")
sql("PARSE_JSON", "STRING", SQL_JSON, "parse_json", "The JSON of a text.", nullable=True)
sql(
    "TRY_PARSE_JSON",
    "STRING",
    SQL_JSON,
    "try_parse_json",
    "The JSON of a text; NULL for a text that is none.",
    nullable=True,
)
sql("JSON_OBJECT", "[ANY] ..", SQL_JSON, "json_object", "An object of names and values.")


def _merge(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    for arg in args:
        if not (arg.sql_type.is_character or arg.sql_type.name == "OTHER" or arg.sql_type.is_null):
            refuse_types("JSON_MERGE", "'JSON_MERGE(<COMPLEX<json>>, <COMPLEX<json>>, ...)'", args, env.position)
    return make("json_merge", args, of)


sql("JSON_MERGE", "ANY [ANY] ..", SQL_JSON, _merge, "JSON objects merged, or arrays appended.")


def retarget(value: Typed, of: SqlType) -> Typed | None:
    """A cast of JSON_VALUE to a number, as JSON_VALUE .. RETURNING that number; None for other nodes."""
    node = value.node
    if not (of.is_numeric and isinstance(node, Call) and node.function == "json_value" and len(node.args) == 3):
        return None
    if not (isinstance(node.args[2], Literal) and node.args[2].value == "STRING"):
        return None
    kind = native(of)
    retyped = Call(node.function, (*node.args[:2], text_node(str(DOUBLE if kind == FLOAT else kind))))
    return replace(value, node=retyped, sql_type=of, source=None, multi_value=False)
