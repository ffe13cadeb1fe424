"""JSON kernels over whole columns, as `jsons` gives them for a value.

Most texts are written as Druid writes them already; `Scan` tells which. Others go through a library in one sweep, and
what the library does not read or write as Druid does (integers beyond 64 bits, deep nesting) through `jsons`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, reduce
from operator import add, or_
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels import jsons
from msq.expr.kernels.base import Kernel, by_value, whole
from msq.expr.kernels.buffers import Mask, distinct, replaced, split_rows
from msq.expr.kernels.json_scan import Scan

Exact = Callable[[str], str | None]

_UNREAD = object()


def _flags(column: Any) -> Mask:
    found: Mask = pc.fill_null(whole(column), False).to_numpy(zero_copy_only=False)
    return found


def _swept(made: Iterator[Any], instead: Callable[[int], Any]) -> list[Any]:
    """All of `made`; where it raises, what `instead` says of that row. Of several sources, all but one are lists."""
    out: list[Any] = []
    while True:
        try:
            out.extend(made)
            return out
        except (ValueError, TypeError):  # what the library cannot read, or cannot write
            out.append(instead(len(out)))


def _texts_of(values: Iterable[Any], exact: Callable[[int], str | None]) -> pa.Array:
    return pa.array(_swept(map(bytes.decode, map(orjson.dumps, values)), exact), pa.string())


def _as_druid(texts: pa.Array, exact: Exact) -> pa.Array:
    """The library's texts as Druid's: its numbers and escapes, NULL for `null`."""
    scan = Scan(texts)
    made = scan.java() if len(scan.java_numbers) else texts
    if len(scan.escapes):
        control = pc.fill_null(pc.match_substring(texts, "\\u00"), False).to_numpy(zero_copy_only=False)
        if control.any():
            made = split_rows(made, ~control, lambda c: c, lambda c, kind: distinct(c, exact, kind))
    nothing = (scan.lengths == 4) & (scan.data[scan.starts] == 110)
    if texts.null_count or nothing.any():
        made = pc.if_else(pc.and_(texts.is_valid(), pa.array(~nothing)), made, pa.scalar(None, pa.string()))
    return made


def _normal_column(otherwise: Callable[[str, ValueError], str | None]) -> Callable[[Any, Any], Any]:
    """A kernel of texts and whether DuckDB takes each for JSON; `otherwise` says what a text that is none becomes."""

    def exact(text: str) -> str | None:
        try:
            return jsons.normal(text)
        except ValueError as error:
            return otherwise(text, error)

    def slow(texts: pa.Array, kind: Any) -> pa.Array:
        return distinct(texts, exact, kind)

    def read(texts: pa.Array) -> pa.Array:
        values = texts.to_pylist()
        return _as_druid(_texts_of(map(orjson.loads, values), lambda row: exact(values[row])), exact)

    def run(column: Any, valid: Any) -> Any:
        texts, json = whole(column), _flags(valid)
        scan = Scan(texts)
        plain = scan.plain & json

        def parse(rest: pa.Array, kind: Any) -> pa.Array:
            return split_rows(rest, json[~plain] & ~Scan(rest).wide_numbers, read, slow)

        made = scan.java() if plain.any() and len(scan.java_numbers) else texts
        return replaced(texts, plain, made, parse)

    return run


def _refused(text: str, error: ValueError) -> str | None:
    raise ValueError(f"Function[parse_json] bad string input [{text}]") from error


_of_text = _normal_column(lambda text, error: jsons.quoted(text))


def _of_json(column: Any) -> Any:
    """Texts of JSON values, which are as DuckDB writes them, mostly: then only numbers can differ."""
    texts = whole(column)
    scan = Scan(texts)
    strange = scan.blanks | scan.rows_with(scan.escapes)
    made = texts
    if len(scan.java_numbers):
        made = pc.if_else(texts.is_valid(), scan.java(), pa.scalar(None, pa.string()))
    return replaced(texts, ~strange, made, lambda rest, kind: _of_text(rest, rest.is_valid()))


@lru_cache(maxsize=4096)
def _leaves(text: str) -> list[str]:
    return jsons.leaves(text)


def _paths(column: Any) -> Any:
    texts = pc.fill_null(whole(column), "null")
    scan = Scan(texts)
    kind = pa.list_(pa.string())
    if not scan.blanks.any():
        return distinct(scan.skeletons(), _leaves, kind)
    return split_rows(
        texts, ~scan.blanks, lambda c: distinct(Scan(c).skeletons(), _leaves, kind),
        lambda c, kind: distinct(c, jsons.leaves, kind),
    )  # fmt: skip


class _Merge:
    """Lists of texts, of one length, to be merged; `valid`: whether DuckDB takes all texts of a list for JSON."""

    def __init__(self, lists: pa.Array, valid: Mask) -> None:
        self.lists, self.valid = lists, valid
        self.texts = lists.flatten()
        self.width = len(self.texts) // max(len(lists), 1)
        self.scan = Scan(self.texts)

    def _all(self, flags: Mask) -> Mask:
        every: Mask = flags.reshape(-1, self.width).all(axis=1) & self.valid
        return every

    def joined(self) -> tuple[pa.Array, Mask]:
        """The texts of each list as one object, one behind the other, and the rows where that is the merged object."""
        scan, width = self.scan, self.width
        named = (scan.data[scan.starts] == 123) & (scan.data[scan.ends - 1] == 125) & (scan.lengths > 2)
        fine = self._all(named)
        number, joined = np.arange(scan.rows) % width, np.repeat(fine, width)
        data, keep = scan.data.copy(), np.ones(len(scan.data), np.bool_)
        data[scan.ends[joined & (number < width - 1)] - 1] = 44
        keep[scan.starts[joined & (number > 0)]] = False
        made = Scan(scan.kept(data, keep, scan.offsets[::width]))
        return made.java(), fine & made.plain

    def alike(self) -> tuple[Mask, Mask]:
        """Rows whose texts are all objects, and rows where all are arrays, which the library can read."""
        first, readable = self.scan.data[self.scan.starts], ~self.scan.wide_numbers
        return self._all((first == 123) & readable), self._all((first == 91) & readable)


def _merge_by(merge: Callable[[Any, Any], Any]) -> Callable[[pa.Array], pa.Array]:
    def run(lists: pa.Array) -> pa.Array:
        rows = lists.to_pylist()
        if not rows:
            return pa.array([], pa.string())

        def exact(row: int) -> str | None:
            return jsons.merge(tuple(rows[row]))

        # what cannot be read stands as what can be neither merged nor written, so that rows stay side by side
        columns = [_swept(map(orjson.loads, texts), lambda row: _UNREAD) for texts in zip(*rows)]
        values = reduce(lambda left, right: _swept(map(merge, left, right), lambda row: _UNREAD), columns)
        return _as_druid(_texts_of(values, exact), jsons.normal)

    return run


def _merge_one_by_one(lists: pa.Array, kind: Any) -> pa.Array:
    return pa.array([jsons.merge(tuple(row)) for row in lists.to_pylist()], kind)


def _merge_column(column: Any, valid: Any) -> Any:
    all_of = _Merge(whole(column), _flags(valid))
    made, plain = all_of.joined()
    if plain.all():
        return made
    objects, arrays = (found[~plain] for found in all_of.alike())

    def others(rest: pa.Array, kind: Any) -> pa.Array:
        return split_rows(rest, arrays[~objects], _merge_by(add), _merge_one_by_one)

    return replaced(all_of.lists, plain, made, lambda rest, kind: split_rows(rest, objects, _merge_by(or_), others))


KERNELS = (
    Kernel("py_parse_json", ("VARCHAR", "BOOLEAN"), "VARCHAR", _normal_column(_refused)),
    Kernel("py_try_parse_json", ("VARCHAR", "BOOLEAN"), "VARCHAR", _normal_column(lambda text, error: None)),
    Kernel("py_json_text", ("VARCHAR", "BOOLEAN"), "VARCHAR", _of_text),
    Kernel("py_json_normal", ("VARCHAR",), "VARCHAR", _of_json),
    Kernel("py_json_paths", ("VARCHAR",), "VARCHAR[]", _paths),
    by_value("py_json_array", ("VARCHAR",), "VARCHAR[]", jsons.elements),
    Kernel("py_json_merge", ("VARCHAR[]", "BOOLEAN"), "VARCHAR", _merge_column),
)
