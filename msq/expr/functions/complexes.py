"""Values of COMPLEX types out of texts, both sides."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import STRING, complex_of
from msq.expr.binding import BindEnv, Typed, make
from msq.expr.casting import text_node
from msq.expr.declare import native
from msq.expr.declare_sql import sql
from msq.expr.lower import Lowered, Lowering, convert
from msq.expr.nodes import Call, Literal
from msq.expr.sqltypes import VARCHAR, SqlType, sql_complex
from msq.faults import DruidException

_NAMES = (
    "HLLSketch HLLSketchBuild HLLSketchMerge thetaSketch quantilesDoublesSketch arrayOfDoublesSketch "
    "KllDoublesSketch KllFloatsSketch hyperUnique "
    "serializablePairLongString serializablePairLongLong serializablePairLongDouble serializablePairLongFloat variance "
    "approximateHistogram fixedBucketsHistogram tDigestSketch spectatorHistogram spectatorHistogramTimer "
    "spectatorHistogramDistribution json"
)
KNOWN = {name.lower(): name for name in _NAMES.split()}
"""COMPLEX types that a base64 text may hold, by lower-case name."""
_STORED = {"HLLSketchBuild": "HLLSketch", "HLLSketchMerge": "HLLSketch"}


def _type_name(value: object) -> str:
    """The type a first argument names (`x` or `complex<x>`). Raises for one that is not known."""
    text = str(value)
    inner = text[8:-1] if text.lower().startswith("complex<") else text
    found = KNOWN.get(inner.lower())
    if found is None:
        raise DruidException(
            "Function[complex_decode_base64] first argument must be a valid COMPLEX type name, got unknown COMPLEX "
            f"type [COMPLEX<{inner}>]",
            category="UNCATEGORIZED",
            persona="OPERATOR",
        )
    return _STORED.get(found, found)


def _decode(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    first = node.args[0]
    name = _type_name(first.value if isinstance(first, Literal) else first)
    text = f"rtrim({convert(args[1], STRING)}, '=')"
    padded = f"rpad({text}, CAST((length({text}) + 3) // 4 * 4 AS INTEGER), '=')"
    problem = "encode(py_fail('Function[complex_decode_base64] cannot decode a text: it is no base64'))"
    raw = f"(CASE WHEN {text} IS NOT NULL THEN coalesce(TRY(from_base64({padded})), {problem}) END)"
    return Lowered(f"decode({raw})" if name == "json" else raw, complex_of(name))


native("complex_decode_base64", "A value of a COMPLEX type from its base64 text.", lambda types: None, _decode)


def _bind(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    name = _type_name(args[0].literal_value)
    return make("complex_decode_base64", [text_node(name), args[1]], sql_complex(name), multi_value=False)


sql(
    "DECODE_BASE64_COMPLEX",
    "CHARACTER CHARACTER",
    VARCHAR,
    _bind,
    "A value of a COMPLEX type from base64.",
    literals=(0,),
)
