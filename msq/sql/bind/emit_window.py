"""Windows to windowOperator queries: operators, processors and which projections they absorb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msq.codec import encode
from msq.datatypes import Column as NativeColumn
from msq.datatypes import RowSignature
from msq.expr.nodes import Identifier, Node, identifiers
from msq.native.datasource import QueryDataSource
from msq.native.query import WindowOperatorQuery
from msq.sql.bind.aggregates import native_window_aggregate
from msq.sql.bind.level import Finished, Level
from msq.sql.bind.naming import unused_prefix
from msq.sql.bind.relation import Column, Project, Window, WindowCall, substitute

if TYPE_CHECKING:
    from msq.sql.bind.emit import Emitter


@dataclass
class WindowLevel:
    """A window query in the making; `outputs` are references to columns of the input or of windows."""

    query_source: QueryDataSource
    names: dict[str, str]
    signature: RowSignature
    operators: tuple[dict[str, Any], ...]
    columns: dict[str, Column]
    outputs: dict[str, Node]

    def finish(self, wanted: Sequence[str], context: dict[str, Any]) -> Finished:
        names = {i: self.names[n.name] for i, n in self.outputs.items() if isinstance(n, Identifier)}
        shown = dict.fromkeys(names.values())
        signature = self.signature.select(list(shown))
        query = WindowOperatorQuery(
            data_source=self.query_source,
            context=dict(sorted(context.items())),
            output_signature=signature,
            operator_definition=self.operators,
        )
        return Finished(query, names, signature)


def lower_window(
    emitter: Emitter, window: Window, project: Project | None, needed: frozenset[str], top: bool
) -> WindowLevel | Level:
    """The level of a window relation and of the projection right above it.

    A projection of plain columns is absorbed when it is the whole statement or leaves columns out. Computed ones stay
    above, but for those that read no window's result beside windows with PARTITION BY: they move below.
    """
    items: list[tuple[Column, Node]] = []
    if project is not None:
        items = [(c, n) for c, n in zip(project.columns, project.nodes) if c.id in needed]
    results = {c.column.id for c in window.calls}
    partitioned = any(c.partition for c in window.calls)
    below: dict[str, tuple[Column, Node]] = {}
    if partitioned:
        for column, node in items:
            if not isinstance(node, Identifier) and identifiers(node) and not results & set(identifiers(node)):
                below[column.id] = (column, node)
    items = [(c, Identifier(c.id) if c.id in below else n) for c, n in items]
    above = {i for _, n in items for i in identifiers(n)} if project is not None else set(needed)
    level = _lower(emitter, window, frozenset(above), below)
    if project is None:
        return level
    if all(isinstance(n, Identifier) for _, n in items):
        used = {level.names[n.name] for _, n in items if isinstance(n, Identifier)}
        if top or used != set(level.signature.names):
            level.outputs = {c.id: n for c, n in items}
            level.columns.update((c.id, c) for c, _ in items)
            return level
    over = emitter.wrap(level, frozenset(level.outputs))
    over.outputs = {c.id: substitute(n, over.outputs) for c, n in items}
    over.learn(c for c, _ in items)
    return over


def _lower(
    emitter: Emitter, window: Window, above: frozenset[str], below: dict[str, tuple[Column, Node]]
) -> WindowLevel:
    reads = set(above) | {i for _, n in below.values() for i in identifiers(n)}
    kept = set(above)
    for call in window.calls:
        used = {*call.partition, *(k.column for k in call.order), *(i for a in call.args for i in identifiers(a.node))}
        reads |= used
        kept |= used
    inner = frozenset(reads) & {c.id for c in window.input.columns}
    level = emitter.plain(window.input, inner)
    if level.limited:
        level = emitter.wrap(level, inner)
    for column, node in below.values():
        level.outputs[column.id] = substitute(node, level.outputs)
        level.learn([column])
    outputs = _in_source_order(level, [i for i in level.outputs if i in kept or i in below])
    done = emitter.finish(level, outputs)
    prefix = unused_prefix("w", done.signature.names)
    builder = _Operators(dict(done.names), done.signature, prefix, emitter.context)
    for call in window.calls:
        builder.number(call)
    operators = builder.operators(window.calls)
    names = builder.names
    columns = {**level.columns, **{c.column.id: c.column for c in window.calls}}
    signature = RowSignature([*done.signature, *builder.results])
    shown: dict[str, Node] = {i: Identifier(i) for i in [*outputs, *(c.column.id for c in window.calls)]}
    return WindowLevel(QueryDataSource(done.query), names, signature, operators, columns, shown)


def _in_source_order(level: Level, outputs: list[str]) -> list[str]:
    """Plain columns in the source's order, then computed ones: how a projection below a window prints."""
    if level.aggregated:
        return outputs
    place = {name: n for n, name in enumerate(level.signature.names)}

    def key(output: str) -> tuple[int, int]:
        node = level.outputs[output]
        return (0, place[level.names[node.name]]) if isinstance(node, Identifier) else (1, 0)

    return sorted(outputs, key=key)


def _is_aggregate(call: WindowCall) -> bool:
    """Whether a call aggregates its frame; Druid has no NTH_VALUE, which is the one other function that has a frame."""
    return call.frame is not None and call.name != "NTH_VALUE"


class _Operators:
    """Collects operators; window calls of one partition and order stand together."""

    def __init__(
        self, names: dict[str, str], signature: RowSignature, prefix: str, settings: Mapping[str, Any]
    ) -> None:
        self.settings = settings
        self.names = names
        self.signature = signature
        self.prefix = prefix
        self.results: list[NativeColumn] = []

    def number(self, call: WindowCall) -> None:
        """Names the result of a call; results are numbered in the order of the SELECT list."""
        name = f"{self.prefix}{len(self.results)}"
        self.names[call.column.id] = name
        self.results.append(NativeColumn(name, call.column.native))

    def operators(self, calls: Sequence[WindowCall]) -> tuple[dict[str, Any], ...]:
        groups: dict[tuple[Any, ...], list[WindowCall]] = {}
        for call in calls:
            groups.setdefault((call.partition, call.order), []).append(call)
        made: list[dict[str, Any]] = []
        # windows without PARTITION BY come first
        for (partition, order), members in sorted(groups.items(), key=lambda g: bool(g[0][0])):
            columns = [{"column": self.names[p], "direction": "ASC"} for p in partition]
            columns += [
                {"column": self.names[k.column], "direction": "DESC" if k.descending else "ASC"}
                for k in order
                if k.column not in partition
            ]
            if columns:
                made.append({"type": "naiveSort", "columns": columns})
            made.append({"type": "naivePartition", "partitionColumns": [self.names[p] for p in partition]})
            made.extend({"type": "window", "processor": p} for p in self._processors(members))
        return tuple(made)

    def _processors(self, calls: Sequence[WindowCall]) -> list[dict[str, Any]]:
        numbers = [self._ranking(c) for c in calls if c.name == "ROW_NUMBER"]
        ranks = [self._ranking(c) for c in calls if c.name != "ROW_NUMBER" and not _is_aggregate(c)]
        frames: dict[tuple[Any, ...], list[WindowCall]] = {}
        for call in calls:
            if call.frame is not None and _is_aggregate(call):
                frames.setdefault(call.frame, []).append(call)
        made = list(numbers)
        if len(ranks) == 1:
            made.extend(ranks)
        elif ranks:
            made.append({"type": "composing", "processors": ranks})
        for frame, members in frames.items():
            aggregations: list[Any] = []
            for call in members:
                output = self.names[call.column.id]
                aggregations.extend(native_window_aggregate(call, output, self.signature, self.names, self.settings))
            made.append({
                "type": "framedAgg", "frame": self._frame(frame, members[0]), "aggregations": encode(aggregations)
            })  # fmt: skip
        return made

    def _frame(self, frame: tuple[str, int | None, int | None], call: WindowCall) -> dict[str, Any]:
        kind, lower, upper = frame
        made: dict[str, Any] = {"type": kind, "lowerOffset": lower, "upperOffset": upper}
        if kind == "groups":
            made["orderByColumns"] = [self.names[k.column] for k in call.order]
        return made

    def _ranking(self, call: WindowCall) -> dict[str, Any]:
        output = self.names[call.column.id]
        group = [self.names[k.column] for k in call.order]
        match call.name:
            case "ROW_NUMBER":
                return {"type": "rowNumber", "outputColumn": output}
            case "RANK" | "PERCENT_RANK":
                percent = call.name == "PERCENT_RANK"
                return {"type": "rank", "group": group, "outputColumn": output, "asPercent": percent}
            case "DENSE_RANK":
                return {"type": "denseRank", "group": group, "outputColumn": output}
            case "CUME_DIST":
                return {"type": "cumeDist", "group": group, "outputColumn": output}
            case "NTILE":
                return {"type": "percentile", "outputColumn": output, "numBuckets": call.args[0].literal_value}
            case "LAG" | "LEAD":
                offset = call.args[1].literal_value if len(call.args) > 1 else 1
                return {
                    "type": "offset", "inputColumn": self._input(call), "outputColumn": output,
                    "offset": -offset if call.name == "LAG" else offset,
                }  # fmt: skip
            case "NTH_VALUE":
                assert call.frame is not None
                return {
                    "type": "nth", "inputColumn": self._input(call), "outputColumn": output,
                    "position": call.args[1].literal_value, "frame": self._frame(call.frame, call),
                }  # fmt: skip
            case "FIRST_VALUE":
                return {"type": "first", "inputColumn": self._input(call), "outputColumn": output}
            case "LAST_VALUE":
                return {"type": "last", "inputColumn": self._input(call), "outputColumn": output}
            case "OWN_VALUE":
                return {"type": "offset", "inputColumn": self._input(call), "outputColumn": output, "offset": 0}
        raise TypeError(f"no window processor for [{call.name}]")

    def _input(self, call: WindowCall) -> str:
        node = call.args[0].node
        assert isinstance(node, Identifier)
        return self.names[node.name]
