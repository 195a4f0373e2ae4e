"""What each rule of `grammar.lark` means, and the words for what does not fit. Imports lark."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from search.filters.compare import compare, contained, flag, ordered, starts
from search.filters.complaints import unexpected, unreadable
from search.filters.errors import BadFilter
from search.filters.fields import kind_of
from search.filters.tree import And, Filter, Not, Or


def build(text: str) -> Filter:
    """The tree of a text that is neither empty nor too long."""
    try:
        return cast(Filter, _parser().parse(text))
    except UnexpectedToken as error:
        end = error.token.type == "$END"
        raise BadFilter(
            unexpected(error),
            text=text,
            position=len(text.rstrip()) if end else error.token.start_pos,
        ) from None
    except UnexpectedCharacters as error:
        raise BadFilter(
            unreadable(text[error.pos_in_stream or 0]), text=text, position=error.pos_in_stream
        ) from None
    except BadFilter as error:
        raise BadFilter(error.reason, text=text, position=error.position) from None


@lru_cache(maxsize=1)
def _parser() -> Lark:
    rules: Any = _Rules()
    return Lark.open(
        "grammar.lark", rel_to=__file__, parser="lalr", lexer="basic", transformer=rules
    )


@contextmanager
def _at(token: Token) -> Iterator[None]:
    """Gives a complaint that names no place the place of this token."""
    try:
        yield
    except BadFilter as error:
        position = token.start_pos if error.position is None else error.position
        raise BadFilter(error.reason, position=position) from None


class _Rules:
    """Called by lark from the leaves up, with the results of a rule's parts."""

    def field(self, parts: list[Token]) -> Token:
        with _at(parts[0]):
            name = _plain(parts[0]).lower()
            kind_of(name)
        return parts[0].update(value=name)

    def value(self, parts: list[Token]) -> Token:
        return parts[0].update(value=_plain(parts[0]))

    def values(self, parts: list[Token | None]) -> list[Token]:
        opening, *values = [part for part in parts if part is not None]
        if not values:
            raise BadFilter("'in' needs one value or more", position=opening.start_pos)
        return values

    def any_of(self, parts: list[Filter]) -> Filter:
        return Or(tuple(parts))

    def all_of(self, parts: list[Filter]) -> Filter:
        return And(tuple(parts))

    def negation(self, parts: tuple[Token, Filter]) -> Filter:
        with _at(parts[0]):
            return Not(parts[1])

    def flag(self, parts: list[Token]) -> Filter:
        with _at(parts[0]):
            return flag(str(parts[0]))

    def compare(self, parts: list[Token]) -> Filter:
        name, op, value = parts
        with _at(value):
            return compare(str(name), str(op), str(value))

    def is_in(self, parts: tuple[Token, list[Token]]) -> Filter:
        name, values = parts
        for value in values:  # each alone first, so that the caret stands under the wrong one
            with _at(value):
                contained(str(name), [str(value)])
        with _at(name):
            return contained(str(name), [str(value) for value in values])

    def not_in(self, parts: tuple[Token, Token, list[Token]]) -> Filter:
        return Not(self.is_in((parts[0], parts[2])))

    def between(self, parts: list[Token]) -> Filter:
        name, low, high = parts
        first, last = (self.compare([name, _op(">="), low]), self.compare([name, _op("<="), high]))
        with _at(high):
            return ordered(first, last)

    def starts(self, parts: list[Token]) -> Filter:
        name, prefix = parts
        with _at(prefix if name == "path" else name):
            return starts(str(name), str(prefix))


def _op(op: str) -> Token:
    return Token("COMPARE", op)


def _plain(token: Token) -> str:
    """What a token says, without quotation marks."""
    if token.type != "STRING":
        return str(token)
    mark = token[0]
    return token[1:-1].replace(mark * 2, mark)
