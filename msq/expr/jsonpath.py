"""JSONPath texts of JSON_VALUE, JSON_QUERY and JSON_KEYS: `$`, `.name`, `['name']`, `[n]`. No wildcards or filters."""

from __future__ import annotations

import re
from functools import lru_cache

from msq.faults import invalid_sql

_STEP = re.compile(
    r"\.(?P<name>[^.\[\]]*)|\[\s*(?:'(?P<quoted>(?:[^'\\]|\\.|'')*)'|(?P<index>-?[0-9]+)|(?P<bad>[^\]]*))\s*\]"
)


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str | int, ...]:
    """The steps: field names and array positions (negative ones count from the end). Raises invalid SQL."""
    if not path.startswith("$"):
        raise invalid_sql(f"JSONPath [{path}] is invalid, it must start with '$'")
    if path == "$.":
        return ()
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise invalid_sql(f"JSONPath [{path}] is invalid at position [{at}]")
        if found["name"] is not None:
            if not found["name"] and path[found.end() : found.end() + 1] != "[":
                raise invalid_sql(f"jq path [{path}] is invalid, path parts separated by '.' must not be empty")
            if found["name"]:
                steps.append(found["name"])
        elif found["quoted"] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", found["quoted"]).replace("''", "'"))
        elif found["index"] is not None:
            steps.append(int(found["index"]))
        else:
            raise invalid_sql(
                f"JSONPath [{path}] is invalid, [{found['bad']}] is an array index: it should be a number, it "
                "was not.  Use ' if this value was meant to be a field name"
            )
        at = found.end()
    return tuple(steps)


def path_text(steps: tuple[str | int, ...]) -> str:
    """The path in its normal spelling: names are quoted only where they hold a dot, bracket or quote."""
    out = "$"
    for step in steps:
        if isinstance(step, int):
            out += f"[{step}]"
        elif re.search(r"[.\[\]'\"]", step) or not step:
            escaped = step.replace("'", "\\'")
            out += f"['{escaped}']"
        else:
            out += f".{step}"
    return out
