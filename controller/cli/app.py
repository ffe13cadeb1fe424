"""The command tree. Heavy imports happen inside the commands, so that `msq --help` and completion stay quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from controller.cli.serve_settings import takes_settings

app = typer.Typer(
    name="msq",
    help="A multi-stage query engine that speaks Apache Druid: SQL in, stages, segments and a report out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", "-d", envvar="MSQ_DATA_DIR", help="Folder of metadata, segments and temporary files."),
]
DEFAULT_DATA_DIR = Path("msq-data")
Lookups = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--lookups", envvar="MSQ_LOOKUPS", help="File of lookups by name (JSON, TOML)."),
]


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="SQL file, or - for standard input.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    context: Annotated[
        Optional[list[str]], typer.Option("--context", "-c", help="Query context, key=value; may be repeated.")  # noqa: UP045
    ] = None,
    memory: Annotated[
        str, typer.Option("--memory", "-m", envvar="MSQ_MEMORY", help="Memory bound of the process.")
    ] = "2GiB",
    threads: Annotated[
        Optional[int], typer.Option("--threads", help="Processing threads; default: the processors there are.")  # noqa: UP045
    ] = None,
    report: Annotated[
        Optional[Path], typer.Option("--report", "-r", help="Write the task report (JSON) to this file.")  # noqa: UP045
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", "-f", help="Rows of a SELECT: auto, table, csv, tsv, json, jsonl.")
    ] = "auto",
    lookups: Lookups = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Runs an INSERT, REPLACE or SELECT, with live progress; or prints the plan of an EXPLAIN."""
    from controller.cli.run import run_command

    raise typer.Exit(run_command(file, data_dir, context or [], memory, threads, report, format_, quiet, lookups))


@app.command()
def plan(
    file: Annotated[str, typer.Argument(help="SQL file, or - for standard input.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    context: Annotated[
        Optional[list[str]], typer.Option("--context", "-c", help="Query context, key=value; may be repeated.")  # noqa: UP045
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The stage definitions as JSON.")] = False,
    lookups: Lookups = None,
) -> None:
    """Shows the stages of a statement without running it."""
    from controller.cli.plan import plan_command

    raise typer.Exit(plan_command(file, data_dir, context or [], json_, lookups))


@app.command()
def report(
    source: Annotated[
        str, typer.Argument(help="Report file (ours or a real Druid's), - for standard input, or task id.")
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json_: Annotated[bool, typer.Option("--json", help="Print the report's JSON.")] = False,
) -> None:
    """Shows a report as tables: stages, workers, sorts, segments, warnings and errors with advice."""
    from controller.cli.report import report_command

    raise typer.Exit(report_command(source, data_dir, json_))


@app.command()
def segment(
    source: Annotated[str, typer.Argument(help="Segment folder (ours or a real Druid's), segment id, or table.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    dump: Annotated[bool, typer.Option("--dump", help="Print the rows as JSON lines.")] = False,
    columns: Annotated[
        Optional[str], typer.Option("--columns", help="Only these columns, comma-separated.")  # noqa: UP045
    ] = None,
    limit: Annotated[Optional[int], typer.Option("--limit", help="At most so many rows.")] = None,  # noqa: UP045
    json_: Annotated[bool, typer.Option("--json", help="Print what the segment holds as JSON.")] = False,
) -> None:
    """Shows what a segment or table holds: columns, types, cardinalities, sizes, indexes, metadata; or its rows."""
    from controller.cli.segment import segment_command

    raise typer.Exit(segment_command(source, data_dir, dump, columns, limit, json_))


@app.command()
def functions(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="A function's name, or a part of it; all of them without it."),
    ] = None,
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--kind", "-k", help="Only these: scalar, aggregate, window, table, operator, sketch."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print all that is known of them as JSON.")] = False,
) -> None:
    """Lists the functions and operators of SQL: how to call them, what they give, what they make of NULL."""
    from controller.cli.functions import functions_command

    raise typer.Exit(functions_command(name, kind, json_))


@app.command()
def demo(
    rows: Annotated[int, typer.Option("--rows", min=1, help="Click events to make.")] = 100_000,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    memory: Annotated[str, typer.Option("--memory", "-m", help="Memory bound of the process.")] = "2GiB",
) -> None:
    """Makes sample data, ingests it with live progress, shows report and segments, and queries the table."""
    from controller.cli.demo import demo_command

    raise typer.Exit(demo_command(rows, data_dir, memory))


@app.command()
@takes_settings
def serve(**options: Any) -> None:
    """Serves Druid's HTTP API: tasks, statements, interactive SQL, metadata."""
    from controller.cli.serve import serve_command

    raise typer.Exit(serve_command(options))
