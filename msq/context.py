"""Query context parameters: each key declared once with type, default, statements and meaning.

Source: reference msq-engine 9, sql-surface 6. Values may come as JSON numbers, booleans or texts of them. A value of
the wrong kind is refused with Druid's legacy context error; unknown keys are kept and ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msq.faults import DruidException, invalid_input


@dataclass(frozen=True)
class ContextKey:
    """One parameter. `kind` decides parsing: int, long, bool, string, bytes, enum, list, json.

    `statements`: letters of S(elect) I(nsert) R(eplace), or A(ll). `choices`: the words of an enum, upper-case
    compared. `check`: answers an error text for a value that has the right kind and is refused all the same.
    """

    name: str
    kind: str
    default: Any
    statements: str
    doc: str
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None
    aliases: tuple[str, ...] = ()


KEYS: dict[str, ContextKey] = {}


def _key(name: str, kind: str, default: Any, statements: str, doc: str, **more: Any) -> None:
    KEYS[name] = ContextKey(name, kind, default, statements, doc, **more)


def _at_least(low: int, text: str) -> Callable[[Any], str | None]:
    return lambda value: None if value is None or value >= low else text.format(value=value)


_key(
    "maxNumTasks", "int", 2, "A", "tasks in all: one controller and maxNumTasks - 1 workers",
    check=_at_least(
        2,
        "MSQ context maxNumTasks [{value}] cannot be less than 2, since at least 1 controller and 1 worker is "
        "necessary",
    ),
)  # fmt: skip
_key("taskAssignment", "enum", "max", "A", "how inputs are split over workers", choices=("max", "auto"))
_key(
    "mode",
    "enum",
    "strict",
    "A",
    "strict: no bad row is tolerated; nonStrict: all are",
    choices=("strict", "nonStrict"),
)
_key("maxParseExceptions", "long", None, "A", "bad rows tolerated; -1 means any number; the default follows mode",
     check=_at_least(-1, "maxParseExceptions [{value}] must be -1 or more"))  # fmt: skip
_key("finalizeAggregations", "bool", True, "A", "whether aggregates end as values rather than as sketches or states")
_key(
    "groupByEnableMultiValueUnnesting",
    "bool",
    True,
    "A",
    "whether grouping by a multi-value column makes one group a value",
)
_key("sqlJoinAlgorithm", "enum", "broadcast", "A", "how joins run", choices=("broadcast", "sortMerge"))
_key("rowsPerSegment", "int", 3_000_000, "IR", "target rows of a segment",
     check=_at_least(1, "rowsPerSegment [{value}] must be 1 or more"))  # fmt: skip
_key("maxRowsInMemory", "int", 100_000, "IR", "rows the segment writer holds before it persists",
     aliases=("rowsInMemory",), check=_at_least(1, "maxRowsInMemory [{value}] must be 1 or more"))  # fmt: skip
_key("maxNumSegments", "int", None, "IR", "most segments of one time chunk",
     check=_at_least(1, "maxNumSegments [{value}] must be 1 or more"))  # fmt: skip
_key("indexSpec", "json", None, "IR", "index spec of written segments")
_key("segmentSortOrder", "list", (), "IR", "leading columns of the order inside a segment")
_key("forceSegmentSortByTime", "bool", True, "IR", "keep __time first in the order inside a segment")
_key("arrayIngestMode", "enum", "array", "IR", "store VARCHAR arrays as arrays or as multi-value strings",
     choices=("array", "mvd"))  # fmt: skip
_key("useAutoColumnSchemas", "bool", False, "IR", "write every dimension as an auto column")
_key("skipTypeVerification", "list", (), "IR", "columns that may mix arrays and multi-value strings")
_key("failOnEmptyInsert", "bool", False, "IR", "fail when there are no rows")
_key("storeCompactionState", "bool", False, "R", "write lastCompactionState into the segments")
_key("waitUntilSegmentsLoad", "bool", False, "IR", "end only when the segments can be queried")
_key("useConcurrentLocks", "bool", False, "IR", "APPEND and REPLACE locks instead of SHARED and EXCLUSIVE")
_key("taskLockType", "enum", None, "IR", "lock of the task", choices=("EXCLUSIVE", "SHARED", "APPEND", "REPLACE"))
_key("includeSegmentSource", "enum", "NONE", "A", "read streaming tasks too", choices=("NONE", "REALTIME"))
_key("selectDestination", "enum", "taskReport", "S", "where rows of a SELECT go",
     choices=("taskReport", "durableStorage"))  # fmt: skip
_key("rowsPerPage", "int", 100_000, "S", "target rows of a result page or export file",
     check=_at_least(1, "rowsPerPage [{value}] must be 1 or more"))  # fmt: skip
_key("sqlOuterLimit", "int", None, "S", "wraps the SELECT in a LIMIT")
_key("executionMode", "enum", None, "S", "of the statements API", choices=("SYNC", "ASYNC"))
_key("durableShuffleStorage", "bool", False, "A", "stage outputs in durable storage")
_key("faultTolerance", "bool", False, "A", "start failed workers again")
_key("maxConcurrentStages", "int", 1, "A", "stages that may run at once",
     check=_at_least(1, "maxConcurrentStages [{value}] must be 1 or more"))  # fmt: skip
_key("clusterStatisticsMergeMode", "enum", "SEQUENTIAL", "A", "how key statistics are merged",
     choices=("SEQUENTIAL", "PARALLEL", "AUTO"))  # fmt: skip
_key("sketchEncoding", "enum", "OCTET_STREAM", "A", "encoding of key statistics", choices=("OCTET_STREAM", "JSON"))
_key("maxFrameSize", "bytes", 1_000_000, "A", "largest frame, hence the largest row, in bytes",
     check=_at_least(1_000, "maxFrameSize [{value}] must be 1000 bytes or more"))  # fmt: skip
_key("maxThreads", "int", None, "A", "lowers a worker's threads",
     check=_at_least(1, "maxThreads [{value}] must be 1 or more"))  # fmt: skip
_key("targetPartitionsPerWorker", "int", None, "A", "partitions of adjustable shuffles for each worker",
     check=_at_least(1, "targetPartitionsPerWorker [{value}] must be 1 or more"))  # fmt: skip
_key("maxInputFilesPerWorker", "int", 10_000, "A", "most files or segments of one worker",
     check=_at_least(1, "maxInputFilesPerWorker [{value}] must be a positive integer"))  # fmt: skip
_key("maxInputBytesPerWorker", "bytes", 512 << 20, "A", "weighted bytes of one worker with taskAssignment auto")
_key("maxPartitions", "int", 25_000, "A", "most partitions of a stage",
     check=_at_least(1, "maxPartitions [{value}] must be 1 or more"))  # fmt: skip
_key("maxClusteredByColumns", "int", 1_500, "A", "most key columns of a stage",
     check=_at_least(1, "maxClusteredByColumns [{value}] must be 1 or more"))  # fmt: skip
_key("maxRowsMaterializedInWindow", "int", 100_000, "A", "most rows of one window partition",
     check=_at_least(1, "maxRowsMaterializedInWindow [{value}] must be 1 or more"))  # fmt: skip
_key("windowFunctionOperatorTransformation", "bool", True, "A", "windows as glueing partitions and partition sorts")
_key("removeNullBytes", "bool", False, "A", "strip NUL characters instead of failing")
_key("includeAllCounters", "bool", True, "A", "print counters beyond the basic four kinds")
_key("liveReportCounters", "bool", True, "A", "print counters in live reports")
_key("useCombiner", "bool", False, "A", "combine equal keys while sorting")
_key("rowBasedFrameType", "int", 19, "A", "frame encoding of a real Druid; kept for reports")
_key("backgroundFetchExternalFiles", "bool", True, "A", "fetch remote files ahead")
_key("segmentLoadAheadCount", "int", None, "A", "segments fetched ahead")
_key("virtualStoragePartialDownloadsEnabled", "bool", None, "A", "partial downloads of a real Druid; no effect here")
_key("secondaryPartitionPruning", "bool", True, "A", "prune range segments by the filter")
_key("timeout", "long", None, "A", "ms after which the query is cancelled")
_key("priority", "int", 50, "A", "task and lock priority")
_key("sqlTimeZone", "string", "UTC", "A", "time zone of the session")
_key("sqlStringifyArrays", "bool", True, "A", "print arrays as JSON texts")
_key("useApproximateCountDistinct", "bool", True, "A", "COUNT(DISTINCT) by a sketch")
_key("sqlQueryId", "string", None, "A", "id of the query; the task is query-<sqlQueryId>")
_key("queryId", "string", None, "A", "native id of the query")
_key("sqlCurrentTimestamp", "string", None, "A", "the time that CURRENT_TIMESTAMP answers")

FORBIDDEN = (
    "sqlInsertSegmentGranularity", "sqlReplaceTimeChunks", "timestampResultField", "timestampResultFieldGranularity",
    "timestampResultFieldInOriginalDimensions", "minTimeArrayOutputName", "maxTimeArrayOutputName", "__timeColumn",
    "__exportFileFormat", "isReindex", "__resultFormat",
)  # fmt: skip
"""Keys that only the engine may set."""

_KIND_WORDS = {"int": "integer", "long": "long", "bool": "boolean", "string": "string", "bytes": "human readable"}
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "P": 1000**5}
_BINARY_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def parse_bytes(value: Any) -> int:
    """Bytes of `100`, `"2GiB"`, `"512m"`. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    m = re.fullmatch(r"\s*(\d+)\s*([KMGTP]?)(I?)B?\s*", str(value).upper())
    if m is None:
        raise ValueError(f"Cannot parse byte size [{value}]: expected a number with an optional unit such as 512MiB")
    return int(m[1]) * (_BINARY_UNITS[m[2]] if m[3] and m[2] else _UNITS[m[2]])


class QueryContext(Mapping[str, Any]):
    """The merged context of one statement: raw values by key, and `get_value` for parsed ones."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = dict(raw)

    def __getitem__(self, key: str) -> Any:
        return self._raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def raw(self) -> dict[str, Any]:
        return dict(self._raw)

    def value(self, name: str) -> Any:
        """The parsed value of a declared key, its default when absent or null.

        Raises DruidException (legacy context error) for a value of the wrong kind, KeyError for an undeclared key.
        """
        key = KEYS[name]
        for word in (name, *key.aliases):
            if self._raw.get(word) is not None:
                return parse_value(key, self._raw[word])
        return key.default

    @property
    def max_parse_exceptions(self) -> int:
        """maxParseExceptions, or what `mode` implies: 0 for strict, -1 for nonStrict."""
        given = self.value("maxParseExceptions")
        if given is not None:
            return int(given)
        return 0 if self.value("mode") == "strict" else -1

    def validate(self) -> None:
        """Parses and checks every declared key that is present. Raises DruidException."""
        for name in KEYS:
            value = self.value(name)
            check = KEYS[name].check
            problem = check(value) if check is not None and self._present(name) else None
            if problem:
                raise invalid_input(problem)

    def _present(self, name: str) -> bool:
        return any(self._raw.get(word) is not None for word in (name, *KEYS[name].aliases))


def legacy_context_error(message: str) -> DruidException:
    """Druid's older error for a context value of the wrong kind (msq-engine 1.1)."""
    return DruidException(
        message,
        error="Query context parse failed",
        error_code="legacyQueryException",
        persona="OPERATOR",
        error_class="org.apache.druid.query.BadQueryContextException",
    )


def parse_value(key: ContextKey, value: Any) -> Any:
    """`value` as the key's kind wants it. Raises DruidException."""
    try:
        return _PARSERS[key.kind](key, value)
    except (ValueError, TypeError, RecursionError) as error:
        if key.kind == "enum":
            choices = ",".join(choice.upper() for choice in key.choices)
            raise legacy_context_error(
                f"Expected key [{key.name}] to be referring to one of the values [{choices}], but got [{value}]"
            ) from error
        if key.kind in ("list", "json"):
            raise invalid_input(f"Context parameter [{key.name}] cannot be parsed: {error}") from error
        raise legacy_context_error(
            f"Expected key [{key.name}] to be in {_KIND_WORDS[key.kind]} format, but got [{value}]"
        ) from error


def _parse_int(key: ContextKey, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _parse_bool(key: ContextKey, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.strip().lower() == "true"
    raise ValueError(value)


def _parse_string(key: ContextKey, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _parse_enum(key: ContextKey, value: Any) -> str:
    for choice in key.choices:
        if str(value).upper() == choice.upper():
            return choice
    raise ValueError(value)


def _parse_list(key: ContextKey, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [v.strip() for v in text.split(",") if v.strip()]
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(value)
    return tuple(value)


def _parse_json(key: ContextKey, value: Any) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError(f"[{value}] is no JSON object")
    return found


_PARSERS: dict[str, Callable[[ContextKey, Any], Any]] = {
    "int": _parse_int, "long": _parse_int, "bool": _parse_bool, "string": _parse_string, "enum": _parse_enum,
    "bytes": lambda key, value: parse_bytes(value), "list": _parse_list, "json": _parse_json,
}  # fmt: skip
