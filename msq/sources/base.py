"""Input sources: where external bytes are. Owns the family, what a source may reach, and the items it lists.

A source is a frozen value that prints back to the JSON it came from. It lists *items* (files, URIs); a slice of a
source is again a source (`with_items`), so it travels to a worker as JSON. Items are opened by `open`, raw: unpacking
and parsing belong to `msq.formats`.
"""

from __future__ import annotations

import io
import json
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol

from msq.codec import CodecError, Wire, decode_fields, wire
from msq.faults import DruidException, MSQError, UnknownFault, invalid_input

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.formats.base import ReadRequest
    from msq.intervals import Interval


class Tables(Protocol):
    """The engine's own tables, as the `druid` source lists them."""

    def visible(self, name: str, within: Sequence[Interval] | None = None) -> Sequence[Any]:
        """Segments (`segment`, and the `intervals` of it to read) that show within intervals."""
        ...


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """What sources may reach. None means no limit; an empty tuple means nothing.

    folders: absolute folders local files must lie in (links followed). hosts: host names (`example.org`,
    `*.example.org`, with `:port` to pin one) that HTTP may ask. databases: `postgresql://host:port[/database]` that
    may be asked, `*` for any. schemes: of URIs. headers: request headers a statement
    may set, lower case. Times are seconds. work_dir: where a source may keep temporary files.
    """

    folders: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    databases: tuple[str, ...] | None = None
    schemes: tuple[str, ...] = ("http", "https")
    headers: tuple[str, ...] = ()
    environment: bool = True
    """Whether a password may name an environment variable."""
    connect_timeout: float = 30.0
    read_timeout: float = 120.0
    retries: int = 3
    work_dir: str | None = None
    stores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """How object stores are reached where a statement does not say it: see msq.storage.stores."""
    tables: Tables | None = None
    """The engine's own tables, for those who list sources; workers have none."""

    def check_path(self, path: str) -> None:
        """Raises DruidException (FORBIDDEN) for a local path outside the allowed folders."""
        if self.folders is None:
            return
        real = Path(path).resolve()
        if not any(real.is_relative_to(Path(folder).resolve()) for folder in self.folders):
            raise DruidException(
                f"Local path [{path}] is outside the folders this server may read from",
                error_code="forbidden", category="FORBIDDEN",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputItem:
    """One thing to read. `uri` names it in messages (None: inline data); `path` is set for local files.

    size: raw bytes, 0 when unknown. name: what the compression suffix is taken from. delegate: which delegates of
    combining sources lead to it, outermost first. index: its place in the listing of its own source.
    """

    uri: str | None = wire(default=None)
    path: str | None = wire(default=None)
    size: int = 0
    name: str = ""
    delegate: tuple[int, ...] = wire(default=(), omit=lambda v: not v)
    index: int = 0
    rows: dict[str, Any] | None = wire(default=None)
    """What a source of fixed format has to know of it."""


class InputSource(Wire):
    """Family of sources, told apart by `type`."""

    counted: ClassVar[bool] = True
    """Whether rows, bytes and files read from it appear in counters."""
    splittable: ClassVar[bool] = True
    """Whether its items may go to different workers."""
    splits_by_size: ClassVar[bool] = True
    """Whether item sizes are known, so that slices can be balanced by them."""
    supported: ClassVar[bool] = True
    fixed_format: ClassVar[bool] = False
    """Whether its items are rows already: they are read by `rows`, whatever the input format says."""

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        return decode_fields(cls, without_nulls(value))

    @abstractmethod
    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        """What there is to read, empty files dropped, in a stable order."""

    @abstractmethod
    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        """The source of just these items of its listing, in their order."""

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        """The raw bytes of one item. OSError and friends are left to the caller (`reading` names the item)."""
        raise invalid_input(f"Input source [{self.TAG}] has rows and no bytes")

    def reads_itself(self, item: InputItem) -> bool:
        """Whether an item is rows already."""
        return self.fixed_format

    def rows(self, item: InputItem, request: ReadRequest) -> Generator[pa.RecordBatch, None, None]:
        """The rows of one item of a source of fixed format, as batches of just `request.columns`, in that order."""
        raise invalid_input(f"Input source [{self.TAG}] has bytes and no rows")

    def describe(self) -> str:
        """How messages name the source, as Druid's own `toString` prints it."""
        return f"{type(self).__name__}{{}}"

    def system_value(self, item: InputItem, field: str) -> str | None:
        """The value of system field `field` (`__file_uri`, `__file_bucket`, `__file_path`) in the rows of `item`."""
        return None

    @property
    def system_fields(self) -> tuple[str, ...] | None:
        return None


SYSTEM_FIELDS = ("__file_uri", "__file_bucket", "__file_path")


def check_system_fields(fields: tuple[str, ...] | None) -> None:
    for name in fields or ():
        if name not in SYSTEM_FIELDS:
            raise CodecError(f"No such system field[{name}]")


@contextmanager
def reading(item: InputItem) -> Iterator[None]:
    """Turns whatever goes wrong below the rows (missing file, broken archive, lost connection) into an UnknownFault."""
    try:
        yield
    except (EOFError, OSError, ValueError, RuntimeError) as error:
        where = item.uri or "inline data"
        if isinstance(error, EOFError):
            text = f"Unexpected end of compressed input stream while reading uri: {where}"
        else:
            text = f"Error occurred while trying to read uri: {where} ({_plain(error)})"
        raise MSQError(UnknownFault(text)) from error


def _plain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def bytes_stream(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def without_nulls(value: Any) -> Any:
    """A JSON object without its null entries: for Druid they are as good as absent."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


def parse_input_source(value: str | Mapping[str, Any]) -> InputSource:
    """The source said by EXTERN's JSON text (or its object).

    Raises DruidException (invalidInput) `Invalid value for the field [inputSource]. Reason: [..]`.
    """
    import msq.sources

    return parse_member(msq.sources.InputSource, value, "inputSource")  # type: ignore[no-any-return]


def supported_types(family: type[Any]) -> Sequence[str]:
    """The types of a family's members that are not refused by their name, in order."""
    return sorted(tag for tag, kind in family.members.items() if kind.supported)


def parse_member(family: type[Any], value: str | Mapping[str, Any], field: str) -> Any:
    """The member of a family that JSON names, with Druid's wording of what is wrong with it."""
    try:
        tree = json.loads(value) if isinstance(value, str) else value
        if not isinstance(tree, Mapping):
            raise CodecError(f"expected a JSON object, got [{type(tree).__name__}]")
        tag = tree.get(family.TYPE_KEY)
        if tag is None:
            raise CodecError(f"missing type id property '{family.TYPE_KEY}'")
        member = family.members.get(tag) if isinstance(tag, str) else None
        if member is None:
            known = ", ".join(supported_types(family))
            raise CodecError(
                f"Please make sure to load all the necessary extensions and jars with type '{tag}' on 'druid/broker' "
                f"service. Could not resolve type id '{tag}' as a subtype of `org.apache.druid.data.input."
                f"{family.__name__}` known type ids = [{known}]"
            )
        return member.from_wire(tree)
    except (CodecError, ValueError) as error:
        raise invalid_input(f"Invalid value for the field [{field}]. Reason: [{error}]") from error
