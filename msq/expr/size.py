"""How large lowered SQL becomes once DuckDB has put macros' bodies in place of their calls.

A macro copies each argument as often as its body names it, so nested calls grow by powers. Lowering asks here when to
hold an argument in a lambda's parameter instead.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CALL = re.compile(r"\bd_\w+\(|'(?:[^']|'')*'")


def expanded_size(sql: str) -> int:
    """Characters of `sql` after macro expansion, roughly."""
    from msq.expr.prepare import MACROS

    size = 0
    at = 0
    while True:
        found = _CALL.search(sql, at)
        if found is None:
            return size + len(sql) - at
        size += found.start() - at
        name = found[0][:-1]
        if found[0].startswith("'") or name not in _weights():
            size += len(found[0])
            at = found.end()
            continue
        args, at = _arguments(sql, found.end())
        weights = _weights()[name]
        size += len(MACROS[name][1])
        size += sum(weight * expanded_size(arg) for weight, arg in zip(weights, args))


def _arguments(sql: str, at: int) -> tuple[list[str], int]:
    """The argument texts of a call whose opening parenthesis ends at `at`, and the position after its closing one."""
    args = []
    depth, start = 0, at
    while at < len(sql):
        char = sql[at]
        if char == "'":
            at = sql.find("'", at + 1)
            if at < 0:
                break
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                args.append(sql[start:at])
                return args, at + 1
            depth -= 1
        elif char == "," and depth == 0:
            args.append(sql[start:at])
            start = at + 1
        at += 1
    return [*args, sql[start:]], len(sql)


@lru_cache(maxsize=1)
def _weights() -> dict[str, tuple[int, ...]]:
    """Macro name to how often each parameter stands in its body, nested macros included."""
    from msq.expr.prepare import MACROS

    made: dict[str, tuple[int, ...]] = {}

    def weigh(name: str) -> tuple[int, ...]:
        if name not in made:
            parameters, body = MACROS[name]
            made[name] = tuple(count(body, p) for p in parameters)
        return made[name]

    def count(text: str, parameter: str) -> int:
        total = 0
        at = 0
        pattern = re.compile(rf"\b(?:(d_\w+)\(|{parameter}\b)")
        while True:
            found = pattern.search(text, at)
            if found is None:
                return total
            if found[1] is None or found[1] not in MACROS:
                total += found[1] is None
                at = found.end()
                continue
            args, at = _arguments(text, found.end())
            total += sum(weight * count(arg, parameter) for weight, arg in zip(weigh(found[1]), args))

    for name in MACROS:
        weigh(name)
    return made
