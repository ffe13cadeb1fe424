"""Stage processors, one file each; `load` makes all of them known to the codec."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache


@lru_cache(maxsize=1)
def load() -> None:
    """Imports every module of this folder, so that a processor's JSON can be decoded by its type word."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
