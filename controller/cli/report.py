"""`msq report`: a task's report, from a file, a pipe or the data folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.markup import escape

from controller.cli import exits
from controller.cli.console import messages, output


def report_command(source: str, data_dir: Path, as_json: bool) -> int:
    """Shows the report and answers the exit code: USAGE when there is none."""
    errors = messages()
    try:
        document = json.loads(_text(source, data_dir))
        if as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
            return exits.SUCCESS
        from controller.cli.report_view import show

        if not isinstance(document, dict):
            raise ValueError("This is no multiStageQuery report: it is no JSON object")
        show(document, output())
    except (OSError, ValueError) as error:
        errors.print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE
    return exits.SUCCESS


def _text(source: str, data_dir: Path) -> str:
    if source == "-":
        return sys.stdin.read()
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if not (data_dir / "metadata.db").exists():
        raise ValueError(f"[{source}] is no file, and there is no data folder at [{data_dir}] to look it up as a task")
    from controller.metadata.store import MetadataStore
    from controller.metadata.tasks import REPORT, get_file

    store = MetadataStore.open(data_dir)
    try:
        with store.reading() as connection:
            found = get_file(connection, source, REPORT)
    finally:
        store.close()
    if found is None:
        raise ValueError(f"[{source}] is neither a file nor a task with a report in [{data_dir}]")
    return found.decode()
