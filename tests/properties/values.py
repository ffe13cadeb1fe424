"""Random expressions of the calls that the registries declare, over the columns in scope.

A text is marked (see wording): it says what the engine reads and what DuckDB reads. With `both` only such calls are
made as DuckDB defines too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.properties import vocabulary as words
from tests.properties.calls import NUMBERS, TEXTS
from tests.properties.rows import words_of
from tests.properties.vocabulary import DOUBLE, LONG, SCALARS, SEVERAL, TEXT, TIME, Template
from tests.properties.wording import constant, either

Columns = list[tuple[str, str]]
"""Marked texts in scope and their kinds."""
_LIKE_TEXT = (TEXT, *words.FORMS)
_PERIODS = ("PT1H", "P1D", "P1M", "PT15M", "P1W", "P1Y", "P3M", "PT1S", "P2D", "P1DT12H", "PT90M")
_UNITS = ("HOUR", "DAY", "MONTH", "YEAR", "MINUTE", "WEEK", "QUARTER", "SECOND")
ZONES = ("UTC", "America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin", "+05:30", "Pacific/Apia")
_PATHS = ("$.a", "$.b", "$", "$.b[0]", "$.a.b[1]", "$.b.c", "$['a']", "$.b[-1]", "$.none")
_CIDRS = ("10.0.0.0/8", "0.0.0.0/0", "192.168.0.1/32")
_INTERVALS = ("2024-01-01/P6M", "2023-01-01/2024-02-01", "P1M/2024-03-01", "2024-01-01T00:00:00Z/PT1H")
_PATTERNS = ("[0-9]", "a", "^a[0-9]", "([a-z]+)([0-9]+)", "b$", "", ".", "x|y", "[0-9]+", "(?i)A")
_TIME_PATTERNS = ("yyyy-MM-dd HH:mm", "yyyy", "HH:mm:ss.SSS", "yyyyMMdd", "EEE, d MMM yyyy", "yyyy-DDD", "xxxx-'W'ww-e")
_WORDS = ("a", "b", "ab", "x", ",", "1", "", "A", "a1")
_FORMS_OF_CONSTANTS: Sequence[tuple[str, Sequence[str]]] = (
    (r"-?P[0-9T].*", _PERIODS), ("|".join(_UNITS), _UNITS), (r"\$.*", _PATHS), (r"UTC|.*/[A-Z][a-z_].*", ZONES),
    (r"[0-9.]+/[0-9]+", _CIDRS), (r".*/.*P.*", _INTERVALS),
    (r"yyyy.*", _TIME_PATTERNS), (r"[a-zA-Z0-9_,*#]{0,3}", _WORDS),
)  # fmt: skip
"""What else may stand where an example has such a constant."""
_BIG = 1000
_KEPT = ("hyperUnique", "names")


@dataclass
class Values:
    """A generator of expressions. `both`: in DuckDB's words, too; `wild`: with constants from the ends of types.

    `used` counts calls by function."""

    dice: Random
    both: bool = False
    wild: bool = False
    bad: float = 0.0
    """Share of constants that are no good for what they are given to."""
    used: Counter[str] = field(default_factory=Counter)
    avoided: frozenset[str] = frozenset()
    """Kinds of which no expression is made."""

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def column(self, scope: Columns, kind: str) -> str | None:
        of_kind = [name for name, k in scope if k == kind or (kind == TEXT and k in words.FORMS)]
        return self.dice.choice(of_kind) if of_kind else None

    def expression(self, scope: Columns, kind: str, depth: int) -> str | None:
        """An expression of a kind; None where nothing in scope makes one."""
        if kind in self.avoided:
            return None
        for _ in range(4 if depth > 0 else 0):
            if self.chance(0.3):
                break
            made = self.call(scope, kind, depth)
            if made is not None:
                return made
        return self.leaf(scope, kind)

    def leaf(self, scope: Columns, kind: str) -> str | None:
        """A column, or a constant."""
        found = self.column(scope, kind) if self.chance(0.85) else None
        if found is None and kind in words.FORMS:
            return self.leaf(scope, TEXT)
        return found or self.constant(kind) or self.column(scope, kind)

    def call(self, scope: Columns, kind: str, depth: int) -> str | None:
        """A call that gives the kind; of two the one that has been used less."""
        listed = words.by_result().get(kind, ())
        if self.both:
            listed = tuple(t for t in listed if t.words is not None)
        if not listed:
            return None
        template = min(self.dice.choice(listed), self.dice.choice(listed), key=lambda t: self.used[t.name])
        kinds = [place.kind for place in template.places]
        if not self.both and self.chance(0.15):
            kinds = [self.dice.choice(list(words.SAMPLES)) if self.chance(0.5) else k for k in kinds]
            if template.result(kinds) != kind:
                return None
        return self.filled(template, scope, kinds, depth)

    def filled(
        self, template: Template, scope: Columns, kinds: Sequence[str], depth: int, tail: str = ""
    ) -> str | None:
        """The call with expressions of these kinds in its places; `tail` stands behind it."""
        put: dict[str, str] = {}
        for place, kind in zip(template.places, kinds):
            made = self.expression(scope, kind, depth - 1)
            if made is None:
                return None
            put[place.column] = made
        constants = [self.constant_like(template, c.text) for c in template.constants]
        self.used[template.name] += 1
        here, there = template.call(put, constants) + tail, template.peer(put, constants) if self.both else None
        here = f"({here})" if template.kind == "operator" else here
        return either(here, None if there is None else f"({there}{tail})")

    def constant_like(self, template: Template, text: str) -> str:
        """A constant that may stand where the example has `text`; now and then one that may not."""
        if self.bad and self.chance(self.bad):
            made = self.dice.choice((*TEXTS, *NUMBERS, None))
            return _quoted(made) if isinstance(made, str) else "NULL" if made is None else str(made)
        if self.both or self.chance(0.4):
            return text
        if not text.startswith("'"):
            if "." in text:
                return self.dice.choice(("0.5", "0.0", "1.0", "0.25", "0.99"))
            return text if int(text) >= _BIG else str(self.dice.choice((0, 1, 2, 3, 4, 10, int(text))))
        inner = text[1:-1]
        if template.name.startswith(("REGEXP_", "STRING_TO_")) or template.name == "MV_FILTER_REGEX":
            return _quoted(self.dice.choice(_PATTERNS)) if "#" not in inner else text
        if inner in _KEPT:
            return text
        if inner.isdigit():
            return _quoted(str(self.dice.randint(1, 9)))
        for form, pool in _FORMS_OF_CONSTANTS:
            if re.fullmatch(form, inner):
                return _quoted(self.dice.choice(pool))
        return text

    def constant(self, kind: str) -> str | None:
        """A constant of a kind; None of kinds that have none."""
        dice = self.dice
        if kind in _LIKE_TEXT:
            return constant("VARCHAR", _quoted(dice.choice(words_of("VARCHAR", self.wild))))
        if kind == LONG:
            value = dice.choice(words_of("BIGINT", self.wild)) if self.chance(0.3) else dice.randint(0, 5)
            if value == -(2**63):
                value = 0
            text = constant("INTEGER" if abs(value) < 2**31 else "BIGINT", str(value))
            return f"({text})" if value < 0 else text
        if kind == DOUBLE:
            text = dice.choice(("0.5", "1.5", "2.0", "10.25", "0.0"))
            return either(text if self.chance(0.5) else f"{text}e0", f"{text}e0")
        if kind == TIME:
            day = f"2024-0{dice.randint(1, 9)}-{dice.randint(10, 28)}"
            return f"TIMESTAMP '{day} {dice.choice(('00:00:00', '12:34:56'))}'"
        if kind == words.BOOL:
            return dice.choice(("TRUE", "FALSE", "(1 = 1)"))
        if kind == SEVERAL:
            return either("STRING_TO_MV('a1,b2', ',')", None)
        return self._array(kind)

    def _array(self, kind: str) -> str | None:
        element = next((k for k, of in words.ARRAYS.items() if of == kind), None)
        if element is None:
            return None
        listed = ", ".join(str(self.constant(element)) for _ in range(self.dice.randint(1, 3)))
        return either(f"ARRAY[{listed}]", f"[{listed}]")

    # --- conditions and what the grammar of statements asks for ---

    def some(self, scope: Columns, kinds: Sequence[str], depth: int) -> tuple[str, str]:
        """An expression of one of the kinds, and its kind."""
        for _ in range(8):
            kind = self.dice.choice(kinds)
            made = self.expression(scope, kind, depth)
            if made is not None:
                return made, kind
        return self.constant(LONG) or "1", LONG

    def condition(self, scope: Columns, depth: int) -> str:
        """Any call that gives a truth value, or a comparison of any two values."""
        if depth > 0 and self.chance(0.25):
            one, other = self.condition(scope, depth - 1), self.condition(scope, depth - 1)
            return self.dice.choice((f"({one} AND {other})", f"({one} OR {other})", f"NOT ({one})"))
        if self.chance(0.6):
            made = self.expression(scope, words.BOOL, max(depth, 1))
            if made is not None:
                return made
        left, kind = self.some(scope, SCALARS, depth - 1)
        form = self.dice.randrange(8)
        if form < 5 and kind != words.BOOL:
            right = self.expression(scope, kind, depth - 1)
            return f"{left} {self.dice.choice(('=', '<>', '<', '>', '<=', '>='))} {right}"
        return f"{left} IS {self.dice.choice(('', 'NOT '))}NULL"

    def aggregate(self, scope: Columns, kind: str, loose: bool = False) -> str | None:
        """An aggregate call that gives the kind. `loose`: also of those whose value depends on the order of rows."""
        listed = [
            t for t in words.aggregates().get(kind, ())
            if (not self.both or t.words is not None) and t.name not in _APART
            and (loose or t.name not in LOOSE)
        ]  # fmt: skip
        if not listed:
            return None
        template = min(self.dice.choice(listed), self.dice.choice(listed), key=lambda t: self.used[t.name])
        kinds = [place.kind for place in template.places]
        plain = template.words is None or re.fullmatch(r"\w+\([^()]*\)", template.words) is not None
        tail = f" FILTER (WHERE {self.condition(scope, 1)})" if plain and self.chance(0.2) else ""
        return self.filled(template, scope, kinds, 1, tail)


LOOSE = frozenset(["ARRAY_AGG", "ARRAY_CONCAT_AGG", "STRING_AGG", "LISTAGG"])
"""Aggregates whose elements stand in the order of rows."""
_APART = frozenset(
    ["ANY_VALUE", "EARLIEST", "LATEST", "EARLIEST_BY", "LATEST_BY", "GROUPING", "TDIGEST_GENERATE_SKETCH"]
)
"""Aggregates that a statement gets only where rows leave them one value."""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
