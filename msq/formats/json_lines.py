"""Lines of JSON, one object each. DuckDB reads whole chunks; a chunk with anything unusual is repaired first.

DuckDB differs from Druid's parser in a few ways, each found cheaply: it refuses (error, then `json_repair` looks at the
lines one by one), skips blank lines (the row count is short), and accepts trailing commas and the words nan and
infinity (`json_bytes` finds them). A STRING column is read as text; when a text might not have been a
string it is read once more as JSON, and from then on at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from msq.codec import CodecError, wire
from msq.datatypes import STRING, ColumnType
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.chunks import Chunk
from msq.formats.duck import UnreadableError, named, query, quoted
from msq.formats.flatten import FlattenSpec, Place, places
from msq.formats.json_bytes import scan
from msq.formats.json_repair import LineParser, line_bounds, repair
from msq.formats.text import BadRow, FileText, Parsed
from msq.sources.base import InputItem

_OBJECT_SIZE = 64 << 10


@dataclass(frozen=True)
class JsonInputFormat(InputFormat, tag="json"):
    """`assume_newline_delimited` and `use_json_node_reader` make no difference in batch reading: lines are records."""

    flatten_spec: FlattenSpec | None = None
    feature_spec: dict[str, bool] | None = wire(default=None, omit=lambda v: not v)
    keep_null_columns: bool | None = None
    assume_newline_delimited: bool = wire(default=False, omit=lambda v: not v)
    use_json_node_reader: bool = wire(default=False, omit=lambda v: not v)

    def __post_init__(self) -> None:
        if self.assume_newline_delimited and self.use_json_node_reader:
            raise CodecError("useJsonNodeReader cannot be set to true when assumeNewlineDelimited is true.")
        LineParser(self.feature_spec or {})  # refuses unknown features

    def text_reader(self, request: ReadRequest) -> JsonReader:
        return JsonReader(request, self)


class JsonFile:
    """A JSON file has no lines in front of its records."""

    skipped_lines = 0

    def skip(self, chunk: Chunk) -> bool:
        return True


class JsonReader:
    """Parses chunks, on several threads side by side."""

    def __init__(self, request: ReadRequest, input_format: JsonInputFormat) -> None:
        self._request = request
        self._lines = LineParser(input_format.feature_spec or {})
        self._places = places(input_format.flatten_spec, request.columns)
        self._types: dict[str, ColumnType] = {c: request.signature.type_of(c) or STRING for c in request.columns}
        self._groups = _case_groups(list(dict.fromkeys(p.key for p in self._places.values() if p.key is not None)))
        self._as_json = {
            place.key
            for name, place in self._places.items()
            if place.key is not None and (place.steps or self._types[name].kind in ("ARRAY", "COMPLEX"))
        }

    def begin(self, item: InputItem) -> JsonFile:
        return JsonFile()

    def parse(self, file: FileText, chunk: Chunk) -> Parsed:
        lines, suspects = scan(chunk.array())
        if lines == 0:
            return Parsed([], [], 0, 0)
        bad: list[BadRow] = []
        columns = None
        if self._trusted(chunk, suspects):
            columns = self._read(chunk, lines)
        if columns is None:
            text, bad = repair(chunk.text(), self._lines, self._doubtful(chunk, suspects))
            chunk.replace(text)
            columns = self._read(chunk, lines - len(bad))
            if columns is None:
                text, _ = repair(text, self._lines, rewrite=True)
                chunk.replace(text)
                columns = self._read(chunk, lines - len(bad), final=True)
                if columns is None:
                    raise ValueError("a chunk of JSON was not read in full")
        rows = lines - len(bad)
        return Parsed(self._batches(columns, rows), bad, rows, lines)

    def _batches(self, columns: list[pa.Array], rows: int) -> list[pa.RecordBatch]:
        if rows == 0:
            return []
        return convert.batches_of(columns, self._request.columns, rows, self._request.options.max_batch_rows)

    def _trusted(self, chunk: Chunk, suspects: Sequence[int]) -> bool:
        """Whether every place where DuckDB may be too lenient lies in a line that is strict JSON."""
        checked_to = 0
        for at in suspects:
            if at < checked_to:
                continue
            start = chunk.buffer.map.rfind(b"\n", 0, chunk.start + at) + 1
            end = chunk.buffer.map.find(b"\n", chunk.start + at, chunk.end)
            checked_to = (end if end >= 0 else chunk.end) - chunk.start
            line = chunk.buffer.map[max(start, chunk.start) : chunk.start + checked_to]
            if not self._lines.is_record(line):
                return False
        return True

    def _doubtful(self, chunk: Chunk, suspects: Sequence[int]) -> list[int] | None:
        """The numbers of the lines that may be no records as they stand; None when it cannot be told."""
        text = chunk.array()
        starts, ends = line_bounds(text)
        odd = text[starts] != ord("{")
        blank = odd.copy()
        for number in np.flatnonzero(odd):
            blank[number] = not chunk.buffer.map[starts[number] : ends[number]].strip()
        sql = (
            f"SELECT json IS NULL FROM read_json_objects({quoted(chunk.path)}, format='newline_delimited', "
            f"ignore_errors=true, compression='none', maximum_object_size={max(_OBJECT_SIZE, chunk.size + 1)})"
        )
        try:
            refused = query(sql, 1, len(starts))[0].to_numpy(zero_copy_only=False)
        except UnreadableError:
            return None
        spoken = np.flatnonzero(~blank)
        if len(refused) != len(spoken):
            return None
        odd[spoken[refused]] = True
        odd[np.searchsorted(ends, np.asarray(suspects, np.int64))] = True
        return [int(n) for n in np.flatnonzero(odd)]

    def _read(self, chunk: Chunk, rows: int, final: bool = False) -> list[pa.Array] | None:
        """The requested columns of the chunk, or None when DuckDB did not read exactly `rows` records."""
        if rows == 0:
            return []
        try:
            found: dict[Place, tuple[pa.Array, bool]] = {}
            for group in self._groups:
                found.update(self._scan(chunk, group, rows))
            if any(len(column) != rows for column, _ in found.values()):
                return None
            return [self._typed(chunk, name, found, rows) for name in self._request.columns]
        except UnreadableError:
            if final:
                raise
            return None

    def _scan(self, chunk: Chunk, keys: Sequence[str], rows: int) -> dict[Place, tuple[pa.Array, bool]]:
        """Each place below `keys`: its column, and whether that holds JSON texts rather than plain ones."""
        as_json = {k for k in keys if k in self._as_json}
        wanted = list(dict.fromkeys(p for p in self._places.values() if p.key in keys))
        select = []
        for place in wanted:
            name = named(place.key or "")
            if place.steps:
                select.append(f"CAST(json_extract({name}, {quoted(place.duckdb_path)}) AS VARCHAR)")
            else:
                select.append(f"CAST({name} AS VARCHAR)" if place.key in as_json else name)
        kinds = {k: "JSON" if k in as_json else "VARCHAR" for k in keys} or {"no column": "VARCHAR"}
        arrays = self._query(chunk, kinds, select or [named("no column")], rows)
        if not wanted:
            return {Place(""): (arrays[0], False)}
        return {place: (array, place.key in as_json) for place, array in zip(wanted, arrays)}

    def _query(self, chunk: Chunk, kinds: dict[str, str], select: list[str], rows: int) -> list[pa.Array]:
        spec = ", ".join(f"{quoted(n)}: '{kind}'" for n, kind in kinds.items())
        sql = (
            f"SELECT {', '.join(select)} FROM read_json({quoted(chunk.path)}, format='newline_delimited', "
            f"records='true', auto_detect=false, compression='none', columns={{{spec}}}, "
            f"maximum_object_size={max(_OBJECT_SIZE, chunk.size + 1)})"
        )
        return query(sql, len(select), rows)

    def _typed(self, chunk: Chunk, name: str, found: dict[Place, tuple[pa.Array, bool]], rows: int) -> pa.Array:
        place, declared = self._places[name], self._types[name]
        if place.key is None:
            return self._evaluated(chunk, place, declared, rows)
        column, holds_json = found[place]
        if not holds_json and declared.kind == "STRING" and convert.needs_json(column):
            # from now on for the whole read; harmless when two threads find out at once
            self._as_json.add(place.key)
            column, holds_json = self._scan(chunk, [place.key], rows)[place]
        if not holds_json:
            return convert.text_to(column, declared)
        return convert.json_to(column, declared, self._unpack)

    def _evaluated(self, chunk: Chunk, place: Place, declared: ColumnType, rows: int) -> pa.Array:
        """A column whose path DuckDB cannot follow: record by record."""
        assert place.find is not None
        sql = (
            f"SELECT CAST(json AS VARCHAR) FROM read_json_objects({quoted(chunk.path)}, format='newline_delimited', "
            f"compression='none', maximum_object_size={max(_OBJECT_SIZE, chunk.size + 1)})"
        )
        records = query(sql, 1, rows)[0]
        return convert.typed_array([place.find(json.loads(r)) for r in records.to_pylist()], declared)

    def _unpack(self, column: pa.Array, kind: str) -> pa.Array:
        """A column of JSON texts, all strings (`VARCHAR`) or all lists (`VARCHAR[]`), as what they hold."""
        unpacked = "json_extract_string(c, '$')" if kind == "VARCHAR" else f"CAST(CAST(c AS JSON) AS {kind})"
        return query(f"SELECT {unpacked} FROM texts", 1, len(column), {"texts": pa.table({"c": column})})[0]


def _case_groups(names: Sequence[str]) -> list[list[str]]:
    """Names in groups without two that differ by letter case alone, which one DuckDB query cannot hold."""
    groups: list[tuple[list[str], set[str]]] = []
    for name in names:
        folded = name.lower()
        for group, taken in groups:
            if folded not in taken:
                group.append(name)
                taken.add(folded)
                break
        else:
            groups.append(([name], {folded}))
    return [group for group, _ in groups] or [[]]
