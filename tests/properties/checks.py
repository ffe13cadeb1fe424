"""Ways to the same value that random statements are held to, beside DuckDB's.

Each check makes a statement, runs it, runs what must give the same, and compares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.properties import vocabulary as words
from tests.properties.oracle import Difference, Found, Places, comparable, same
from tests.properties.rows import ID, literal
from tests.properties.statements import Generator, Scope
from tests.properties.values import LOOSE, ZONES, Columns
from tests.properties.wording import here, table, there, with_parameters

CONTEXTS: Sequence[dict[str, Any]] = ({}, {}, {"sqlJoinAlgorithm": "sortMerge"}, {"maxNumTasks": 3})


@dataclass
class Comparison:
    """Random checks over the tables of a seed. `counts`: what became of them by kind; `refusals` by text."""

    places: Places
    dice: Random
    used: Counter[str] = field(default_factory=Counter)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    statements: int = 0

    def one(self, kind: str | None = None) -> str:
        """Makes the next check, of a kind or of any; says what became of it. Raises Difference."""
        kind = kind or self.dice.choice(WILD_KINDS if self.places.wild else TAME_KINDS)
        became = CHECKS[kind](self)
        self.counts[kind, became] += 1
        return became

    def generator(self, both: bool, bad: float = 0.0) -> Generator:
        return Generator(self.dice, both, self.places.wild, bad, self.used)

    def ask(
        self, text: str, context: Mapping[str, Any], homes: Mapping[str, str] | None = None, parameters: bool = False
    ) -> Found:
        """What becomes of a marked statement."""
        self.statements += 1
        given: Sequence[Mapping[str, Any]] = ()
        if parameters:
            text, given = with_parameters(text, homes)
        else:
            text = here(text, homes)
        try:
            found = self.places.ask(text, context, given)
        except Difference:
            raise
        # whatever escapes the engine is a defect of it
        except Exception as error:
            raise Difference(f"{text}\n{context} {given}\n{type(error).__name__}: {error}") from error
        if found.became == "refused":
            self.refusals[_kind_of_text(found.text)] += 1
        return found

    def compare(self, text: str, one: Found, other: Found, what: str) -> str:
        """`same`, or what both became. Raises Difference."""
        if one.became != "answered" or other.became != "answered":
            if {one.became, other.became} == {"answered", "refused"}:
                raise Difference(f"{text}\n{what}: {one.became} {one.text}, {other.became} {other.text}")
            return "failed" if "failed" in (one.became, other.became) else one.became
        if one.types and other.types and [*one.types] != [*other.types]:
            raise Difference(f"{text}\n{what}: types {one.types} and {other.types}")
        types = one.types or other.types
        loose = any(f"{name}(" in text for name in LOOSE)
        left, right = comparable(one, types, loose), comparable(other, types, loose)
        if not same(left, right):
            raise Difference(f"{text}\n{what}\nhere  {left}\nthere {right}")
        return "same"


def _kind_of_text(message: str) -> str:
    return message.split("[")[0].split("'")[0].split("(")[0][:60]


def duckdb(run: Comparison) -> str:
    """A statement here and in DuckDB."""
    text = run.generator(both=True).statement()
    words_there = there(text)
    if words_there is None:
        return "no words"
    wanted = run.places.ask_duckdb(words_there)
    if wanted.became == "unknown" and "HUGEINT" in wanted.text:
        return "no value"  # DuckDB's sums have 128 bits, which its other functions do not take
    if wanted.became == "unknown":
        raise Difference(f"{here(text)}\n{words_there}\nDuckDB: {wanted.text}")
    if wanted.became == "large":
        return "large"
    context = run.dice.choice(CONTEXTS)
    found = run.ask(text, context)
    if wanted.became == "failed":
        return "no value"
    if found.became == "refused" and "could not be planned" not in found.text and "supported" not in found.text:
        raise Difference(f"{here(text)}\n{context}\nrefused: {found.text}")
    if found.became != "answered":
        return found.became
    return run.compare(f"{here(text)}\n{words_there}", found, wanted, f"{context}")


def _twice(run: Comparison, what: str) -> str:
    """A statement asked twice, the second time in another way."""
    text = run.generator(both=False).statement()
    context = {"sqlTimeZone": run.dice.choice(ZONES)} if run.dice.random() < 0.2 else {}
    one = run.ask(text, context)
    if one.became == "large":
        return "large"
    homes = {"extern": run.places.external, "segments": run.places.cut, "subquery": run.places.wrapped}.get(what)
    more = {"workers": {"maxNumTasks": 3}, "sort merge": {"sqlJoinAlgorithm": "sortMerge"}}.get(what, {})
    other = run.ask(text, {**context, **more}, homes, what == "parameters")
    return run.compare(here(text), one, other, f"{what} {context}")


# ------------------------------------------------------------------------------------------- expressions over one table


@dataclass
class _Expressions:
    """A table with its columns, and a generator for expressions over it. `here` is its FROM."""

    make: Generator
    source: str
    scope: Scope

    def several(self, kinds: Sequence[str], most: int = 4) -> Columns:
        return [self.make.some(self.scope.columns, kinds, 2) for _ in range(self.make.dice.randint(1, most))]


def _expressions(run: Comparison, *avoided: str, tables: Sequence[str] = ("t", "t", "t", "u", "k")) -> _Expressions:
    make = run.generator(both=False)
    make.avoided = frozenset(avoided)
    source, scope = make.table(run.dice.choice(tables))
    scope.columns = [c for c in scope.columns if c[1] not in avoided]
    return _Expressions(make, source, scope)


def _select(items: Sequence[str], source: str, tail: str = "") -> str:
    return f"SELECT {', '.join(f'{e} AS c{n}' for n, e in enumerate(items))} FROM {source}{tail}"


def partition(run: Comparison) -> str:
    """A condition, its negation and its being unknown share the rows out."""
    of = _expressions(run, words.SEVERAL)
    condition = of.make.condition(of.scope.columns, 2)
    row = of.scope.tells[0] if of.scope.tells else "1"
    parts = (condition, f"NOT ({condition})", f"({condition}) IS NULL")
    text = " UNION ALL ".join(_select([row], of.source, f" WHERE {part}") for part in parts)
    whole = _select([row], of.source)
    return run.compare(here(text), run.ask(text, {}), run.ask(whole, {}), "rows by condition, and all")


def groups(run: Comparison) -> str:
    """Groups of a value have the rows that hold it."""
    of = _expressions(run, words.SEVERAL)
    value, _kind = of.make.some(of.scope.columns, words.SCALARS, 2)
    plain = run.ask(_select([value], of.source), {})
    text = _select([value, "COUNT(*)"], of.source, " GROUP BY " + ("1" if run.dice.random() < 0.5 else value))
    if not any(name in value for name, _ in of.scope.columns):
        return "constant"
    counted = Counter(repr(row[0]) for row in plain.rows)
    found = run.ask(text, {})
    if plain.became == "answered" and found.became == "answered":
        groups = {repr(row[0]): row[1] for row in found.rows}
        if dict(counted) != groups:
            raise Difference(f"{here(text)}\ngroups {groups}\nvalues {dict(counted)}")
        return "same"
    return run.compare(here(text), plain, found, "values, and their groups")


def filters(run: Comparison) -> str:
    """A value is found by WHERE as often as SELECT shows it."""
    of = _expressions(run, words.SEVERAL, words.DOUBLE, words.TIME)
    value, kind = of.make.some(of.scope.columns, (words.TEXT, words.LONG, words.BOOL), 2)
    plain = run.ask(_select([value], of.source), {})
    if plain.became != "answered":
        return plain.became
    shown = [row[0] for row in plain.rows]
    wanted = run.dice.choice(shown) if shown else None
    if wanted is None:
        condition = f"{value} IS NULL"
    elif kind == words.BOOL:
        condition = f"({value}) = {'TRUE' if wanted else 'FALSE'}" if run.dice.random() < 0.5 else value
        wanted = wanted if "=" in condition[-9:] else True
    else:
        literal = "'" + wanted.replace("'", "''") + "'" if isinstance(wanted, str) else f"CAST('{wanted}' AS BIGINT)"
        condition = f"{value} = {literal}"
    found = run.ask(_select(["COUNT(*)"], of.source, f" WHERE {condition}"), {})
    count = Found("answered", [[shown.count(wanted)]], ["BIGINT"])
    return run.compare(
        here(_select(["COUNT(*)"], of.source, f" WHERE {condition}")), found, count, f"{wanted!r} in {shown}"
    )


def constants(run: Comparison) -> str:
    """Expressions over the columns of a row give what they give over its values as constants."""
    of = _expressions(run, words.SEVERAL, "texts", "longs", "doubles", "json", tables=("t", "u"))
    items = [e for e, _ in of.several((*words.SCALARS, words.TEXT))]
    name = "t" if table("t") in of.source else "u"
    row = run.dice.choice(run.places.rows[name])
    one = run.ask(_select(items, of.source, f" WHERE q1.{ID} = {row[ID]}"), {})
    listed = ", ".join(f"{e} AS c{n}" for n, e in enumerate(items))
    text = "SELECT " + re.sub(r"\bq1\.(\w+)\b", lambda found: literal(found[1], name, row), here(listed))
    other = run.ask(text, {})
    if "refused" in (one.became, other.became):
        # a constant that is no number, or has no value, is refused when it is folded
        return "refused"
    return run.compare(text, one, other, f"{here(_select(items, of.source))} of row {row}")


def stored(run: Comparison) -> str:
    """Rows that are ingested are the rows that were selected."""
    of = _expressions(run, words.SEVERAL)
    items = [(f"q1.{ID}", words.LONG), *of.several((words.TEXT, words.LONG, words.DOUBLE, "texts", "longs"), 6)]
    text = _select([e for e, _ in items], of.source)
    if "AS INTEGER)" in here(text):
        return "32 bits"  # answers are cut to them, what is stored is not
    one = run.ask(text, {})
    ingest = f"SELECT TIMESTAMP '2024-01-01' AS __time, {here(text)[len('SELECT ') :]}"
    run.statements += 1
    context = {"rowsPerSegment": 4, "arrayIngestMode": "array", **run.dice.choice(({}, {"maxNumTasks": 3}))}
    made = run.places.store("made", ingest, context)
    if made.became != "answered":
        return run.compare(here(text), one, made, "selected, and ingested") if one.became != "answered" else made.became
    other = run.ask(_select([f"c{n}" for n in range(len(items))], "made"), {})
    return run.compare(here(text), replace(one, types=()), other, "selected, and ingested")


def filtered(run: Comparison) -> str:
    """An aggregate with FILTER is the aggregate over the rows that WHERE leaves."""
    of = _expressions(run, words.SEVERAL)
    kinds = [k for k in words.aggregates() if k in (*words.SCALARS, "other")]
    call = of.make.aggregate(of.scope.columns, run.dice.choice(kinds))
    if call is None or "FILTER" in call:
        return "none"
    condition = of.make.condition(of.scope.columns, 1)
    one = run.ask(_select([f"{call} FILTER (WHERE {condition})"], of.source), {})
    other = run.ask(_select([call], of.source, f" WHERE {condition}"), {})
    return run.compare(here(f"{call} FILTER (WHERE {condition}) .. {of.source}"), one, other, "FILTER, and WHERE")


def bad(run: Comparison) -> str:
    """A statement with constants, or with words, that are no good: it is refused, fails by name, or answers."""
    make = run.generator(both=False, bad=run.dice.choice((0.0, 0.3, 0.6)))
    text = here(make.statement())
    if not make.bad:
        tokens = re.findall(r"'(?:[^']|'')*'|\w+|\s+|.", text)
        for _ in range(run.dice.randint(1, 2)):
            at = run.dice.randrange(len(tokens))
            other = run.dice.randrange(len(tokens))
            tokens[at] = run.dice.choice(("", tokens[other], tokens[at] * 2, "NULL", "(", ")", "*", "?", "ORDER BY"))
        text = "".join(tokens)
    return run.ask(text, run.dice.choice(CONTEXTS)).became


def explained(run: Comparison) -> str:
    """EXPLAIN refuses what is refused, and shows a plan of the rest."""
    text = run.generator(both=False).statement()
    one = run.ask(f"EXPLAIN PLAN FOR {text}", {})
    other = run.ask(text, {})
    if "refused" in (one.became, other.became) and one.became != other.became:
        raise Difference(f"{here(text)}\nEXPLAIN {one.became} {one.text}, the statement {other.became} {other.text}")
    return one.became


def _again(what: str) -> Callable[[Comparison], str]:
    return lambda run: _twice(run, what)


CHECKS: Mapping[str, Callable[[Comparison], str]] = {
    "duckdb": duckdb, "partition": partition, "groups": groups, "filters": filters, "constants": constants,
    "stored": stored, "filtered": filtered, "bad": bad, "explained": explained,
    **{what: _again(what) for what in ("extern", "segments", "subquery", "workers", "sort merge", "parameters")},
}  # fmt: skip
WILD_KINDS = [kind for kind in CHECKS if kind != "duckdb"]
"""Kinds for tables with values at the ends of their types: DuckDB fails of many of these."""
TAME_KINDS = [*["duckdb"] * 20, *WILD_KINDS]
