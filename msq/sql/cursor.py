"""A place in a statement's tokens, and what every part of the grammar does with it: look, take, refuse, mark nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlglot import exp

from msq.faults import DruidException, invalid_sql
from msq.sql.lexer import END, QUOTED, STRING, SYMBOL, WORD, Source, Token, reserved_word, tokenize, unexpected

E = TypeVar("E", bound=exp.Expr)
T = TypeVar("T")

MAX_NESTING = 100
"""How deep parentheses, subqueries, calls and CASEs may nest. What walks the tree later recurses as deep."""

MAX_DEPTH = 300
"""How many nodes may lie between the root of a tree and a leaf."""


class Cursor:
    def __init__(self, text: str, parameters: Sequence[Any] = ()) -> None:
        self.parameters = parameters
        self.source = Source(text)
        self.tokens = tokenize(self.source)
        self.index = 0
        self.token = self.tokens[0]
        self.placeholders = 0
        self._nesting = 0

    # --- looking and taking ---

    def advance(self) -> Token:
        """Takes the token at hand and returns it."""
        taken = self.token
        if taken.kind != END:
            self.index += 1
            self.token = self.tokens[self.index]
        return taken

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def at_word(self, *words: str) -> bool:
        return self.token.kind == WORD and self.token.upper in words

    def at_words(self, *words: str) -> bool:
        """Whether exactly these words come next, one after the other."""
        return all((t := self.peek(i)).kind == WORD and t.upper == w for i, w in enumerate(words))

    def at_symbol(self, symbol: str) -> bool:
        return self.token.kind == SYMBOL and self.token.upper == symbol

    def take_word(self, *words: str) -> str | None:
        """Takes one of `words` if it is at hand; the word in capitals, else None."""
        return self.advance().upper if self.at_word(*words) else None

    def take_words(self, *words: str) -> bool:
        if not self.at_words(*words):
            return False
        for _ in words:
            self.advance()
        return True

    def take_symbol(self, symbol: str) -> bool:
        if not self.at_symbol(symbol):
            return False
        self.advance()
        return True

    def need_word(self, *words: str) -> str:
        if not self.at_word(*words):
            raise self.unexpected(*(f'"{w}"' for w in words))
        return self.advance().upper

    def need_words(self, *words: str) -> None:
        for word in words:
            self.need_word(word)

    def need_symbol(self, symbol: str) -> None:
        if not self.take_symbol(symbol):
            raise self.unexpected(f'"{symbol}"')

    def need_string(self) -> str:
        if self.token.kind != STRING:
            raise self.unexpected("<QUOTED_STRING>")
        return self.advance().text

    # --- names ---

    def at_name(self) -> bool:
        return self.token.kind == QUOTED or (self.token.kind == WORD and not self.token.reserved)

    def name(self) -> exp.Identifier:
        """A name: double-quoted, or a word that is not reserved."""
        if not self.at_name():
            raise reserved_word(self.source, self.token) if self.token.reserved else self.unexpected("<IDENTIFIER>")
        token = self.advance()
        return self.mark(exp.Identifier(this=token.text, quoted=token.kind == QUOTED), token)

    def names(self) -> list[exp.Identifier]:
        """`( name [, ..] )`."""
        return self.parenthesised(self.name)

    def parenthesised(self, item: Callable[[], T]) -> list[T]:
        self.need_symbol("(")
        out = self.list_of(item)
        self.need_symbol(")")
        return out

    def list_of(self, item: Callable[[], T]) -> list[T]:
        out = [item()]
        while self.take_symbol(","):
            out.append(item())
        return out

    # --- marks ---

    def mark(self, node: E, start: Token | exp.Expr | None) -> E:
        """Gives `node` its place: from `start` (a token or a marked node) to the token taken last."""
        if isinstance(start, exp.Expr):
            first = start.meta["offsets"][0]
        else:
            first = self.token.start if start is None else start.start
        last = self.tokens[self.index - 1].end if self.index else 0
        meta = node.meta
        meta["offsets"] = (first, last)
        meta["position"] = self.source.span(first, last)
        return node

    # --- refusals ---

    def unexpected(self, *expected: str) -> DruidException:
        return unexpected(self.source, self.token, expected)

    def refuse(self, message: str, node: exp.Expr) -> DruidException:
        """A validator's refusal of `node`: the message with its place behind it, and the place in the context."""
        position = node.meta["position"]
        return invalid_sql(f"{message} (line [{position[0]}], column [{position[1]}])", position=position)

    def text_of(self, node: exp.Expr) -> str:
        first, last = node.meta["offsets"]
        return self.source.text[first:last]


def too_deep() -> DruidException:
    return invalid_sql(
        f"Statement is nested too deeply: more than [{MAX_NESTING}] levels of parentheses, calls or subqueries, or "
        f"more than [{MAX_DEPTH}] operators in a row",
        envelope=False,
    )


def check_depth(root: exp.Expr) -> None:
    """Refuses a tree that is deeper than MAX_DEPTH, as a run of a thousand `+` makes it."""
    level: list[exp.Expr] = [root]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_expressions()]
        if not level:
            return
    raise too_deep()
