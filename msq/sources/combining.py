"""Several sources read as one."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from msq.codec import CodecError
from msq.sources.base import InputItem, InputSource, SourceAccess
from msq.sources.inline import NilInputSource

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.formats.base import ReadRequest


@dataclass(frozen=True)
class CombiningInputSource(InputSource, tag="combining"):
    """The items of all `delegates`, in order. Items remember the delegate they came from."""

    delegates: tuple[InputSource, ...]

    def __post_init__(self) -> None:
        if not self.delegates:
            raise CodecError("Must specify atleast one delegate")
        for delegate in self.delegates:
            if not delegate.splittable:
                raise CodecError("All delegates in combining input source must be splittable")

    @property
    def splits_by_size(self) -> bool:  # type: ignore[override]
        return all(d.splits_by_size for d in self.delegates)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        return tuple(
            replace(item, delegate=(n, *item.delegate)) for n, d in enumerate(self.delegates) for item in d.list(access)
        )

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        wanted: dict[int, list[InputItem]] = {}
        for item in items:
            wanted.setdefault(item.delegate[0], []).append(replace(item, delegate=item.delegate[1:]))
        if not wanted:
            return NilInputSource()
        # delegates keep their numbers, which the items name: those without items become nil
        return replace(self, delegates=tuple(d.with_items(wanted.get(n, ())) for n, d in enumerate(self.delegates)))

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        delegate, inner = self._inner(item)
        return delegate.open(inner, access)

    def reads_itself(self, item: InputItem) -> bool:
        delegate, inner = self._inner(item)
        return delegate.reads_itself(inner)

    def rows(self, item: InputItem, request: ReadRequest) -> Generator[pa.RecordBatch, None, None]:
        delegate, inner = self._inner(item)
        yield from delegate.rows(inner, request)

    def describe(self) -> str:
        return f"CombiningInputSource{{delegates=[{', '.join(d.describe() for d in self.delegates)}]}}"

    def system_value(self, item: InputItem, field: str) -> str | None:
        delegate, inner = self._inner(item)
        return delegate.system_value(inner, field)

    @property
    def system_fields(self) -> tuple[str, ...] | None:
        return tuple(dict.fromkeys(f for d in self.delegates for f in d.system_fields or ())) or None

    def _inner(self, item: InputItem) -> tuple[InputSource, InputItem]:
        return self.delegates[item.delegate[0]], replace(item, delegate=item.delegate[1:])
