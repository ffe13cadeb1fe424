"""A `multiStageQuery` report as tables and a drawing: ours or a real Druid's, of any release since 24.

Works on the report's JSON alone, so that keys of other releases neither matter nor break it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from controller.cli.advice import advice_for

SKEW_NOTICE = 1.5


def payload_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report's payload, wherever the document holds it. Raises ValueError when it holds none."""
    for candidate in (
        document, document.get("multiStageQuery"), document.get("report"), document.get("body"),
    ):  # fmt: skip
        if isinstance(candidate, Mapping):
            inner = candidate.get("multiStageQuery", candidate)
            if (
                isinstance(inner, Mapping)
                and isinstance(inner.get("payload"), Mapping)
                and "status" in inner["payload"]
            ):
                payload: Mapping[str, Any] = inner["payload"]
                return payload
            if (
                isinstance(inner, Mapping)
                and isinstance(inner.get("status"), Mapping)
                and "durationMs" in inner["status"]
            ):
                return inner
            if isinstance(candidate.get("body"), Mapping):
                return payload_of(candidate["body"])
    raise ValueError("This is no multiStageQuery report: it has no payload with a status")


def show(document: Mapping[str, Any], console: Console) -> None:
    """Prints a whole report."""
    payload = payload_of(document)
    task = (document.get("multiStageQuery") or {}).get("taskId")
    console.print(status_view(payload, task))
    stages = payload.get("stages") or []
    if stages:
        console.print(dag_view(stages))
        console.print(stages_view(payload))
        for table in (workers_view(payload), sorts_view(payload), segments_view(payload)):
            if table is not None:
                console.print(table)
    for view in problems_view(payload):
        console.print(view)


def status_view(payload: Mapping[str, Any], task: str | None) -> RenderableType:
    status = payload["status"]
    word = status.get("status", "?")
    colour = {"SUCCESS": "green", "FAILED": "red"}.get(word, "yellow")
    lines = [f"[bold {colour}]{word}[/]" + (f"  {escape(task)}" if task else "")]
    if status.get("startTime"):
        lines.append(f"started {status['startTime']}, took {duration(status.get('durationMs', -1))}")
    segment_report = status.get("segmentReport")
    if segment_report:
        lines.append(f"{segment_report.get('shardSpec')}: {escape(str(segment_report.get('details')))}")
    load = status.get("segmentLoadWaiterStatus") or status.get("segmentLoadStatus")
    if load:
        lines.append(f"segments: {load.get('state')}, {load.get('usedSegments')} of {load.get('totalSegments')} used")
    results = payload.get("results")
    if isinstance(results, Mapping) and "results" in results:
        cut = ", truncated" if results.get("resultsTruncated") else ""
        lines.append(f"{len(results['results']):,} result rows{cut}")
    return Panel("\n".join(lines), title="multiStageQuery", expand=False)


def dag_view(stages: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The stages as a tree from the last one back to its inputs."""
    by_number = {s["stageNumber"]: s for s in stages}
    last = max(by_number)
    tree = Tree(_stage_label(by_number[last]), guide_style="dim")
    _grow(tree, by_number[last], by_number, {last})
    return tree


def _grow(tree: Tree, stage: Mapping[str, Any], by_number: Mapping[int, Any], seen: set[int]) -> None:
    definition = stage.get("definition") or {}
    broadcast = definition.get("broadcast") or []
    for number, source in enumerate(definition.get("input") or []):
        mark = " [magenta](broadcast)[/]" if number in broadcast else ""
        if source.get("type") == "stage":
            inner = by_number[source["stage"]]
            branch = tree.add(_stage_label(inner) + mark)
            if inner["stageNumber"] not in seen:
                seen.add(inner["stageNumber"])
                _grow(branch, inner, by_number, seen)
        else:
            tree.add(f"[blue]{escape(_input_label(source))}[/]{mark}")


def _stage_label(stage: Mapping[str, Any]) -> str:
    definition = stage.get("definition") or {}
    label = f"[bold]{stage['stageNumber']}[/] {(definition.get('processor') or {}).get('type', '?')}"
    spec = definition.get("shuffleSpec")
    if spec:
        key = ", ".join(c["columnName"] for c in (spec.get("clusterBy") or {}).get("columns", []))
        label += f" [cyan]→ {stage.get('shuffle') or spec.get('type')}({escape(key)})[/]"
    return label + (f" [dim]{stage['phase']}[/]" if stage.get("phase") else "")


def _input_label(source: Mapping[str, Any]) -> str:
    kind = source.get("type")
    if kind == "external":
        inner = source.get("inputSource") or {}
        names = inner.get("files") or inner.get("uris") or ([inner["baseDir"]] if inner.get("baseDir") else [])
        text = f"external {inner.get('type')} {(source.get('inputFormat') or {}).get('type', '')}"
        return text + (f": {', '.join(map(str, names[:2]))}{' ..' if len(names) > 2 else ''}" if names else "")
    return f"table {source.get('dataSource')}" if kind == "table" else str(kind)


def stages_view(payload: Mapping[str, Any]) -> Table:
    """One line a stage: what it did, how many rows and bytes went in and out, how long it took, how even it was."""
    table = Table(title="Stages", title_justify="left", show_edge=False)
    for name in ("stage", "processor", "phase", "workers", "partitions", "rows in", "bytes in", "rows out",
                 "bytes out", "time", "cpu", "skew"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("processor", "phase") else "right")
    counters = payload.get("counters") or {}
    for stage in payload.get("stages") or []:
        of_stage = counters.get(str(stage["stageNumber"])) or {}
        rows_in, bytes_in = _amount(of_stage, "input", "rows"), _amount(of_stage, "input", "bytes")
        out = "shuffle" if any("shuffle" in w for w in of_stage.values()) else "output"
        rows_out, bytes_out = _amount(of_stage, out, "rows"), _amount(of_stage, out, "bytes")
        pushed = sum((w.get("segmentGenerationProgress") or {}).get("rowsPushed", 0) for w in of_stage.values())
        table.add_row(
            str(stage["stageNumber"]), (stage.get("definition", {}).get("processor") or {}).get("type", "?"),
            stage.get("phase", ""), str(stage.get("workerCount", "")), str(stage.get("partitionCount", "")),
            f"{rows_in:,}" if rows_in else "", size(bytes_in) if bytes_in else "",
            f"{rows_out or pushed:,}" if rows_out or pushed else "", size(bytes_out) if bytes_out else "",
            duration(stage.get("duration", 0)) if stage.get("duration") else "", _cpu(of_stage), _skew(of_stage),
        )  # fmt: skip
    return table


def _amount(of_stage: Mapping[str, Any], prefix: str, field: str) -> int:
    return sum(
        sum(counter.get(field) or [])
        for worker in of_stage.values()
        for name, counter in worker.items()
        if name.startswith(prefix) and counter.get("type") == "channel"
    )


def _cpu(of_stage: Mapping[str, Any]) -> str:
    total = sum(
        part.get("cpu", 0)
        for worker in of_stage.values()
        for part in (worker.get("cpu") or {}).values()
        if isinstance(part, Mapping)
    )
    return duration(total / 1e6) if total else ""


def _skew(of_stage: Mapping[str, Any]) -> str:
    """Rows of the busiest worker over the mean; blank for a single worker."""
    rows = [_amount({"w": worker}, "input", "rows") for worker in of_stage.values()]
    if len(rows) < 2 or not sum(rows):
        return ""
    skew = max(rows) * len(rows) / sum(rows)
    return f"[yellow]{skew:.2f} ×[/]" if skew >= SKEW_NOTICE else f"{skew:.2f} ×"


def workers_view(payload: Mapping[str, Any]) -> Table | None:
    """Rows by worker, only where several workers shared a stage."""
    counters = payload.get("counters") or {}
    if all(len(workers) < 2 for workers in counters.values()):
        return None
    table = Table(title="Workers", title_justify="left", show_edge=False)
    for name in ("stage", "worker", "rows in", "files", "rows out"):
        table.add_column(name, justify="right")
    for stage, workers in sorted(counters.items(), key=lambda item: int(item[0])):
        for number, worker in sorted(workers.items(), key=lambda item: int(item[0])):
            out = "shuffle" if "shuffle" in worker else "output"
            files = _amount({"w": worker}, "input", "files")
            table.add_row(
                stage, number, f"{_amount({'w': worker}, 'input', 'rows'):,}", str(files or ""),
                f"{_amount({'w': worker}, out, 'rows'):,}",
            )  # fmt: skip
    return table


def sorts_view(payload: Mapping[str, Any]) -> Table | None:
    """Merging levels of every sort: batches done of batches in all."""
    table = Table(title="Sorts", title_justify="left", show_edge=False)
    for name in ("stage", "worker", "levels", "batches by level", "progress"):
        table.add_column(name, justify="right")
    for stage, workers in sorted((payload.get("counters") or {}).items(), key=lambda item: int(item[0])):
        for number, worker in sorted(workers.items(), key=lambda item: int(item[0])):
            sort = worker.get("sortProgress")
            if not sort:
                continue
            totals, merged = sort.get("levelToTotalBatches") or {}, sort.get("levelToMergedBatches") or {}
            levels = ", ".join(f"{merged.get(level, 0)}/{total}" for level, total in totals.items())
            table.add_row(
                stage, number, str(sort.get("totalMergingLevels")),
                "nothing to sort" if sort.get("triviallyComplete") else levels, percent(sort.get("progressDigest")),
            )  # fmt: skip
    return table if table.row_count else None


def segments_view(payload: Mapping[str, Any]) -> Table | None:
    table = Table(title="Segment generation", title_justify="left", show_edge=False)
    for name in ("stage", "worker", "processed", "persisted", "merged", "pushed"):
        table.add_column(name, justify="right")
    for stage, workers in (payload.get("counters") or {}).items():
        for number, worker in workers.items():
            made = worker.get("segmentGenerationProgress")
            if made:
                keys = ("rowsProcessed", "rowsPersisted", "rowsMerged", "rowsPushed")
                table.add_row(stage, number, *(f"{made.get(k, 0):,}" for k in keys))
    return table if table.row_count else None


def problems_view(payload: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The error and the warnings, each with what to do about it."""
    error = payload["status"].get("errorReport")
    if error:
        yield Panel(_problem(error), title="Error", border_style="red", expand=False)
    warnings = payload["status"].get("warnings") or []
    if warnings:
        counted = sum(
            count
            for workers in (payload.get("counters") or {}).values()
            for worker in workers.values()
            for code, count in (worker.get("warnings") or {}).items()
            if code != "type"
        )
        shown = Group(*(_problem(w) for w in warnings))
        yield Panel(shown, title=f"Warnings: {max(counted, len(warnings)):,}", border_style="yellow", expand=False)


def _problem(item: Mapping[str, Any]) -> Text:
    error = item.get("error") or {}
    where = f" (stage {item['stageNumber']})" if "stageNumber" in item else ""
    text = Text(f"{error.get('errorCode')}{where}: {error.get('errorMessage', '')}")
    advice = advice_for(error)
    return text.append(f"\n  {advice}", style="italic") if advice else text


def duration(ms: float) -> str:
    if ms < 0:
        return "not started"
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def percent(value: Any) -> str:
    return "" if value is None else f"{float(value):.0%}"
