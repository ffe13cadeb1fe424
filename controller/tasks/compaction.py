"""Automatic compaction: finds time chunks that are not as their table's configuration asks, and has them rewritten.

Source: http-api C-66..C-73. A chunk is rewritten by a task of type compact; as many run at once as the configuration
of the cluster allows. A chunk that could not be compacted is left alone until its segments or the configuration change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.catalog import MetadataCatalog
from controller.metadata.compaction import TABLE, compaction
from controller.metadata.task_list import TaskFilter
from controller.tasks.batch import BatchSubmission, prepare_batch, with_id
from controller.tasks.batch_sql import granularity
from controller.tasks.manager import TaskManager
from controller.tasks.query import QueryTask
from msq.faults import DruidException
from msq.intervals import Interval, Period, add_period
from msq.segment.identity import DataSegment

log = logging.getLogger(__name__)

PREFIX = "coordinator-issued_"
AWAITING, COMPACTED, SKIPPED = "AwaitingCompaction", "Compacted", "Skipped"
_COPIED = ("granularitySpec", "dimensionsSpec", "metricsSpec", "transformSpec")


@dataclass(frozen=True)
class Chunk:
    """An interval that is rewritten whole, the segments in it, and AWAITING, COMPACTED or SKIPPED."""

    interval: Interval
    segments: tuple[DataSegment, ...]
    state: str


_Key = tuple[str, str, frozenset[str]]
"""Table, configuration, and ids of a chunk's segments."""


class Compaction:
    """Only the thread of the duties and requests for a pass call it; a lock of the caller's keeps them apart."""

    def __init__(self, tasks: TaskManager) -> None:
        self._tasks = tasks
        self._tried: dict[_Key, tuple[str, ...]] = {}
        self.problems: dict[str, str] = {}
        """Why a table cannot be compacted, by its name."""

    def run(self) -> int:
        """One pass; answers how many tasks it queued."""
        engine = self._tasks.engine
        with engine.store.reading() as connection:
            found = compaction(connection)
        allowed = min(found["maxCompactionTaskSlots"], found["compactionTaskSlotRatio"] * self._tasks.queue.capacity)
        running = [t for t in self._tasks.summaries(TaskFilter(active=True, kind="compact")) if t.id.startswith(PREFIX)]
        free = max(1, int(allowed)) - len(running) if found["maxCompactionTaskSlots"] else 0
        busy = {t.datasource for t in running}
        queued = 0
        for given in found["compactionConfigs"]:
            config = {**TABLE, **given}
            name = config["dataSource"]
            if queued >= free:
                break
            if name in busy:
                continue
            catalog = MetadataCatalog(engine.store, engine.schema_of)
            problems: list[str] = []
            found_here = chunks(config, [v.segment for v in catalog.visible(name)])
            self._forget(config, found_here)
            for chunk in found_here:
                if queued >= free:
                    break
                if chunk.state == AWAITING:
                    queued += self._queue(config, chunk, problems)
            self.problems = {**self.problems, name: problems[0]} if problems else _without(self.problems, name)
        return queued

    def _forget(self, config: Mapping[str, Any], now: Sequence[Chunk]) -> None:
        """Drops what was tried of a table's chunks, or by a configuration, that are no more."""
        name, kept = config["dataSource"], {_key(config, chunk) for chunk in now}
        self._tried = {key: why for key, why in self._tried.items() if key[0] != name or key in kept}

    def _queue(self, config: Mapping[str, Any], chunk: Chunk, problems: list[str]) -> bool:
        """Whether a task was queued; why it cannot be is added to `problems`."""
        name = str(config["dataSource"])
        key = _key(config, chunk)
        if key in self._tried:
            problems += self._tried[key]
            return False
        self._tried[key] = ()
        try:
            asked = BatchSubmission(with_id(_task(config, chunk), name, PREFIX), {})
            self._tasks.add(QueryTask(self._tasks.engine, prepare_batch(self._tasks.engine, asked), asked))
        except DruidException as error:
            self._tried[key] = (error.message,)
            problems.append(error.message)
            log.warning("table [%s] cannot be compacted in [%s]: %s", name, chunk.interval, error.message)
            return False
        return True


def _key(config: Mapping[str, Any], chunk: Chunk) -> _Key:
    return str(config["dataSource"]), json.dumps(config, sort_keys=True), frozenset(s.id for s in chunk.segments)


def _without(problems: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in problems.items() if key != name}


def chunks(config: Mapping[str, Any], segments: Sequence[DataSegment]) -> list[Chunk]:
    """A table's chunks, newest first. `segments`: visible ones, tombstones left out.

    Chunks that reach beyond `skipOffsetFromLatest` or hold more than `inputSegmentSizeBytes` are skipped.
    """
    wanted = (config.get("granularitySpec") or {}).get("segmentGranularity")
    made = None if wanted is None else granularity(wanted, "granularitySpec.segmentGranularity")
    spans = {s.id: Interval.parse(s.interval) for s in segments}
    whole = set(spans.values())
    if made is not None:
        whole |= {made.bucket(edge) for span in spans.values() for edge in (span.start, span.end - 1)}
    latest = max((span.end for span in spans.values()), default=0)
    border = add_period(latest, Period.parse(config["skipOffsetFromLatest"]), -1)
    out = []
    for interval in sorted(_joined(whole), reverse=True):
        members = tuple(s for s in segments if interval.contains(spans[s.id]))
        if interval.end > border or sum(s.size for s in members) > config["inputSegmentSizeBytes"]:
            state = SKIPPED
        else:
            state = COMPACTED if all(_is_as_wanted(config, s) for s in members) else AWAITING
        out.append(Chunk(interval, members, state))
    return [chunk for chunk in out if chunk.segments]


def _is_as_wanted(config: Mapping[str, Any], segment: DataSegment) -> bool:
    """Whether the state that a segment was written with says all that the configuration asks for."""
    state = segment.last_compaction_state
    if state is None:
        return False
    partitions = (config.get("tuningConfig") or {}).get("partitionsSpec")
    granularity = config.get("granularitySpec") or {}
    wanted = {
        "partitionsSpec": partitions, "dimensionsSpec": config.get("dimensionsSpec"),
        "metricsSpec": config.get("metricsSpec"), "transformSpec": config.get("transformSpec"),
    }  # fmt: skip
    stored = state.get("granularitySpec") or {}
    return all(_says(state.get(key), value) for key, value in wanted.items()) and _says(stored, granularity)


def _says(stored: Any, wanted: Any) -> bool:
    """Whether `stored` has all that is not null in `wanted`; granularities may be named or spelled out."""
    if wanted is None:
        return True
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return all(_says(stored.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, str) and isinstance(stored, dict):
        return wanted.lower() == str(stored.get("type", stored.get("period"))).lower()
    if isinstance(wanted, str) and isinstance(stored, str):
        return wanted.lower() == stored.lower()
    return bool(stored == wanted)


def progress(config: Mapping[str, Any], segments: Sequence[DataSegment]) -> dict[str, int]:
    """Bytes, segments and intervals that await compaction, are as configured, or are left alone."""
    try:
        found = chunks(config, segments)
    except DruidException:
        # a granularity that there is not: what is wrong with it is told where it is to be used
        found = []
    out = {}
    for state in (AWAITING, COMPACTED, SKIPPED):
        members = [s for chunk in found if chunk.state == state for s in chunk.segments]
        out[f"bytes{state}"] = sum(s.size for s in members)
        out[f"segmentCount{state}"] = len(members)
        out[f"intervalCount{state}"] = len({s.interval for s in members})
    return out


def _joined(intervals: set[Interval]) -> list[Interval]:
    """Intervals that overlap as one."""
    out: list[Interval] = []
    for one in sorted(intervals):
        if out and one.start < out[-1].end:
            out[-1] = Interval(out[-1].start, max(out[-1].end, one.end))
        else:
            out.append(one)
    return out


def _task(config: Mapping[str, Any], chunk: Chunk) -> dict[str, Any]:
    tuning = {**(config.get("tuningConfig") or {})}
    if config.get("maxRowsPerSegment"):
        tuning.setdefault("maxRowsPerSegment", config["maxRowsPerSegment"])
    body: dict[str, Any] = {key: config[key] for key in _COPIED if config.get(key) is not None}
    return {
        **body, "type": "compact", "tuningConfig": tuning,
        "ioConfig": {"type": "compact", "inputSpec": {"type": "interval", "interval": str(chunk.interval)}},
        "context": {"priority": config["taskPriority"], **(config.get("taskContext") or {})},
    }  # fmt: skip
