"""What a process is told about a data folder: where it is, how much it may use, what sources may reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.lookups import LookupStore
from msq.sources.base import SourceAccess


@dataclass(frozen=True)
class EngineSettings:
    """data_dir: metadata, segments and temporary files. memory_bytes: what the process may hold beside Python itself.

    threads: processing threads (None: the processors there are). max_batch_rows: rows of a frame (None: the default).
    chaos: faults to inject into workers (worker.chaos.Chaos), for tests. metadata_url: an SQLAlchemy URL (None: SQLite
    in the data folder). deep_storage: as msq.storage reads it (None: a local folder of the data folder).
    durable_storage: a folder or `s3://bucket/prefix` for outputs of stages (None: in the data folder). access: what
    input sources may reach. lookups: of LOOKUP and the schema `lookup`. host: as reports name this process.
    """

    data_dir: Path
    memory_bytes: int = 2 << 30
    threads: int | None = None
    max_batch_rows: int | None = None
    metadata_url: str | None = None
    deep_storage: Mapping[str, Any] | None = None
    durable_storage: str | None = None
    access: SourceAccess = field(default_factory=SourceAccess)
    lookups: LookupStore = field(default_factory=LookupStore)
    host: str = "localhost"
    chaos: Any = None
    max_queries: int = 8
    """Interactive queries that run at once, when some take long; others wait for their turn."""
    memory_shares: int | None = None
    """Into how many equal shares the memory is cut, each worker having one; None: a query's workers have all of it."""
    kept_columns: int = 0
    """Bytes of the memory for decoded columns of tables, kept between interactive queries; workers have the rest."""
    workers: str = "thread"
    """What the workers of a task are: `thread` of this process, or `process` of this machine each. Interactive queries
    always run on threads."""
    export_folders: Sequence[Path | str] | None = None
    """Folders that exports may write into, and `s3://bucket/prefix` for those of a store; None: any."""
    location: tuple[str | None, int, int] = (None, -1, -1)
    """Host, port and TLS port that the statuses of tasks name."""
