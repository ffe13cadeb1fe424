"""The file of `--lookups`: an object of lookups by name, as JSON or TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_lookups(path: Path) -> dict[str, Any]:
    """Lookups by name, their specs not yet looked at. Raises ValueError, which names the file."""
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ValueError(f"Cannot read lookups file [{path}]: {error.strerror}") from error
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ValueError(f"Lookups file [{path}] is not {kind}: {error}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"Lookups file [{path}] must be an object of lookups by name")
    return dict(found)
