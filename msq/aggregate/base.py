"""What every native aggregator can do, and the helpers they share.

An aggregator works in three steps. *Partial*: DuckDB groups rows and computes the aggregator's `parts` (aggregate
calls); `state` turns the parts of each group into one value in frame layout, of the `intermediate_type`. *Merge*:
states of adjacent rows with equal keys become one (`merge`, numpy over runs, no SQL). *Finalize*: a state becomes a
value. States travel between stages and, in roll-up, into segments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from msq.datatypes import ColumnType, arrow_type
from msq.expr.lower import InputColumn
from msq.native.aggregators import Aggregator

if TYPE_CHECKING:
    from msq.native.filters import DimFilter


@dataclass(frozen=True, slots=True)
class Part:
    """One DuckDB aggregate call; `where` is its own row condition, if it has one; `around` wraps its result.

    `keeps_rows`: the value holds something for every row (a list), so the partial step must work in chunks of rows.
    Such a call is of one argument and keeps the order of the rows when it is told their numbers.
    """

    call: str
    where: str | None = None
    around: str = "{}"
    keeps_rows: bool = False
    numbered: str | None = None
    """The call where rows have numbers, `__row__` for a row's own: the last of rows that are equal otherwise counts."""
    dictionary: str | None = None
    """Set where a list holds places in the dictionary of this text column; `state` gets the texts, as a dictionary."""

    def also(self, condition: str) -> Part:
        """The same call over the rows that also fulfil `condition`."""
        return replace(self, where=condition if self.where is None else f"({condition}) AND ({self.where})")

    def over(self, window: str) -> str:
        """SQL of the call as a window function over `window`, the text inside OVER (..)."""
        return self.around.format(f"{self._filtered()} OVER ({window})")

    def sql(self, row_number: str | None = None) -> str:
        return self.around.format(self._filtered(row_number))

    def _filtered(self, row_number: str | None = None) -> str:
        call = self.call
        if self.numbered is not None and row_number is not None:
            call = self.numbered.replace("__row__", row_number)
        if self.keeps_rows and row_number is not None:
            call = f"{call.removesuffix(')')} ORDER BY {row_number})"
        return call if self.where is None else f"{call} FILTER (WHERE {self.where})"


class Scope(Protocol):
    """Where the partial step finds its inputs; see msq.aggregate.compute."""

    def column(self, name: str) -> InputColumn:
        """The column or virtual column `name`; a typed null where there is none."""
        ...

    def codes(self, name: str) -> InputColumn | None:
        """The places of a plain text column's values in its dictionary (see Part.dictionary); None where unknown."""
        ...

    def condition(self, condition: DimFilter) -> str:
        """SQL truth of a native filter."""
        ...


class Runs:
    """Adjacent rows with equal keys: `starts` are the first rows, ascending from 0; `rows` is how many there are."""

    __slots__ = ("rows", "starts")

    def __init__(self, starts: np.ndarray[Any, np.dtype[np.int64]], rows: int) -> None:
        self.starts = starts
        self.rows = rows

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def trivial(self) -> bool:
        """Whether each run is a single row."""
        return len(self.starts) == self.rows

    def offsets(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Starts and, at the end, the number of rows."""
        return np.append(self.starts, self.rows)

    def ids(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """For each row the number of its run."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.offsets()))


class NativeAggregator(Aggregator, ABC):
    """Behaviour of the members of the family `Aggregator`; the module docstring tells the steps."""

    name: str
    shareable: ClassVar[bool] = False
    """Whether several SQL calls that only read it differently may share one."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that the partial step reads, filters included."""
        field = getattr(self, "field_name", None)
        return (field,) if field is not None else ()

    @property
    @abstractmethod
    def intermediate_type(self) -> ColumnType:
        """Type of states: the column's type behind groupByPreShuffle."""

    @property
    def final_type(self) -> ColumnType:
        """Type of finalised values."""
        return self.intermediate_type

    @abstractmethod
    def combining(self, name: str) -> NativeAggregator:
        """The aggregator that merges columns of states called `name` into `name` (roll-up's metricsSpec)."""

    @abstractmethod
    def parts(self, scope: Scope) -> Mapping[str, Part]:
        """Aggregate calls that the partial step needs, by a short name of their own."""

    @abstractmethod
    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        """States in frame layout from the parts' values, one for each group."""

    @abstractmethod
    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        """One state for each run. Null states hold nothing."""

    def finalize(self, states: pa.Array) -> pa.Array:
        """Values of `final_type`."""
        return states

    def at_rest(self, states: pa.Array) -> pa.Array:
        """States as a segment stores them."""
        return states

    def empty(self) -> pa.Array:
        """The state of a group without rows, as an array of one."""
        return pa.nulls(1, arrow_type(self.intermediate_type))


def numbers(array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Values and validity of a numeric array without copying where it has no nulls; nulls read as 0."""
    valid = validity(array)
    if array.null_count:
        array = array.fill_null(0)
    return array.to_numpy(zero_copy_only=False), valid


def validity(array: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where the array holds a value."""
    if array.null_count == 0:
        return np.ones(len(array), dtype=np.bool_)
    valid: np.ndarray[Any, np.dtype[np.bool_]] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def numeric_array(values: np.ndarray[Any, Any], valid: np.ndarray[Any, np.dtype[np.bool_]], kind: Any) -> pa.Array:
    """An Arrow array of type `kind` with null where `valid` is false."""
    return pa.array(values, type=kind, mask=None if valid.all() else ~valid)


def wrapped_long(array: pa.Array) -> pa.Array:
    """Sums as DuckDB exports them (decimal128 of HUGEINT, or int64) cut to 64 bits, as Java's addition wraps."""
    array = combine(array)
    if not pa.types.is_decimal(array.type):
        return array.cast(pa.int64())
    words = np.frombuffer(array.buffers()[1], dtype=np.int64)[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    return numeric_array(words, validity(array), pa.int64())


def combine(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous array."""
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def quote(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'
