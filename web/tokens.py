"""The page's tokens: secrets that people and programs send, and what each lets do."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from errors import UsageError
from files import lines_of, read_text

MIN_LENGTH = 16  # characters; 43 are generated


class BadToken(UsageError):
    """A token cannot be used, or the file of tokens not be read."""


class Role(IntEnum):
    """What somebody may do; each includes those before it."""

    READ = 1
    REVIEW = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Token:
    """A secret, what it lets do, and whose it is: a name, or None for one that several share."""

    secret: str = field(repr=False)
    role: Role
    name: str | None = None

    @property
    def label(self) -> str:
        """What the audit log calls whoever sends it."""
        return self.name or f"web:{self.role.word}"


VARIABLES = {
    "REID_TOKEN": Role.ADMIN,
    "REID_TOKEN_REVIEW": Role.REVIEW,
    "REID_TOKEN_READ": Role.READ,
}


def from_environment(environment: Mapping[str, str] = os.environ) -> list[Token]:
    """One token a role, of those variables that are set. Raises BadToken."""
    found = []
    for variable, role in VARIABLES.items():
        if secret := environment.get(variable):
            found.append(_checked(Token(secret, role), variable))
    return found


def from_file(path: Path) -> list[Token]:
    """A token a line: `NAME ROLE TOKEN`; empty lines and those after `#` are left out.

    Raises BadToken.
    """
    try:
        lines = lines_of(read_text(path, BadToken))
    except OSError as error:
        raise BadToken(f"cannot read the tokens in {path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            found.append(_token(line.split(), f"{path}, line {number}"))
    if not found:
        raise BadToken(f"{path} holds no token; expected lines of NAME ROLE TOKEN")
    return found


def _token(words: Sequence[str], where: str) -> Token:
    roles = {role.word: role for role in Role}
    if len(words) != 3 or words[1] not in roles:
        raise BadToken(f"{where}: expected NAME ROLE TOKEN, with a role of {', '.join(roles)}")
    name, role, secret = words
    if len(name) > 100 or not name.isprintable():
        raise BadToken(f"{where}: a name has at most 100 characters, all of them printable")
    return _checked(Token(secret, roles[role], name), where)


def _checked(token: Token, where: str) -> Token:
    if len(token.secret) < MIN_LENGTH:
        raise BadToken(f"{where} has fewer than {MIN_LENGTH} characters; choose a longer one")
    return token


def distinct(tokens: Sequence[Token]) -> list[Token]:
    """The tokens. Raises BadToken where two have one secret: nobody could tell who came."""
    secrets = [token.secret for token in tokens]
    if len(set(secrets)) < len(secrets):
        raise BadToken("two tokens are equal; each role and each person needs one of their own")
    return list(tokens)
