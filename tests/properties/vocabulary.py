"""What random statements can call: every scalar, aggregate and window function and every operator of the registries.

A call is the example that its function is documented with, its columns being places for any expression of their kind;
further ones have the optional arguments that the function declares. What a call gives is asked of the binder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

from msq.aggregate.registry import sql_aggregates
from msq.expr.registry import sql_functions
from msq.expr.sqltypes import SqlType
from msq.faults import DruidException
from msq.sql import function_examples as examples
from msq.sql.function_rules import bind_example, example_type
from msq.sql.functions import functions
from tests.properties import peers

TEXT, LONG, DOUBLE, TIME, BOOL = "text", "long", "double", "time", "bool"
SEVERAL = "several"
"""Kind of texts whose rows may hold several values."""
OTHER = "other"
"""Kind of values that can be shown and no more."""
SCALARS = (TEXT, LONG, DOUBLE, TIME, BOOL)
ARRAYS = {TEXT: "texts", LONG: "longs", DOUBLE: "doubles"}
FORMS = frozenset(("iso", "digits", "ip", "ip6", "json_text", "base64"))
"""Kinds of texts of a certain form: the columns of the sample table that hold such."""
SAMPLES = {
    TEXT: "s", LONG: "l", DOUBLE: "d", TIME: "t", BOOL: "(l > 1)", SEVERAL: "m", "texts": "sa", "longs": "la",
    "doubles": "da", "json": "j", "hll": "hll", "theta": "theta", "quantiles": "quantiles", "tuples": "tuples",
    **{form: form for form in FORMS},
}  # fmt: skip
"""An expression of each kind over the sample table."""
TYPES = {TEXT: "VARCHAR", LONG: "BIGINT", DOUBLE: "DOUBLE", TIME: "TIMESTAMP", BOOL: "BOOLEAN"}
_COMPLEX = {of.complex_name: name for name, of in examples.COLUMNS.items() if of.complex_name and name != "k"}
_TOKEN = re.compile(r"'(?:[^']|'')*'|(?<![\w.'])\d+(?:\.\d+)?|\b[a-z_][a-z_0-9]*\b")
_COUNTED = re.compile(r"<([A-Z_|]+)>")


def kind_of(of: SqlType, several: bool = False) -> str | None:
    """The kind of a type; None of one that no expression asks for."""
    if of.is_character:
        return SEVERAL if several else TEXT
    if of.name == "ARRAY":
        assert of.element is not None
        return ARRAYS.get(kind_of(of.element) or "", OTHER)
    if of.name == "OTHER":
        return "json" if of.complex_name == "json" else _COMPLEX.get(of.complex_name, OTHER)
    if of.is_integer:
        return LONG
    return {"BOOLEAN": BOOL, "TIMESTAMP": TIME, "DATE": TIME}.get(of.name, DOUBLE if of.is_numeric else None)


def column_kind(name: str) -> str:
    """The kind of a column of the sample table."""
    if name in FORMS:
        return name
    made = kind_of(examples.COLUMNS[name], name in examples.MULTI_VALUE)
    assert made is not None
    return made


@dataclass(frozen=True)
class Place:
    """A place of a call for an expression: the column that stands there in the example, and its kind."""

    column: str
    kind: str


@dataclass(frozen=True)
class Constant:
    """A constant of the example."""

    text: str


Pieces = tuple["str | Place | Constant", ...]


@dataclass(frozen=True)
class Template:
    """A way to call a function. `words`: those of DuckDB over the same columns, None where it has no such function."""

    name: str
    kind: str
    pieces: Pieces
    words: str | None = None

    @property
    def places(self) -> list[Place]:
        return list(dict.fromkeys(piece for piece in self.pieces if isinstance(piece, Place)))

    @property
    def constants(self) -> list[Constant]:
        return [piece for piece in self.pieces if isinstance(piece, Constant)]

    def call(self, put: Mapping[str, str], constants: Sequence[str]) -> str:
        """The call with an expression in the place of each column, and its constants."""
        left = iter(constants)
        return "".join(
            piece if isinstance(piece, str) else put[piece.column] if isinstance(piece, Place) else next(left)
            for piece in self.pieces
        )

    def peer(self, put: Mapping[str, str], constants: Sequence[str]) -> str | None:
        """The call in DuckDB's words; None where it has none, or none with these constants."""
        words = self.words
        if words is None:
            return None
        for given, own in zip(constants, self.constants):
            if given != own.text:
                if sum(t == own.text for t in _TOKEN.findall(words)) != 1:
                    return None
                words = words.replace(own.text, given)
        named = {**put, "ts": put.get("t", ""), "us": put.get("u", "")}
        return _TOKEN.sub(lambda found: named.get(found[0], found[0]), words)

    def result(self, kinds: Sequence[str]) -> str | None:
        """The kind of the value for kinds in the places; None where such a call is refused."""
        return _result(self, tuple(kinds))


@cache
def _result(template: Template, kinds: tuple[str, ...]) -> str | None:
    put = {place.column: SAMPLES[kind] for place, kind in zip(template.places, kinds)}
    text = template.call(put, [c.text for c in template.constants])
    try:
        if template.kind == "aggregate":
            return kind_of(example_type("aggregate", text))
        made = bind_example(text)
    except DruidException:
        return None
    of = kind_of(made.sql_type, made.multi_value)
    # a union has no name for its type, and is one of what it unites
    return kinds[0] if of == OTHER and template.name.endswith("_UNION") else of


def parse(name: str, kind: str, text: str, words: str | None = None) -> Template:
    """The template of a call over the columns of the sample table."""
    pieces: list[str | Place | Constant] = []
    at = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token[0].isalpha() or token[0] == "_":
            if token not in examples.COLUMNS:
                continue
            made: Place | Constant = Place(token, column_kind(token))
        else:
            made = Constant(token)
        pieces += [text[at : found.start()], made]
        at = found.end()
    return Template(name, kind, (*pieces, text[at:]), words)


_OPTIONAL = {"CHARACTER": "'{}'", "STRING": "'{}'", "INTEGER": "1", "NUMERIC": "1", "TIMESTAMP": "u", "ANY": "l"}


def _longer(name: str, text: str, forms: str) -> Iterator[str]:
    """The call with one and more of the optional arguments that the function declares."""
    if not text.endswith(")") or " FROM " in text or " IN " in text or " TO " in text:
        return
    families = _COUNTED.findall(forms.split("\n")[0])
    given = 1 + _commas(text)
    for family in families[given:]:
        argument = _OPTIONAL.get(family)
        if argument is None:
            return
        text = f"{text[:-1]}, {argument.format('UTC' if name.startswith(('TIME_', 'DATE_')) else 'a')})"
        yield text


def _commas(text: str) -> int:
    """Commas of the outermost call."""
    depth = count = 0
    for token in re.findall(r"'(?:[^']|'')*'|[(),\[\]]", text):
        depth += (token in "([") - (token in ")]")
        count += token == "," and depth == 1
    return count


@lru_cache(maxsize=1)
def templates() -> tuple[Template, ...]:
    """All ways to call all functions and operators."""
    made: list[Template] = []
    for f in functions():
        if f.kind == "operator":
            made += _operator(f.name)
        elif f.kind in ("scalar", "aggregate"):
            words = (peers.scalar if f.kind == "scalar" else peers.aggregate)(f.name) if not f.extension else None
            made.append(parse(f.name, f.kind, f.example, words))
            registry = sql_functions() if f.kind == "scalar" else sql_aggregates()
            made += [parse(f.name, f.kind, text) for text in _longer(f.name, f.example, registry[f.name].forms)]
        elif f.kind == "window":
            call = f.example.partition(" OVER ")[0]
            made.append(parse(f.name, f.kind, call, call))
    made += [parse(name, kind, here, there) for name, kind, here, there in peers.more()]
    return tuple(made)


def _operator(name: str) -> Iterator[Template]:
    if name == "EXISTS":
        return
    if name == "CAST":
        for kind, of in product((TEXT, LONG, DOUBLE, TIME), (*TYPES.values(), "INTEGER", "FLOAT", "DATE", "DECIMAL")):
            there = peers.CASTS.get((kind, of))
            sample = SAMPLES[kind]
            yield parse(name, "operator", f"CAST({sample} AS {of})", there and there.format(sample))
        return
    here, there = peers.operator(name)
    yield parse(name, "operator", here, there)
    for other, second in (("d", "e"), ("s", "w"), ("t", "u")):
        # the same between values of another kind; what does not fit is refused when it is bound
        made = [re.sub(r"\b[nwe]\b", second, re.sub(r"\b[lsd]\b", other, text)) for text in (here, there or "")]
        same = made[1] if there and _keeps(name, here, other) else None
        yield parse(name, "operator", made[0], same)


def _keeps(name: str, here: str, other: str) -> bool:
    """Whether DuckDB's words mean the same between values of another kind."""
    if re.search(r"[0-9']", here) or name in "+-*/":
        # constants keep their type; texts are no numbers there; a product may be -0.0
        return name in "+-/" and other == "d"
    return name != "ARRAY" or other != "t"


def _by_result(*kinds: str) -> Mapping[str, tuple[Template, ...]]:
    made: dict[str, list[Template]] = {}
    for template in templates():
        of = template.result([place.kind for place in template.places]) if template.kind in kinds else None
        if of is not None:
            made.setdefault(of, []).append(template)
    return {kind: tuple(found) for kind, found in made.items()}


@lru_cache(maxsize=1)
def by_result() -> Mapping[str, tuple[Template, ...]]:
    """Scalar functions and operators by the kind of their value."""
    return _by_result("scalar", "operator")


@lru_cache(maxsize=1)
def aggregates() -> Mapping[str, tuple[Template, ...]]:
    """Aggregate functions by the kind of their value."""
    return _by_result("aggregate")


@lru_cache(maxsize=1)
def windows() -> tuple[Template, ...]:
    """Window functions, without what stands behind OVER."""
    return tuple(template for template in templates() if template.kind == "window")
