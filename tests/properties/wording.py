"""One text for two dialects: what stands here in one way and in DuckDB in another is marked, and either is read out.

Tables stand in it as places, so that the same statement can be asked of other rows' homes; constants stand in it as
such, so that they can be given as parameters instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_HERE, _THERE, _END, _NOWHERE, _TABLE, _CONSTANT, _OF = "\x01\x02\x03\x04\x05\x06\x07"
_INNERMOST = re.compile(f"{_HERE}([^{_HERE}{_THERE}{_END}]*){_THERE}([^{_HERE}{_THERE}{_END}]*){_END}")
_TABLES = re.compile(f"{_TABLE}([^{_TABLE}]*){_TABLE}")
_CONSTANTS = re.compile(f"{_CONSTANT}([^{_CONSTANT}{_OF}]*){_OF}([^{_CONSTANT}]*){_CONSTANT}")


def either(here: str, there: str | None) -> str:
    """What is written `here` so, and in DuckDB `there`; None where DuckDB does not define it."""
    return f"{_HERE}{here}{_THERE}{_NOWHERE if there is None else there}{_END}"


def table(name: str) -> str:
    """The place of a table."""
    return f"{_TABLE}{name}{_TABLE}"


def constant(of: str, text: str) -> str:
    """A constant that may become a parameter of the SQL type `of`; `text` as SQL writes it."""
    return f"{_CONSTANT}{of}{_OF}{text}{_CONSTANT}"


def tables_of(text: str) -> set[str]:
    """Names of the tables that a marked text reads."""
    return set(_TABLES.findall(text))


def here(text: str, homes: Mapping[str, str] | None = None) -> str:
    """The text as the engine reads it; `homes`: what stands for the tables, their names without."""
    return _plain(_read(text, 1), homes)


def there(text: str) -> str | None:
    """The text as DuckDB reads it; None where it does not define all of it."""
    found = _read(text, 2)
    return None if _NOWHERE in found else _plain(found, None)


def with_parameters(text: str, homes: Mapping[str, str] | None = None) -> tuple[str, list[dict[str, Any]]]:
    """As `here`, with `?` for every constant; and the parameters."""
    parameters: list[dict[str, Any]] = []

    def put(found: re.Match[str]) -> str:
        value: Any = found[2].strip("'").replace("''", "'")
        parameters.append({"type": found[1], "value": value if found[1] == "VARCHAR" else int(value)})
        return "?"

    marked = _CONSTANTS.sub(put, _read(text, 1))
    return _plain(marked, homes), parameters


def _read(text: str, side: int) -> str:
    while _HERE in text:
        text = _INNERMOST.sub(lambda found: found[side], text)
    return text


def _plain(text: str, homes: Mapping[str, str] | None) -> str:
    text = _CONSTANTS.sub(lambda found: found[2], text)
    return _TABLES.sub(lambda found: (homes or {}).get(found[1], found[1]), text)
