"""Seeded fault injection around a work order; off unless the settings ask for it.

A tester configures a probability for each place; whether a fault strikes depends on the seed, the place, the stage, the
worker and the attempt alone, so a run can be repeated and a later attempt may succeed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from msq.faults import MSQError, UnknownFault

PLACES = ("start", "output", "write", "results")
"""Where a fault may strike: as an order starts, on a batch yielded, as partitions are written, before results are
reported."""


class InjectedFailure(MSQError):
    """A fault made on purpose."""


@dataclass(frozen=True)
class Chaos:
    """`probability` by place (PLACES), from 0 to 1. `max_attempt`: attempts beyond it are left in peace."""

    seed: int = 0
    probability: Mapping[str, float] = field(default_factory=dict)
    max_attempt: int = 1

    def __post_init__(self) -> None:
        unknown = set(self.probability) - set(PLACES)
        if unknown:
            raise ValueError(f"Unknown places {sorted(unknown)} of injected faults, expected {list(PLACES)}")

    def strike(self, place: str, stage: int, worker: int, attempt: int, step: int = 0) -> None:
        """Raises InjectedFailure when the dice say so. `step` tells batches of one order apart."""
        chance = self.probability.get(place, 0.0)
        if chance <= 0 or attempt > self.max_attempt:
            return
        text = f"{self.seed}/{place}/{stage}/{worker}/{attempt}/{step}"
        dice = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
        if dice < chance:
            raise InjectedFailure(UnknownFault(f"Injected failure at [{place}] of stage [{stage}], worker [{worker}]"))
