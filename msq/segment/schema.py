"""What a segment stores: dimensions in order, metrics, roll-up, granularity, codecs; read from a `dataSchema`.

Owns the meaning of Druid's `dataSchema` and `indexSpec` JSON for a writer. Knows nothing of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msq.datatypes import DOUBLE, FLOAT, JSON, LONG, STRING, ColumnType, complex_of
from msq.segment.nullable import SPECTATOR_TYPES

TIME = "__time"

_DIMENSION_TYPES = {"string": STRING, "long": LONG, "float": FLOAT, "double": DOUBLE}

# aggregator type -> the type its intermediate values are stored as
_STORED: dict[str, ColumnType] = {
    "count": LONG,
    **{f"{kind}{what}": column for kind, column in (("long", LONG), ("double", DOUBLE), ("float", FLOAT))
       for what in ("Sum", "Min", "Max", "Any")},
    **{f"{kind}{what}": complex_of(f"serializablePairLong{kind.capitalize()}")
       for kind in ("long", "double", "float", "string") for what in ("First", "Last")},
    "hyperUnique": complex_of("hyperUnique"),
    "cardinality": complex_of("hyperUnique"),
    **{f"HLLSketch{what}": complex_of("HLLSketch") for what in ("Build", "Merge")},
    "thetaSketch": complex_of("thetaSketch"),
    "arrayOfDoublesSketch": complex_of("arrayOfDoublesSketch"),
    "variance": complex_of("variance"),
    "varianceFold": complex_of("variance"),
    "approxHistogram": complex_of("approximateHistogram"),
    "approxHistogramFold": complex_of("approximateHistogram"),
    **{name: complex_of(name) for name in ("fixedBucketsHistogram", "tDigestSketch", *SPECTATOR_TYPES)},
    **{f"{name}{what}": complex_of(name) for what in ("", "Merge")
       for name in ("quantilesDoublesSketch", "KllDoublesSketch", "KllFloatsSketch")},
}  # fmt: skip

# aggregators whose intermediate values are plain text
_TEXT_AGGREGATORS = ("stringAny",)

# names of intermediate types of a query -> the name the column carries at rest
_AT_REST = {
    "HLLSketchBuild": "HLLSketch", "HLLSketchMerge": "HLLSketch", "HLLSketchUnion": "HLLSketch",
    "thetaSketchBuild": "thetaSketch", "thetaSketchMerge": "thetaSketch",
    "quantilesDoublesSketchMerge": "quantilesDoublesSketch",
    "arrayOfDoublesSketchBuild": "arrayOfDoublesSketch", "arrayOfDoublesSketchMerge": "arrayOfDoublesSketch",
}  # fmt: skip


def stored_complex_type(name: str) -> ColumnType:
    """The type at rest of a complex type that a query names (`HLLSketchMerge` is stored as `HLLSketch`)."""
    return complex_of(_AT_REST.get(name, name))


@dataclass(frozen=True)
class DimensionSchema:
    """One dimension. `kind` is string, long, float, double, auto or json.

    `type` is the type rows arrive in; for `auto` without a cast it is None and follows the data. A `string` whose rows
    hold several values is sorted in each row when `multi_value_handling` is SORTED_ARRAY, made a set by SORTED_SET and
    kept by ARRAY.
    """

    name: str
    kind: str
    type: ColumnType | None
    multi_value_handling: str = "SORTED_ARRAY"
    create_bitmap_index: bool = True
    cast_to_type: ColumnType | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any] | str) -> DimensionSchema:
        if isinstance(value, str):
            return DimensionSchema(value, "string", STRING)
        kind, name = value.get("type", "string"), value["name"]
        cast = ColumnType.parse(value["castToType"]) if value.get("castToType") else None
        if kind == "json":
            column: ColumnType | None = JSON
        elif kind == "auto":
            column = cast
        elif kind in _DIMENSION_TYPES:
            column = _DIMENSION_TYPES[kind]
        else:
            raise ValueError(f"Dimension [{name}] of type [{kind}] cannot be stored: known are string, long, float, "
                             "double, auto and json")  # fmt: skip
        handling = (value.get("multiValueHandling") or "SORTED_ARRAY").upper()
        if handling not in ("SORTED_ARRAY", "SORTED_SET", "ARRAY"):
            raise ValueError(f"Dimension [{name}] has an unknown multiValueHandling [{handling}]")
        bitmap = value.get("createBitmapIndex", kind == "string")
        return DimensionSchema(name, kind, column, handling, bool(bitmap), cast)


@dataclass(frozen=True)
class MetricSchema:
    """One metric: the aggregator as the generator's `metricsSpec` says it and `metadata.drd` keeps it, and the type of
    its stored values."""

    name: str
    aggregator: dict[str, Any]
    type: ColumnType

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> MetricSchema:
        kind = value["type"]
        if kind == "passthrough":
            return MetricSchema(value["columnName"], dict(value), stored_complex_type(value["complexTypeName"]))
        if kind not in _STORED:
            raise ValueError(f"Metric [{value.get('name')}] of aggregator type [{kind}] cannot be stored in a segment")
        return MetricSchema(value["name"], dict(value), _STORED[kind])


@dataclass(frozen=True)
class IndexSpec:
    """Codecs and encodings of a segment's columns (Druid's `indexSpec`, with its defaults)."""

    dimension_compression: str = "lz4"
    metric_compression: str = "lz4"
    complex_metric_compression: str | None = None
    json_compression: str = "lz4"
    long_encoding: str = "longs"
    string_dictionary: Mapping[str, Any] = field(default_factory=lambda: {"type": "utf8"})

    @staticmethod
    def from_json(value: Mapping[str, Any] | None) -> IndexSpec:
        """Raises ValueError, naming the key, for what cannot be written."""
        value = value or {}
        bitmap = (value.get("bitmap") or {}).get("type", "roaring")
        if bitmap != "roaring":
            raise ValueError(f"indexSpec bitmap [{bitmap}] is not supported: use [roaring]")
        found = {}
        for key, default, allowed in (
            ("dimensionCompression", "lz4", ("lz4", "zstd", "uncompressed")),
            ("metricCompression", "lz4", ("lz4", "zstd", "uncompressed", "none")),
            ("jsonCompression", "lz4", ("lz4", "zstd", "uncompressed")),
            ("longEncoding", "longs", ("longs", "auto")),
        ):
            word = str(value.get(key) or default).lower()
            if word not in allowed:
                raise ValueError(f"indexSpec {key} [{word}] is not supported: use one of [{', '.join(allowed)}]")
            found[key] = word
        encoding = dict(value.get("stringDictionaryEncoding") or {"type": "utf8"})
        if encoding.get("type") not in ("utf8", "frontCoded"):
            raise ValueError(f"indexSpec stringDictionaryEncoding [{encoding.get('type')}] is not supported")
        bucket, version = encoding.get("bucketSize", 4), encoding.get("formatVersion", 1)
        if bucket not in (1, 2, 4, 8, 16, 32, 64, 128) or version not in (0, 1):
            raise ValueError(
                f"indexSpec frontCoded with bucketSize [{bucket}], formatVersion [{version}] is not supported"
            )
        return IndexSpec(
            found["dimensionCompression"], found["metricCompression"], None, found["jsonCompression"],
            found["longEncoding"], encoding,
        )  # fmt: skip


@dataclass(frozen=True)
class SegmentSchema:
    """The columns of a segment besides `__time`, and how its rows are ordered.

    `time_position` is the place of `__time` among the dimensions in the sort order: 0 in all segments but those made
    with `forceSegmentSortByTime=false`.
    """

    dimensions: tuple[DimensionSchema, ...]
    metrics: tuple[MetricSchema, ...] = ()
    rollup: bool = False
    query_granularity: Any = field(default_factory=lambda: {"type": "none"})
    time_position: int = 0
    index_spec: IndexSpec = field(default_factory=IndexSpec)
    datasource: str = ""

    @staticmethod
    def from_data_schema(data_schema: Mapping[str, Any], index_spec: Mapping[str, Any] | None = None) -> SegmentSchema:
        """The schema that a `segmentGenerator`'s `dataSchema` and its tuning's `indexSpec` describe.

        An aggregate that is plain text becomes the last dimension: V9 knows no metric of strings. Raises ValueError
        naming the column or key that cannot be stored.
        """
        listed = tuple(DimensionSchema.from_json(d) for d in data_schema["dimensionsSpec"]["dimensions"])
        position = next((i for i, d in enumerate(listed) if d.name == TIME), 0)
        specs = data_schema.get("metricsSpec") or ()
        dimensions = (
            *(d for d in listed if d.name != TIME),
            *(DimensionSchema(m["name"], "string", STRING, "ARRAY") for m in specs if m["type"] in _TEXT_AGGREGATORS),
        )
        metrics = tuple(MetricSchema.from_json(m) for m in specs if m["type"] not in _TEXT_AGGREGATORS)
        names = [d.name for d in dimensions] + [m.name for m in metrics]
        for name in names:
            if names.count(name) > 1 or name == TIME:
                raise ValueError(f"Column [{name}] appears twice in the segment's schema")
            if any(c in name for c in ",\n\r"):
                raise ValueError(f"Column [{name}] cannot be stored: its name holds a comma or a line break")
        granularity = data_schema.get("granularitySpec") or {}
        return SegmentSchema(
            dimensions=dimensions,
            metrics=metrics,
            rollup=bool(granularity.get("rollup", False)),
            query_granularity=granularity.get("queryGranularity") or {"type": "none"},
            time_position=position,
            index_spec=IndexSpec.from_json(index_spec),
            datasource=data_schema.get("dataSource", ""),
        )

    @property
    def column_names(self) -> tuple[str, ...]:
        """`__time`, the dimensions in order, then the metrics in order."""
        return (TIME, *(d.name for d in self.dimensions), *(m.name for m in self.metrics))

    @property
    def sort_names(self) -> tuple[str, ...]:
        """The columns that rows are ordered by, first one first."""
        names = [d.name for d in self.dimensions]
        names.insert(self.time_position, TIME)
        return tuple(names)

    @property
    def stored_metrics(self) -> tuple[MetricSchema, ...]:
        """The metrics in the order of the file: by name, in UTF-16 code units."""
        return tuple(sorted(self.metrics, key=lambda m: m.name.encode("utf-16-be", "surrogatepass")))
