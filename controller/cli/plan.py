"""`msq plan`: the stages of a statement, as text or as their JSON definitions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from controller.cli import exits
from controller.cli.console import messages
from controller.cli.inputs import UsageError, lookups_of, read_context, read_statement


def plan_command(
    file: str, data_dir: Path, context_pairs: Sequence[str], as_json: bool, lookups: Path | None = None
) -> int:
    """Prints the plan and answers the exit code. Runs nothing and writes nothing."""
    console = messages()
    try:
        sql, context = read_statement(file), read_context(context_pairs)
        given = lookups_of(lookups)
    except UsageError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE

    from controller.engine import Engine, EngineSettings
    from msq.faults import DruidException, MSQError
    from msq.plan.text import plan_text

    with Engine(EngineSettings(data_dir=data_dir, lookups=given)) as engine:
        try:
            definition = engine.prepare(sql, context).definition()
        except DruidException as error:
            console.print(f"[red]{escape(error.category)}[/] {escape(error.message)}")
            return exits.REFUSED
        except MSQError as error:
            console.print(f"[red]{escape(error.fault.status_message())}[/]")
            return exits.REFUSED
    if as_json:
        stages = [s.to_json(definition.query_id) for s in definition.stages]
        sys.stdout.write(json.dumps(stages, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(plan_text(definition) + "\n")
    return exits.SUCCESS
