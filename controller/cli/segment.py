"""`msq segment`: what a segment folder, a segment id or a table holds, and its rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from controller.cli import exits
from controller.cli.console import messages, output
from controller.cli.report_view import size

if TYPE_CHECKING:
    from msq.segment.reader import Segment


@dataclass(frozen=True)
class Opened:
    """A segment to look at: `label` is its id, or its folder when it stands alone."""

    label: str
    segment: Segment


def segment_command(
    source: str, data_dir: Path, dump: bool, columns: str | None, limit: int | None, as_json: bool
) -> int:
    """Shows the segments and answers the exit code: USAGE when there are none or one cannot be read."""
    from msq.segment.reader import SegmentFormatError

    try:
        opened = list(_open(source, data_dir))
        wanted = None if columns is None else [c.strip() for c in columns.split(",") if c.strip()]
        if wanted is not None:
            known = {name for o in opened for name in o.segment.names}
            unknown = [c for c in wanted if c not in known]
            if unknown:
                raise ValueError(f"No column [{unknown[0]}] in [{source}]; there are {', '.join(sorted(known))}")
        if dump:
            _dump(opened, wanted, limit)
        elif as_json:
            sys.stdout.write(json.dumps([_facts(o) for o in opened], ensure_ascii=False, indent=1) + "\n")
        else:
            _show(opened, output())
    except (OSError, ValueError, SegmentFormatError) as error:
        messages().print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE
    return exits.SUCCESS


def _open(source: str, data_dir: Path) -> Iterator[Opened]:
    from msq.segment.reader import open_segment

    path = Path(source)
    if path.is_dir():
        folders = sorted(p.parent for p in path.rglob("version.bin"))
        if not folders:
            raise ValueError(f"[{source}] holds no segment: no file version.bin in it or below it")
        for folder in folders:
            yield Opened(str(folder), open_segment(folder))
        return
    if not (data_dir / "metadata.db").exists():
        raise ValueError(f"[{source}] is no folder, and there is no data folder at [{data_dir}] to look it up in")
    from controller.engine import Engine, EngineSettings

    with Engine(EngineSettings(data_dir=data_dir)) as engine:
        found = engine.find_segments(source)
        if not found:
            raise ValueError(f"[{source}] is neither a folder nor a table or segment of [{data_dir}]")
        for segment in found:
            yield Opened(segment.id, open_segment(engine.deep_storage.open(segment)))


def _facts(opened: Opened) -> dict[str, Any]:
    segment = opened.segment
    return {
        "segment": opened.label, "interval": str(segment.interval), "rows": segment.num_rows,
        "size": _folder_bytes(segment.path), "metadata": segment.metadata,
        "columns": [
            {
                "name": c.name, "type": str(c.type), "role": _role(segment, c.name), "cardinality": c.cardinality,
                "size": c.size, "bitmapIndex": c.has_bitmap, "hasNulls": c.has_nulls,
                "hasMultipleValues": c.has_multiple_values, "encoding": c.encoding,
            }
            for c in segment.columns.values()
        ],
    }  # fmt: skip


def _folder_bytes(path: Path) -> int:
    return sum(f.stat().st_size for f in path.iterdir() if f.is_file())


def _role(segment: Segment, name: str) -> str:
    if name == "__time":
        return "time"
    return "metric" if name in segment.metrics else "dimension"


def _show(opened: list[Opened], console: Console) -> None:
    if len(opened) > 1:
        table = Table(title=f"{len(opened):,} segments", title_justify="left", show_edge=False)
        for name in ("segment", "rows", "size"):
            table.add_column(name, justify="left" if name == "segment" else "right", overflow="fold")
        for one in opened:
            table.add_row(escape(one.label), f"{one.segment.num_rows:,}", size(_folder_bytes(one.segment.path)))
        console.print(table)
        console.print(f"{sum(o.segment.num_rows for o in opened):,} rows in all. Columns of the newest:")
    facts = _facts(opened[-1])
    console.print(f"[bold]{escape(facts['segment'])}[/]")
    console.print(f"{facts['interval']}, {facts['rows']:,} rows, {size(facts['size'])}")
    table = Table(show_edge=False)
    for name in ("column", "role", "type", "cardinality", "size", "index", "nulls", "several values", "encoding"):
        table.add_column(name, justify="right" if name in ("cardinality", "size") else "left")
    for c in facts["columns"]:
        table.add_row(
            escape(c["name"]), c["role"], c["type"], "" if c["cardinality"] is None else f"{c['cardinality']:,}",
            size(c["size"]), "bitmap" if c["bitmapIndex"] else "", _yes(c["hasNulls"]), _yes(c["hasMultipleValues"]),
            c["encoding"],
        )  # fmt: skip
    console.print(table)
    metadata = facts["metadata"]
    console.print(
        f"rollup {metadata.get('rollup')}, query granularity {json.dumps(metadata.get('queryGranularity'))}, "
        f"aggregators {[a.get('name') for a in metadata.get('aggregators') or []]}"
    )


def _yes(flag: bool) -> str:
    return "yes" if flag else ""


def _dump(opened: list[Opened], columns: list[str] | None, limit: int | None) -> None:
    from msq.values import json_rows

    left = limit
    for one in opened:
        names = [n for n in one.segment.names if columns is None or n in columns]
        for batch in one.segment.batches(names, 8_192):
            if left is not None:
                batch = batch.slice(0, left)
                left -= batch.num_rows
            for row in json_rows(batch, one.segment.signature.select(names)):
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
            if left == 0:
                return
