"""Rows of queries to other databases: Druid's `sql` input source, for PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from msq.codec import CodecError, Wire
from msq.sources.base import InputItem, InputSource, SourceAccess
from msq.sources.inline import NilInputSource

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.formats.base import ReadRequest

_ROWS = 8_192


@dataclass(frozen=True)
class SqlDatabase(Wire):
    """`type` (postgresql or sqlite) and `connectorConfig`: `connectURI`, `user`, `password` (a text or a provider)."""

    type: str
    connector_config: dict[str, Any]

    def __post_init__(self) -> None:
        from msq.sources.databases import place_of

        place_of(self.type, self.connector_config)  # refuses what is no database


@dataclass(frozen=True)
class SqlInputSource(InputSource, tag="sql"):
    """One item for each of `sqls`. `fold_case`: the database's column names are taken in lower case.

    The rows need no input format. Nothing is written: connections are read-only.
    """

    sqls: tuple[str, ...]
    database: SqlDatabase
    fold_case: bool = False

    splits_by_size: ClassVar[bool] = False
    fixed_format: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.sqls:
            raise CodecError("No SQL queries provided")

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        from msq.sources.databases import check_database, place_of

        check_database(place_of(self.database.type, self.database.connector_config), access)
        return tuple(InputItem(name=f"sql {n + 1}", index=n) for n in range(len(self.sqls)))

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        return replace(self, sqls=tuple(self.sqls[item.index] for item in items)) if items else NilInputSource()

    def rows(self, item: InputItem, request: ReadRequest) -> Generator[pa.RecordBatch, None, None]:
        from msq.formats import convert
        from msq.sources.databases import opened, typed

        with opened(self.database.type, self.database.connector_config, request.options.access) as connection:
            cursor = connection.query(self.sqls[item.index])
            names = [name.lower() if self.fold_case else name for name in cursor.names]
            # of two columns of one name the last one counts
            places = {name: at for at, name in enumerate(names)}
            size = min(_ROWS, request.options.max_batch_rows)
            while rows := cursor.fetch(size):
                columns = list(zip(*rows))
                arrays = []
                for name in request.columns:
                    at = places.get(name.lower() if self.fold_case else name)
                    cells = columns[at] if at is not None else (None,) * len(rows)
                    arrays.append(typed(cells, request.signature.type_of(name)))
                yield convert.with_rows(arrays, request.columns, len(rows))

    def describe(self) -> str:
        return f"SqlInputSource{{sqls=[{', '.join(self.sqls)}]}}"
