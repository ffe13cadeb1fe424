"""The grammar around a query: SET, EXPLAIN, INSERT, REPLACE and their clauses. `statement` checks what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from msq.faults import invalid_sql
from msq.intervals import Granularity, format_instant
from msq.sql.cursor import check_depth
from msq.sql.dialect import to_message
from msq.sql.granularity import granularity_of
from msq.sql.lexer import END, QUOTED, STRING, WORD
from msq.sql.nodes import Query, TemporalLiteral
from msq.sql.query import QueryGrammar
from msq.sql.temporal import local_millis


@dataclass(frozen=True)
class Destination:
    """`EXTERN(type(name => 'value', ..))` of an export."""

    type: str
    arguments: Mapping[str, str]


@dataclass
class Script:
    """What a text says, clause by clause; whatever was not written is None."""

    kind: str = "SELECT"
    explain: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    table: tuple[str, ...] = ()
    columns: str | None = None
    destination: Destination | None = None
    format: str | None = None
    overwrite: exp.Expr | str | None = None
    overwrite_text: str = ""
    query: Query = field(default_factory=exp.Select)
    partitioned_by: Granularity | None = None
    clustered_by: list[exp.Ordered] | None = None


class StatementGrammar(QueryGrammar):
    def script(self) -> Script:
        """The whole text: settings, one statement, and nothing behind it."""
        out = Script()
        if self.token.kind == END:
            raise invalid_sql("SQL query text is empty", envelope=False)
        while self.at_word("SET"):
            key, value = self._setting()
            out.settings[key] = value
            if self.token.kind != END:
                self.need_symbol(";")
            self._empty_statements()
        if self.token.kind == END:
            raise invalid_sql("Statement list is missing a non-SET statement to execute", envelope=False)
        start = self.token
        self._statement(out)
        check_depth(out.query)
        text = self.source.text[start.start : self.tokens[self.index - 1].end]
        ended = self.take_symbol(";")
        self._empty_statements()
        if ended and self.token.kind != END:
            raise invalid_sql(
                "Only SET statements can appear before the final statement in a statement list, but found non-SET "
                f"statement[{text}]",
                envelope=False,
            )
        if self.token.kind != END:
            raise self.unexpected("<EOF>", '";"')
        return out

    def _empty_statements(self) -> None:
        while self.take_symbol(";"):
            pass

    # --- SET ---

    def _setting(self) -> tuple[str, Any]:
        start = self.advance()
        key = self.name().name
        if self.at_symbol("."):
            raise self.unexpected('"="')
        self.need_symbol("=")
        value = self.value()
        made = _setting_value(value)
        if made is _NOT_LITERAL:
            text = self.source.text[start.start : self.tokens[self.index - 1].end]
            raise invalid_sql(f"Assigned value must be a literal for SET statement[{text}]", envelope=False)
        return key, made

    # --- statements ---

    def _statement(self, out: Script) -> None:
        if self.at_word("EXPLAIN"):
            out.explain = True
            self._explain()
        if self.at_word("INSERT", "UPSERT") or (self.at_word("REPLACE") and self.peek().upper != "("):
            self._ingest(out)
        elif self.at_word("SELECT", "WITH", "VALUES", "TABLE") or self.at_symbol("("):
            out.query = self.query()
        elif self.at_word(*_OTHER_STATEMENTS):
            raise invalid_sql(f"Unsupported SQL statement [{self.token.upper}]", envelope=False)
        else:
            raise self.no_query()

    def _explain(self) -> None:
        self.advance()
        self.need_word("PLAN")
        if self.take_word("INCLUDING"):
            self.take_word("ALL")
            self.need_word("ATTRIBUTES")
        elif self.take_word("EXCLUDING"):
            self.need_word("ATTRIBUTES")
        if self.take_word("WITH"):
            self.need_word("TYPE", "IMPLEMENTATION")
        elif self.take_word("WITHOUT"):
            self.need_word("IMPLEMENTATION")
        if self.take_word("AS"):
            self.need_word("XML", "JSON", "DOT")
        self.need_word("FOR")

    def _ingest(self, out: Script) -> None:
        out.kind = self.advance().upper
        self.need_word("INTO")
        if self.at_word("EXTERN") and self.peek().upper == "(":
            out.destination = self._destination()
        else:
            self._target(out)
        if self.at_word("AS"):
            self.advance()
            out.format = self.name().name
        if self.take_word("OVERWRITE"):
            if out.kind != "REPLACE":
                raise invalid_sql(
                    "An OVERWRITE clause is not allowed with INSERT statements. Use REPLACE statements if overwriting "
                    "existing segments is required or remove the OVERWRITE clause.",
                    envelope=False,
                )
            self._overwrite(out)
        if self.at_word("AS") and out.format is None:
            self.advance()
            out.format = self.name().name
        out.query = self.query()
        if self.at_words("CLUSTERED", "BY"):
            raise invalid_sql(
                "CLUSTERED BY found before PARTITIONED BY, CLUSTERED BY must come after the PARTITIONED BY clause",
                envelope=False,
            )
        if self.take_words("PARTITIONED", "BY"):
            out.partitioned_by = self._granularity()
            if self.take_words("CLUSTERED", "BY"):
                out.clustered_by = self.list_of(self.order_item)

    def _target(self, out: Script) -> None:
        start = self.token
        parts = [self.name()]
        while self.take_symbol("."):
            parts.append(self.name())
        out.table = tuple(p.name for p in parts)
        name = self.source.text[start.start : self.tokens[self.index - 1].end]
        if self.at_symbol("(") and self.query_ahead() is None:
            columns = self.names()
            out.columns = f"{name} ({', '.join(f'`{c.name}`' for c in columns)})"

    def _destination(self) -> Destination:
        self.advance()
        self.need_symbol("(")
        if self.token.kind not in (WORD, QUOTED):
            raise self.unexpected("<IDENTIFIER>")
        kind = self.advance().text
        arguments: dict[str, str] = {}
        if self.take_symbol("(") and not self.take_symbol(")"):
            for key, value in self.list_of(self._destination_argument):
                if key in arguments:
                    raise invalid_sql(f"Argument [{key}] of EXTERN destination [{kind}] is given twice", envelope=False)
                arguments[key] = value
            self.need_symbol(")")
        self.need_symbol(")")
        return Destination(kind, arguments)

    def _destination_argument(self) -> tuple[str, str]:
        if self.token.kind not in (WORD, QUOTED) or self.peek().upper != "=>":
            raise self.unexpected('<IDENTIFIER> "=>"')
        key = self.advance().text
        self.advance()
        if self.token.kind != STRING:
            raise invalid_sql(f"Argument [{key}] of an EXTERN destination must be a string literal", envelope=False)
        return key, self.advance().text

    def _overwrite(self, out: Script) -> None:
        if self.take_word("ALL"):
            out.overwrite = "ALL"
        elif self.take_word("WHERE"):
            condition = self.value()
            out.overwrite, out.overwrite_text = condition, to_message(condition)

    def _granularity(self) -> Granularity:
        if self.take_word("ALL"):
            self.take_word("TIME")
            return Granularity("ALL")
        word = self.take_word("HOUR", "DAY", "MONTH", "YEAR")
        if word is not None:
            return Granularity(word)
        return granularity_of(self.value())


_OTHER_STATEMENTS = (
    "DELETE", "UPDATE", "CREATE", "DROP", "ALTER", "MERGE", "DESCRIBE", "CALL", "TRUNCATE", "GRANT", "REVOKE", "COMMIT",
    "ROLLBACK",
)  # fmt: skip
_NOT_LITERAL = object()


def _setting_value(node: exp.Expr) -> Any:
    """The context value of a SET: text, long, double, boolean or None; times are ISO texts."""
    if isinstance(node, exp.Paren):
        return _NOT_LITERAL
    if isinstance(node, exp.Literal):
        text = str(node.this)
        if node.is_string:
            return text
        if text.isdigit():
            return int(text)
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return -_setting_value(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, TemporalLiteral):
        return format_instant(local_millis(node))
    return _NOT_LITERAL
