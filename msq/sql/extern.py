"""What TABLE(function(..)) reads: arguments and column lists as input source, input format and signature.

Owns EXTERN, the four source functions that need no catalog (INLINE, LOCALFILES, HTTP, S3) and APPEND. Stock Druid 37
registers only EXTERN and APPEND; the manual documents the others, so they work here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from msq.datatypes import DOUBLE_ARRAY, LONG, LONG_ARRAY, STRING, STRING_ARRAY, Column, ColumnType, RowSignature
from msq.expr.binding import refuse
from msq.faults import DruidException, invalid_input, invalid_sql
from msq.sql.nodes import (
    AppendTable,
    ColumnDefinition,
    ExternalTable,
    NamedArgument,
    TableFunction,
    TypeName,
    position_of,
)  # fmt: skip
from msq.sql.types import column_type_of

_LEGACY_TYPES = {"STRING_ARRAY": STRING_ARRAY, "LONG_ARRAY": LONG_ARRAY, "DOUBLE_ARRAY": DOUBLE_ARRAY}
_SQL_NAMES = {"STRING": "VARCHAR", "LONG": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE"}

Json = dict[str, Any]
Arguments = dict[str, Any]


def resolve(function: TableFunction) -> exp.Expr:
    """The `ExternalTable` or `AppendTable` that a table function means.

    Raises the refusal of a function that does not exist, of arguments that do not fit, and of a column list that is
    missing, superfluous or of types that no external column has.
    """
    name = str(function.args["this"]).upper()
    if name == "APPEND":
        return _append(function)
    known = _FUNCTIONS.get(name)
    if known is None:
        position = position_of(function)
        line, column = position[:2] if position else (0, 0)
        raise invalid_sql(
            f"No match found for function signature {name} (line [{line}], column [{column}])", position=position
        )
    declared, build = known
    arguments = _arguments(function, name, declared)
    columns: list[ColumnDefinition] | None = function.args.get("columns")
    source, format_, signature, types = build(name, arguments, columns)
    _check(source, format_)
    if (time := signature.type_of("__time")) is not None and time != LONG:
        raise invalid_input(
            "EXTERN function with __time column can be used when __time column is of type long. "
            "Please change the column name to something other than __time"
        )
    return ExternalTable(this=name, source=source, format=format_, signature=signature, types=types)


# --- arguments ---


def _arguments(function: TableFunction, name: str, declared: tuple[str, ...]) -> Arguments:
    """The values of the arguments by their declared names."""
    out: Arguments = {}
    for at, node in enumerate(function.expressions):
        if isinstance(node, NamedArgument):
            key = node.this.name
            if key not in declared:
                known = ", ".join(declared)
                raise invalid_sql(f"Unknown argument [{key}] of function [{name}], expected one of [{known}]")
            node = node.expression
        elif at >= len(declared):
            raise invalid_sql(
                f"Invalid number of arguments to function '{name}'. Was expecting {len(declared)} arguments"
            )
        else:
            key = declared[at]
        if key in out:
            raise invalid_sql(f"Argument [{key}] of function [{name}] is given twice")
        value = _constant(node, f"Argument [{key}] of function [{name}] must be a literal")
        if value is not None:
            out[key] = value
    return out


def _constant(node: exp.Expr, refusal: str) -> Any:
    """The value of a literal: text, number, boolean, NULL, or ARRAY of these."""
    if isinstance(node, exp.Literal):
        if node.is_string:
            return str(node.this)
        return int(node.this) if str(node.this).isdigit() else float(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        value = _constant(node.this, refusal)
        return -value
    if isinstance(node, exp.Array):
        return [_constant(item, refusal) for item in node.expressions]
    if isinstance(node, exp.Paren):
        return _constant(node.this, refusal)
    raise invalid_sql(refusal)


def _text(arguments: Arguments, key: str) -> str | None:
    value = arguments.get(key)
    if value is None or isinstance(value, str):
        return value
    raise invalid_sql(f"Value [{value}] of parameter [{key}] is not of type [VARCHAR]")


def _texts(arguments: Arguments, key: str) -> list[str] | None:
    value = arguments.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    raise invalid_sql(f"Value [{value}] of parameter [{key}] is not of type [VARCHAR ARRAY]")


# --- column lists ---


def _columns(columns: list[ColumnDefinition]) -> tuple[RowSignature, tuple[str, ...]]:
    made = []
    for definition in columns:
        name, kind = definition.this.name, definition.args["kind"]
        assert isinstance(kind, TypeName)
        column_type = column_type_of(kind)
        if column_type is None:
            raise invalid_sql(f"Column [{name}] has an unsupported type: [{kind}]")
        made.append(Column(name, column_type))
    types = tuple(str(d.args["kind"]) for d in columns)
    return _signature(made, "columns"), types


def _signature(columns: list[Column], field: str) -> RowSignature:
    try:
        return RowSignature(columns)
    except ValueError as error:
        raise _invalid(field, str(error)) from error


def _signature_from_json(text: str) -> tuple[RowSignature, tuple[str, ...]]:
    value = _json(text, "rowSignature", list)
    columns = []
    for item in value:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            raise _invalid("rowSignature", "Column name must be non-empty")
        columns.append(Column(name, _native_type(item.get("type"))))
    signature = _signature(columns, "rowSignature")
    return signature, tuple(sql_type_of(c.type) for c in signature)


def _native_type(text: Any) -> ColumnType:
    """The type of a signature's column; what names no type is read as text."""
    if not isinstance(text, str):
        return STRING
    legacy = _LEGACY_TYPES.get(text.upper())
    if legacy is not None:
        return legacy
    try:
        return ColumnType.parse(text)
    except ValueError:
        return STRING


def sql_type_of(column_type: ColumnType) -> str:
    """How a column type is written in SQL: VARCHAR, BIGINT ARRAY, COMPLEX<json>."""
    if column_type.element is not None:
        return f"{sql_type_of(column_type.element)} ARRAY"
    return _SQL_NAMES.get(column_type.kind) or str(column_type)


# --- JSON ---


def _json(text: str, field: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(field, f"Cannot parse JSON: {error}") from error
    if not isinstance(value, kind):
        raise _invalid(field, f"Expected a JSON {'array' if kind is list else 'object'}")
    return value


def _invalid(field: str, reason: str) -> DruidException:
    return invalid_input(f"Invalid value for the field [{field}]. Reason: [{reason}]")


def _check(source: Json, format_: Json | None) -> None:
    """Refuses objects that no source or format takes. Imported here: most statements need neither module."""
    from msq.formats.base import parse_input_format
    from msq.sources import parse_input_source

    parse_input_source(source)
    if format_ is not None:
        parse_input_format(format_)


# --- the functions ---

Built = tuple[Json, Json | None, RowSignature, tuple[str, ...]]


def _extern(name: str, arguments: Arguments, columns: list[ColumnDefinition] | None) -> Built:
    for key in ("inputSource", "inputFormat"):
        if key not in arguments:
            raise invalid_sql(f"Must provide a value for the [{key}] parameter of function [{name}]")
    source = _json(_text(arguments, "inputSource") or "", "inputSource", dict)
    format_ = _json(_text(arguments, "inputFormat") or "", "inputFormat", dict)
    signature = _text(arguments, "signature")
    if (signature is None) == (columns is None):
        both = "" if columns is None else ", but not both"
        raise invalid_sql(f"EXTERN requires either a [signature] value or an EXTEND clause{both}")
    made, types = _columns(columns) if columns is not None else _signature_from_json(signature or "")
    return source, format_, made, types


def _needs_columns(name: str, columns: list[ColumnDefinition] | None) -> list[ColumnDefinition]:
    if columns is None:
        raise invalid_sql(f"Function requires a schema: TABLE({name}(...)) (<col> <type>...)")
    return columns


def _format(arguments: Arguments, signature: RowSignature) -> Json:
    """The input format that the arguments shared by the source functions say."""
    kind = _text(arguments, "format")
    if kind is None:
        raise invalid_sql("Must provide a value for the [format] parameter")
    kind = kind.lower()
    if kind == "json":
        return {"type": "json"}
    if kind not in ("csv", "tsv"):
        raise invalid_sql(f"Format type [{kind}] for property [format] is not valid")
    out: Json = {"type": kind, "columns": list(signature.names), "findColumnsFromHeader": False}
    if (list_delimiter := _text(arguments, "listDelimiter")) is not None:
        out["listDelimiter"] = list_delimiter
    if (skip := arguments.get("skipHeaderRows")) is not None:
        if not isinstance(skip, int):
            raise invalid_sql(f"Value [{skip}] of parameter [skipHeaderRows] is not of type [INTEGER]")
        out["skipHeaderRows"] = int(skip)
    if kind == "tsv" and (delimiter := _text(arguments, "delimiter")) is not None:
        out["delimiter"] = delimiter
    return out


def _with_format(
    source: Callable[[Arguments], Json],
) -> Callable[[str, Arguments, list[ColumnDefinition] | None], Built]:
    def build(name: str, arguments: Arguments, columns: list[ColumnDefinition] | None) -> Built:
        signature, types = _columns(_needs_columns(name, columns))
        return source(arguments), _format(arguments, signature), signature, types

    return build


def _inline(arguments: Arguments) -> Json:
    rows = _texts(arguments, "data")
    if not rows:
        raise invalid_sql("Must provide a value for the [data] parameter")
    return {"type": "inline", "data": "\n".join(rows) + "\n"}


def _local_files(arguments: Arguments) -> Json:
    base, pattern, files = _text(arguments, "baseDir"), _text(arguments, "filter"), _texts(arguments, "files")
    if base is None and not files:
        raise invalid_sql("Must provide a value for the [baseDir] or [files] parameter")
    if pattern is not None and base is None:
        raise invalid_sql("Must provide a value for the [baseDir] parameter when [filter] is given")
    if files:
        if pattern is not None:
            raise invalid_sql("Parameters [files] and [filter] cannot be given together")
        return {"type": "local", "files": [f if base is None else f"{base.rstrip('/')}/{f.lstrip('/')}" for f in files]}
    return {"type": "local", "baseDir": base, "filter": pattern or "*"}


def _http(arguments: Arguments) -> Json:
    uris = _texts(arguments, "uris")
    if not uris:
        raise invalid_sql("Must provide a value for the [uris] parameter")
    out: Json = {"type": "http", "uris": uris}
    user, password = _text(arguments, "userName"), _text(arguments, "password")
    variable = _text(arguments, "passwordEnvVar")
    if password is not None and variable is not None:
        raise invalid_sql("Parameters [password] and [passwordEnvVar] cannot be given together")
    if user is not None:
        out["httpAuthenticationUsername"] = user
    if password is not None:
        out["httpAuthenticationPassword"] = {"type": "default", "password": password}
    if variable is not None:
        out["httpAuthenticationPassword"] = {"type": "environment", "variable": variable}
    if (headers := _text(arguments, "headers")) is not None:
        out["requestHeaders"] = _json(headers, "headers", dict)
    return out


def _s3(arguments: Arguments) -> Json:
    uris, prefixes = _texts(arguments, "uris"), _texts(arguments, "prefixes")
    bucket, paths = _text(arguments, "bucket"), _texts(arguments, "paths")
    if (bucket is None) != (paths is None):
        raise invalid_sql("Parameters [bucket] and [paths] must be given together")
    if sum(given is not None for given in (uris, prefixes, bucket)) != 1:
        raise invalid_sql("Must provide exactly one of the parameters [uris], [prefixes] and [bucket]")
    out: Json = {"type": "s3"}
    if uris is not None:
        out["uris"] = uris
    elif prefixes is not None:
        out["prefixes"] = prefixes
    else:
        out["objects"] = [{"bucket": bucket, "path": path} for path in paths or ()]
    if (glob := _text(arguments, "objectGlob")) is not None:
        out["objectGlob"] = glob
    properties: Json = {}
    for key in ("accessKeyId", "secretAccessKey"):
        if (secret := _text(arguments, key)) is not None:
            properties[key] = {"type": "default", "password": secret}
    for key in ("assumeRoleArn", "sessionToken"):
        if (text := _text(arguments, key)) is not None:
            properties[key] = text
    if properties:
        out["properties"] = properties
    return out


_FORMAT_ARGUMENTS = ("format", "listDelimiter", "skipHeaderRows", "delimiter")
_FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[[str, Arguments, list[ColumnDefinition] | None], Built]]] = {
    "EXTERN": (("inputSource", "inputFormat", "signature"), _extern),
    "INLINE": (("data", *_FORMAT_ARGUMENTS), _with_format(_inline)),
    "LOCALFILES": (("baseDir", "filter", "files", *_FORMAT_ARGUMENTS), _with_format(_local_files)),
    "HTTP": (
        ("uris", "userName", "password", "passwordEnvVar", "headers", *_FORMAT_ARGUMENTS), _with_format(_http),
    ),
    "S3": (
        ("uris", "prefixes", "bucket", "paths", "objectGlob", "accessKeyId", "secretAccessKey", "assumeRoleArn",
         "sessionToken", *_FORMAT_ARGUMENTS),
        _with_format(_s3),
    ),
}  # fmt: skip
"""Name to declared arguments (in positional order) and what builds source, format, signature and SQL types."""


def declared_arguments() -> dict[str, tuple[str, ...]]:
    """Table functions by name with their arguments in order."""
    return {**{name: arguments for name, (arguments, _) in _FUNCTIONS.items()}, "APPEND": ("table", "..")}


def _append(function: TableFunction) -> AppendTable:
    if function.args.get("columns") is not None:
        raise invalid_sql("Function APPEND does not accept an EXTEND clause (or a schema list)")
    names = function.expressions
    if not names:
        refuse("No match found for function signature APPEND()", position_of(function))
    for number, node in enumerate(names, 1):
        if not (isinstance(node, exp.Literal) and node.is_string):
            refuse(
                f"All arguments to APPEND should be literal strings. Argument #{number} is not string",
                position_of(node),
            )
    return AppendTable(expressions=names)
