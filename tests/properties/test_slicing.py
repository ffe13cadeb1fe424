"""Shares of inputs: everything is handed out once, in order, and as evenly as a greedy rule can."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.slicing import Weighed, dynamic_shares, round_robin, static_shares

SIZES = st.lists(st.integers(0, 1_000), max_size=40)
MOST = st.integers(1, 12)


def weighed(sizes: list[int]) -> list[Weighed]:
    return [Weighed(n, size, size) for n, size in enumerate(sizes)]


def everything_once(shares: list[list[int]], count: int) -> None:
    assert sorted(n for share in shares for n in share) == list(range(count))
    assert all(share == sorted(share) for share in shares), "items keep their order inside a share"
    assert all(shares) or shares == [[]]


@given(SIZES, MOST)
def test_static_shares(sizes: list[int], most: int) -> None:
    shares = static_shares(weighed(sizes), most)
    everything_once(shares, len(sizes))
    assert len(shares) <= most
    loads = [sum(sizes[n] for n in share) for share in shares]
    if len(shares) == most:
        assert max(loads) - min(loads) <= max(sizes, default=0)


@given(SIZES, MOST, st.integers(1, 10), st.integers(1, 3_000))
def test_dynamic_shares(sizes: list[int], most: int, files: int, size: int) -> None:
    shares = dynamic_shares(weighed(sizes), most, files, size)
    everything_once(shares, len(sizes))
    assert len(shares) <= most
    if len(shares) < most:
        # while more shares may be opened, no limit is passed but by an item that passes it alone
        for share in shares:
            assert len(share) <= files
            assert len(share) == 1 or sum(sizes[n] for n in share) <= size


@given(SIZES, MOST)
def test_round_robin(sizes: list[int], most: int) -> None:
    shares = round_robin(list(range(len(sizes))), most)
    everything_once(shares, len(sizes))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 or len(shares) < most
