"""Lookups: tables of texts that SQL refers to by a handle, so that a large one is never spelled out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import pyarrow as pa

from msq.expr.kernels.base import Kernel, whole

Table = Mapping[str, str | None]

_MOST = 256
"""Tables kept; the longest unused one goes first."""
_tables: OrderedDict[str, Table] = OrderedDict()
_lock = Lock()


def handle(table: Table) -> str:
    """A text by which lowered SQL of this process finds the table."""
    key = f"{id(table):x}"
    with _lock:
        _tables[key] = table
        _tables.move_to_end(key)
        while len(_tables) > _MOST:
            _tables.popitem(last=False)
    return key


def _lookup(key: Any, texts: Any, missing: Any) -> Any:
    """The value of each text; `missing` for NULL, for texts that are no key and for keys without a value."""
    keys = whole(key)
    if not len(keys):
        return pa.nulls(0, pa.string())
    with _lock:
        table = _tables[keys[0].as_py()]
    encoded = whole(texts).dictionary_encode()
    values = pa.array([table.get(text) for text in encoded.dictionary.to_pylist()], pa.string())
    found = values.take(encoded.indices)
    return pa.array(
        [other if value is None else value for value, other in zip(found.to_pylist(), whole(missing).to_pylist())],
        pa.string(),
    )


KERNELS = (Kernel("py_lookup", ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR", _lookup),)
