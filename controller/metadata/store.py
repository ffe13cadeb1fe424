"""MetadataStore: one database, its transactions and its clock. The rooms beside it hold the queries.

A transaction is serialised against all other writers (SQLite: BEGIN IMMEDIATE; PostgreSQL: an advisory lock), so that
allocation, locking and publishing are each one indivisible step, whichever process takes it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from controller.metadata.schema import METADATA
from msq.intervals import format_instant

_PG_LOCK = 6_017_337


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def now_iso() -> str:
    return format_instant(now_ms())


def to_payload(value: Any) -> bytes:
    """JSON as the bytes that payload columns hold."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def from_payload(value: bytes | memoryview) -> Any:
    return json.loads(bytes(value))


class MetadataStore:
    """Opens (and creates where missing) the tables at `url`, an SQLAlchemy URL. Thread-safe.

    `sqlite:///path` uses WAL and waits up to 60 s for other writers.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # a file takes any number of connections: who waits for a writer waits for nothing else besides
        pool: dict[str, Any] = {"max_overflow": -1} if url.startswith("sqlite") else {"pool_pre_ping": True}
        self.engine: Engine = create_engine(url, future=True, **pool)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_immediate)
        self._watch: Any = None
        self._watch_lock = threading.Lock()
        with self.transaction() as connection:
            METADATA.create_all(connection)

    @staticmethod
    def open(data_dir: Path, url: str | None = None) -> MetadataStore:
        """The store of a data folder: `url`, or `metadata.db` in the folder."""
        if url is None:
            data_dir.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{data_dir / 'metadata.db'}"
        return MetadataStore(url)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One serialised write transaction: committed at the end, rolled back when the block raises."""
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PG_LOCK})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent read that does not wait for writers."""
        with self.engine.connect() as connection:
            connection.info["read_only"] = True
            try:
                yield connection
            finally:
                connection.rollback()
                connection.info.pop("read_only", None)

    def version(self) -> object:
        """Equal to what it was before only if nothing was committed meanwhile, by this process or any other one.

        What is read afterwards is at least as new.
        """
        if self.engine.dialect.name == "postgresql":
            with self.reading() as connection:
                return connection.execute(text("SELECT CAST(txid_current_snapshot() AS text)")).scalar_one()
        with self._watch_lock:
            if self._watch is None:
                # one of its own, which never writes: it is told of the commits of all others
                self._watch = self.engine.raw_connection()
            return self._watch.driver_connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        with self._watch_lock:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
        self.engine.dispose()


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    # first: what follows may have to wait, too
    cursor.execute("PRAGMA busy_timeout=60000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # the driver's own deferred BEGIN could fail half-way through a read-then-write with "database is locked"
    connection.exec_driver_sql("BEGIN" if connection.info.get("read_only") else "BEGIN IMMEDIATE")
