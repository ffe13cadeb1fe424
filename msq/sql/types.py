"""SQL types: how they are written, and what column type each is."""

from __future__ import annotations

from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, ColumnType, array_of
from msq.sql.cursor import MAX_NESTING, Cursor, too_deep
from msq.sql.lexer import NUMBER, QUOTED, WORD
from msq.sql.nodes import TypeName

_SPELLINGS = {
    "VARCHAR": "VARCHAR", "CHAR": "CHAR", "CHARACTER": "CHAR", "BIGINT": "BIGINT", "INTEGER": "INTEGER",
    "INT": "INTEGER", "SMALLINT": "SMALLINT", "TINYINT": "TINYINT", "DOUBLE": "DOUBLE", "FLOAT": "FLOAT",
    "REAL": "REAL", "DECIMAL": "DECIMAL", "DEC": "DECIMAL", "NUMERIC": "DECIMAL", "BOOLEAN": "BOOLEAN", "DATE": "DATE",
    "TIME": "TIME", "TIMESTAMP": "TIMESTAMP", "BINARY": "BINARY", "VARBINARY": "VARBINARY", "ANY": "ANY",
    "UUID": "UUID", "VARIANT": "VARIANT",
}  # fmt: skip

_COLUMN_TYPES = {
    "VARCHAR": STRING, "CHAR": STRING, "BIGINT": LONG, "INTEGER": LONG, "SMALLINT": LONG, "TINYINT": LONG,
    "DOUBLE": DOUBLE, "FLOAT": FLOAT, "REAL": FLOAT,
}  # fmt: skip


def column_type_of(type_name: TypeName) -> ColumnType | None:
    """The type of an external column declared so; None for a type that no external column has."""
    if type_name.args["this"] == "TYPE":
        try:
            made = ColumnType.parse(str(type_name.args["native"]))
        except ValueError:
            return None
        if not made.is_complex:
            return None
    else:
        known = _COLUMN_TYPES.get(str(type_name.args["this"]))
        if known is None:
            return None
        made = known
    for _ in range(int(type_name.args.get("array") or 0)):
        made = array_of(made)
    return made


class TypeGrammar(Cursor):
    def type_name(self) -> TypeName:
        """A type as it stands in CAST, RETURNING and column lists."""
        start = self.token
        node = self._base_type()
        arrays = 0
        while self.take_word("ARRAY"):
            arrays += 1
        if arrays > MAX_NESTING:
            raise too_deep()
        if arrays:
            node.set("array", arrays)
        return self.mark(node, start)

    def _base_type(self) -> TypeName:
        start = self.token
        if start.kind == WORD and start.upper == "TYPE" and self.peek().upper == "(":
            self.advance()
            self.need_symbol("(")
            native = self.need_string()
            self.need_symbol(")")
            return TypeName(this="TYPE", native=native)
        word = _SPELLINGS.get(start.upper) if start.kind == WORD else None
        if word is None:
            if start.kind == QUOTED or (start.kind == WORD and not start.reserved):
                name = self.mark(self.name(), start)
                raise self.refuse(f"Unknown identifier '{name.this}'", name)
            raise self.unexpected("<TYPE>")
        self.advance()
        if word == "CHAR" and self.take_word("VARYING"):
            word = "VARCHAR"
        elif word == "DOUBLE":
            self.take_word("PRECISION")
        node = TypeName(this=word)
        if word in ("VARCHAR", "CHAR", "DECIMAL", "TIME", "TIMESTAMP", "BINARY", "VARBINARY") and self.take_symbol("("):
            node.set("precision", self._size())
            if word == "DECIMAL" and self.take_symbol(","):
                node.set("scale", self._size())
            self.need_symbol(")")
        if word in ("TIME", "TIMESTAMP") and self.at_word("WITH", "WITHOUT"):
            self._zone()
        return node

    def _zone(self) -> None:
        """WITH and WITHOUT TIME ZONE: without is what a type means anyway."""
        start = self.token
        without = self.advance().upper == "WITHOUT"
        self.take_word("LOCAL")
        self.need_words("TIME", "ZONE")
        if not without:
            raise self.refuse("Types with a time zone are not supported", self.mark(TypeName(this="TIMESTAMP"), start))

    def _size(self) -> int:
        if self.token.kind != NUMBER or not self.token.text.isdigit() or len(self.token.text) > 9:
            raise self.unexpected("<UNSIGNED_INTEGER_LITERAL>")
        return int(self.advance().text)
