"""The one registry of scalar functions and operators: the native side (what runs) and the SQL side (what users write).

Each function is declared once in a module of msq.expr.functions; `native_functions()` and `sql_functions()` load all.
A native entry knows its result type and its DuckDB form; a SQL entry knows names, operands, result type and which
native node it becomes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from msq import extensions
from msq.datatypes import ColumnType
from msq.expr.nodes import Call

if TYPE_CHECKING:
    from msq.expr.binding import BindEnv, Typed
    from msq.expr.lower import Lowered, Lowering

Types = Sequence[ColumnType | None]
"""Types of arguments; None is a null literal or an unknown column."""
ResultRule = Callable[[Types], ColumnType | None]
LowerRule = Callable[["Lowering", Call, Sequence["Lowered"]], "Lowered"]
BindRule = Callable[[Sequence["Typed"], "BindEnv"], "Typed"]

ALL_ARGS = -1
"""In `arrays`: every argument takes an array."""


@dataclass(frozen=True)
class NativeFunction:
    """A function or operator of the native language.

    `arrays`: positions whose argument is taken as a whole array (a multi-value string enters as an array); for every
    other position a multi-value string makes the call map over its values. `whole`: an array may stand in those
    positions too and is one value there.
    """

    name: str
    doc: str
    result: ResultRule
    lower: LowerRule
    arrays: frozenset[int] = frozenset()
    whole: bool = False

    def takes_array(self, position: int) -> bool:
        return ALL_ARGS in self.arrays or position in self.arrays


@dataclass(frozen=True)
class SqlFunction:
    """A function as SQL knows it. `bind` checks operands and gives the typed native node, or raises invalid SQL.

    `display` is the name that error texts show; `forms` the text after `Supported form(s):`.
    """

    name: str
    doc: str
    bind: BindRule
    forms: str
    minimum: int
    maximum: int | None
    display: str
    example: str = ""
    """A call over the columns of msq.sql.function_examples; where the examples of that module have none."""
    extension: str = ""
    """The extension that declared it."""


_native: dict[str, NativeFunction] = {}
_sql: dict[str, SqlFunction] = {}


def add_native(function: NativeFunction) -> NativeFunction:
    key = function.name.lower()
    if key in _native:
        raise ValueError(f"native function [{function.name}] is declared twice")
    _native[key] = function
    return function


def add_sql(function: SqlFunction) -> SqlFunction:
    if function.name in _sql:
        raise ValueError(f"SQL function [{function.name}] is declared twice")
    _sql[function.name] = replace(function, extension=extensions.loading())
    return function


def _load() -> None:
    _load_own()
    extensions.load()


@lru_cache(maxsize=1)
def _load_own() -> None:
    package = importlib.import_module("msq.expr.functions")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def native_functions() -> Mapping[str, NativeFunction]:
    """All native functions by lower-case name."""
    _load()
    return _native


def sql_functions() -> Mapping[str, SqlFunction]:
    """All SQL scalar functions by upper-case name, aliases included."""
    _load()
    return _sql


def native_function(name: str) -> NativeFunction | None:
    return native_functions().get(name.lower())


def sql_function(name: str) -> SqlFunction | None:
    return sql_functions().get(name.upper())


def documentation() -> list[tuple[str, str, str]]:
    """(side, name, doc line) of every entry, sorted: what a reference page is made of."""
    rows = [("native", f.name, f.doc) for f in native_functions().values()]
    rows += [("sql", f.name, f.doc) for f in sql_functions().values()]
    return sorted(rows)
