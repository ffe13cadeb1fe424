"""Tables of random statements: their columns, random rows, and the statements that make rows of a table from them.

`t` has the columns of the sample table that functions' examples read; `u` a few of them, to join; `k` sketches of `t`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from msq.expr.sqltypes import BIGINT, SqlType
from msq.sql import function_examples as examples

Row = dict[str, Any]

SKETCHES = {"hll": "DS_HLL(s)", "theta": "DS_THETA(s)", "quantiles": "DS_QUANTILES_SKETCH(d)",
            "tuples": "DS_TUPLE_DOUBLES(s, d)"}  # fmt: skip
"""Sketch columns of the examples, as they are made of the others."""
_PLAIN = {name: of for name, of in examples.COLUMNS.items() if name not in SKETCHES}
TABLES: dict[str, dict[str, SqlType]] = {
    "t": _PLAIN,
    "u": {name: _PLAIN[name] for name in ["__time", "s", "g", "l", "d", "sa"]},
}
ID = "id"
"""A column of every table, another number in each row."""
_NULLS = 0.1
_DAY = 86_400_000
_EPOCH = 1_704_067_200_000

_WORDS = (
    "",
    "a",
    "b",
    "ab",
    "abc",
    "A1b",
    "a1b",
    "b2c",
    "c7d",
    "x y",
    "true",
    "10",
    "-3",
    "1.5",
    "null",
    "a1b2c3",
    "ba",
)
_TAME: dict[str, Sequence[Any]] = {
    "VARCHAR": _WORDS,
    "BIGINT": (-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 12, 100),
    "DOUBLE": (-2.5, -1.0, -0.25, 0.0, 0.125, 0.5, 0.75, 1.0, 1.5, 3.0, 10.0, 100.25),
    "TIMESTAMP": tuple(_EPOCH + n for n in (0, 1, 999, 3_600_000, 3_599_999, _DAY, 31 * _DAY, 59 * _DAY, 60 * _DAY + 5,
                                            -_DAY, 200 * _DAY, 366 * _DAY, 69 * _DAY + 37_000_000)),
}  # fmt: skip
_WILD: dict[str, Sequence[Any]] = {
    "VARCHAR": (*_WORDS, "é", "😀", "ß", "İ", " a", "\t", "a,b", "'", '"', "\\", "%", "NaN", "1e400",
                "9223372036854775808",
                "9223372036854775807", "2024-01-01", "2024-02-30T00:00:00Z", "P1D", "[1,2]", "{}", "𝄞x", "A\u0301"),
    "BIGINT": (*_TAME["BIGINT"], 2**63 - 1, -(2**63), -(2**63) + 1, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 64, 63,
               10**18),
    "DOUBLE": (*_TAME["DOUBLE"], "NaN", "Infinity", "-Infinity", -0.0, 1e308, -1e308, 5e-324, 9.223372036854775807e18,
               2.5, 0.1, 1.005, 123456789.123456789, 1e15, 1e-7),
    "TIMESTAMP": (*_TAME["TIMESTAMP"], 0, -1, 1710064800000, 1730620800000, -62_135_596_800_000, 253_402_300_799_999,
                  -1_000_000_000_000_000, 1_719_800_000_123),
}  # fmt: skip
_TEXTS: dict[str, Sequence[str]] = {
    "g": ("x", "y", "z", "x"),
    "iso": ("2024-01-02T03:04:05Z", "2024-02-30", "2024-03-10 02:30:00", "2024", "x", "2024-W05-2",
            "2024-05-06T07:08:09.123+05:30"),
    "digits": ("0", "12", "-7", "x", "2147483648", "9223372036854775808", "1.5", ""),
    "ip": ("10.1.2.3", "10.255.0.1", "192.168.0.1", "256.1.1.1", "x", "1.2.3"),
    "ip6": ("2001:db8::1", "::1", "x", "2001:db9::", "::ffff:10.1.2.3"),
    "json_text": ("[1]", '{"a":1}', "3", "null", '{"a":{"b":[1,2.5,"x"]}}'),
    "base64": ("YQ==", "YWJj", "", "w6k="),
}  # fmt: skip
"""Values of the columns of texts of a certain form."""
_JSON = ({"a": 1, "b": ["x", 2]}, {"a": "y", "b": {"c": [1, {"d": 2}]}}, {"a": None}, {"a": 2.5, "c": False},
         {"a": [1, 2], "b": [True, None]}, {"b": {}, "c": "z"})  # fmt: skip
"""Objects: a column of JSON that holds none is stored with the least type of its values."""


def words_of(of: str, wild: bool) -> Sequence[Any]:
    """Values of a SQL type that constants may have."""
    return (_WILD if wild else _TAME)[of]


def random_rows(dice: Random, table: str, count: int, wild: bool) -> list[Row]:
    """Rows of a table. Their times differ from each other, and so do their ids."""
    values = _WILD if wild else _TAME
    times = dice.sample(range(400), count)

    def value(name: str, of: SqlType) -> Any:
        if name == "__time":
            return None
        if dice.random() < _NULLS:
            return None
        if name in _TEXTS:
            return dice.choice(_TEXTS[name])
        if name in examples.MULTI_VALUE:
            several = sorted(dice.sample(("a1", "b2", "c3", "a", "b"), dice.randint(1, 3)))
            return several if len(several) > 1 else several[0]
        if of.name == "ARRAY":
            assert of.element is not None
            kept = [v for v in _TAME[of.element.name] if of.element.name != "VARCHAR" or v != ""]
            return [None if dice.random() < _NULLS else dice.choice(kept) for _ in range(dice.randint(0, 3))]
        return dice.choice(_JSON) if of.name == "OTHER" else dice.choice(values[of.name])

    made = [{name: value(name, of) for name, of in TABLES[table].items()} for _ in range(count)]
    return [
        {ID: n, **row, "__time": _EPOCH + _DAY * day + dice.choice((0, 1, 3_600_000))}
        for n, (row, day) in enumerate(zip(made, times))
    ]


def _declared(of: SqlType) -> str:
    return "TYPE('COMPLEX<json>')" if of.name == "OTHER" else "BIGINT" if of.is_time else str(of)


def columns(table: str) -> dict[str, SqlType]:
    """Columns of a table as they are stored."""
    return {ID: BIGINT, **TABLES[table]}


def external(table: str, rows: Sequence[Row]) -> str:
    """The rows as an external source, with the table's columns and types."""
    source = json.dumps({"type": "inline", "data": "\n".join(map(json.dumps, rows))})
    listed = ", ".join(f'"{name}" {_read(of)}' for name, of in columns(table).items())
    shown = ", ".join(_shown(name, of) for name, of in columns(table).items())
    quoted = source.replace("'", "''")
    return f"(SELECT {shown} FROM TABLE(EXTERN('{quoted}', '{{\"type\":\"json\"}}')) EXTEND ({listed}))"


def _read(of: SqlType) -> str:
    return "VARCHAR" if of.name == "DOUBLE" else _declared(of)


def _shown(name: str, of: SqlType) -> str:
    return f'CAST("{name}" AS DOUBLE) AS "{name}"' if of.name == "DOUBLE" else f'"{name}"'


def sketches(source: str) -> str:
    """What makes the rows of `k` from those of `t`."""
    made = ", ".join(f"{call} AS {name}" for name, call in SKETCHES.items())
    return f"(SELECT TIMESTAMP '2024-01-01' AS __time, g, MAX({ID}) AS {ID}, {made} FROM {source} GROUP BY g)"


def duckdb_rows(table: str, rows: Sequence[Row]) -> tuple[str, list[list[Any]]]:
    """The statement that makes the table in DuckDB, and the values of its rows."""
    listed = ", ".join(f'"{name}" {_duckdb_type(name, of)}' for name, of in columns(table).items())
    return f"CREATE TABLE {table} ({listed})", [
        [_duckdb_value(name, of, row[name]) for name, of in columns(table).items()] for row in rows
    ]


def _duckdb_type(name: str, of: SqlType) -> str:
    if of.name == "ARRAY":
        return f"{of.element}[]"
    if of.name == "OTHER":
        return "JSON"
    return "VARCHAR[]" if name in examples.MULTI_VALUE else of.name


def _duckdb_value(name: str, of: SqlType, value: Any) -> Any:
    if value is None:
        return None
    if of.is_time:
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=value)
    if of.name == "OTHER":
        return json.dumps(value)
    if name in examples.MULTI_VALUE:
        return value if isinstance(value, list) else [value]
    return float(value) if of.name == "DOUBLE" else value


def homes(tables: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """External sources in the place of each table."""
    made = {name: external(name, rows) for name, rows in tables.items()}
    return {**made, "k": sketches(made["t"])}


def literal(name: str, table: str, row: Row) -> str:
    """A column's value in a row as a constant of the column's type."""
    of, value = columns(table)[name], row[name]
    if name == "__time":
        return f"MILLIS_TO_TIMESTAMP(CAST('{value}' AS BIGINT))"
    typed = "BIGINT" if of.is_time else str(of)
    if value is None:
        return f"CAST(NULL AS {typed})"
    text = str(value).replace("'", "''")
    return f"CAST('{text}' AS {typed})"
