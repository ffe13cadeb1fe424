"""`msq functions`: every function and operator that SQL knows, or all there is to say of one."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from controller.cli import exits
from controller.cli.console import messages, output

if TYPE_CHECKING:
    from msq.sql.functions import FunctionInfo

SKETCH = "sketch"
"""A kind beside the registry's own: whatever makes, joins or asks sketches and other summaries."""


def functions_command(name: str | None, kind: str | None, as_json: bool) -> int:
    """Lists what `name` (all or part of a name, in any case) and `kind` leave; answers the exit code."""
    from msq.faults import DruidException
    from msq.sql.functions import KINDS, functions

    errors = messages()
    kinds = (*KINDS, SKETCH)
    if kind is not None and kind not in kinds:
        text = f"Unknown kind [{kind}]: give one of {', '.join(kinds)}"
        errors.print(f"[red]{escape(text)}[/]")
        return exits.USAGE
    try:
        known = functions()
    except DruidException as error:
        errors.print(f"[red]{escape(error.message)}[/]")
        return exits.FAILED
    listed = [f for f in known if kind is None or f.kind == kind or (kind == SKETCH and f.of_sketches)]
    found = listed if name is None else named(listed, name)
    if not found:
        close = difflib.get_close_matches((name or "").upper(), [f.name for f in listed], 3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        errors.print(f"[red]There is no function of that name: {escape(name or '')}{escape(hint)}[/]")
        return exits.USAGE
    if as_json:
        sys.stdout.write(json.dumps([f.to_json() for f in found], ensure_ascii=False, indent=1) + "\n")
    elif name is not None and all(f.name == found[0].name for f in found):
        for one in found:
            output().print(_whole(one))
    else:
        output().print(_table(found))
    return exits.SUCCESS


def named(listed: Sequence[FunctionInfo], name: str) -> list[FunctionInfo]:
    """Those of exactly that name, else those whose name holds it."""
    wanted = name.strip().upper()
    return [f for f in listed if f.name == wanted] or [f for f in listed if wanted in f.name]


def _table(found: Sequence[FunctionInfo]) -> Table:
    table = Table(show_edge=False, box=None, pad_edge=False)
    for title in ("kind", "call", "gives", "does"):
        table.add_column(title, no_wrap=title == "kind")
    for f in found:
        table.add_row(f.kind, escape(f.signature), f.result, escape(f.doc))
    return table


def _whole(f: FunctionInfo) -> Any:
    table = Table.grid(padding=(0, 2))
    rows = {
        "": f"[bold]{escape(f.name)}[/] [dim]{f.kind}[/]", "does": escape(f.doc), "call": escape(f.signature),
        "example": escape(f.example), "gives": f.result, "NULL": f.nulls, "several values": f.values,
    }  # fmt: skip
    for title, text in rows.items():
        if text:
            table.add_row(f"[dim]{title}[/]", text)
    return table
