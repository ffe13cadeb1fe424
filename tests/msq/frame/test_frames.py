"""Frames: sizes as Druid counts them, splitting, rows too large."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from msq.faults import MSQError
from msq.frame.frame import (
    FRAME_DATA_BYTES,
    Compactor,
    FrameTally,
    check_row_size,
    coalesce,
    frame_bytes,
    one_batch,
    plain_column,
    row_lengths,
    split_rows,
    to_lists,
    unify,
)


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


# Sizes that a real Druid 33 counted: the shuffle of one row of srt-60-segments, and of 5 rows of joi-cross.
EVENT = {
    "id": pa.array([7]), "__boost": pa.array([7]), "v0": pa.array([1709251200000]), "k": pa.array(["k0"]),
    "v": pa.array([37]),
}  # fmt: skip
TITLES = {
    "__boost": pa.array(range(5)), "dept": pa.array([10, 20, 20, 30, None]),
    "title": pa.array(["sales", "tech", "tech2", "law", "none"]), "boss": pa.array([1, 2, 2, 9, 5]),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "counted"), [(EVENT, 103), (TITLES, 325)])
def test_bytes_are_those_that_druid_counts(columns: dict[str, Any], counted: int) -> None:
    assert FrameTally().add(batch(**columns))["bytes"] == counted


def test_a_frame_that_carries_its_order_is_larger() -> None:
    sorted_output = FrameTally(12).add(batch(**TITLES))
    assert sorted_output == {"rows": 5, "bytes": 345, "frames": 1}


def test_layouts_of_the_same_strings_have_the_same_size() -> None:
    texts = pa.array(["a", "bb", "a", None, ""])
    assert frame_bytes(batch(x=texts)) == frame_bytes(batch(x=texts.dictionary_encode()))
    # a list of one value is written as a scalar
    assert frame_bytes(batch(x=to_lists(texts.drop_null()))) == frame_bytes(batch(x=texts.drop_null()))


def test_row_lengths_sum_to_the_frame() -> None:
    made = batch(
        s=pa.array(["a", None, "ccc"]), m=pa.array([["x", "yy"], [], None]), n=pa.array([1, None, 3]),
        d=pa.array([0.5, 1.5, None]), a=pa.array([[1, 2], [], None], pa.list_(pa.int64())),
        b=pa.array([b"123", None, b""]), t=pa.array(["q", "q", None]).dictionary_encode(),
    )  # fmt: skip
    assert int(row_lengths(made).sum()) == frame_bytes(made)
    assert int(row_lengths(made.slice(1, 2)).sum()) == frame_bytes(made.slice(1, 2))


def test_frames_are_cut_when_their_data_is_full() -> None:
    wide = batch(x=pa.array(["y" * 1000] * 1000))
    tally = FrameTally()
    counted = [tally.add(wide) for _ in range(5)]
    assert sum(c["frames"] for c in counted) == -(-5 * frame_bytes(wide) // FRAME_DATA_BYTES)
    assert sum(c["bytes"] for c in counted) == 5 * frame_bytes(wide) + 5 * 8000 + 34 * sum(c["frames"] for c in counted)
    tally.restart()
    assert tally.add(batch(x=pa.array(["z"])))["frames"] == 1


def test_a_row_that_fits_in_no_frame_is_refused() -> None:
    check_row_size(batch(x=pa.array(["a" * 900_000, "b" * 900_000])), 1_000_000)
    with pytest.raises(MSQError, match="cannot fit in a single frame") as caught:
        check_row_size(batch(x=pa.array(["a", "b" * 1_000_001])), 1_000_000)
    assert caught.value.fault.to_json()["maxFrameSize"] == 1_000_000
    with pytest.raises(MSQError):
        check_row_size(batch(x=pa.array([["c" * 600_000, "d" * 600_000]])), 1_000_000)


def test_splitting_keeps_order_and_bounds() -> None:
    made = batch(x=pa.array(range(10)))
    assert [b.num_rows for b in split_rows(made, 4)] == [4, 4, 2]
    assert [v for b in split_rows(made, 3) for v in b.column(0).to_pylist()] == list(range(10))
    assert max(b.num_rows for b in split_rows(made, 100, max_bytes=24)) <= 3


def test_coalescing_joins_small_batches_of_one_schema() -> None:
    numbers = [batch(x=pa.array([n])) for n in range(5)]
    assert [b.num_rows for b in coalesce(numbers, 2)] == [2, 2, 1]
    mixed = [batch(x=pa.array(["a"])), batch(x=pa.array([["b"]])), batch(x=pa.array([["c"]]))]
    assert [b.column(0).to_pylist() for b in coalesce(mixed, 10)] == [["a"], [["b"], ["c"]]]


def test_texts_of_few_values_are_compacted_and_others_left() -> None:
    made = batch(few=pa.array(["a", "b", None, "c"] * 2000), many=pa.array([f"v{n}" for n in range(8000)]))
    compactor = Compactor()
    small = compactor.compact(made)
    assert pa.types.is_dictionary(small.schema.field("few").type)
    assert pa.types.is_string(small.schema.field("many").type)
    assert small.column("few").to_pylist() == made.column("few").to_pylist()
    assert compactor.compact(made.slice(0, 100)).schema == made.schema
    # a column that seemed to have few values and has many goes plain
    sneaky = batch(few=pa.array([f"v{n}" for n in range(8000)]), many=made.column("many"))
    assert pa.types.is_string(compactor.compact(sneaky).schema.field("few").type)
    assert pa.types.is_string(compactor.compact(made).schema.field("few").type)


def test_plain_columns_have_no_large_or_view_types() -> None:
    for kind in (pa.large_string(), pa.string_view(), pa.null()):
        values = [None, None] if kind == pa.null() else ["a", None]
        assert plain_column(pa.array(values, kind)).type == pa.string()
    assert plain_column(pa.array([["a"]], pa.large_list(pa.string()))).type == pa.list_(pa.string())


def test_one_batch_unifies_dictionaries() -> None:
    first = batch(x=pa.array(["a", "b"]).dictionary_encode())
    second = batch(x=pa.array(["c", "a"]).dictionary_encode())
    assert one_batch(unify([first, second])).column(0).to_pylist() == ["a", "b", "c", "a"]
