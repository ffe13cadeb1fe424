"""Everything with a name on the wire is declared once and whole: faults, context keys, processors, sources, formats."""

from __future__ import annotations

import dataclasses
import inspect
import typing

import pytest

import msq.processors
from controller.cli.advice import ADVICE
from msq.codec import Wire
from msq.context import KEYS
from msq.faults import CATEGORY_STATUS, Fault
from msq.formats.base import InputFormat
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.datasource import DataSource
from msq.native.filters import DimFilter
from msq.native.query import NativeQuery
from msq.native.virtual import VirtualColumn
from msq.sources.base import InputSource
from msq.stage.destination import Destination
from msq.stage.inputs import InputSlice, InputSpec
from msq.stage.query import StageProcessor
from msq.stage.shuffle import ShuffleSpec

FAULTS = sorted(Fault.kinds.values(), key=lambda kind: kind.code)


def sample(kind: type[Fault]) -> Fault:
    """A fault of that kind with a value in every field."""
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        hint = str(hints[field.name])
        values[field.name] = 7 if "int" in hint else ("a", "b") if "tuple" in hint else f"<{field.name}>"
    return kind(**values)


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.code)
def test_a_fault_travels_as_json_and_says_what_to_do(kind: type[Fault]) -> None:
    fault = sample(kind)
    again = Fault.from_json(fault.to_json())
    assert again.to_json()["errorCode"] == kind.code
    if kind.code not in ("DruidException", "DurableStorageConfiguration", "Canceled"):
        assert again == fault  # those three print a text that they make of their fields
    assert kind.category in CATEGORY_STATUS
    assert kind.persona in ("USER", "OPERATOR", "DEVELOPER")
    if kind.code != "QueryNotSupported":
        assert fault.message, "a fault without a message tells nobody what to do"


def test_advice_names_faults_that_exist() -> None:
    assert set(ADVICE) <= set(Fault.kinds)


def test_every_context_key_has_its_line() -> None:
    assert [key.name for key in KEYS.values() if len(key.doc) < 10] == []


FAMILIES: tuple[type[Wire], ...] = (
    Aggregator, PostAggregator, DataSource, Destination, DimFilter, InputFormat, InputSlice, InputSource, InputSpec,
    NativeQuery, ShuffleSpec, StageProcessor, VirtualColumn,
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_members_of_a_family_are_told_apart_by_their_word(family: type[Wire]) -> None:
    msq.processors.load()
    __import__("msq.aggregate")
    __import__("msq.sources")
    __import__("msq.formats")
    assert family.members, "a family without members"
    for word, member in family.members.items():
        assert issubclass(member, family), word
        if member.__module__.endswith(".unsupported"):
            continue  # words that Druid knows and this engine refuses by name
        assert dataclasses.is_dataclass(member), word
        assert getattr(member, "__dataclass_params__").frozen, f"{word} is not frozen"  # noqa: B009


def test_every_processor_runs() -> None:
    msq.processors.load()
    for word, member in StageProcessor.members.items():
        assert member.run is not StageProcessor.run, f"processor [{word}] has no run of its own"
        assert inspect.getdoc(member), f"processor [{word}] has no docstring"
