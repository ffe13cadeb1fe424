"""Random SELECT statements: every form of query over random expressions of the registries' functions.

With `both` they mean the same in Druid's SQL and in DuckDB's; what the two define differently is left out. Whatever the
form, a statement answers the same rows each time: every window orders by what tells the rows apart, every LIMIT by the
whole SELECT list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.properties import vocabulary as words
from tests.properties.rows import ID, SKETCHES, columns
from tests.properties.values import Columns, Values
from tests.properties.vocabulary import BOOL, DOUBLE, LONG, SCALARS, TEXT, TIME, column_kind
from tests.properties.wording import constant, either, table

SETS = ("UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")
_SHOWN = (*SCALARS, "texts", "longs", "doubles", "json")
_KEYS = (TEXT, TEXT, LONG, LONG, DOUBLE, TIME, BOOL)
_JOINED = (TEXT, LONG, LONG)


@dataclass
class Scope:
    """Columns in scope; `tells`: those that tell its rows apart, None where only all of them do."""

    columns: Columns
    tells: list[str] | None = None

    def order(self) -> list[str] | None:
        """What to order by so that rows of one place are the same; None where that cannot be."""
        if self.tells is not None:
            return self.tells
        orderable = all(kind in SCALARS or kind in words.FORMS for _, kind in self.columns)
        return [name for name, _ in self.columns] if orderable else None


@dataclass
class Generator(Values):
    """Statements. Expressions are those of `Values`."""

    _aliases: int = 0

    def statement(self) -> str:
        """A marked SELECT."""
        self._aliases = 0
        sql, _ = self.select(self.dice.choice((0, 1, 1, 2, 2, 3)), outermost=True)
        if self.chance(0.08):
            name = self.alias()
            sql = f"WITH {name} AS ({sql}) SELECT * FROM {name}"
            if self.chance(0.4):
                sql += f" UNION ALL SELECT * FROM {name}"
        return sql

    def alias(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    # --- FROM and WHERE ---

    def source(self, depth: int) -> tuple[str, Scope]:
        form = self.dice.randrange(22) if depth > 0 else 0
        if form < 9:
            return self.table()
        if form < 12:
            return self.derived(*self.select(depth - 1))
        if form == 12:
            return self.united(depth)
        if form == 13:
            return self.values()
        if form == 14:
            return self.unnested(depth)
        return self.join(depth)

    def table(self, name: str | None = None) -> tuple[str, Scope]:
        name = name or self.dice.choice(("t", "t", "u") if self.both else ("t", "t", "t", "u", "k"))
        alias = self.alias()
        return f"{table(name)} AS {alias}", Scope(_columns(name, alias), [f"{alias}.{ID}"])

    def derived(self, sql: str, listed: Columns) -> tuple[str, Scope]:
        alias = self.alias()
        return f"({sql}) AS {alias}", Scope([(f"{alias}.{c}", k) for c, k in listed])

    def united(self, depth: int) -> tuple[str, Scope]:
        one, listed = self.select(depth - 1)
        other, others = self.select(depth - 1)
        if [k for _, k in listed] != [k for _, k in others]:
            return self.derived(one, listed)
        wrapped = [f"SELECT * FROM ({sql}) AS {self.alias()}" for sql in (one, other)]
        word = self.dice.choice(("UNION ALL", "UNION ALL", "UNION", *SETS))
        return self.derived(f" {word} ".join(wrapped), listed)

    def values(self) -> tuple[str, Scope]:
        alias = self.alias()
        rows = [f"({self.constant(LONG)}, {self.constant(TEXT)})" for _ in range(3)]
        return f"(VALUES {', '.join(rows)}) AS {alias}(n, s)", Scope([(f"{alias}.n", LONG), (f"{alias}.s", TEXT)])

    def unnested(self, depth: int) -> tuple[str, Scope]:
        left, scope = self.table("t" if self.chance(0.7) else "u")
        kind = self.dice.choice(("texts", "texts", "longs"))
        array = self.expression(scope.columns, kind, 1)
        if array is None:
            return left, scope
        alias = self.alias()
        element = TEXT if kind == "texts" else LONG
        word, tail = self.dice.choice((("CROSS JOIN", ""), ("CROSS JOIN", ""), _LEFT))
        made = Scope([*scope.columns, (f"{alias}.x", element)])
        return f"{left} {word} UNNEST({array}) AS {alias}(x){tail}", made

    def join(self, depth: int) -> tuple[str, Scope]:
        left, one = self.source(depth - 1)
        right, other = self.table() if self.chance(0.6) else self.derived(*self.select(depth - 1))
        word = self.dice.choice(("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"))
        # rows of either side may be missing or stand several times: only together they tell rows apart
        both = Scope(
            one.columns + other.columns, None if one.tells is None or other.tells is None else one.tells + other.tells
        )
        kind = self.dice.choice(_JOINED)
        first, second = self.column(one.columns, kind), self.column(other.columns, kind)
        if word == "CROSS JOIN" or first is None or second is None:
            return f"{left} CROSS JOIN {right}", both
        on = f"{first} {self.dice.choice(('=', '=', '=', 'IS NOT DISTINCT FROM', '<'))} {second}"
        if self.chance(0.15):
            on = f"{self.expression(one.columns, kind, 1)} = {self.expression(other.columns, kind, 1)}"
        if self.chance(0.2):
            on += f" AND {self.condition(both.columns, 1)}"
        return f"{left} {word} {right} ON {on}", both

    def where(self, scope: Columns, depth: int) -> str:
        if self.chance(0.5):
            return ""
        made = [self.condition(scope, 2)] if self.chance(0.7) else []
        kind = self.dice.choice(_JOINED)
        outer = self.column(scope, kind)
        if not made or (depth > 0 and self.chance(0.3)):
            made.append(self.subquery(scope, outer, kind))
        return f" WHERE {' AND '.join(made)}"

    def subquery(self, scope: Columns, outer: str | None, kind: str) -> str:
        """A condition with a subquery; `outer`: a column in scope of type `kind`."""
        name, inner = self.table("t" if self.chance(0.5) else "u")
        column = self.column(inner.columns, kind)
        where = f" WHERE {self.condition(inner.columns, 1)}" if self.chance(0.5) else ""
        negation = self.dice.choice(("", "NOT "))
        number = self.expression(scope, LONG, 1)
        if outer is None or self.chance(0.25):
            return f"{number} < (SELECT MAX({self.expression(inner.columns, LONG, 1)}) FROM {name}{where})"
        if self.chance(0.6):
            return f"{outer} {negation}IN (SELECT {column} FROM {name}{where})"
        correlated = f"{column} {self.dice.choice(('=', '=', '<', '<>'))} {outer}"
        if self.chance(0.3):
            return f"{number} > (SELECT COUNT(*) FROM {name} WHERE {correlated})"
        if self.chance(0.2):
            quantifier = self.dice.choice(("ANY", "ALL"))
            return f"{outer} {self.dice.choice(('<', '>=', '<>'))} {quantifier} (SELECT {column} FROM {name}{where})"
        self.used["EXISTS"] += 1
        return f"{negation}EXISTS (SELECT 1 FROM {name} WHERE {correlated})"

    # --- SELECT ---

    def select(self, depth: int, outermost: bool = False) -> tuple[str, Columns]:
        source, scope = self.source(depth)
        rest = f" FROM {source}{self.where(scope.columns, depth)}"
        kinds: Sequence[str] = _KEYS
        if outermost:
            kinds = _SHOWN if self.both else (*_SHOWN, "several", "other")
        form = self.dice.randrange(10)
        word = "SELECT"
        if form < 4:
            items = [self.some(scope.columns, kinds, 2) for _ in range(self.dice.randint(1, 4))]
            word = "SELECT DISTINCT" if self.chance(0.15) else "SELECT"
            if word == "SELECT DISTINCT":
                items = [i for i in items if i[1] in SCALARS] or [self.some(scope.columns, _KEYS, 1)]
        elif form < 8 or (order := scope.order()) is None:
            items, tail = self.groups(scope.columns, outermost)
            rest += tail
        else:
            items, tail = self.windowed(scope, order)
            rest += tail
        names = [f"c{n}" for n in range(len(items))]
        sql = f"{word} {', '.join(f'{e} AS {n}' for (e, _), n in zip(items, names))}{rest}"
        if self.chance(0.3) and all(kind in SCALARS for _, kind in items):
            ordered = [f"{n + 1}{self.dice.choice((' DESC', ''))}" for n in range(len(items))]
            self.dice.shuffle(ordered)
            sql += f" ORDER BY {', '.join(ordered)} LIMIT {self.dice.randint(1, 6)}"
            sql += f" OFFSET {self.dice.randint(0, 3)}" if self.chance(0.3) else ""
        return sql, [(n, k) for (_, k), n in zip(items, names)]

    def groups(self, scope: Columns, outermost: bool) -> tuple[Columns, str]:
        """The SELECT list of a grouping, and its GROUP BY and HAVING."""
        keys = [self.some(scope, _KEYS, 1) for _ in range(self.dice.randint(1, 3))] if self.chance(0.8) else []
        if not self.both and outermost and self.chance(0.1):
            keys.append(self.some(scope, ("texts", "longs", "several"), 1))
        # a constant would be a position, or no key at all
        keys = list({key[0]: key for key in keys if any(name in key[0] for name, _ in scope)}.values())
        made = [self._aggregated(scope, keys, outermost) for _ in range(self.dice.randint(1, 3))]
        items = [*keys, *(one for one in made if one is not None)]
        if not items:
            items = [("COUNT(*)", LONG)]
        tail = self._group_by(keys, items) if keys else ""
        if self.chance(0.25):
            counted = self.aggregate(scope, LONG) or "COUNT(*)"
            tail += f" HAVING {counted} {self.dice.choice('<>=')} {self.dice.randint(0, 3)}"
        return items, tail

    def _group_by(self, keys: Columns, items: Columns) -> str:
        by_place = self.chance(0.3)
        listed = [str(n + 1) if by_place else key for n, (key, _) in enumerate(keys)]
        if by_place or self.chance(0.75):
            return f" GROUP BY {', '.join(listed)}"
        if self.chance(0.5):
            return f" GROUP BY {self.dice.choice(('CUBE', 'ROLLUP'))}({', '.join(listed)})"
        sets = [", ".join(key for key in listed if self.chance(0.6)) for _ in range(self.dice.randint(1, 3))]
        sets.append(", ".join(listed))
        if self.chance(0.5):
            items.append((f"GROUPING({listed[0]})", LONG))
            self.used["GROUPING"] += 1
        return f" GROUP BY GROUPING SETS ({', '.join(f'({one})' for one in dict.fromkeys(sets))})"

    def _aggregated(self, scope: Columns, keys: Columns, outermost: bool) -> tuple[str, str] | None:
        """An aggregate, or an expression of aggregates and keys."""
        kinds = [kind for kind in words.aggregates() if kind in ((*_SHOWN, "other") if outermost else SCALARS)]
        kind = self.dice.choice(kinds)
        form = self.dice.randrange(10)
        if form == 0:
            return ("COUNT(*)", LONG)
        if form == 1:
            # the empty text is not counted by default
            value, _ = self.some(scope, (LONG, TIME), 1)
            return (f"COUNT(DISTINCT {value})", LONG)
        if form < 4:
            made = self._over_aggregates(scope, keys)
            if made is not None:
                return made
        if form == 4 and keys and not self.both:
            self.used["ANY_VALUE"] += 1
            key, kind = self.dice.choice(keys)
            return (f"ANY_VALUE({key})", kind)
        if form == 5 and not self.both and (timed := _timed(scope)):
            return self._at_time(scope, timed)
        call = self.aggregate(scope, kind, loose=outermost)
        return None if call is None else (call, kind)

    def _at_time(self, scope: Columns, time: str) -> tuple[str, str]:
        """The first or last value of a group by time."""
        name = self.dice.choice(("EARLIEST", "LATEST", "EARLIEST_BY", "LATEST_BY"))
        self.used[name] += 1
        value, kind = self.some(scope, (TEXT, LONG, DOUBLE), 1)
        return f"{name}({value}{f', {time}' if name.endswith('_BY') else ''})", kind

    def _over_aggregates(self, scope: Columns, keys: Columns) -> tuple[str, str] | None:
        made = list(keys)
        for kind in (LONG, DOUBLE, "hll", "theta", "quantiles", "tuples"):
            call = self.aggregate(scope, kind)
            if call is not None:
                made.append((call, kind))
        return self.some(made, (TEXT, LONG, DOUBLE, BOOL, "other") if not self.both else SCALARS, 1)

    def windowed(self, scope: Scope, order: Sequence[str]) -> tuple[Columns, str]:
        """A SELECT list with window functions, and QUALIFY."""
        plain = [c for c in scope.columns if c[1] in SCALARS or c[1] in words.FORMS]
        if not plain:
            return [("COUNT(*)", LONG)], ""
        items = [
            (name, TEXT if kind in words.FORMS else kind) for name, kind in self.dice.sample(plain, min(2, len(plain)))
        ]
        made = [self.window(scope, plain, order) for _ in range(self.dice.randint(1, 3))]
        tail = f" QUALIFY {made[0][0]} IS NOT NULL" if self.chance(0.15) else ""
        return [*items, *made], tail

    def window(self, scope: Scope, plain: Columns, order: Sequence[str]) -> tuple[str, str]:
        """A window call, and its kind."""
        first, _ = self.dice.choice(plain)
        listed = [first, *(c for c in order if c != first)]
        over = f"PARTITION BY {self.dice.choice(plain)[0]} " if self.chance(0.6) else ""
        by = "ORDER BY " + ", ".join(c + self.dice.choice((" DESC", "")) for c in listed)
        if self.chance(0.5):
            kind = self.dice.choice((LONG, LONG, DOUBLE))
            call = self._plain_aggregate(scope, kind)
            frame = self.dice.choice(("", "", *_FRAMES))
            return f"{call} OVER ({over}{by if frame or self.chance(0.7) else ''}{frame})", kind
        template = min(
            self.dice.choice(words.windows()), self.dice.choice(words.windows()), key=lambda t: self.used[t.name]
        )
        kind = self.dice.choice((LONG, LONG, DOUBLE, TEXT)) if template.places else LONG
        value = self.expression(scope.columns, kind, 1) or constant("INTEGER", "1")
        self.used[template.name] += 1
        call = template.call({place.column: value for place in template.places}, [c.text for c in template.constants])
        if template.name in ("PERCENT_RANK", "CUME_DIST"):
            kind = DOUBLE
        # Druid's default frame of these two ends at the row itself
        frame = _WHOLE if template.name in ("FIRST_VALUE", "LAST_VALUE", "NTH_VALUE") else ""
        return f"{call} OVER ({over}{by}{frame})", kind

    def _plain_aggregate(self, scope: Scope, kind: str) -> str:
        if kind == DOUBLE:
            # Java's least of numbers and NaN is NaN
            name = self.dice.choice(("SUM", "AVG") if self.both else ("SUM", "MIN", "MAX", "AVG"))
            self.used[name] += 1
            return f"{name}({self.expression(scope.columns, DOUBLE, 1)})"
        name = self.dice.choice(("SUM", "MIN", "MAX", "COUNT"))
        self.used[name] += 1
        return f"{name}({self.expression(scope.columns, LONG, 1)})"


_LEFT = (either("LEFT JOIN", "CROSS JOIN"), either(" ON TRUE", ""))
"""LEFT keeps no row without elements, as in a real Druid."""
_WHOLE = " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
_FRAMES = (
    " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
    " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING", " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", _WHOLE,
)  # fmt: skip


def _timed(scope: Columns) -> str | None:
    """The time that differs from row to row, where the scope is one table."""
    names = [name for name, _ in scope if name.endswith(".__time")]
    one = len({name.partition(".")[0] for name, _ in scope if "(" not in name}) == 1
    return names[0] if len(names) == 1 and one else None


def _columns(name: str, alias: str) -> Columns:
    """Columns of a table; times but `__time` are stored as numbers here."""
    if name == "k":
        return [(f"{alias}.g", TEXT), (f"{alias}.{ID}", LONG), *((f"{alias}.{c}", c) for c in SKETCHES)]
    made: Columns = []
    for column, of in columns(name).items():
        text = f"{alias}.{column}"
        if of.is_time and column != "__time":
            text = either(f"MILLIS_TO_TIMESTAMP({text})", text)
        made.append((text, LONG if column == ID else column_kind(column)))
    return made
