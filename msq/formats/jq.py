"""jq programs of a flattenSpec: the first result for a record.

A program computes of its record alone: what reaches beyond it (the environment, modules, other inputs), and what may
never end, is refused. Numbers are doubles in between: integers beyond 2^53 lose their last digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msq.codec import CodecError
from msq.faults import CannotParseExternalDataFault, MSQError

_OUTSIDE = (
    "import", "include", "input", "inputs", "input_filename", "input_line_number", "env", "debug", "stderr", "halt",
    "halt_error", "modulemeta", "get_search_list",
)  # fmt: skip
_ENDLESS = ("def", "repeat", "while", "until", "range")
_WORD = rf"""(?<![.\w"$])(?:{"|".join(_OUTSIDE + _ENDLESS)})(?![\w":])"""
_REFUSED = re.compile(rf"{_WORD}|\$ENV\b|\$__prog_args\b|(?<![.\w])recurse(?=\s*\()")
_SHORT_RANGE = re.compile(r"(?<![.\w])range\(\s*\d{1,6}\s*(?:;\s*\d{1,6}\s*)?\)")


def compile_jq(field: str, program: str) -> Callable[[Any], Any]:
    """A function from a record to the value, None where there is no result; it raises MSQError
    (CannotParseExternalData) for a record that the program fails for.

    Raises CodecError for a text that is no program, and for one that is refused.
    """
    found = _REFUSED.search(_SHORT_RANGE.sub("0", program))
    if found is not None:
        raise CodecError(f"flattenSpec field [{field}]: [{found[0]}] is not supported in a jq program")
    import jq

    try:
        compiled = jq.compile(program)
    except ValueError as error:
        reason = str(error).partition("\n")[0].removeprefix("jq: error: ")
        raise CodecError(f"flattenSpec field [{field}]: [{program}] is no jq program: {reason}") from error

    def find(record: Any) -> Any:
        try:
            return next(iter(compiled.input_value(record)), None)
        except ValueError as error:
            raise MSQError(
                CannotParseExternalDataFault(f"Unable to evaluate jq program [{program}] of field [{field}]: {error}")
            ) from error

    return find
