"""Binding SQL calls: operand checks, implicit casts, result types, constant folding. One typed node in, one out.

`bind_call` is the door for functions; operators and special forms are in msq.expr.operators. Errors are those of
Druid's validator, with the position of the offending text when it is known.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NoReturn

import duckdb

from msq.catalog import Lookups
from msq.datatypes import ColumnType
from msq.expr.lower import InputColumn, LowerEnv, lower
from msq.expr.nodes import Call, Identifier, Literal, Node, is_constant, transform
from msq.expr.prepare import prepare
from msq.expr.printer import double_text, to_text
from msq.expr.registry import sql_function
from msq.expr.sqltypes import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    NULL_TYPE,
    SQL_DOUBLE,
    SqlType,
    char,
    native,
    of_native,
)
from msq.expr.zones import zone
from msq.faults import DruidException, invalid_sql

_YEAR_10000 = 253402300800000

Position = tuple[int, int, int, int]
"""(line, column, end line, end column), 1-based."""


@dataclass(frozen=True, slots=True)
class BindEnv:
    """What binding depends on besides operands. `now_ms` is fixed for the whole query."""

    time_zone: str = "UTC"
    now_ms: int = 0
    lookups: Lookups = field(default_factory=dict)
    lookups_read: set[str] = field(default_factory=set, compare=False)
    """Names of those that the statement has referred to so far."""
    position: Position | None = None
    """Of the call being bound."""
    clock_read: list[int] = field(default_factory=list, compare=False)
    """What `now` has answered."""

    def now(self) -> int:
        """ms of the query's time."""
        self.clock_read.append(self.now_ms)
        return self.now_ms

    def __post_init__(self) -> None:
        if not zone(self.time_zone).known:
            # Druid falls back silently for the session, unlike TIME_FORMAT for its own argument.
            object.__setattr__(self, "time_zone", "UTC")

    def at(self, position: Position | None) -> BindEnv:
        return self if position == self.position else replace(self, position=position)


@dataclass(frozen=True, slots=True)
class Typed:
    """A bound expression: native node, SQL type, and where it stood.

    `source` is the node before constant folding (for error texts). `multi_value`: may hold several values in a row.
    A `Literal` node is a constant of `sql_type`; BOOLEAN constants are 0 and 1, TIMESTAMP and DATE ones ms.
    """

    node: Node
    sql_type: SqlType
    position: Position | None = None
    multi_value: bool = False
    source: Node | None = None

    @property
    def native_type(self) -> ColumnType:
        return native(self.sql_type)

    @property
    def is_literal(self) -> bool:
        return isinstance(self.node, Literal)

    @property
    def literal_value(self) -> Any:
        """The constant. Only for literals."""
        assert isinstance(self.node, Literal)
        return self.node.value

    @property
    def is_null(self) -> bool:
        return isinstance(self.node, Literal) and self.node.value is None

    @property
    def unfolded(self) -> Node:
        return self.node if self.source is None else self.source


def column(name: str, of: SqlType, *, multi_value: bool = False, position: Position | None = None) -> Typed:
    """A column of the input; `multi_value` only where the SQL type is VARCHAR and several values may stand in a row."""
    return Typed(Identifier(name), of, position, multi_value)


def native_column(name: str, of: ColumnType, *, multi_value: bool = False, position: Position | None = None) -> Typed:
    """A column by native type; `__time` is a TIMESTAMP."""
    return column(name, of_native(of, time=name == "__time"), multi_value=multi_value, position=position)


def literal(value: Any, of: SqlType | None = None, position: Position | None = None) -> Typed:
    """A constant. Without a type: str CHAR(n), bool BOOLEAN, int INTEGER or BIGINT, float DOUBLE, None NULL."""
    if of is None:
        if value is None:
            of = NULL_TYPE
        elif isinstance(value, bool):
            of, value = BOOLEAN, int(value)
        elif isinstance(value, str):
            of = char(len(value))
        elif isinstance(value, int):
            of = INTEGER if -(2**31) <= value < 2**31 else BIGINT
        else:
            of = SQL_DOUBLE
    kind = None if value is None else native(of)
    return Typed(Literal(value, kind if kind is None or kind.kind != "FLOAT" else native(SQL_DOUBLE)), of, position)


def number_literal(text: str, position: Position | None = None) -> Typed:
    """A numeric literal as written: `1` INTEGER, `1.50` DECIMAL(3, 2), `1e5` DOUBLE. Raises for one beyond 64 bits."""
    if "e" in text.lower():
        if float(text) == float("inf"):
            refuse(f"Numeric literal '{text}' out of range", position)
        return literal(float(text), SQL_DOUBLE, position)
    if "." in text:
        whole, _, part = text.partition(".")
        digits = len(whole.lstrip("0")) + len(part)
        if int((whole + part) or "0") >= 2**63:
            refuse(f"Numeric literal '{text}' out of range", position)
        return literal(float(text), SqlType("DECIMAL", length=max(digits, 1), scale=len(part)), position)
    value = int(text)
    if value >= 2**63:
        refuse(f"Numeric literal '{text}' out of range", position)
    return literal(value, None, position)


def bind_call(name: str, args: Sequence[Typed], env: BindEnv, position: Position | None = None) -> Typed:
    """The call of a scalar SQL function, typed and constant-folded.

    Raises invalid SQL for an unknown function, a wrong number of arguments, operands of wrong types, or a constant
    expression that has no value (as Druid refuses it).
    """
    env = env.at(position if position is not None else env.position)
    function = sql_function(name)
    if function is None:
        refuse_unknown(name, args, env.position)
    if len(args) < function.minimum or (function.maximum is not None and len(args) > function.maximum):
        refuse(
            f"Invalid number of arguments to function '{function.display}'. Was expecting {function.minimum} arguments",
            env.position,
        )
    made = finish(function.bind(args, env), env)
    if not made.is_literal:
        _check_constants(made.node, args, env)
    return made


def _check_constants(node: Node, args: Sequence[Typed], env: BindEnv) -> None:
    """Raises what lowering the call has to say against its constant arguments (patterns, periods, zones, paths): a
    statement is refused then, where a worker would fail."""
    operands = {a.node: a for a in args if not is_constant(a.node)}
    # what stands for an operand shows in the texts of refusals
    names = {node: node.name if isinstance(node, Identifier) else to_text(node) for node in operands}
    inputs = {
        names[operand]: InputColumn(names[operand], a.native_type, a.multi_value) for operand, a in operands.items()
    }
    lower(transform(node, lambda n: Identifier(names[n]) if n in names else None), inputs, LowerEnv(env.lookups))


def is_scalar_function(name: str) -> bool:
    """Whether `bind_call` knows the name."""
    return sql_function(name) is not None


def make(function: str, args: Sequence[Typed | Node], of: SqlType, *, multi_value: bool | None = None) -> Typed:
    """A native call over typed operands (or bare nodes), remembering the unfolded form."""
    nodes = tuple(a.node if isinstance(a, Typed) else a for a in args)
    before = tuple(a.unfolded if isinstance(a, Typed) else a for a in args)
    if multi_value is None:
        multi_value = of.is_character and any(isinstance(a, Typed) and a.multi_value for a in args)
    return Typed(Call(function, nodes), of, None, multi_value, Call(function, before) if before != nodes else None)


def finish(value: Typed, env: BindEnv) -> Typed:
    """`value` at the position of `env`, folded when it reads no column."""
    value = replace(value, position=env.position)
    if isinstance(value.node, Literal) or not is_constant(value.node):
        return value
    if value.sql_type.name in ("ARRAY", "OTHER", "ANY", "INTERVAL") or value.multi_value:
        return value
    return fold(value, env)


def fold(value: Typed, env: BindEnv) -> Typed:
    """The constant's value as a literal. Raises for NaN and infinite doubles and for whatever fails to compute."""
    made = evaluate(value.node, env.lookups)
    text = to_text(value.unfolded)
    if isinstance(made, list):
        return value
    if isinstance(made, bytes):
        return value
    of = value.sql_type
    if made is not None:
        if of.name in ("INTEGER", "SMALLINT", "TINYINT"):
            # what is no number is 0 as a whole one, as Java casts
            made = 0 if made != made else (int(made) + 2**31) % 2**32 - 2**31
        elif of == BIGINT and isinstance(made, float):
            made = 0 if made != made else int(max(min(made, 2.0**63), -(2.0**63)))
            made = min(made, 2**63 - 1)
        elif of.is_character or of.is_null:
            made = str(made)
        elif of.name == "BOOLEAN":
            made = int(made > 0)
        elif of.is_time and made >= _YEAR_10000:
            # Calcite cannot write such a literal, so Druid refuses the constant.
            from msq.expr.kernels.joda import format_time

            shown = format_time(made, "yyyy-MM-dd HH:mm:ss", "UTC")
            raise DruidException(shown, category="UNCATEGORIZED", persona="OPERATOR")
        elif of.is_numeric and of not in (BIGINT,):
            made = float(made)
            if made != made or made in (float("inf"), float("-inf")):
                raise invalid_sql(
                    f"Expression [{text}] evaluates to an unsupported value [{double_text(made)}], expected something "
                    "that can be a Double.  Consider casting with 'CAST(<col> AS BIGINT)'"
                )
    folded = literal(made, of, value.position)
    return replace(folded, source=value.unfolded)


@lru_cache(maxsize=1)
def _connection() -> tuple[Any, threading.Lock]:
    connection = duckdb.connect(":memory:", config={"threads": 1})
    return prepare(connection), threading.Lock()


def evaluate(node: Node, lookups: Lookups | None = None) -> Any:
    """The value of a node that reads no column. Failures are those a query would end with."""
    connection, lock = _connection()
    lowered = lower(node, {}, LowerEnv(lookups or {}))
    with lock:
        try:
            row = connection.execute(f"SELECT {lowered.sql}").fetchone()
        except duckdb.Error as error:
            text = runtime_message(error)
            category = "INVALID_INPUT" if " needs a positive integer " in text else "UNCATEGORIZED"
            raise DruidException(text, category=category, persona="OPERATOR") from error
    return row[0]


def runtime_message(error: BaseException) -> str:
    """What a user should read of a DuckDB error: the text of error() or of a kernel's exception."""
    text = str(error)
    for mark in ("Python exception occurred while executing the UDF: ", "Invalid Input Error: "):
        if mark in text:
            text = text.rpartition(mark)[2]
    text = text.split("\n\nAt:")[0].strip()
    head, colon, rest = text.partition(": ")
    return rest if colon and head.endswith("Error") and " " not in head else text


# ------------------------------------------------------------------------------------------------------------ errors


def refusal(message: str, position: Position | None) -> DruidException:
    """The validator's error; the place is part of the message, as Druid prints it."""
    if position is not None:
        message = f"{message} (line [{position[0]}], column [{position[1]}])"
    return invalid_sql(message, position=position)


def refuse(message: str, position: Position | None) -> NoReturn:
    """Raises `refusal`."""
    raise refusal(message, position)


def refuse_unknown(name: str, args: Sequence[Typed], position: Position | None) -> NoReturn:
    listed = ", ".join(f"<{a.sql_type.family}>" for a in args)
    refuse(f"No match found for function signature {name}({listed})", position)


def refuse_types(display: str, forms: str, args: Sequence[Typed], position: Position | None) -> NoReturn:
    listed = ", ".join(f"<{a.sql_type}>" for a in args)
    refuse(f"Cannot apply '{display}' to arguments of type '{display}({listed})'. Supported form(s): {forms}", position)
