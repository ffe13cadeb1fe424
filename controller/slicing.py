"""Inputs divided over workers: InputSpec -> one InputSlice for each worker. Source: reference msq-engine 8.1.

MAX uses as many workers as it may; AUTO as few as keep every worker below its limits of files and bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from msq.codec import encode
from msq.context import QueryContext
from msq.faults import MSQError, TooManyInputFilesFault, TooManyWorkersFault
from msq.formats.base import parse_input_format
from msq.intervals import Interval
from msq.segment.identity import DataSegment
from msq.sources.base import SourceAccess, parse_input_source
from msq.stage.inputs import (
    ExternalInputSlice,
    ExternalInputSpec,
    InlineInputSlice,
    InlineInputSpec,
    InputSlice,
    InputSpec,
    LookupInputSlice,
    LookupInputSpec,
    NilInputSlice,
    SegmentsInputSlice,
    StageInputSlice,
    StageInputSpec,
    TableInputSpec,
)
from msq.stage.query import StageDefinition

MAX_WORKERS_PER_STAGE = 1_000


class Visible(Protocol):
    """A segment and the parts of its interval that a query may read."""

    @property
    def segment(self) -> DataSegment: ...

    @property
    def intervals(self) -> Sequence[Interval]: ...


class SegmentCatalog(Protocol):
    def visible(self, name: str, within: Sequence[Interval] | None = None) -> Sequence[Visible]:
        """Segments of a table to read for `within`, clipped to it; no tombstones, nothing that is overshadowed."""
        ...

    def refresh(self) -> None:
        """Segments are those of now: called once the query holds its locks. Raises MSQError when they do not fit it."""
        ...


@dataclass(frozen=True)
class Assignment:
    """How inputs are divided: `auto` or max, and the limits of one worker."""

    auto: bool = False
    max_files: int = 10_000
    max_bytes: int = 512 << 20

    @staticmethod
    def of(context: QueryContext) -> Assignment:
        return Assignment(
            context.value("taskAssignment") == "auto", context.value("maxInputFilesPerWorker"),
            context.value("maxInputBytesPerWorker"),
        )  # fmt: skip


@dataclass(frozen=True)
class Weighed:
    """Something to hand out: its raw size balances static slices, its weighted size fills dynamic ones."""

    value: Any
    size: int
    weight: int


@dataclass(frozen=True)
class Slicer:
    """What slicing needs to look at. `partitions` and `workers` answer for stages that are complete.

    prune: which of a table's segments can hold rows of the stage (None: all).
    """

    segments: SegmentCatalog | None
    access: SourceAccess
    partitions: Callable[[int], int]
    workers: Callable[[int], tuple[int, ...]]
    assignment: Assignment = field(default_factory=Assignment)
    prune: Callable[[StageDefinition, Sequence[Visible]], Sequence[Visible]] | None = None

    def slice_stage(self, stage: StageDefinition, max_workers: int) -> dict[int, tuple[InputSlice, ...]]:
        """Worker number -> a slice for each input number.

        A worker without a share of any input that is divided is left out; at least one worker stays. Raises MSQError
        (TooManyInputFiles, TooManyWorkers) and what listing a source raises.
        """
        if max_workers > MAX_WORKERS_PER_STAGE:
            raise MSQError(TooManyWorkersFault(max_workers, MAX_WORKERS_PER_STAGE))
        divided: dict[int, list[InputSlice]] = {}
        whole: dict[int, InputSlice] = {}
        for number, spec in enumerate(stage.input):
            if number in stage.broadcast:
                whole[number] = self._slices(stage, spec, 1, whole=True)[0]
            else:
                divided[number] = self._slices(stage, spec, self._most(stage, max_workers))
        count = max((len(slices) for slices in divided.values()), default=1)
        return {
            worker: tuple(
                whole[number] if number in whole
                else divided[number][worker] if worker < len(divided[number]) else NilInputSlice()
                for number in range(len(stage.input))
            )
            for worker in range(max(count, 1))
        }  # fmt: skip

    def _most(self, stage: StageDefinition, max_workers: int) -> int:
        """Workers that a stage may use; AUTO lets a stage over stages have no more than the stages below it had."""
        if not self.assignment.auto or stage.is_leaf:
            return max_workers
        return max(1, min(max_workers, max((len(self.workers(i)) for i in stage.input_stages), default=1)))

    def _slices(self, stage: StageDefinition, spec: InputSpec, most: int, whole: bool = False) -> list[InputSlice]:
        """At most `most` slices, none of them empty unless the whole input is: then there is one."""
        if isinstance(spec, StageInputSpec):
            workers = self.workers(spec.stage)
            items = [Weighed(p, 1, 1) for p in range(self.partitions(spec.stage))]
            shares = static_shares(items, most)
            return [StageInputSlice(spec.stage, tuple(share), workers) for share in shares]
        if isinstance(spec, ExternalInputSpec):
            return self._external(spec, most, whole)
        if isinstance(spec, TableInputSpec):
            return self._table(stage, spec, most, whole)
        if isinstance(spec, InlineInputSpec):
            return [InlineInputSlice(spec.data_source)]
        if isinstance(spec, LookupInputSpec):
            return [LookupInputSlice(spec.lookup_name)]
        raise TypeError(f"no slices for an input of type [{spec.TAG}]")

    def _external(self, spec: ExternalInputSpec, most: int, whole: bool) -> list[InputSlice]:
        source = parse_input_source(spec.input_source)
        form = None if spec.input_format is None else parse_input_format(spec.input_format)
        items = [
            Weighed(i, i.size, i.size if form is None or source.reads_itself(i) else form.weighted_size(i))
            for i in source.list(replace(self.access, tables=self.segments))
        ]
        if whole or not source.splittable:
            shares = [[i.value for i in items]]
        elif not source.splits_by_size:
            shares = round_robin([i.value for i in items], min(most, self._enough(len(items), most)))
        else:
            shares = self._shares(items, most)
        self._check(shares, len(items), spec)
        return [
            ExternalInputSlice(spec.input_source, spec.input_format, spec.signature, tuple(encode(i) for i in share))
            for share in shares
        ]

    def _enough(self, items: int, most: int) -> int:
        """Workers that AUTO takes for items of unknown size: as the limit of files wants."""
        return most if not self.assignment.auto else max(1, -(-items // self.assignment.max_files))

    def _table(self, stage: StageDefinition, spec: TableInputSpec, most: int, whole: bool) -> list[InputSlice]:
        if self.segments is None:
            raise TypeError(f"table [{spec.data_source}] cannot be read: there is no segment catalog")
        visible = self.segments.visible(spec.data_source, [Interval.parse(i) for i in spec.intervals])
        if self.prune is not None:
            visible = self.prune(stage, visible)
        items = [Weighed(v, v.segment.size, v.segment.size) for v in visible]
        shares = [[i.value for i in items]] if whole else self._shares(items, most)
        self._check(shares, len(items), spec)
        return [
            SegmentsInputSlice(
                spec.data_source, tuple(v.segment.to_json() for v in share),
                tuple(tuple(str(i) for i in v.intervals) for v in share),
            )
            for share in shares
        ]  # fmt: skip

    def _shares(self, items: Sequence[Weighed], most: int) -> list[list[Any]]:
        if self.assignment.auto:
            return dynamic_shares(items, most, self.assignment.max_files, self.assignment.max_bytes)
        return static_shares(items, most)

    def _check(self, shares: Sequence[Sequence[Any]], total: int, spec: InputSpec) -> None:
        most = self.assignment.max_files
        if any(len(share) > most for share in shares):
            raise MSQError(TooManyInputFilesFault(total, most, -(-total // most)))


def static_shares(items: Sequence[Weighed], most: int) -> list[list[Any]]:
    """Each item goes to the lightest share so far, ties to the first; shares without items are dropped."""
    shares: list[list[Any]] = [[] for _ in range(most)]
    sizes = [0] * most
    for item in items:
        at = sizes.index(min(sizes))
        shares[at].append(item.value)
        sizes[at] += item.size
    return [share for share in shares if share] or [[]]


def dynamic_shares(items: Sequence[Weighed], most: int, max_files: int, max_bytes: int) -> list[list[Any]]:
    """A share is opened only when the lightest one would exceed a limit, and fewer than `most` exist."""
    shares: list[list[Any]] = [[]]
    sizes = [0]
    for item in items:
        at = sizes.index(min(sizes))
        full = len(shares[at]) + 1 > max_files or sizes[at] + item.weight > max_bytes
        if full and shares[at] and len(shares) < most:
            shares.append([])
            sizes.append(0)
            at = len(shares) - 1
        shares[at].append(item.value)
        sizes[at] += item.weight
    return shares


def round_robin(items: Sequence[Any], most: int) -> list[list[Any]]:
    """Items of unknown size, dealt out in turn."""
    return [share for n in range(most) if (share := list(items[n::most]))] or [[]]
