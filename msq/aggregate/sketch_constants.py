"""Sketches that stand in the query itself, as base64."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from dataclasses import dataclass

import pyarrow as pa

from msq.aggregate.post import GroupedRows, NativePostAggregator
from msq.aggregate.sketch_posts import THETA
from msq.datatypes import ColumnType, RowSignature, complex_of
from msq.sketches import theta, tuples


@dataclass(frozen=True)
class _Constant(NativePostAggregator, ABC):
    """Raises ValueError for a value that is no such sketch."""

    name: str | None
    value: str

    def __post_init__(self) -> None:
        if not self.value:
            raise ValueError("Constant value cannot be null or empty, expecting base64 encoded sketch string")
        try:
            self._read(pa.array([self._image], pa.binary()))
        except (binascii.Error, RuntimeError, IndexError, ValueError) as error:
            raise ValueError(f"Constant value of post-aggregator [{self.name}] is no sketch: {error}") from error

    @property
    def _image(self) -> bytes:
        return base64.b64decode(self.value, validate=True)

    def compute(self, rows: GroupedRows) -> pa.Array:
        return pa.array([self._image], pa.binary()).take(pa.array([0] * rows.rows, pa.int64()))

    @abstractmethod
    def _read(self, states: pa.Array) -> None:
        """Raises for bytes that are no sketch."""


class ThetaConstant(_Constant, tag="thetaSketchConstant"):
    def output_type(self, columns: RowSignature) -> ColumnType:
        return THETA

    def _read(self, states: pa.Array) -> None:
        theta.bounds(states[0].as_py(), 1)


class ArrayOfDoublesConstant(_Constant, tag="arrayOfDoublesSketchConstant"):
    def output_type(self, columns: RowSignature) -> ColumnType:
        return complex_of("arrayOfDoublesSketch")

    def _read(self, states: pa.Array) -> None:
        image = states[0].as_py()
        if image[1:4] != b"\1\x09\3":
            raise ValueError("its bytes are of no array-of-doubles sketch")
        tuples.read(states)
