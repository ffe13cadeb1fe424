"""What a kernel is, and the helper that makes one from a function of single values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Kernel:
    """An Arrow UDF: `run` takes one array per parameter (equal lengths) and gives one array of that length.

    `parameters` and `returns` are DuckDB type names. NULLs reach `run`.
    """

    name: str
    parameters: tuple[str, ...]
    returns: str
    run: Callable[..., Any]


_added: list[Kernel] = []


def add_kernel(kernel: Kernel) -> Kernel:
    """Adds a kernel of an extension; those of this package stand in their modules' KERNELS."""
    if not kernel.name.startswith("py_"):
        raise ValueError(f"kernel [{kernel.name}] must be called py_..")
    if any(k.name == kernel.name for k in _added):
        raise ValueError(f"kernel [{kernel.name}] is declared twice")
    _added.append(kernel)
    return kernel


def added() -> tuple[Kernel, ...]:
    """Kernels of extensions."""
    return tuple(_added)


ARROW_TYPES = {
    "VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(),
    "VARCHAR[]": pa.list_(pa.string()),
}  # fmt: skip


def whole(array: Any) -> Any:
    """One plain Arrow array (no chunks, no dictionary) of a UDF's argument."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def same(column: Any) -> bool:
    """Whether every row holds the same, be it NULL."""
    if len(column) < 2:
        return True
    return bool(column.null_count == len(column) or (column.null_count == 0 and pc.count_distinct(column).as_py() == 1))


def by_value(
    name: str, parameters: Sequence[str], returns: str, of: Callable[..., Any], *, nulls: bool = False
) -> Kernel:
    """A kernel that computes `of` once for every distinct combination of arguments in a batch.

    Any NULL argument gives NULL unless `nulls`, which hands None to `of`. Lists arrive as tuples.
    """

    def run(*columns: Any) -> Any:
        lists = [whole(c).to_pylist() for c in columns]
        seen: dict[Any, Any] = {}
        out = []
        for raw in zip(*lists):
            key = tuple(tuple(v) if isinstance(v, list) else v for v in raw)
            try:
                value = seen[key]
            except KeyError:
                value = seen[key] = of(*key) if nulls or None not in key else None
            out.append(value)
        return pa.array(out, ARROW_TYPES[returns])

    # DuckDB reads the arity from the signature.
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(f"a{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(len(parameters))]
    )
    return Kernel(name, tuple(parameters), returns, run)
