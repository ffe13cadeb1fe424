"""Random SELECT statements that mean the same in Druid's SQL and in DuckDB's.

Left out: what the two define differently (division, AVG of integers, ties of unfinished orders). Every window orders by
all columns of its source, every LIMIT by the whole SELECT list.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

TABLES = {
    "t": {"k": "VARCHAR", "g": "VARCHAR", "v": "BIGINT", "w": "BIGINT"},
    "u": {"k": "VARCHAR", "h": "VARCHAR", "v": "BIGINT", "x": "BIGINT"},
}
LETTERS = "abcde"
SETS = ("UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")
Columns = list[tuple[str, str]]
"""Names in scope and their types."""


def random_rows(dice: Random, table: str, count: int) -> list[dict[str, str | int | None]]:
    def value(kind: str) -> str | int | None:
        if dice.random() < 0.12:
            return None
        return dice.choice(LETTERS) if kind == "VARCHAR" else dice.randint(-3, 6)

    return [{c: value(k) for c, k in TABLES[table].items()} for _ in range(count)]


@dataclass
class Generator:
    dice: Random
    _aliases: int = 0

    def statement(self) -> str:
        self._aliases = 0
        return self.select(self.dice.choice((0, 1, 1, 2, 2, 3)))[0]

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def alias(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    # --- expressions ---

    def kind(self) -> str:
        return self.dice.choice(("VARCHAR", "BIGINT"))

    def column(self, scope: Columns, kind: str) -> str | None:
        of_kind = [name for name, k in scope if k == kind]
        return self.dice.choice(of_kind) if of_kind else None

    def expression(self, scope: Columns, kind: str, depth: int) -> str:
        return self.number(scope, depth) if kind == "BIGINT" else self.text(scope, depth)

    def number(self, scope: Columns, depth: int) -> str:
        form = self.dice.randrange(12) if depth > 0 else 0
        if form < 5:
            return (self.column(scope, "BIGINT") if self.chance(0.8) else None) or str(self.dice.randint(0, 5))
        one = self.number(scope, depth - 1)
        if form < 8:
            return f"({one} {self.dice.choice('+-*')} {self.number(scope, depth - 1)})"
        if form == 8:
            return f"COALESCE({one}, {self.dice.randint(0, 9)})"
        if form == 9:
            return f"CASE WHEN {self.condition(scope, depth - 1)} THEN {one} ELSE {self.number(scope, depth - 1)} END"
        return f"ABS({one})" if form == 10 else f"CHAR_LENGTH({self.text(scope, depth - 1)})"

    def text(self, scope: Columns, depth: int) -> str:
        form = self.dice.randrange(10) if depth > 0 else 0
        if form < 6:
            return (self.column(scope, "VARCHAR") if self.chance(0.85) else None) or f"'{self.dice.choice(LETTERS)}'"
        one = self.text(scope, depth - 1)
        if form == 6:
            return f"UPPER({one})"
        if form == 7:
            return f"({one} || {self.text(scope, depth - 1)})"
        if form == 8:
            return f"COALESCE({one}, 'z')"
        return f"CASE WHEN {self.condition(scope, depth - 1)} THEN {one} ELSE {self.text(scope, depth - 1)} END"

    def condition(self, scope: Columns, depth: int) -> str:
        if depth > 0 and self.chance(0.3):
            one, other = self.condition(scope, depth - 1), self.condition(scope, depth - 1)
            return self.dice.choice((f"({one} AND {other})", f"({one} OR {other})", f"NOT ({one})"))
        kind = self.kind()
        left = self.expression(scope, kind, depth - 1)
        form = self.dice.randrange(10)
        if form < 5:
            operator = self.dice.choice(("=", "<>", "<", ">", "<=", ">="))
            return f"{left} {operator} {self.expression(scope, kind, depth - 1)}"
        if form < 7:
            return f"{left} IS {self.dice.choice(('', 'NOT '))}NULL"
        if form == 7:
            number = kind == "BIGINT"
            values = [self.dice.randint(-3, 6) if number else repr(self.dice.choice(LETTERS)) for _ in range(3)]
            return f"{left} {self.dice.choice(('', 'NOT '))}IN ({', '.join(map(str, values))})"
        if form == 8:
            return f"{self.number(scope, depth - 1)} BETWEEN {self.dice.randint(-3, 2)} AND {self.dice.randint(1, 6)}"
        return f"{self.text(scope, depth - 1)} LIKE '{self.dice.choice(('a%', '%b', '_', '%c%'))}'"

    # --- FROM and WHERE ---

    def source(self, depth: int) -> tuple[str, Columns]:
        form = self.dice.randrange(20) if depth > 0 else 0
        if form < 9:
            return self.table()
        if form < 12:
            return self.derived(*self.select(depth - 1))
        if form == 12:
            one, columns = self.select(depth - 1)
            other, others = self.select(depth - 1)
            if [k for _, k in columns] != [k for _, k in others]:
                return self.derived(one, columns)
            wrapped = [f"SELECT * FROM ({sql}) AS {self.alias()}" for sql in (one, other)]
            word = self.dice.choice(("UNION ALL", "UNION ALL", "UNION", *SETS))
            return self.derived(f" {word} ".join(wrapped), columns)
        if form == 13:
            name = self.alias()
            rows = [f"({self.dice.randint(0, 5)}, '{self.dice.choice(LETTERS)}')" for _ in range(3)]
            return f"(VALUES {', '.join(rows)}) AS {name}(n, s)", [(f"{name}.n", "BIGINT"), (f"{name}.s", "VARCHAR")]
        return self.join(depth)

    def table(self) -> tuple[str, Columns]:
        table, name = self.dice.choice(list(TABLES)), self.alias()
        return f"{table} AS {name}", [(f"{name}.{c}", k) for c, k in TABLES[table].items()]

    def derived(self, sql: str, columns: Columns) -> tuple[str, Columns]:
        name = self.alias()
        return f"({sql}) AS {name}", [(f"{name}.{c}", k) for c, k in columns]

    def join(self, depth: int) -> tuple[str, Columns]:
        left, columns = self.source(depth - 1)
        right, others = self.table() if self.chance(0.6) else self.derived(*self.select(depth - 1))
        word = self.dice.choice(("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"))
        kind = self.kind()
        one, other = self.column(columns, kind), self.column(others, kind)
        if word == "CROSS JOIN" or one is None or other is None:
            return f"{left} CROSS JOIN {right}", columns + others
        on = f"{one} {self.dice.choice(('=', '=', '=', 'IS NOT DISTINCT FROM', '<'))} {other}"
        if self.chance(0.2):
            on += f" AND {self.condition(columns + others, 1)}"
        return f"{left} {word} {right} ON {on}", columns + others

    def where(self, scope: Columns, depth: int) -> str:
        if self.chance(0.5):
            return ""
        made = [self.condition(scope, 2)] if self.chance(0.7) else []
        kind = self.kind()
        outer = self.column(scope, kind)
        if not made or (depth > 0 and self.chance(0.3)):
            made.append(self.subquery(scope, outer, kind))
        return f" WHERE {' AND '.join(made)}"

    def subquery(self, scope: Columns, outer: str | None, kind: str) -> str:
        """A condition with a subquery; `outer`: a column in scope of type `kind`."""
        table, columns = self.table()
        column = self.column(columns, kind)
        where = f" WHERE {self.condition(columns, 1)}" if self.chance(0.5) else ""
        negation = self.dice.choice(("", "NOT "))
        if outer is None or self.chance(0.25):
            return f"{self.number(scope, 1)} < (SELECT MAX({self.number(columns, 1)}) FROM {table}{where})"
        if self.chance(0.6):
            return f"{outer} {negation}IN (SELECT {column} FROM {table}{where})"
        operator = self.dice.choice(("=", "=", "<", "<>"))
        correlated = f"{column} {operator} {outer}"
        if self.chance(0.3):
            return f"{self.number(scope, 1)} > (SELECT COUNT(*) FROM {table} WHERE {correlated})"
        if self.chance(0.2):
            quantifier = self.dice.choice(("ANY", "ALL"))
            return f"{outer} {self.dice.choice(('<', '>=', '<>'))} {quantifier} (SELECT {column} FROM {table}{where})"
        return f"{negation}EXISTS (SELECT 1 FROM {table} WHERE {correlated})"

    # --- SELECT ---

    def select(self, depth: int) -> tuple[str, Columns]:
        source, scope = self.source(depth)
        rest = f" FROM {source}{self.where(scope, depth)}"
        form = self.dice.randrange(10)
        if form < 4:
            items = [(self.expression(scope, kind, 2), kind) for kind in self.kinds(3)]
            word = "SELECT DISTINCT" if self.chance(0.15) else "SELECT"
        elif form < 9:
            word, (items, tail) = "SELECT", self.groups(scope)
            rest += tail
        else:
            shown = self.dice.sample(scope, min(2, len(scope)))
            word, items = "SELECT", [*shown, *((self.window(scope), "BIGINT") for _ in range(2))]
        names = [f"c{n}" for n in range(len(items))]
        sql = f"{word} {', '.join(f'{e} AS {n}' for (e, _), n in zip(items, names))}{rest}"
        if self.chance(0.3):
            order = [f"{n + 1}{self.dice.choice((' DESC', ''))}" for n in range(len(items))]
            self.dice.shuffle(order)
            sql += f" ORDER BY {', '.join(order)} LIMIT {self.dice.randint(1, 6)}"
            sql += f" OFFSET {self.dice.randint(0, 3)}" if self.chance(0.3) else ""
        return sql, [(n, k) for (_, k), n in zip(items, names)]

    def kinds(self, most: int) -> list[str]:
        return [self.kind() for _ in range(self.dice.randint(1, most))]

    def groups(self, scope: Columns) -> tuple[Columns, str]:
        """The SELECT list of a grouping, and its GROUP BY and HAVING."""
        keys = [(self.expression(scope, kind, 1), kind) for kind in self.kinds(2)] if self.chance(0.75) else []
        # a constant would be a position
        keys = [key for key in keys if not (key[0].isdigit() or key[0].startswith("'"))]
        items = [*keys, *((self.aggregate(scope), "BIGINT") for _ in range(self.dice.randint(1, 2)))]
        if self.chance(0.2):
            items.append((f"({self.aggregate(scope)} + {self.aggregate(scope)})", "BIGINT"))
        tail = ""
        if keys:
            by_place = self.chance(0.3)
            tail = " GROUP BY " + ", ".join(str(n + 1) if by_place else key for n, (key, _) in enumerate(keys))
        if self.chance(0.25):
            tail += f" HAVING {self.aggregate(scope)} {self.dice.choice('<>=')} {self.dice.randint(0, 3)}"
        return items, tail

    def aggregate(self, scope: Columns) -> str:
        form = self.dice.randrange(6)
        value = self.expression(scope, self.kind(), 1)
        call = ("COUNT(*)", f"COUNT({value})", f"COUNT(DISTINCT {value})")[form] if form < 3 else (
            f"{('SUM', 'MIN', 'MAX')[form - 3]}({self.number(scope, 1)})"
        )  # fmt: skip
        return f"{call} FILTER (WHERE {self.condition(scope, 1)})" if self.chance(0.25) else call

    def window(self, scope: Columns) -> str:
        columns = [name for name, _ in scope]
        self.dice.shuffle(columns)
        over = f"PARTITION BY {self.dice.choice(columns)} " if self.chance(0.6) else ""
        order = "ORDER BY " + ", ".join(c + self.dice.choice((" DESC", "")) for c in columns)
        number = self.column(scope, "BIGINT") or "1"
        form = self.dice.randrange(4)
        if form == 0:
            return f"{self.dice.choice(('RANK', 'DENSE_RANK'))}() OVER ({over}{order})"
        if form == 1:
            return f"{self.dice.choice(('SUM', 'COUNT', 'MIN', 'MAX'))}({number}) OVER ({over}{order})"
        if form == 2:
            return f"SUM({number}) OVER ({over})"
        return f"COUNT(*) OVER ({over}{order} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
