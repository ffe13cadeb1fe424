"""Data written in the statement itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from msq.codec import CodecError
from msq.sources.base import InputItem, InputSource, SourceAccess, bytes_stream


@dataclass(frozen=True)
class InlineInputSource(InputSource, tag="inline"):
    """`data` is text; its bytes are its UTF-8."""

    data: str

    counted: ClassVar[bool] = False
    splittable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.data:
            raise CodecError("empty data")

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        return (InputItem(size=len(self.data.encode()), name="inline"),)

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        return self if items else NilInputSource()

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        return bytes_stream(self.data.encode("utf-8", "replace"))

    def describe(self) -> str:
        return f"InlineInputSource{{data='{self.data}'}}"


@dataclass(frozen=True)
class NilInputSource(InputSource, tag="nil"):
    """Nothing to read: what is left of a source none of whose items belong to a slice."""

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        return ()

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        return self
