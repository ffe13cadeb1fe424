"""Addresses of whole columns against Python's own module, on spellings near to addresses."""

from __future__ import annotations

import ipaddress
from random import Random

import pyarrow as pa
import pytest

from msq.expr.kernels import network

NETWORKS = ("::/0", "2001:db8::/32", "fe80::/10", "::1", "1::/17", "::ffff:0:0/96", "ab::/16")
_NUMBERS = [0, 1, 9, 10, 99, 100, 199, 200, 249, 250, 255, 256, 300, 1000]
_GROUPS = ["", "", "0", "1", "ab", "ABCD", "12345", "g", "ffff", "00001"]


def like_v4(dice: Random) -> str:
    text = ".".join(str(dice.choice(_NUMBERS)) for _ in range(dice.choice([3, 4, 4, 4, 5])))
    if dice.random() < 0.1:
        text = text.replace(dice.choice("0123456789."), dice.choice(["", "a", "0", "-", " "]), 1)
    return "0" + text if dice.random() < 0.05 else text


def like_v6(dice: Random) -> str:
    address = ipaddress.IPv6Address(dice.getrandbits(dice.choice([1, 16, 64, 112])) << dice.choice([0, 16]))
    whole = ipaddress.IPv6Address(dice.getrandbits(128))
    pieces = ":".join(dice.choice(_GROUPS) for _ in range(dice.randrange(1, 11)))
    odd = dice.choice(["", "::", ":", ":::", "1::", "::1", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3.4"])
    return dice.choice([str(address), str(whole), whole.exploded, pieces, pieces, odd])


def column(dice: Random, text: object) -> pa.Array:
    """A slice, with nulls."""
    values = [None if dice.random() < 0.1 else text(dice) for _ in range(dice.randrange(1, 60))]  # type: ignore[operator]
    return pa.array(values, pa.string())[dice.randrange(len(values)) :]


@pytest.mark.parametrize("seed", range(20))
def test_columns_are_read_as_single_addresses_are(seed: int) -> None:
    dice = Random(seed)
    fours, sixes = column(dice, like_v4), column(dice, like_v6)
    (parse,) = (k.run for k in network.KERNELS if k.name == "py_ipv4")
    (match,) = (k.run for k in network.KERNELS if k.name == "py_ipv6_match")
    assert parse(fours).to_pylist() == [None if t is None else network.parse_v4(t) for t in fours.to_pylist()]
    for of in NETWORKS:
        found = match(sixes, pa.array([of] * len(sixes))).to_pylist()
        assert found == [None if t is None else network.match_v6(t, of) for t in sixes.to_pylist()]
