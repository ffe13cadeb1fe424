"""Parts of native batch specs as SQL: times, dimensions, metrics, granularities. What has no SQL is refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msq.faults import DruidException, invalid_input
from msq.intervals import STANDARD_PERIODS, Granularity, Interval, format_instant, parse_instant

Json = Mapping[str, Any]

_KINDS = {"string": "VARCHAR", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE", "json": "TYPE('COMPLEX<json>')"}
_CASTS = {
    "STRING": "VARCHAR", "LONG": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE", "ARRAY<STRING>": "VARCHAR ARRAY",
    "ARRAY<LONG>": "BIGINT ARRAY", "ARRAY<DOUBLE>": "DOUBLE ARRAY",
}  # fmt: skip
_NUMBERS = {"long": "BIGINT", "float": "FLOAT", "double": "DOUBLE"}
CASTABLE = frozenset({"VARCHAR", "BIGINT", "FLOAT", "DOUBLE"})
_FOLDS = {"Sum": "SUM", "Min": "MIN", "Max": "MAX"}
_DIVIDED = {"millis": "{}", "posix": "{} * 1000", "micro": "{} / 1000", "nano": "{} / 1000000"}


def unsupported(what: str, advice: str = "") -> DruidException:
    """501 that names the part of a spec that is not supported."""
    tail = f" {advice}" if advice else ""
    return DruidException(f"{what} is not supported in this task.{tail}", error_code="general", category="UNSUPPORTED")


def part(value: Json, key: str, where: str, required: bool = False) -> Json:
    """An object of a spec; empty where it is null. Raises DruidException (400) for another value."""
    found = value.get(key)
    if found is None and not required:
        return {}
    if not isinstance(found, Mapping):
        raise invalid_input(f"[{where}.{key}] is missing, or is no object")
    return found


def text_of(value: Json, key: str, where: str, default: str | None = None) -> str:
    found = value.get(key, default)
    if not isinstance(found, str) or not found:
        raise invalid_input(f"[{where}.{key}] must be a text")
    return found


def only(value: Json, known: Iterable[str], where: str) -> None:
    """Raises DruidException (501) for a key that says something and is not known."""
    for key in sorted(value.keys() - set(known)):
        if value[key] not in (None, [], {}, False):
            raise unsupported(f"[{where}.{key}]")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def instant(ms: int) -> str:
    """A SQL timestamp literal."""
    return f"TIMESTAMP '{format_instant(ms)[:-1].replace('T', ' ')}'"


def within(intervals: Sequence[Interval]) -> str:
    """The condition that `__time` lies in one of them."""
    return " OR ".join(
        f'("__time" >= {instant(i.start)} AND "__time" < {instant(i.end)})' for i in intervals
    )  # fmt: skip


# -- time --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeColumn:
    """Where rows have their time: the column, its SQL type, and the expression that makes a TIMESTAMP of it."""

    name: str
    sql_type: str
    expression: str

    @staticmethod
    def of(spec: Json) -> TimeColumn:
        """A `timestampSpec`."""
        only(spec, ("column", "format", "missingValue"), "timestampSpec")
        name = text_of(spec, "column", "timestampSpec", "timestamp")
        form = text_of(spec, "format", "timestampSpec", "auto")
        column = quoted(name)
        if form in _DIVIDED:
            kind, made = "BIGINT", f"MILLIS_TO_TIMESTAMP({_DIVIDED[form].format(column)})"
        elif form == "auto":
            kind = "VARCHAR"
            made = (
                f"CASE WHEN REGEXP_LIKE({column}, '^-?[0-9]+$') THEN MILLIS_TO_TIMESTAMP(CAST({column} AS BIGINT)) "
                f"ELSE TIME_PARSE({column}) END"
            )
        elif form == "ruby":
            raise unsupported("[timestampSpec.format] ruby")
        else:
            kind = "VARCHAR"
            made = f"TIME_PARSE({column})" if form == "iso" else f"TIME_PARSE({column}, {literal(form)})"
        if spec.get("missingValue") is not None:
            try:
                missing = parse_instant(str(spec["missingValue"]))
            except ValueError as error:
                raise invalid_input(f"[timestampSpec.missingValue] is no time: {error}") from None
            made = f"COALESCE({made}, {instant(missing)})"
        return TimeColumn(name, kind, made)


# -- columns -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dimension:
    """A column that is stored as it is read. cast: it is read as another type."""

    name: str
    sql_type: str
    cast: bool = False

    @property
    def expression(self) -> str:
        column = quoted(self.name)
        return f"CAST({column} AS {self.sql_type}) AS {column}" if self.cast else column

    @staticmethod
    def of(value: Any) -> Dimension:
        if isinstance(value, str):
            return Dimension(value, "VARCHAR")
        if not isinstance(value, Mapping):
            raise invalid_input("A dimension must be a name or an object")
        name = text_of(value, "name", "dimensions")
        where = f"dimensions.{name}"
        only(value, ("name", "type", "multiValueHandling", "createBitmapIndex", "castToType", "formatVersion"), where)
        kind = value.get("type") or "string"
        if str(value.get("multiValueHandling") or "SORTED_ARRAY").upper() == "SORTED_SET":
            raise unsupported(f"[{where}.multiValueHandling] SORTED_SET")
        if kind == "auto":
            made = _CASTS.get(str(value.get("castToType")).upper())
            if made is None:
                raise unsupported(
                    f"[{where}] of type auto without a [castToType] of [{', '.join(_CASTS)}]", "Name the type."
                )
            return Dimension(name, made)
        if kind not in _KINDS:
            raise unsupported(f"[{where}.type] {kind}", f"Known types are [{', '.join([*_KINDS, 'auto'])}].")
        if kind == "string" and value.get("createBitmapIndex") is False:
            raise unsupported(f"[{where}.createBitmapIndex] false of a string")
        return Dimension(name, _KINDS[kind])


@dataclass(frozen=True)
class Metric:
    """A stored aggregate: of a group of rows, and of a single row (None where there is none).

    field, sql_type: the column it reads, and as what that is declared; None for count.
    """

    name: str
    field: str | None
    sql_type: str
    grouped: str
    single: str | None

    @staticmethod
    def of(value: Any) -> Metric:
        if not isinstance(value, Mapping):
            raise invalid_input("A metric must be an object")
        name, kind = text_of(value, "name", "metricsSpec"), text_of(value, "type", "metricsSpec")
        where = f"metricsSpec.{name}"
        if kind == "count":
            only(value, ("name", "type"), where)
            return Metric(name, None, "BIGINT", "COUNT(*)", "CAST(1 AS BIGINT)")
        number = next((n for n in _NUMBERS if kind.startswith(n) and kind[len(n) :] in _FOLDS), None)
        if number is not None:
            only(value, ("name", "type", "fieldName"), where)
            field = text_of(value, "fieldName", where)
            single = f"CAST({quoted(field)} AS {_NUMBERS[number]})"
            fold = f"{_FOLDS[kind[len(number) :]]}({single})"
            # a sum of floats is a double
            grouped = f"CAST({fold} AS FLOAT)" if number == "float" else fold
            return Metric(name, field, _NUMBERS[number], grouped, single)
        return _sketch(value, name, kind, where)


def _sketch(value: Json, name: str, kind: str, where: str) -> Metric:
    """One of the sketches that SQL builds."""
    if kind == "HLLSketchBuild":
        only(value, ("name", "type", "fieldName", "lgK", "tgtHllType", "round", "shouldFinalize"), where)
        more = f", {_whole(value, 'lgK', 12, where)}, {literal(str(value.get('tgtHllType') or 'HLL_4'))}"
        made, sql_type = "DS_HLL", "VARCHAR"
    elif kind == "thetaSketch":
        only(value, ("name", "type", "fieldName", "size", "shouldFinalize"), where)
        more, made, sql_type = f", {_whole(value, 'size', 16_384, where)}", "DS_THETA", "VARCHAR"
    elif kind == "quantilesDoublesSketch":
        only(value, ("name", "type", "fieldName", "k", "maxStreamLength", "shouldFinalize"), where)
        more, made, sql_type = f", {_whole(value, 'k', 128, where)}", "DS_QUANTILES_SKETCH", "DOUBLE"
    elif kind == "tDigestSketch":
        only(value, ("name", "type", "fieldName", "compression"), where)
        more, made, sql_type = f", {_whole(value, 'compression', 100, where)}", "TDIGEST_GENERATE_SKETCH", "DOUBLE"
    else:
        known = [f"{n}{f}" for n in _NUMBERS for f in _FOLDS]
        sketches = ["HLLSketchBuild", "thetaSketch", "quantilesDoublesSketch", "tDigestSketch"]
        raise unsupported(f"[{where}.type] {kind}", f"Known types are [{', '.join(['count', *known, *sketches])}].")
    field = text_of(value, "fieldName", where)
    return Metric(name, field, sql_type, f"{made}({quoted(field)}{more})", None)


def _whole(value: Json, key: str, default: int, where: str) -> int:
    found = value.get(key)
    if found is None:
        return default
    if type(found) is not int or found < 1:
        raise invalid_input(f"[{where}.{key}] must be a whole number from 1 on, but is [{found}]")
    return found


# -- granularities -----------------------------------------------------------------------------------------------------


def granularity(value: Any, where: str) -> Granularity:
    """Raises DruidException: 400 for what is none, 501 for one of a time zone or origin of its own."""
    if isinstance(value, Mapping):
        only(value, ("type", "period"), where)
        if value.get("type") == "duration":
            raise unsupported(f"[{where}] of type duration")
    try:
        return Granularity.from_json(value)
    except (ValueError, KeyError, TypeError) as error:
        raise invalid_input(f"[{where}] is no granularity: {error}") from None


def partitioned_by(made: Granularity) -> str:
    if made.name == "NONE":
        raise unsupported("[granularitySpec.segmentGranularity] none")
    return "ALL TIME" if made.is_all else f"TIME_FLOOR(__time, '{_period(made)}')"


def floored(time: str, made: Granularity) -> str:
    """A time cut to a query granularity."""
    if made.is_all:
        raise unsupported("[granularitySpec.queryGranularity] all")
    return time if made.name == "NONE" else f"TIME_FLOOR({time}, '{_period(made)}')"


def _period(made: Granularity) -> str:
    return str(made.period_text if made.name == "PERIOD" else STANDARD_PERIODS[made.name])
