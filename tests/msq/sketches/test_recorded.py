"""Sketches of a real Druid's segments: read, joined with each other and with sketches made here, either way round."""

from __future__ import annotations

import struct
from pathlib import Path

import datasketches
import numpy as np
import pyarrow as pa
import pytest

from msq.segment.reader import open_segment
from msq.sketches import hll, quantiles, theta
from msq.sketches.binary import offsets_of

RECORDED = Path(__file__).parents[2] / "data" / "segments"
PAIR = np.array([0, 2])


def column(table: str, name: str) -> dict[str, list[bytes]]:
    """The sketches of a column by channel, in the order of rows."""
    read = open_segment(RECORDED / table / "0").read(["channel", name])
    out: dict[str, list[bytes]] = {}
    for channel, state in zip(read.column("channel").to_pylist(), read.column(name).to_pylist(), strict=True):
        out.setdefault(channel, []).append(state)
    return out


def test_joined_hll_sketches_estimate_what_druid_answered() -> None:
    found = column("g_rollup", "users")
    wanted = {
        "#en.wikipedia": 3132.92379035221, "#de.wikipedia": 687.8319834648522, "#fr.wikipedia": 562.8661493700748,
        "#ru.wikipedia": 511.8288523333076, "#es.wikipedia": 439.44931504003813,
    }  # fmt: skip
    states = pa.array([s for channel in wanted for s in found[channel]], pa.binary())
    joined = hll.union(states, offsets_of([len(found[channel]) for channel in wanted]), 12)
    assert hll.estimate(joined).tolist() == list(wanted.values())


@pytest.mark.parametrize("channel", ["#en.wikipedia", "#es.wikipedia", "#nl.wikipedia", "#vi.wikipedia"])
def test_sketches_made_here_join_recorded_ones(channel: str) -> None:
    new = pa.array([f"nobody {i}" for i in range(50)])
    one = np.array([0, 50])

    (recorded,) = column("g_sketch", "theta")[channel]
    ours = theta.build(new, one, 16384)[0].as_py()
    before = theta.estimate(pa.array([recorded]))[0]
    for states in ([recorded, ours], [ours, recorded]):
        assert theta.estimate(theta.union(pa.array(states), PAIR, 16384))[0] == before + 50
    same = theta.union(pa.array([recorded, recorded]), PAIR, 16384)
    assert same[0].as_py() == recorded

    (recorded,) = column("g_sketch", "hll")[channel]
    ours = hll.build(new, one, 12)[0].as_py()
    library = datasketches.hll_union(12)
    for state in (recorded, ours):
        library.update(datasketches.hll_sketch.deserialize(state))
    estimates = [
        hll.estimate(hll.union(pa.array(states), PAIR, 12), of_registers=True)[0]
        for states in ([recorded, ours], [ours, recorded])
    ]
    assert estimates[0] == estimates[1] == pytest.approx(library.get_result().get_estimate(), rel=0.02)

    (recorded,) = column("g_sketch", "q")[channel]
    ours = quantiles.build(pa.array(np.arange(50.0) - 1e6), one, 128)[0].as_py()
    count = quantiles.counts(pa.array([recorded]))[0]
    for states in ([recorded, ours], [ours, recorded]):
        made = quantiles.union(pa.array(states), PAIR, 128)
        assert quantiles.counts(made)[0] == count + 50
        # the extremes stand in the image; a large sketch need not hold them as values, in Druid neither
        assert struct.unpack("<dd", made[0].as_py()[16:32]) == (-1e6, struct.unpack("<d", recorded[24:32])[0])


def test_a_recorded_array_keeps_its_running_estimate() -> None:
    """What a stored sketch estimates is what its image says, as Druid reads it."""
    (recorded,) = column("g_sketch", "hll")["#en.wikipedia"]
    assert hll.estimate(pa.array([recorded])).tolist() == [3128.439351060834]
    alone = hll.union(pa.array([recorded]), np.array([0, 1]), 12)
    assert hll.estimate(alone).tolist() == [3128.439351060834]
