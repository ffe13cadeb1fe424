"""Tables of schema `sys`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from controller.metadata import segments as segment_rows
from controller.metadata.task_list import TaskFilter
from controller.system.state import ROLES, TIER, SystemState, own_version
from controller.system.tables import Rows, system_table
from controller.tasks.views import task_status_plus
from msq.codec import encode
from msq.segment.identity import DataSegment
from msq.segment.timeline import overshadowed


def used_by_table(state: SystemState) -> Iterator[tuple[str, list[DataSegment]]]:
    """Used segments of every table that may be read, tables by name."""
    with state.engine.store.reading() as connection:
        for name in filter(state.may_read, segment_rows.datasource_names(connection)):
            yield name, segment_rows.used_segments(connection, name)


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@system_table(
    "sys", "segments",
    longs="size partition_num num_replicas num_rows is_active is_published is_available is_realtime is_overshadowed "
    "replication_factor",
    columns="segment_id datasource start end size version partition_num num_replicas num_rows is_active is_published "
    "is_available is_realtime is_overshadowed shard_spec dimensions metrics last_compaction_state replication_factor",
)  # fmt: skip
def segments(state: SystemState) -> Rows:
    """Used segments; each can be read at once from deep storage, so each is available, tombstones too."""
    for name, used in used_by_table(state):
        hidden = {s.id for s in overshadowed(used)}
        for s in used:
            start, _, end = s.interval.partition("/")
            shown = s.id not in hidden
            yield (
                s.id, name, start, end, s.size, s.version, s.shard_spec.partition_num, int(shown), s.total_rows or 0,
                int(shown), 1, int(shown), 0, int(not shown), _text(encode(s.shard_spec)), _text(list(s.dimensions)),
                _text(list(s.metrics)), _text(s.last_compaction_state), 1,
            )  # fmt: skip


@system_table(
    "sys", "servers",
    longs="plaintext_port tls_port curr_size max_size is_leader available_processors total_memory",
    columns="server host plaintext_port tls_port server_type tier curr_size max_size is_leader start_time version "
    "build_revision labels available_processors total_memory",
)  # fmt: skip
def servers(state: SystemState) -> Rows:
    """This process, once for each part of a Druid that it plays."""
    host, port, tls_port = state.engine.settings.location
    served = sum(s.size for _, used in used_by_table(state) for s in used if not s.is_tombstone)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for role in ROLES:
        data = role == "historical"
        yield (
            state.node, host, port, tls_port, role, TIER if data else None, served if data else 0,
            state.cache_limit if data else 0, 1 if role in ("coordinator", "overlord") else None, state.started,
            own_version(), "", None, os.cpu_count() or 1, memory,
        )  # fmt: skip


@system_table("sys", "server_segments", columns="server segment_id")
def server_segments(state: SystemState) -> Rows:
    for _, used in used_by_table(state):
        hidden = {s.id for s in overshadowed(used)}
        for s in used:
            if s.id not in hidden:
                yield (state.node, s.id)


@system_table(
    "sys", "tasks", longs="duration plaintext_port tls_port",
    columns="task_id group_id type datasource created_time queue_insertion_time status runner_status duration location "
    "host plaintext_port tls_port error_msg",
)  # fmt: skip
def tasks(state: SystemState) -> Rows:
    states, own = state.tasks.queue.states(), state.engine.settings.location
    for task in filter(state.may_see, state.tasks.summaries(TaskFilter())):
        shown = task_status_plus(task, states, own)
        place = shown["location"]
        yield (
            task.id, task.group_id, task.kind, task.datasource, task.created, shown["queueInsertionTime"],
            shown["status"], shown["runnerStatusCode"], shown["duration"],
            None if place["host"] is None else f"{place['host']}:{place['port']}", place["host"], place["port"],
            place["tlsPort"], shown["errorMsg"],
        )  # fmt: skip


@system_table(
    "sys", "supervisors", longs="healthy suspended",
    columns="supervisor_id datasource state detailed_state healthy type source suspended spec",
)  # fmt: skip
def supervisors(state: SystemState) -> Sequence[Any]:
    """Nothing streams here."""
    return ()


@system_table("sys", "server_properties", columns="server service_name node_roles property value")
def server_properties(state: SystemState) -> Rows:
    roles = f"[{','.join(ROLES)}]"
    for name, value in sorted(state.properties.items()):
        yield (state.node, "druid/router", roles, name, value)
