"""What statements may read of the metadata store: table schemas (msq.catalog.Catalog) and their visible segments.

One instance serves one statement: it looks at one snapshot, so that binding, slicing and pruning see the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.metadata.segments import schemas_of, used_segments
from controller.metadata.snapshots import Snapshot, Snapshots
from controller.metadata.store import MetadataStore
from msq.catalog import Lookups, TableSchema
from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, Column, ColumnType, RowSignature, array_of
from msq.faults import MSQError, UnknownFault
from msq.intervals import Interval
from msq.native.datasource import InlineDataSource
from msq.segment.identity import DataSegment
from msq.segment.stored import StoredSchema
from msq.segment.timeline import VisibleSegment, clipped, visible_chunks

SchemaReader = Callable[[DataSegment], StoredSchema | None]
"""The columns of a segment, read from its files; None for one without files."""

SystemTables = Callable[[str, str], InlineDataSource | None]
"""(schema, table) to the rows of a system table; None when there is no such table. Raises DruidException."""


@dataclass
class MetadataCatalog:
    """Tables of `store`; `schema_of` reads the columns of a segment whose row carries none; `lookups` by name.

    `system_tables` answers `sys` and `INFORMATION_SCHEMA`; None where they may not be read.
    """

    store: MetadataStore
    schema_of: SchemaReader
    lookups: Lookups = field(default_factory=dict)
    system_tables: SystemTables | None = None
    unchanged: frozenset[str] = frozenset()
    """Tables whose columns must be the same when the statement runs as they were when it was bound."""
    snapshots: Snapshots | None = None
    """Shared with others; None: the catalog reads for itself alone."""
    reads_system: bool = False
    """Whether a system table was read."""
    _snapshot: Snapshot = field(init=False)
    _tables: dict[str, TableSchema | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._look()

    def _look(self) -> None:
        self._snapshot = Snapshot() if self.snapshots is None else self.snapshots.now()

    @property
    def tables(self) -> Mapping[str, TableSchema | None]:
        """Those that were asked for so far."""
        return self._tables

    def table(self, name: str) -> TableSchema | None:
        if name not in self._tables:
            self._tables[name] = self._snapshot.remember(("table", name), lambda: self._read_table(name))
        return self._tables[name]

    def lookup(self, name: str) -> bool:
        return name in self.lookups

    def system(self, schema: str, name: str) -> InlineDataSource | None:
        self.reads_system = True
        return None if self.system_tables is None else self.system_tables(schema, name)

    def used(self, name: str) -> list[DataSegment]:
        """Used segments of a table, overshadowed ones too."""

        def read() -> list[DataSegment]:
            with self.store.reading() as connection:
                return used_segments(connection, name)

        return self._snapshot.remember(("used", name), read)

    def visible(self, name: str, within: Sequence[Interval] | None = None) -> tuple[VisibleSegment, ...]:
        """Segments that a query over `within` (None: all of time) must read, clipped; tombstones left out."""
        chunks = self._snapshot.remember(("chunks", name), lambda: visible_chunks(self.used(name)))
        if within is None or any(i.is_eternity for i in within):
            return self._snapshot.remember(("visible", name), lambda: clipped(chunks))
        return clipped(chunks, within)

    def refresh(self) -> None:
        """Segments are those of now, columns those that the statement was bound with.

        Raises MSQError when a table of `unchanged` has other columns now.
        """
        self._look()
        for name in self.unchanged:
            before, now = self._tables.get(name), self._read_table(name)
            if before != now:
                raise MSQError(UnknownFault(
                    f"The columns of table [{name}] changed while the task waited. Submit it again."
                ))  # fmt: skip

    def _read_table(self, name: str) -> TableSchema | None:
        segments = [v.segment for v in self.visible(name)]
        if not segments:
            return None
        with self.store.reading() as connection:
            stored = schemas_of(connection, name)
        newest_first = sorted(segments, key=lambda s: (s.interval, s.version, s.shard_spec.partition_num), reverse=True)
        found = (stored.get(s.id) or self.schema_of(s) for s in newest_first)
        return merge_schemas(name, (schema for schema in found if schema is not None))


def merge_schemas(name: str, schemas: Iterable[StoredSchema]) -> TableSchema:
    """One schema for a table: columns in order of first sight, `__time` first, types by the least restrictive rule."""
    types: dict[str, ColumnType] = {"__time": LONG}
    multi_value: set[str] = set()
    seen: dict[int, StoredSchema] = {}
    for schema in schemas:
        # equal ones are mostly the same object; those that are not do no harm
        if id(schema) in seen:
            continue
        seen[id(schema)] = schema
        multi_value.update(schema.multi_value)
        for column in schema.signature:
            known = types.get(column.name)
            types[column.name] = column.type if known is None else least_restrictive(known, column.type)
    return TableSchema(name, RowSignature(Column(n, t) for n, t in types.items()), frozenset(multi_value))


def least_restrictive(a: ColumnType, b: ColumnType) -> ColumnType:
    """The type that holds values of both (reference sql-surface 4.4)."""
    if a == b:
        return a
    if a.is_json or b.is_json:
        return a if a.is_json else b
    for one, other in ((a, b), (b, a)):
        if one.is_complex:
            return one if one.complex_name or not other.is_complex else other
        if one.is_array:
            element = other.element if other.is_array else other
            assert one.element is not None and element is not None
            return array_of(least_restrictive(one.element, element))
    if STRING in (a, b):
        return STRING
    if DOUBLE in (a, b) or {a, b} == {LONG, FLOAT}:
        return DOUBLE
    return FLOAT
