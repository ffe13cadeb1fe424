"""IP address kernels."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from msq.expr.kernels.base import by_value

_V4 = re.compile(r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}")


def parse_v4(text: str) -> int | None:
    """The number of a dotted address, None for anything else."""
    return int(ipaddress.IPv4Address(text)) if _V4.fullmatch(text) else None


def subnet_v4(text: str) -> tuple[int, int]:
    """First and last address of `a.b.c.d/n`. Raises ValueError for another text."""
    address, slash, bits = text.partition("/")
    number = parse_v4(address)
    if not slash or number is None or not bits.isdigit() or int(bits) > 32:
        raise ValueError(f"subnet arg has an invalid format: {text}")
    size = 1 << (32 - int(bits))
    first = number // size * size
    return first, first + size - 1


@lru_cache(maxsize=256)
def subnet_v6(text: str) -> ipaddress.IPv6Network:
    """Raises ValueError for a text that is no IPv6 subnet."""
    try:
        return ipaddress.IPv6Network(text, strict=False)
    except ValueError as error:
        raise ValueError("failed to parse address") from error


def match_v6(text: str, subnet: str) -> bool:
    try:
        return ipaddress.IPv6Address(text) in subnet_v6(subnet)
    except ValueError:
        return False


KERNELS = (by_value("py_ipv6_match", ("VARCHAR", "VARCHAR"), "BOOLEAN", match_v6),)
