"""Result rows of a SELECT on a terminal or in a pipe: table, csv, tsv, json, jsonl."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

FORMATS = ("auto", "table", "csv", "tsv", "json", "jsonl")
MAX_TABLE_ROWS = 1_000


def print_rows(names: Sequence[str], rows: Sequence[Sequence[Any]], form: str, out: TextIO | None = None) -> None:
    """Writes `rows` (JSON values) under `names`; `auto` is a table on a terminal and csv elsewhere."""
    out = out or sys.stdout
    if form == "auto":
        form = "table" if out.isatty() else "csv"
    if form == "table":
        _print_table(names, rows, out)
    elif form == "json":
        json.dump([dict(zip(names, row)) for row in rows], out, ensure_ascii=False)
        out.write("\n")
    elif form == "jsonl":
        for row in rows:
            out.write(json.dumps(dict(zip(names, row)), ensure_ascii=False) + "\n")
    else:
        writer = csv.writer(out, delimiter="\t" if form == "tsv" else ",", lineterminator="\n")
        writer.writerow(names)
        writer.writerows([[_cell(v) for v in row] for row in rows])


def _print_table(names: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_edge=False)
    for at, name in enumerate(names):
        numeric = any(isinstance(r[at], (int, float)) and not isinstance(r[at], bool) for r in rows[:100])
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows[:MAX_TABLE_ROWS]:
        table.add_row(*("[dim]null[/]" if v is None else escape(str(_cell(v))) for v in row))
    console = Console(file=out)
    console.print(table)
    if len(rows) > MAX_TABLE_ROWS:
        console.print(f"{len(rows) - MAX_TABLE_ROWS:,} more rows; use --format csv or json for all of them")


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
