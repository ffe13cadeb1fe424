"""SQL types as the validator sees them, and their native counterparts.

Names: VARCHAR CHAR BIGINT INTEGER DOUBLE FLOAT REAL DECIMAL BOOLEAN TIMESTAMP DATE ARRAY OTHER NULL INTERVAL.
`name` is what result headers print; `str()` what error texts show (`CHAR(3)`, `TIMESTAMP(3)`, `INTEGER ARRAY`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, ColumnType, array_of, complex_of


@dataclass(frozen=True, slots=True)
class SqlType:
    """One SQL type. `element` for ARRAY; `complex_name` for OTHER; `length` of CHAR, `precision, scale` of DECIMAL.

    `unit` of INTERVAL is its qualifier, such as `DAY` or `YEAR TO MONTH`.
    """

    name: str
    element: SqlType | None = None
    length: int | None = None
    scale: int | None = None
    complex_name: str | None = None
    unit: str | None = None

    def __str__(self) -> str:
        if self.name == "ARRAY":
            return f"{self.element} ARRAY"
        if self.name == "OTHER":
            return f"COMPLEX<{self.complex_name}>" if self.complex_name else "OTHER"
        if self.name == "TIMESTAMP":
            return "TIMESTAMP(3)"
        if self.name == "INTERVAL":
            return f"INTERVAL {self.unit}"
        if self.name == "DECIMAL" and self.length is not None:
            return f"DECIMAL({self.length}, {self.scale or 0})"
        if self.name == "CHAR" and self.length is not None:
            return f"CHAR({self.length})"
        return self.name

    @property
    def is_character(self) -> bool:
        return self.name in ("VARCHAR", "CHAR")

    @property
    def is_numeric(self) -> bool:
        return self.name in _NUMERIC

    @property
    def is_integer(self) -> bool:
        return self.name in ("INTEGER", "BIGINT", "SMALLINT", "TINYINT")

    @property
    def is_time(self) -> bool:
        return self.name in ("TIMESTAMP", "DATE")

    @property
    def is_null(self) -> bool:
        return self.name == "NULL"

    @property
    def family(self) -> str:
        """The family name of `No match found for function signature F(<NUMERIC>)`."""
        if self.is_character:
            return "CHARACTER"
        if self.is_numeric:
            return "NUMERIC"
        return {"ARRAY": str(self), "OTHER": str(self), "INTERVAL": "INTERVAL_DAY_TIME"}.get(self.name, self.name)


_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DECIMAL", "FLOAT", "REAL", "DOUBLE")

VARCHAR = SqlType("VARCHAR")
BIGINT = SqlType("BIGINT")
INTEGER = SqlType("INTEGER")
SQL_DOUBLE = SqlType("DOUBLE")
SQL_FLOAT = SqlType("FLOAT")
REAL = SqlType("REAL")
DECIMAL = SqlType("DECIMAL")
BOOLEAN = SqlType("BOOLEAN")
TIMESTAMP = SqlType("TIMESTAMP")
DATE = SqlType("DATE")
NULL_TYPE = SqlType("NULL")
SQL_JSON = SqlType("OTHER", complex_name="json")
ANY = SqlType("ANY")

_NATIVE = {
    "VARCHAR": STRING, "CHAR": STRING, "NULL": STRING, "ANY": STRING, "BIGINT": LONG, "INTEGER": LONG, "SMALLINT": LONG,
    "TINYINT": LONG, "BOOLEAN": LONG, "TIMESTAMP": LONG, "DATE": LONG, "INTERVAL": LONG, "DOUBLE": DOUBLE,
    "REAL": DOUBLE, "DECIMAL": DOUBLE, "FLOAT": FLOAT,
}  # fmt: skip


def char(length: int) -> SqlType:
    return SqlType("CHAR", length=length)


def sql_array(element: SqlType) -> SqlType:
    return SqlType("ARRAY", element=element)


def sql_complex(name: str | None) -> SqlType:
    return SqlType("OTHER", complex_name=name)


def native(of: SqlType) -> ColumnType:
    """The column type that values of a SQL type have at run time."""
    if of.name == "ARRAY":
        assert of.element is not None
        inner = native(of.element)
        return array_of(LONG if of.element.is_null else inner)
    if of.name == "OTHER":
        return complex_of(of.complex_name) if of.complex_name else ColumnType("COMPLEX")
    return _NATIVE[of.name]


def of_native(of: ColumnType, *, time: bool = False) -> SqlType:
    """The SQL type of a column; `time` marks a LONG that is `__time`."""
    if of.element is not None:
        return sql_array(of_native(of.element))
    if of.is_complex:
        return sql_complex(of.complex_name)
    if time:
        return TIMESTAMP
    return {"STRING": VARCHAR, "LONG": BIGINT, "DOUBLE": SQL_DOUBLE, "FLOAT": SQL_FLOAT}[of.kind]


def parse_sql_type(text: str) -> SqlType | None:
    """The type a SQL text names (`VARCHAR(3)`, `BIGINT ARRAY`, `TYPE('COMPLEX<json>')` inside); None when unknown."""
    words = text.strip().upper()
    if words.endswith(" ARRAY"):
        element = parse_sql_type(words[: -len(" ARRAY")])
        return None if element is None else sql_array(element)
    head, _, rest = words.partition("(")
    head = head.strip()
    numbers = [int(n) for n in rest.rstrip(") ").split(",") if n.strip().isdigit()]
    name = {"INT": "INTEGER", "NUMERIC": "DECIMAL", "DEC": "DECIMAL", "CHARACTER": "CHAR", "DOUBLE PRECISION": "DOUBLE",
            "CHARACTER VARYING": "VARCHAR", "BOOL": "BOOLEAN"}.get(head, head)  # fmt: skip
    if name == "DECIMAL":
        return SqlType(name, length=numbers[0] if numbers else None, scale=numbers[1] if len(numbers) > 1 else None)
    if name == "CHAR":
        return char(numbers[0] if numbers else 1)
    if name in _NATIVE and name not in ("NULL", "ANY", "INTERVAL"):
        return SqlType(name)
    return None


# ------------------------------------------------------------------------------------------------------ unification


def widest_number(types: Iterable[SqlType]) -> SqlType | None:
    """What arithmetic over these numbers gives; None when one is no number. NULLs do not count."""
    known = [t for t in types if not t.is_null]
    if not known or not all(t.is_numeric for t in known):
        return None
    names = {t.name for t in known}
    if names & {"DOUBLE"} or ("DECIMAL" in names and names & {"FLOAT", "REAL"}):
        return SQL_DOUBLE
    if names & {"FLOAT", "REAL"}:
        return SQL_DOUBLE if len(names & {"FLOAT", "REAL"}) == 2 else SqlType((names & {"FLOAT", "REAL"}).pop())
    if "DECIMAL" in names:
        return DECIMAL
    return BIGINT if "BIGINT" in names else INTEGER


def least_restrictive(types: Iterable[SqlType], *, strings_win: bool = True) -> SqlType | None:
    """The common type of branches, union inputs and array elements; None when there is none.

    NULL yields to anything. Texts of one length stay CHAR. `strings_win`: texts beside other types make texts.
    """
    seen = list(types)
    known = [t for t in seen if not t.is_null]
    if not known:
        return NULL_TYPE if seen else None
    first = known[0]
    if all(t == first for t in known):
        return first
    if all(t.is_character for t in known):
        return VARCHAR
    number = widest_number(known)
    if number is not None:
        return number
    if all(t.is_time for t in known):
        return TIMESTAMP
    if any(t.is_character for t in known):
        plain = all(t.name not in ("ARRAY", "OTHER") for t in known)
        return VARCHAR if strings_win and plain else None
    if all(t.name == "ARRAY" for t in known):
        element = least_restrictive([t.element for t in known if t.element], strings_win=strings_win)
        return None if element is None else sql_array(element)
    if all(t.name == "OTHER" for t in known):
        names = {t.complex_name for t in known if t.complex_name}
        return sql_complex(names.pop()) if len(names) == 1 else None
    return None


def without_length(of: SqlType) -> SqlType:
    """VARCHAR for CHAR, bare DECIMAL for DECIMAL(p, s); others unchanged."""
    if of.name == "CHAR":
        return VARCHAR
    return replace(of, length=None, scale=None) if of.name == "DECIMAL" else of
