"""Reading small inputs in tests: one call, the rows and what the sink was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from msq.datatypes import Column, ColumnType, RowSignature
from msq.faults import CannotParseExternalDataFault, Fault, MSQError
from msq.formats import ReadOptions, parse_input_format
from msq.formats.read import read_external
from msq.sources import SourceAccess, parse_input_source

DATA = Path(__file__).resolve().parents[1] / "data" / "more"


@dataclass
class Sink:
    strict: bool = False
    counted_rows: int = 0
    counted_bytes: int = 0
    files: int = 0
    bad: list[str] = field(default_factory=list)

    def rows(self, n: int) -> None:
        self.counted_rows += n

    def bytes(self, n: int) -> None:
        self.counted_bytes += n

    def file_done(self) -> None:
        self.files += 1

    def bad_row(self, fault: CannotParseExternalDataFault) -> None:
        if self.strict:
            raise MSQError(fault)
        self.bad.append(fault.error_message)

    def check_cancelled(self) -> None:
        pass


@dataclass
class Reading:
    """rows: values in column order. sink: what was counted. batches: as they came."""

    rows: list[list[Any]]
    sink: Sink
    batches: list[Any]


def read_rows(
    source: dict[str, Any] | str | Path, input_format: dict[str, Any], signature: dict[str, str], *,
    columns: Sequence[str] | None = None, strict: bool = False, access: SourceAccess | None = None, **options: Any,
) -> Reading:  # fmt: skip
    """`source` may be a source's JSON, inline text, or a path."""
    if isinstance(source, Path):
        source = {"type": "local", "files": [str(source)]}
    elif isinstance(source, str):
        source = {"type": "inline", "data": source}
    made = parse_input_source(source)
    access = access or SourceAccess()
    sink = Sink(strict)
    batches = list(
        read_external(
            made, parse_input_format(input_format),
            RowSignature(Column(n, ColumnType.parse(t)) for n, t in signature.items()),
            columns=columns, items=made.list(access), options=ReadOptions(access=access, **options), sink=sink,
        )
    )  # fmt: skip
    return Reading([list(row.values()) for batch in batches for row in batch.to_pylist()], sink, batches)


def fault_of(source: dict[str, Any] | str | Path, *args: Any, **options: Any) -> Fault:
    """The fault the read ends in."""
    with pytest.raises(MSQError) as caught:
        read_rows(source, *args, **options)
    return caught.value.fault
