"""IP address functions, both sides."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import LONG, STRING
from msq.expr.binding import BindEnv, Typed, make
from msq.expr.declare import native
from msq.expr.declare_sql import sql
from msq.expr.kernels.network import subnet_v4, subnet_v6
from msq.expr.lower import Lowered, Lowering, convert, quote
from msq.expr.nodes import Call, Literal
from msq.expr.sqltypes import BIGINT, BOOLEAN, SqlType, char
from msq.faults import DruidException, invalid_input


def _subnet(node: Call, check: object) -> str:
    arg = node.args[1] if len(node.args) > 1 else None
    if not isinstance(arg, Literal) or not isinstance(arg.value, str):
        raise invalid_input(f"Function[{node.function}] subnet arg must be a literal")
    try:
        check(arg.value)  # type: ignore[operator]
    except ValueError as error:
        raise DruidException(
            f"Function[{node.function}] {error}", category="UNCATEGORIZED", persona="OPERATOR"
        ) from error
    return arg.value


def _match_v4(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text = _subnet(node, subnet_v4)
    first, last = subnet_v4(text)
    if args[0].type == LONG:
        value = convert(args[0], LONG)
        return Lowered(f"coalesce({value} BETWEEN {first} AND {last}, false)", LONG, boolean=True)
    value = f"py_ipv4({convert(args[0], STRING)})"
    return Lowered(f"coalesce({value} BETWEEN {first} AND {last}, false)", LONG, boolean=True)


def _match_v6(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text = _subnet(node, subnet_v6)
    return Lowered(f"coalesce(py_ipv6_match({convert(args[0], STRING)}, {quote(text)}), false)", LONG, boolean=True)


def _in_range(value: str) -> str:
    return f"(CASE WHEN {value} BETWEEN 0 AND 4294967295 THEN {value} END)"


def _parse(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    if args[0].type.is_numeric:
        return Lowered(_in_range(convert(args[0], LONG)), LONG)
    return Lowered(f"py_ipv4({convert(args[0], STRING)})", LONG)


def _stringify(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    if args[0].type.is_numeric:
        value = convert(args[0], LONG)
        parts = " || '.' || ".join(f"CAST({value} >> {shift} & 255 AS VARCHAR)" for shift in (24, 16, 8, 0))
        return Lowered(f"(CASE WHEN {value} BETWEEN 0 AND 4294967295 THEN {parts} END)", STRING)
    text = convert(args[0], STRING)
    return Lowered(f"(CASE WHEN py_ipv4({text}) IS NOT NULL THEN {text} END)", STRING)


native("ipv4_match", "Whether an IPv4 address lies in a subnet; false for what is no address.", LONG, _match_v4)
native("ipv6_match", "Whether an IPv6 address lies in a subnet; false for what is no address.", LONG, _match_v6)
native("ipv4_parse", "An IPv4 address as a number; NULL for what is none.", LONG, _parse)
native("ipv4_stringify", "An IPv4 address as text; NULL for what is none.", STRING, _stringify)


def _matching(name: str) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        return make(name.lower(), args, of)

    operands = "CHARACTER|NUMERIC CHARACTER" if name == "IPV4_MATCH" else "CHARACTER CHARACTER"
    forms = f"'{name}(<CHARACTER>, <CHARACTER>)'" + (f"\n'{name}(<INTEGER>, <CHARACTER>)'" if "4" in name else "")
    sql(
        name, operands, BOOLEAN, emit, "Whether an address lies in a subnet.", literals=(1,), nullable=True, forms=forms
    )


_matching("IPV4_MATCH")
_matching("IPV6_MATCH")
for _name, _of, _doc in (
    ("IPV4_PARSE", BIGINT, "An IPv4 address as a number."), ("IPV4_STRINGIFY", char(1), "An IPv4 address as text."),
):  # fmt: skip
    sql(_name, "CHARACTER|NUMERIC", _of, _name.lower(), _doc, nullable=True,
        forms=f"'{_name}(<CHARACTER>)'\n'{_name}(<INTEGER>)'")  # fmt: skip
