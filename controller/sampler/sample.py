"""What the sampler answers: rows as read and as parsed, and the columns that were found. Source: http-api N-10."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.sampler.records import Record, records
from msq.expr.kernels.joda import parse_time
from msq.faults import DruidException, invalid_input
from msq.formats import parse_input_format
from msq.intervals import parse_instant
from msq.sources.base import SourceAccess, parse_input_source

DEFAULT_ROWS, MAX_ROWS = 500, 5_000
_TYPES = {"string": "STRING", "long": "LONG", "double": "DOUBLE", "float": "FLOAT", "json": "COMPLEX<json>"}


@dataclass(frozen=True)
class SampleSpec:
    """The parts of a sampler request that matter."""

    source: Any
    format: Any
    time_column: str
    time_format: str
    missing: str | None
    dimensions: tuple[Mapping[str, Any], ...]
    discover: bool
    rows: int

    @staticmethod
    def of(body: Mapping[str, Any]) -> SampleSpec:
        """Raises DruidException for a request of the wrong shape, and for what a sample cannot do."""
        spec = _part(body, "spec")
        io_config, schema = _part(spec, "ioConfig"), _part(spec, "dataSchema")
        for name, key in (("transformSpec", "transforms"), ("transformSpec", "filter")):
            if (schema.get(name) or {}).get(key):
                raise invalid_input(f"The sampler does not apply [{name}.{key}] yet")
        if io_config.get("inputSource") is None:
            raise invalid_input("[spec.ioConfig.inputSource] is missing")
        time, dims = schema.get("timestampSpec") or {}, schema.get("dimensionsSpec") or {}
        listed = tuple({"type": "string", "name": d} if isinstance(d, str) else d for d in dims.get("dimensions") or ())
        rows = (body.get("samplerConfig") or {}).get("numRows", DEFAULT_ROWS)
        return SampleSpec(
            io_config["inputSource"], io_config.get("inputFormat") or {"type": "json"}, time.get("column", "timestamp"),
            time.get("format", "auto"), time.get("missingValue"), listed,
            bool(dims.get("useSchemaDiscovery")) or not listed, min(max(int(rows), 0), MAX_ROWS),
        )  # fmt: skip


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise invalid_input(f"[{key}] is missing, or is no object")
    return part


def sample(spec: SampleSpec, access: SourceAccess) -> dict[str, Any]:
    """The answer. Raises DruidException when the source cannot be read."""
    try:
        found = records(parse_input_source(spec.source), parse_input_format(spec.format), access, spec.rows)
    except DruidException:
        raise
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise invalid_input(f"Failed to sample data: {error}") from error
    dimensions = _dimensions(spec, found)
    data = [_row(spec, dimensions, record) for record in found]
    described = [_described(name, kind) for name, kind in dimensions.items()]
    schema = [{"name": "__time", "type": "LONG"}, *({"name": n, "type": k} for n, k in dimensions.items())]
    return {
        "numRowsRead": len(found), "numRowsIndexed": sum("parsed" in row for row in data),
        "logicalDimensions": described, "physicalDimensions": described, "logicalSegmentSchema": schema, "data": data,
    }  # fmt: skip


# -- columns -----------------------------------------------------------------------------------------------------------


def _dimensions(spec: SampleSpec, found: Sequence[Record]) -> dict[str, str]:
    """Native types by name: those that were declared, then those that the rows show."""
    out = {d["name"]: _declared(d) for d in spec.dimensions if d.get("name") != "__time"}
    if spec.discover:
        rows = [r.row for r in found if r.row is not None]
        for name in dict.fromkeys(name for row in rows for name in row):
            if name not in out and name not in ("__time", spec.time_column):
                out[name] = type_of([row.get(name) for row in rows])
    return out


def _declared(dimension: Mapping[str, Any]) -> str:
    kind = str(dimension.get("type", "string"))
    return str(dimension.get("castToType") or _TYPES.get(kind, "STRING"))


def type_of(values: Sequence[Any]) -> str:
    """The native type that holds all of the values; STRING when there is none."""
    kinds = {_kind(v) for v in values if v is not None}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds and kinds <= {"LONG", "DOUBLE"}:
        return "DOUBLE"
    if "COMPLEX<json>" in kinds:
        return "COMPLEX<json>"
    if any(k.startswith("ARRAY") for k in kinds):
        inner = {k.removeprefix("ARRAY<").removesuffix(">") for k in kinds}
        return "ARRAY<DOUBLE>" if inner <= {"LONG", "DOUBLE"} else "ARRAY<STRING>"
    return "STRING"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "LONG"
    if isinstance(value, int):
        return "LONG"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, dict):
        return "COMPLEX<json>"
    if isinstance(value, list):
        if any(isinstance(v, (dict, list)) for v in value):
            return "COMPLEX<json>"
        return f"ARRAY<{type_of(value)}>"
    return "STRING"


def _described(name: str, kind: str) -> dict[str, Any]:
    types = {native: short for short, native in _TYPES.items()}
    return {
        "type": types.get(kind, "auto"), "name": name, "multiValueHandling": "SORTED_ARRAY",
        "createBitmapIndex": kind == "STRING",
    }  # fmt: skip


# -- rows --------------------------------------------------------------------------------------------------------------


def _row(spec: SampleSpec, dimensions: Mapping[str, str], record: Record) -> dict[str, Any]:
    if record.row is None:
        return {"input": {"raw": record.raw}, "unparseable": True, "error": record.error}
    try:
        time = _time(spec, record.row.get(spec.time_column))
    except ValueError as error:
        return {"input": record.row, "unparseable": True, "error": str(error)}
    parsed = {name: _cast(record.row.get(name), kind) for name, kind in dimensions.items()}
    return {"input": record.row, "parsed": {"__time": time, **parsed}}


def _time(spec: SampleSpec, value: Any) -> int:
    """ms of a row's time. Raises ValueError where there is none."""
    text = spec.missing if value is None else value
    if text is None:
        raise ValueError(f"Timestamp[null] is unparseable: column [{spec.time_column}] has no value")
    try:
        # a default stands in ISO form whatever the column's format is
        return parse_instant(str(text)) if value is None else _instant(spec.time_format, text)
    except (ValueError, OverflowError):
        raise ValueError(f"Timestamp[{text}] is unparseable in format [{spec.time_format}]") from None


def _instant(form: str, value: Any) -> int:
    scale = {"millis": 1, "posix": 1_000}.get(form)
    if scale is not None:
        return int(float(value) * scale)
    if form == "nano" or form == "micro":
        return int(value) // (1_000_000 if form == "nano" else 1_000)
    if form == "auto" and (isinstance(value, (int, float)) or str(value).lstrip("-").isdigit()):
        return int(value)
    if form in ("auto", "iso"):
        return parse_instant(str(value))
    found = parse_time(str(value), form, "UTC")
    if found is None:
        raise ValueError(value)
    return found


def _cast(value: Any, kind: str) -> Any:
    """The value as the column's type holds it; null where it cannot."""
    if value is None or kind.startswith("COMPLEX"):
        return value
    if kind.startswith("ARRAY<"):
        element = kind[6:-1]
        return [_cast(v, element) for v in (value if isinstance(value, list) else [value])]
    if isinstance(value, list) and kind == "STRING":
        return [_cast(v, kind) for v in value]
    try:
        if kind == "LONG":
            return int(float(value)) if not isinstance(value, int) else int(value)
        if kind in ("DOUBLE", "FLOAT"):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if isinstance(value, str) else json.dumps(value)
