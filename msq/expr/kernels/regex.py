"""Java regular expressions: translation, and the kernels behind REGEXP_* and splitting.

Patterns run in DuckDB's RE2 where that cannot differ, else here with Python's `re`, whose syntax has look-around, back
references and possessive quantifiers as Java's has.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from msq.expr.kernels.base import by_value
from msq.faults import invalid_input

_CLASSES = {
    "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9", "Upper": "A-Z", "Lower": "a-z", "Space": r"\s",
    "Punct": r"!-/:-@\[-`{-~", "XDigit": "0-9a-fA-F", "Blank": r" \t", "Cntrl": r"\x00-\x1f\x7f", "Graph": "!-~",
    "Print": " -~", "ASCII": r"\x00-\x7f", "L": r"^\W\d_", "Lu": "A-ZÀ-ÖØ-Þ",
    "Ll": "a-zß-öø-ÿ", "N": r"\d", "Nd": r"\d",
}  # fmt: skip
_SIMPLE = re.compile(
    r"(?:[\w \-#@:/,;=<>!&%~'\"]|\\[.dDwWsS\-\\/+*?()\[\]{}|^$]|\[\^?[\w \-.,:;/#@]+\]|[.*+?^|()])*", re.ASCII
)


def re2_pattern(pattern: str) -> str | None:
    """The pattern for DuckDB when RE2 surely agrees with Java on it (plain ASCII syntax), else None."""
    if not _SIMPLE.fullmatch(pattern) or re.search(r"\(\?|[+*?][+?*]", pattern):
        return None
    try:
        compile_java(pattern)
    except ValueError:
        return None
    return pattern


def searchable(pattern: str) -> str | None:
    """A pattern for regexp_matches() that finds what Java finds (`$` allows a last newline), else None."""
    plain = re2_pattern(pattern)
    if plain is None and pattern.endswith("$") and not pattern.endswith("\\$"):
        plain = re2_pattern(pattern[:-1])
        return None if plain is None else plain + r"(?:\n?\z)"
    return plain


def replaceable(pattern: str, by: str) -> str | None:
    """The replacement as DuckDB's regexp_replace() takes it, when RE2 gives what Java gives; else None.

    Left out: patterns that match nothing, and `$`, which finds a last newline in Java.
    """
    if not _consuming(pattern):
        return None
    out = []
    for escaped, name, number, text in _pieces(by):
        if name or (number and int(number) > compile_java(pattern).groups):
            return None
        out.append(f"\\{number}" if number else (escaped or text).replace("\\", "\\\\"))
    return "".join(out)


def splittable(pattern: str) -> bool:
    """Whether DuckDB's string_split_regex() finds the same separators as Java."""
    return _consuming(pattern)


def _consuming(pattern: str) -> bool:
    """Whether RE2 agrees with Java on the pattern, which never matches an empty text and asks for no end."""
    if re2_pattern(pattern) is None or "$" in pattern:
        return False
    # without look-around, a pattern that finds nothing in an empty text takes room wherever it matches
    return compile_java(pattern).search("") is None


def extractable(pattern: str, group: object) -> bool:
    """Whether RE2 gives what Java gives for a group: one that takes part in every match."""
    if re2_pattern(pattern) is None or not isinstance(group, int):
        return False
    if group == 0:
        return True
    optional = "|" in pattern or re.search(r"\)[?*{]", pattern) is not None
    return 0 < group <= compile_java(pattern).groups and not optional


@lru_cache(maxsize=1024)
def compile_java(pattern: str, function: str = "") -> Any:
    """A Java pattern as a compiled Python one. Raises ValueError naming it, and the function, when it is no pattern."""
    try:
        return re.compile(_translate(pattern), re.ASCII if not re.search(r"\(\?\w*U", pattern) else 0)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        whose = f" for the {function} function" if function else ""
        said = _java_words(pattern) or getattr(error, "msg", str(error))
        raise ValueError(f"An invalid pattern [{pattern}] was provided{whose}, error: [{said}]") from error


def _java_words(pattern: str) -> str | None:
    """What Java says of the commonest slips: groups and classes that are not closed or not open, a repetition of
    nothing. None for others."""
    depth, at, in_class, atom = 0, 0, False, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            atom = True
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = atom = True
            at += pattern[at + 1 : at + 2] == "]" or 2 * (pattern[at + 1 : at + 3] == "^]")
        elif char == "(":
            depth += 1
            atom = False
        elif char == ")":
            depth -= 1
            if depth < 0:
                return _near("Unmatched closing ')'", at - 1, pattern)
            atom = True
        elif char in "*+?" and not atom and pattern[max(at - 1, 0) : at + 1] != "(?":
            return _near(f"Dangling meta character '{char}'", at, pattern)
        else:
            atom = char != "|"
        at += 1
    if in_class:
        return _near("Unclosed character class", len(pattern) - 1, pattern)
    return _near("Unclosed group", len(pattern), pattern) if depth else None


def _near(text: str, at: int, pattern: str) -> str:
    """A message as PatternSyntaxException prints it."""
    place = f" near index {at}" if at >= 0 else ""
    mark = "\n" + " " * at + "^" if 0 <= at < len(pattern) else ""
    return f"{text}{place}\n{pattern}{mark}"


def check_pattern(function: str, pattern: str) -> None:
    """Raises invalid input for a constant that is no pattern."""
    try:
        compile_java(pattern, function)
    except ValueError as error:
        raise invalid_input(str(error)) from error


def check_group(function: str, pattern: str, group: int) -> None:
    """Raises invalid input for a group that a constant pattern does not have."""
    groups = compile_java(pattern, function).groups
    if not 0 <= group <= groups:
        raise invalid_input(f"Function[{function}] has no group [{group}] in pattern [{pattern}]")


def check_replacement(function: str, pattern: str, by: str) -> None:
    """Raises invalid input for a replacement that asks for a group which a constant pattern does not have."""
    compiled = compile_java(pattern, function)
    for _, name, number, _ in _pieces(by):
        if number:
            check_group(function, pattern, int(number))
        elif name and name not in compiled.groupindex:
            raise invalid_input(f"Function[{function}] has no group [{name}] in pattern [{pattern}]")


def _translate(pattern: str) -> str:
    """Java's spellings that Python writes otherwise."""
    out = []
    at, depth = 0, 0
    dot_all = re.search(r"\(\?[a-zA-Z]*s", pattern) is not None
    while at < len(pattern):
        two = pattern[at : at + 2]
        if two == "\\Q":
            end = pattern.find("\\E", at + 2)
            end = len(pattern) if end < 0 else end
            out.append(re.escape(pattern[at + 2 : end]))
            at = end + 2
            continue
        named = re.match(r"\\([pP])\{(?:Is|java|posix)?(\w+)\}|\\([pP])(\w)", pattern[at:])
        if named is not None:
            name = named[2] or named[4]
            inner = _CLASSES.get(name)
            if inner is None:
                raise ValueError(f"Unknown character class {{{name}}}")
            negative = (named[1] or named[3]) == "P"
            if depth and not negative and not inner.startswith("^"):
                out.append(inner)
            elif inner.startswith("^"):
                out.append(f"[{inner[1:]}]" if negative else f"[{inner}]")
            else:
                out.append(f"[^{inner}]" if negative else f"[{inner}]")
            at += named.end()
            continue
        if two[0] == "\\" and len(two) == 2:
            spelled = {"\\h": r"[ \t\xa0]", "\\R": r"(?:\r\n|[\n\r\x0b\x0c\x85])", "\\z": r"\Z", "\\Z": r"(?=\n?\Z)",
                       "\\e": r"\x1b", "\\G": r"\A"}  # fmt: skip
            out.append(spelled.get(two, two))
            at += 2
            continue
        if pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in ("=", "!"):
            out.append("(?P<")
            at += 3
            continue
        char = pattern[at]
        if char == "[":
            depth += 1
            if depth > 1:
                out.append("\\")
        elif char == "]" and depth:
            depth -= 1
        elif char == "." and not depth and not dot_all:
            char = r"[^\n\r\x85\u2028\u2029]"
        out.append(char)
        at += 1
    return "".join(out)


def like(text: str, pattern: str) -> bool:
    return compile_java(pattern, "regexp_like").search(text) is not None


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text matches."""
    return compile_java(pattern).fullmatch(text) is not None


def extract(text: str, pattern: str, group: int) -> str | None:
    compiled = compile_java(pattern, "regexp_extract")
    found = compiled.search(text)
    if found is None:
        return None
    if not 0 <= group <= compiled.groups:
        raise ValueError(f"Function[regexp_extract] has no group [{group}] in pattern [{pattern}]")
    return found[group]  # type: ignore[no-any-return]


def substitute(text: str, pattern: str, by: str) -> str:
    """Java's replaceAll: `$n` and `${name}` are groups, a backslash takes the next character as it is."""
    compiled = compile_java(pattern, "regexp_replace")
    pieces = _pieces(by)

    def one(found: Any) -> str:
        out = []
        for escaped, name, number, text_piece in pieces:
            if name or number:
                try:
                    out.append(found[name or int(number)] or "")
                except IndexError:
                    missing = name or number
                    raise ValueError(
                        f"Function[regexp_replace] has no group [{missing}] in pattern [{pattern}]"
                    ) from None
            else:
                out.append(escaped or text_piece)
        return "".join(out)

    return compiled.sub(one, text)  # type: ignore[no-any-return]


def _pieces(by: str) -> list[tuple[str, str, str, str]]:
    """A replacement cut up: (escaped character, name of a group, number of a group, other text), one of them each."""
    return re.findall(r"\\(.)|\$\{(\w+)\}|\$(\d)|([^\\$]+|.)", by, flags=re.DOTALL)


def split(text: str, pattern: str) -> list[str]:
    """Java's String.split: a match of no width at the start is skipped, empty texts at the end are dropped."""
    parts = []
    at = 0
    for found in compile_java(pattern, "string_to_array").finditer(text):
        if found.end() == 0 or (found.start() == found.end() == len(text)):
            continue
        parts.append(text[at : found.start()])
        at = found.end()
    if not parts:
        return [text]
    parts.append(text[at:])
    while parts and parts[-1] == "":
        parts.pop()
    return parts


KERNELS = (
    by_value("py_regexp_like", ("VARCHAR", "VARCHAR"), "BOOLEAN", like),
    by_value("py_regexp_matches", ("VARCHAR", "VARCHAR"), "BOOLEAN", matches),
    by_value("py_regexp_extract", ("VARCHAR", "VARCHAR", "BIGINT"), "VARCHAR", extract),
    by_value("py_regexp_replace", ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR", substitute),
    by_value("py_split", ("VARCHAR", "VARCHAR"), "VARCHAR[]", split),
)
