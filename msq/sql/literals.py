"""The grammar of literals, and of `?`, which stands for one."""

from __future__ import annotations

from sqlglot import exp

from msq.faults import invalid_sql
from msq.sql.lexer import STRING, UNICODE, WORD, unescape
from msq.sql.nodes import IntervalLiteral, TemporalLiteral
from msq.sql.parameters import literal_of
from msq.sql.types import TypeGrammar

_MAX_LONG = 2**63 - 1
_LONG_DIGITS = 19


class LiteralGrammar(TypeGrammar):
    def number(self) -> exp.Expr:
        token = self.advance()
        node = self.mark(exp.Literal(this=token.text, is_string=False), token)
        digits = token.text.lstrip("0")
        if token.text.isdigit() and (len(digits) > _LONG_DIGITS or int(digits or "0") > _MAX_LONG):
            raise self.refuse(f"Numeric literal '{token.text[:100]}' out of range", node)
        return node

    def string_literal(self) -> exp.Expr:
        """A text, in quotes or as U&'..'; further quoted texts on following lines continue it."""
        start = token = self.advance()
        text = token.text
        if token.kind == UNICODE:
            escape = "\\"
            if self.take_word("UESCAPE"):
                escape = self.need_string()
                if len(escape) != 1 or escape in "+'\" " or escape in "0123456789abcdefABCDEF":
                    raise invalid_sql(f"UESCAPE '{escape}' is not one character that can escape", envelope=False)
            text = unescape(text, escape, self.source, token.start, token.end)
        while self.token.kind == STRING:
            if "\n" not in self.source.text[token.end : self.token.start]:
                raise invalid_sql("String literal continued on same line", envelope=False)
            token = self.advance()
            text += token.text
        return self.mark(exp.Literal(this=text, is_string=True), start)

    def placeholder(self) -> exp.Expr:
        """`?`: the value of the request's next parameter, as the literal that a text would have held."""
        token = self.advance()
        index = self.placeholders
        self.placeholders += 1
        if index >= len(self.parameters):
            raise invalid_sql(f"No value bound for parameter (position [{index + 1}])")
        return self.mark(literal_of(self.parameters[index]), token)

    def temporal_literal(self) -> exp.Expr:
        start = self.advance()
        text = self.need_string()
        return self.mark(TemporalLiteral(this=text, kind=start.upper), start)

    def interval_literal(self) -> exp.Expr:
        start = self.advance()
        negative = False
        while self.at_symbol("-") or self.at_symbol("+"):
            negative ^= self.advance().upper == "-"
        text = self.need_string()
        unit, precision = self._interval_unit()
        to = self._interval_unit()[0] if self.take_word("TO") else None
        node = IntervalLiteral(this=text, negative=negative, unit=unit, to=to, precision=precision)
        return self.mark(node, start)

    def _interval_unit(self) -> tuple[str, int | None]:
        units = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEK", "QUARTER")
        word = self.token.upper.removesuffix("S")
        if self.token.kind != WORD or word not in units:
            raise self.unexpected(*(f'"{u}"' for u in units))
        self.advance()
        precision = None
        if self.take_symbol("("):
            precision = self._size()
            if self.take_symbol(","):
                self._size()
            self.need_symbol(")")
        return word, precision
