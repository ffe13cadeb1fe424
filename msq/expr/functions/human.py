"""Sizes as people read them: HUMAN_READABLE_BINARY_BYTE_FORMAT and its kin, native side."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import LONG, STRING
from msq.expr.declare import constant, native
from msq.expr.lower import Lowered, Lowering, convert
from msq.expr.nodes import Call
from msq.expr.registry import LowerRule
from msq.faults import invalid_input

_UNITS = "KMGTPE"
_WIDE_FROM = 5
"""The power of 1024 from which products with a size do not fit in 64 bits."""


def _sized(value: str, digits: int, base: int, unit: str) -> str:
    """SQL of a LONG in powers of `base`: half away from zero at `digits`, a unit's letter and `unit` behind it."""
    tail = f" || ' {unit}'" if unit else ""
    cases = [f"WHEN {value} BETWEEN {1 - base} AND {base - 1} THEN CAST({value} AS VARCHAR){tail}"]
    for power, letter in enumerate(_UNITS, 1):
        number = _binary(value, digits, power) if base == 1024 else _decimal(value, digits, power)
        top = base ** (power + 1) - 1
        suffix = f"{letter}i{unit}" if base == 1024 else f"{letter}{unit}"
        # no LONG goes beyond the last unit
        test = f"BETWEEN {-top} AND {top}" if power < len(_UNITS) else "IS NOT NULL"
        cases.append(f"WHEN {value} {test} THEN CAST({number} AS VARCHAR) || ' {suffix}'")
    return f"(CASE {' '.join(cases)} END)"


def _binary(value: str, digits: int, power: int) -> str:
    unit = 1024**power
    wide = value if power < _WIDE_FROM else f"CAST({value} AS HUGEINT)"
    return _shifted(f"({wide} * {10**digits} + ({value} >> 63 | 1) * {unit // 2}) // {unit}", digits)


def _decimal(value: str, digits: int, power: int) -> str:
    """What lies below a thousandth of the unit is cut off, not rounded."""
    cut = value if power == 1 else f"{value} // {1000 ** (power - 1)}"
    return _shifted(f"({cut} * {10**digits} + ({value} >> 63 | 1) * 500) // 1000", digits)


def _shifted(number: str, digits: int) -> str:
    """A whole number as DECIMAL with its last `digits` behind the point."""
    whole = f"CAST({number} AS DECIMAL(8,0))"
    return f"{whole} * CAST('{10.0**-digits:.{digits}f}' AS DECIMAL({digits},{digits}))" if digits else whole


def _human(base: int, unit: str) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        precision = constant(node, 1, "precision")
        if len(node.args) > 1 and (not isinstance(precision, int) or not 0 <= precision <= 3):
            raise invalid_input(f"Function[{node.function}] given precision[{precision}] must be in the range of [0,3]")
        digits = precision if isinstance(precision, int) else 2
        value = convert(args[0], LONG)
        return Lowered(lowering.once(value, lambda held: _sized(held, digits, base, unit)), STRING)

    return rule


native("human_readable_binary_byte_format", "Bytes in powers of 1024, `1.00 MiB`.", STRING, _human(1024, "B"))
native("human_readable_decimal_byte_format", "Bytes in powers of 1000, `1.05 MB`.", STRING, _human(1000, "B"))
native("human_readable_decimal_format", "A number in powers of 1000, `1.05 M`.", STRING, _human(1000, ""))
