"""Every function and operator that SQL knows, of all registries: what `msq functions` lists, and ROUTINES.

Scalar functions come from msq.expr.registry, aggregates from msq.aggregate.registry, window functions from the binder
and table functions from msq.sql.extern; a name that is in none of them does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Any

from msq.aggregate.registry import aggregate_type, sql_aggregates
from msq.expr.binding import Typed, bind_call, column, literal
from msq.expr.registry import sql_functions
from msq.expr.sqltypes import (
    BIGINT,
    BOOLEAN,
    SQL_DOUBLE,
    SQL_JSON,
    TIMESTAMP,
    VARCHAR,
    SqlType,
    sql_array,
    sql_complex,
    without_length,
)
from msq.faults import DruidException
from msq.sql import function_examples as examples
from msq.sql import function_rules as rules
from msq.sql.bind.windows import ARGUMENTS as WINDOW_ARGUMENTS
from msq.sql.bind.windows import RESULTS as WINDOW_RESULTS
from msq.sql.extern import declared_arguments

KINDS = ("scalar", "aggregate", "window", "table", "operator")


@dataclass(frozen=True)
class FunctionInfo:
    """`signature`: the ways to call it, one a line. `doc`: one sentence.

    `example`: a call, of an operator over constants, of others over the columns of msq.sql.function_examples.
    """

    name: str
    kind: str
    signature: str
    doc: str
    example: str = ""
    returns: str = ""
    extension: str = ""

    @property
    def result(self) -> str:
        """SQL types it may give, from binding it to sample operands; empty when no sample fits."""
        return self.returns or _probed(self.kind, self.name, self.example)

    @property
    def nulls(self) -> str:
        """What it makes of NULL; empty where there is nothing to say."""
        if self.kind == "aggregate":
            return rules.AGGREGATE_OWN_NULLS.get(self.name, rules.AGGREGATE_NULLS)
        if self.kind == "operator":
            return rules.OPERATOR_OWN_NULLS.get(self.name, rules.OPERATOR_NULLS)
        return rules.null_rule(self.example) if self.kind == "scalar" and self.example else ""

    @property
    def values(self) -> str:
        """What a scalar function makes of a text column whose rows hold several values; empty without such a one."""
        return rules.value_rule(self.example) if self.kind == "scalar" and self.example else ""

    @property
    def of_sketches(self) -> bool:
        """Whether it makes, joins or asks sketches and other summaries."""
        return self.kind in ("scalar", "aggregate") and _SKETCH.match(self.name) is not None

    def to_json(self) -> dict[str, Any]:
        """All that is known of it."""
        return {
            "name": self.name, "kind": self.kind, "signatures": self.signature.split("\n"), "result": self.result,
            "example": self.example, "nulls": self.nulls,
            "multiValue": self.values, "sketch": self.of_sketches, "extension": self.extension, "description": self.doc,
        }  # fmt: skip


@lru_cache(maxsize=1)
def functions() -> tuple[FunctionInfo, ...]:
    """Everything there is, by kind and name."""
    return tuple(sorted(_all(), key=lambda f: (KINDS.index(f.kind), f.name)))


def markdown() -> str:
    """The README's table: a line a kind, with its number and its names."""
    lines = ["| kind | | names |", "|---|---|---|"]
    for kind in KINDS:
        names = [f.name for f in functions() if f.kind == kind and not f.extension]
        shown = ", ".join(name.replace("|", "\\|") if kind == "operator" else name for name in names)
        lines.append(f"| {kind} | {len(names)} | {shown} |")
    return "\n".join(lines) + "\n"


def routines() -> list[FunctionInfo]:
    """What is called by a name, sorted by it: everything but operators. A name of two kinds stands once."""
    called = {f.name: f for f in reversed(functions()) if f.kind != "operator"}
    return [called[name] for name in sorted(called)]


def _all() -> Iterator[FunctionInfo]:
    for name, scalar in sql_functions().items():
        signature = _signature(name, scalar.forms, scalar.minimum, scalar.maximum)
        example = examples.SCALAR.get(name, scalar.example)
        yield FunctionInfo(name, "scalar", signature, scalar.doc, example, extension=scalar.extension)
    for name, aggregate in sql_aggregates().items():
        signature = _signature(name, aggregate.forms, aggregate.minimum, aggregate.maximum)
        example = examples.AGGREGATE.get(name, aggregate.example)
        yield FunctionInfo(name, "aggregate", signature, aggregate.doc, example, extension=aggregate.extension)
    for name, (least, most) in WINDOW_ARGUMENTS.items():
        of = WINDOW_RESULTS.get(name)
        returns = "type of the argument" if of is None else str(of)
        signature = _signature(name, "", least, most) + " OVER (..)"
        yield FunctionInfo(name, "window", signature, WINDOW_DOCS[name], examples.WINDOW[name], returns)
    for name, arguments in declared_arguments().items():
        yield FunctionInfo(name, "table", f"TABLE({name}({', '.join(arguments)}))", TABLE_DOCS[name], "", "rows")
    for name, signature, returns, doc, example in OPERATORS:
        yield FunctionInfo(name, "operator", signature, doc, example, returns)


def _signature(name: str, forms: str, least: int, most: int | None) -> str:
    if forms:
        return "\n".join(line.strip("'") for line in forms.split("\n"))
    if least == 0 and most is None:
        return f"{name}(*)\n{name}(expr, ...)"
    words = [f"expr{i + 1}" if (most or 2) > 1 else "expr" for i in range(least)]
    words += [f"[expr{i + 1}]" if most != 1 else "[expr]" for i in range(least, most or least)]
    return f"{name}({', '.join(words)}{', ...' if most is None else ''})"


# ------------------------------------------------------------------------------------------------------ result types

_SKETCHES = ("HLLSketch", "thetaSketch", "quantilesDoublesSketch", "arrayOfDoublesSketch")
_MOST_TYPES = 4
_SKETCH = re.compile("(HLL_|THETA_|DS_|TDIGEST_|BLOOM_|SPECTATOR_|APPROX_)")


def _samples() -> tuple[tuple[Typed, ...], tuple[Typed, ...]]:
    """Operands to try at the first place and behind it."""
    numbers = (column("l", BIGINT), column("d", SQL_DOUBLE))
    arrays = (column("sa", sql_array(VARCHAR)), column("la", sql_array(BIGINT)))
    texts = (column("s", VARCHAR),)
    others = (column("t", TIMESTAMP), column("b", BOOLEAN), column("j", SQL_JSON))
    sketches = tuple(column(f"c{i}", sql_complex(name)) for i, name in enumerate(_SKETCHES))
    words = tuple(literal(w) for w in ("$.a", "PT1H", "DAY", "GREGORIAN", "10.0.0.0/8", 1, 0.5))
    return (*texts, *numbers, *others, *arrays, *sketches, *words[2:3]), (
        *texts,
        *numbers,
        *others,
        *arrays,
        *words,
        *sketches,
    )


@cache
def _probed(kind: str, name: str, example: str) -> str:
    function: Any = sql_functions()[name] if kind == "scalar" else sql_aggregates()[name]
    least, most = function.minimum, function.maximum
    counts = [n for n in range(least, least + 3) if most is None or n <= most]
    found: dict[str, None] = {}
    for count in counts:
        for args in _operands(count):
            try:
                found[_shown(_type_of(kind, name, args))] = None
            except (DruidException, ValueError, AssertionError, IndexError, TypeError, AttributeError):
                continue
        if found.keys() - {"NULL"}:
            break
    types = sorted(found.keys() - {"NULL"})
    if not types and example:
        types = [_shown(rules.example_type(kind, example))]
    return " or ".join(types) if len(types) <= _MOST_TYPES else "by its arguments"


def _operands(count: int) -> Iterator[Sequence[Typed]]:
    first, others = _samples()
    if count <= 2:
        yield from product(*[first, others][:count])
    else:
        for one, two in product(first, others):
            for three in (*others[:3], *others[-12:-4]):
                yield (one, two, *[three] * (count - 2))


def _type_of(kind: str, name: str, args: Sequence[Typed]) -> SqlType:
    if kind == "scalar":
        return bind_call(name, args, rules.ENV).sql_type
    return aggregate_type(name, args)


def _shown(of: SqlType) -> str:
    plain = without_length(of)
    if plain.name == "OTHER" and plain.complex_name:
        return f"COMPLEX<{plain.complex_name}>"
    return "VARCHAR" if plain.name == "CHAR" else str(plain)


# ------------------------------------------------------------------------------------- what no registry has a line for

WINDOW_DOCS = {
    "ROW_NUMBER": "Number of the row in its partition, from 1.",
    "RANK": "1 and the number of rows before the row's peers.",
    "DENSE_RANK": "1 and the number of groups of peers before the row's.",
    "PERCENT_RANK": "(rank - 1) / (rows of the partition - 1).",
    "CUME_DIST": "Share of the partition's rows up to the row's peers.",
    "NTILE": "Number of the row's share when the partition is cut into n equal ones.",
    "LAG": "The value n rows (1) before the row, or a default.",
    "LEAD": "The value n rows (1) behind the row, or a default.",
    "FIRST_VALUE": "The value of the first row of the frame.",
    "LAST_VALUE": "The value of the last row of the frame.",
    "NTH_VALUE": "The value of the n-th row of the frame, NULL where it has fewer; Druid has no such function.",
}
TABLE_DOCS = {
    "EXTERN": "Rows of any input source, read by any input format; EXTEND names its columns.",
    "INLINE": "Rows that stand in the statement.",
    "LOCALFILES": "Rows of files of this machine.",
    "HTTP": "Rows of what web addresses answer.",
    "S3": "Rows of objects of an S3 store.",
    "APPEND": "Rows of several tables, columns by name.",
}
OPERATORS = (
    ("+", "a + b", "BIGINT or DOUBLE or TIMESTAMP", "Sum of numbers, or a time and an interval.", "1 + 2"),
    ("-", "a - b\n-a", "BIGINT or DOUBLE or TIMESTAMP", "Difference, or the negated number.", "1 - -2"),
    ("*", "a * b", "BIGINT or DOUBLE", "Product.", "2 * 3"),
    ("/", "a / b", "BIGINT or DOUBLE", "Quotient; of integers cut toward zero.", "7 / 2"),
    ("||", "a || b", "VARCHAR", "Texts one behind the other.", "'a' || 'b'"),
    ("=", "a = b", "BOOLEAN", "Whether both are equal.", "1 = 1"),
    ("<>", "a <> b\na != b", "BOOLEAN", "Whether both differ.", "1 <> 2"),
    ("<", "a < b", "BOOLEAN", "Whether a comes before b.", "1 < 2"),
    ("<=", "a <= b", "BOOLEAN", "Whether a does not come behind b.", "1 <= 2"),
    (">", "a > b", "BOOLEAN", "Whether a comes behind b.", "1 > 2"),
    (">=", "a >= b", "BOOLEAN", "Whether a does not come before b.", "1 >= 2"),
    ("AND", "a AND b", "BOOLEAN", "Whether both are true.", "1 = 1 AND 2 = 2"),
    ("OR", "a OR b", "BOOLEAN", "Whether one is true.", "1 = 1 OR 2 = 3"),
    ("NOT", "NOT a", "BOOLEAN", "Whether a is false.", "NOT 1 = 2"),
    ("BETWEEN", "a [NOT] BETWEEN [SYMMETRIC] b AND c", "BOOLEAN", "Whether a lies from b to c.", "2 BETWEEN 1 AND 3"),
    ("IN", "a [NOT] IN (b, ...)\na [NOT] IN (SELECT ..)", "BOOLEAN", "Whether a is one of the values.", "1 IN (1, 2)"),
    ("LIKE", "a [NOT] LIKE pattern [ESCAPE c]", "BOOLEAN", "Whether % and _ can be filled.", "'ab' LIKE 'a%'"),
    ("IS NULL", "a IS [NOT] NULL", "BOOLEAN", "Whether there is no value.", "1 IS NOT NULL"),
    ("IS TRUE", "a IS [NOT] TRUE\na IS [NOT] FALSE", "BOOLEAN", "A condition's value, never null.", "(1 = 1) IS TRUE"),
    ("IS DISTINCT FROM", "a IS [NOT] DISTINCT FROM b", "BOOLEAN", "As <>, nulls being equal.", "1 IS DISTINCT FROM 2"),
    ("CASE", "CASE [a] WHEN b THEN c .. [ELSE d] END", "type of the branches", "The first branch that fits.",
     "CASE 1 WHEN 1 THEN 'x' ELSE 'y' END"),
    ("CAST", "CAST(a AS type)", "the type named", "The value as another type.", "CAST('1' AS BIGINT)"),
    ("ARRAY", "ARRAY[a, ...]", "ARRAY", "An array of its elements.", "ARRAY[1, 2]"),
    ("EXISTS", "[NOT] EXISTS (SELECT ..)", "BOOLEAN", "Whether there is a row.", "EXISTS (SELECT 1)"),
)  # fmt: skip
"""(name, signature, result, doc, example over constants)."""
