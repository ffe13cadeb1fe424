"""Segments as external data: Druid's `druid` input source, of a table of this engine or of a folder of segments.

`{"type": "druid", "dataSource": "wiki", "interval": "2024-01-01/2025-01-01"}` reads a table, as in Druid;
`{"type": "druid", "path": "/druid/segments/wiki"}` reads what lies in a folder: a single segment, or deep storage as
Druid lays it out (`START_END/VERSION/PARTITION/index.zip`, unpacked or `index/`), where the newest version counts.
"""

from __future__ import annotations

import builtins
import os
import tempfile
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msq.codec import CodecError, decode, wire
from msq.faults import DruidException, MSQError, UnknownFault, invalid_input
from msq.intervals import Interval
from msq.native.filters import DimFilter
from msq.segment.clip import rows_within
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.segment.schema import TIME
from msq.segment.timeline import VisibleSegment, visible_segments
from msq.sources.base import InputItem, InputSource, SourceAccess
from msq.sources.inline import NilInputSource

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.formats.base import ReadRequest
    from msq.segment.reader import Segment

_INDEX, _ZIP = "meta.smoosh", "index.zip"


@dataclass(frozen=True)
class DruidInputSource(InputSource, tag="druid"):
    """Rows of `interval` (ISO; needed with `data_source`) that `filter`, a native filter, keeps.

    `dimensions` and `metrics`, where given, are all that is read beside the time; other columns are null. `segments`
    (`{"segmentId", "intervals"}`) narrows a source to a slice of itself. The rows need no input format.
    """

    data_source: str | None = None
    path: str | None = None
    interval: str | None = None
    filter: dict[str, Any] | None = None
    dimensions: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    segments: tuple[dict[str, Any], ...] | None = wire(default=None)

    fixed_format: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (self.data_source is None) == (self.path is None):
            raise CodecError("Specify exactly one of 'dataSource' and 'path'")
        if self.data_source is not None and (self.interval is None) == (self.segments is None):
            raise CodecError("Specify exactly one of 'interval' and 'segments'")
        if self.interval is not None:
            Interval.parse(self.interval)
        if self.filter is not None:
            decode(DimFilter, self.filter)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        """The segments that show, each clipped to the interval."""
        within = None if self.interval is None else [Interval.parse(self.interval)]
        items: builtins.list[InputItem] = []
        for found, path in self._visible(access, within):
            items.append(
                InputItem(
                    f"druid:{found.segment.id}", path, found.segment.size, found.segment.id, (), len(items),
                    {"segment": found.segment.to_json(), "intervals": [str(i) for i in found.intervals]},
                )
            )  # fmt: skip
        if self.segments is None:
            return tuple(items)
        wanted = {one["segmentId"]: one["intervals"] for one in self.segments}
        return tuple(
            replace(item, index=n, rows={**(item.rows or {}), "intervals": wanted[item.name]})
            for n, item in enumerate(item for item in items if item.name in wanted)
        )

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        if not items:
            return NilInputSource()
        segments = tuple({"segmentId": i.name, "intervals": (i.rows or {})["intervals"]} for i in items)
        return replace(self, interval=None, segments=segments)

    def _visible(
        self, access: SourceAccess, within: Sequence[Interval] | None
    ) -> Iterator[tuple[VisibleSegment, str | None]]:
        if self.path is not None:
            yield from _of_folder(self.path, access, within)
            return
        if access.tables is None or self.data_source is None:
            raise invalid_input("Tables cannot be read as external data here: use FROM")
        for found in access.tables.visible(self.data_source, within):
            yield found, None

    def rows(self, item: InputItem, request: ReadRequest) -> Generator[pa.RecordBatch, None, None]:
        from msq.formats import convert

        described = item.rows or {}
        intervals = [Interval.parse(i) for i in described["intervals"]]
        with self._opened(item, request) as segment, closing(_Keep(self.filter, segment, intervals)) as keep:
            readable = self._readable(segment)
            wanted = [name for name in request.columns if name in readable]
            names = list(dict.fromkeys([*wanted, *keep.columns(readable)])) or [TIME]
            as_json = [name for name in names if _is_json(request, name)]
            for stored in segment.batches(names, request.options.max_batch_rows, as_json):
                batch = keep.rows(stored)
                arrays = [_column(batch, segment, request, name, wanted) for name in request.columns]
                if batch.num_rows:
                    yield convert.with_rows(arrays, request.columns, batch.num_rows)
        if request.source.counted:
            request.sink.bytes(item.size)

    def _readable(self, segment: Segment) -> Collection[str]:
        dimensions = segment.dimensions if self.dimensions is None else self.dimensions
        metrics = segment.metrics if self.metrics is None else self.metrics
        return {TIME, *dimensions, *metrics} & set(segment.names)

    @contextmanager
    def _opened(self, item: InputItem, request: ReadRequest) -> Iterator[Segment]:
        from msq.segment.reader import SegmentFormatError, open_segment
        from msq.storage import StorageError
        from msq.storage.base import unzip

        options = request.options
        try:
            if item.path is None:
                if options.open_segment is None:
                    raise invalid_input("Tables cannot be read as external data here: use FROM")
                yield open_segment(options.open_segment(DataSegment.from_json((item.rows or {})["segment"])))
                return
            options.access.check_path(item.path)
            if os.path.isdir(item.path):
                yield open_segment(item.path)
                return
            with tempfile.TemporaryDirectory(dir=options.temp_dir) as folder:
                unzip(Path(item.path), Path(folder))
                yield open_segment(folder)
        except (SegmentFormatError, StorageError) as error:
            raise MSQError(UnknownFault(f"Cannot read segment [{item.name}]: {error}")) from error

    def describe(self) -> str:
        return f"DruidInputSource{{dataSource={self.data_source or self.path}, interval={self.interval or 'null'}}}"


class _Keep:
    """Which rows of a segment are read: those of the intervals that the filter keeps."""

    def __init__(self, condition: dict[str, Any] | None, segment: Segment, intervals: Sequence[Interval]) -> None:
        self._filter: Any = None if condition is None else decode(DimFilter, condition)
        self._segment = segment
        self._intervals = [] if any(i.contains(segment.interval) for i in intervals) else list(intervals)
        self._connection: Any = None

    def columns(self, readable: Collection[str]) -> Collection[str]:
        """What has to be read to know."""
        if self._filter is not None:
            return [name for name in self._segment.names if name in readable]
        return [TIME] if self._intervals else []

    def rows(self, batch: Any) -> Any:
        if self._intervals:
            batch = rows_within(batch, self._intervals)
        return batch if self._filter is None or not batch.num_rows else self._filtered(batch)

    def _filtered(self, batch: Any) -> Any:
        import pyarrow as pa

        from msq.expr.filters import lower_filter
        from msq.expr.lower import InputColumn
        from msq.formats.duck import named

        inputs = {}
        for field in batch.schema:
            kind = self._segment.column(field.name).type
            several = kind.kind == "STRING" and pa.types.is_list(field.type)
            inputs[field.name] = InputColumn(named(field.name), kind, several)
        sql = f"SELECT coalesce({lower_filter(self._filter, inputs)}, false) FROM stored"
        connection = self._prepared()
        connection.register("stored", batch)
        try:
            mask = connection.sql(sql).to_arrow_table().column(0)
        finally:
            connection.unregister("stored")
        return batch.filter(mask.combine_chunks())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _prepared(self) -> Any:
        if self._connection is None:
            import duckdb

            from msq.expr.prepare import prepare

            self._connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
            prepare(self._connection)
        return self._connection


def _is_json(request: ReadRequest, name: str) -> bool:
    kind = request.signature.type_of(name)
    return kind is not None and kind.is_json


def _column(batch: Any, segment: Segment, request: ReadRequest, name: str, wanted: Collection[str]) -> Any:
    """A stored column as the statement declares it."""
    import pyarrow as pa

    from msq.datatypes import STRING, arrow_type
    from msq.formats.columnar import ArrowColumns
    from msq.frame.frame import plain_column

    declared = request.signature.type_of(name) or STRING
    if name not in wanted:
        return pa.nulls(batch.num_rows, arrow_type(declared))
    array = plain_column(batch.column(name))
    if declared.is_json or (segment.column(name).type == declared and declared.kind != "STRING"):
        return array
    return ArrowColumns(False, True).typed(array, declared)


def _of_folder(
    path: str, access: SourceAccess, within: Sequence[Interval] | None
) -> Iterator[tuple[VisibleSegment, str]]:
    """The segments below a folder that show, each with its place."""
    access.check_path(path)
    if not os.path.isdir(path):
        raise invalid_input(f"[{path}] is no folder of segments")
    found = [_described(place, access) for place in _places(path)]
    _check_versions(path, [segment for segment, _ in found])
    placed = {segment.id: place for segment, place in found}
    tables = sorted({segment.datasource for segment, _ in found})
    if len(tables) > 1:
        raise invalid_input(f"Folder [{path}] holds segments of several tables: name one of {tables}")
    for visible in visible_segments((segment for segment, _ in found), within):
        yield visible, placed[visible.segment.id]


def _check_versions(path: str, segments: Sequence[DataSegment]) -> None:
    """Refuses segments of which nobody can tell which one counts."""
    nameless = sorted((Interval.parse(s.interval) for s in segments if not s.version), key=lambda i: i.start)
    repeated = len({s.id for s in segments}) != len(segments)
    if repeated or any(after.start < before.end for before, after in pairwise(nameless)):
        raise invalid_input(
            f"Folder [{path}] holds segments that overlap and no folders that name their versions: name one segment, "
            "or a folder of deep storage"
        )


def _places(path: str) -> Iterator[str]:
    """Unpacked segments (folders) and packed ones (files) below a folder, in order of their names."""
    for folder, folders, names in os.walk(path):
        folders.sort()
        if _INDEX in names:
            folders.clear()
            yield folder
        elif _ZIP in names:
            yield os.path.join(folder, _ZIP)


def _described(place: str, access: SourceAccess) -> tuple[DataSegment, str]:
    """What the folders of deep storage say of a segment; a segment by itself says its interval alone."""
    from msq.segment.reader import SegmentFormatError, open_segment

    access.check_path(place)
    files = [place] if place.endswith(_ZIP) else [os.path.join(place, name) for name in os.listdir(place)]
    size = sum(os.path.getsize(file) for file in files)
    home = Path(place).parent if Path(place).name in ("index", _ZIP) else Path(place)
    chunk, version, partition = home.parent.parent.name, home.parent.name, home.name
    start, _, end = chunk.partition("_")
    try:
        interval = Interval.parse(f"{start}/{end}")
        number = int(partition)
        table = home.parent.parent.parent.name
    except (ValueError, DruidException):
        if place.endswith(_ZIP):
            raise invalid_input(
                f"[{place}] does not lie in START_END/VERSION/PARTITION as deep storage has it"
            ) from None
        try:
            interval, number, table, version = open_segment(place).interval, 0, "segment", ""
        except SegmentFormatError as error:
            raise MSQError(UnknownFault(f"[{place}] is no segment: {error}")) from error
    segment = DataSegment(table, str(interval), version, {}, (), (), NumberedShardSpec(number, 0), size=size)
    return segment, place
