"""Lookup specs, as Druid's `lookupExtractorFactory`: `map`, and `cachedNamespace` over files. From JSON to a loader.

A spec may also be a plain object of texts, which is a `map`, or stand inside Druid's container with its `version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from controller.lookups.parse import RowParser, parser_of, read_file
from msq.catalog import LookupTable
from msq.intervals import Period
from msq.sources.base import SourceAccess

_KINDS = ("map", "cachedNamespace")


class LookupSpecError(ValueError):
    """A lookup that cannot be made; the text names what is wrong with its spec."""


@dataclass(frozen=True)
class Loader:
    """What makes a lookup's table. factory: the spec in Druid's form, without its container.

    table: of a `map`. files, parser, poll_seconds: of a namespace of files; None: loaded once.
    """

    factory: Mapping[str, Any]
    table: LookupTable | None = None
    files: Files | None = None
    parser: RowParser | None = None
    poll_seconds: float | None = None

    def mark(self) -> Any:
        """What tells whether the data have changed; None for a map. Raises LookupSpecError when there are none."""
        return None if self.files is None else self.files.newest()

    def load(self, mark: Any) -> LookupTable:
        """The table as of `mark`. Raises LookupSpecError for data that cannot be read."""
        if self.table is not None:
            return self.table
        assert self.parser is not None
        path = mark[1]
        try:
            return dict(self.parser(read_file(path)))
        except (OSError, ValueError, EOFError) as error:
            raise LookupSpecError(f"Cannot read lookup data from [{path}]: {error}") from error


@dataclass(frozen=True)
class Files:
    """Where a namespace's data are: one file, or the newest of a folder whose name matches."""

    path: Path
    pattern: re.Pattern[str] | None

    def newest(self) -> tuple[int, Path]:
        """Time of change and path of the file to read."""
        try:
            if self.pattern is None:
                return self.path.stat().st_mtime_ns, self.path
            folder, prefix = (self.path, "") if self.path.is_dir() else (self.path.parent, self.path.name)
            matching = [
                f for f in folder.iterdir()
                if f.is_file() and f.name.startswith(prefix) and self.pattern.fullmatch(f.name)
            ]  # fmt: skip
        except OSError as error:
            raise LookupSpecError(f"Cannot read lookup data from [{self.path}]: {error.strerror}") from error
        if not matching:
            raise LookupSpecError(f"There is no file to read under uriPrefix [{self.path}]")
        return max((f.stat().st_mtime_ns, f) for f in matching)


def loader_of(given: Any, access: SourceAccess) -> tuple[str | None, Loader]:
    """(version, loader) of a lookup's spec; the version only where a container names one. Raises LookupSpecError.

    `access`: what a namespace may read.
    """
    if not isinstance(given, Mapping):
        raise LookupSpecError(f"A lookup must be an object, not [{given!r}]")
    if isinstance(given.get("lookupExtractorFactory"), Mapping):
        version = given.get("version")
        if version is not None and not isinstance(version, str):
            raise LookupSpecError("The [version] of a lookup must be a text")
        return version, _loader(given["lookupExtractorFactory"], access)
    if any(isinstance(value, (Mapping, list)) for value in given.values()):
        return None, _loader(given, access)
    return None, _map({"type": "map", "map": given})


def _loader(factory: Mapping[str, Any], access: SourceAccess) -> Loader:
    kind = factory.get("type")
    if kind == "map":
        return _map(factory)
    if kind == "cachedNamespace":
        return _namespace(factory, access)
    raise LookupSpecError(
        f"Could not resolve type id '{kind}' as a subtype of `LookupExtractorFactory`: known type ids = "
        f"[{', '.join(_KINDS)}]"
    )


def _map(factory: Mapping[str, Any]) -> Loader:
    table = factory.get("map")
    if not isinstance(table, Mapping):
        raise LookupSpecError("A lookup of type [map] needs an object [map]")
    return Loader(factory, {str(key): _text(key, value) for key, value in table.items()})


def _text(key: Any, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise LookupSpecError(f"The value of lookup key [{key}] must be a text")


def _namespace(factory: Mapping[str, Any], access: SourceAccess) -> Loader:
    namespace = factory.get("extractionNamespace")
    if not isinstance(namespace, Mapping):
        raise LookupSpecError("A lookup of type [cachedNamespace] needs an object [extractionNamespace]")
    kind = namespace.get("type")
    if kind != "uri":
        raise LookupSpecError(
            f"Could not resolve type id '{kind}' as a subtype of `ExtractionNamespace`: known type ids = [uri]"
        )
    uri, prefix = namespace.get("uri"), namespace.get("uriPrefix")
    if (uri is None) == (prefix is None):
        raise LookupSpecError("An extraction namespace of type [uri] needs either [uri] or [uriPrefix]")
    path = _local(str(uri if prefix is None else prefix))
    access.check_path(str(path))
    try:
        pattern = None if prefix is None else re.compile(str(namespace.get("fileRegex") or ".*"))
    except re.error as error:
        raise LookupSpecError(f"Invalid fileRegex [{namespace['fileRegex']}]: {error}") from error
    try:
        parser = parser_of(namespace.get("namespaceParseSpec"))
        return Loader(factory, None, Files(path, pattern), parser, _seconds(namespace.get("pollPeriod")))
    except ValueError as error:
        raise LookupSpecError(str(error)) from error


def _local(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise LookupSpecError(f"Cannot read lookups from [{uri}]: only local files, as file:/path")
    return Path(unquote(parts.path)).expanduser()


def _seconds(given: Any) -> float | None:
    """A period, or milliseconds; 0 is never."""
    if given is None:
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        ms = float(given)
    else:
        period = Period.parse(str(given))
        if period.months:
            raise ValueError(f"pollPeriod [{given}] must be of weeks, days, hours, minutes and seconds")
        ms = period.millis
    return ms / 1000 or None
