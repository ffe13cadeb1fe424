"""Users and their roles: the password file, and what a request or statement needs of who asks.

| role | may |
|---|---|
| read | ask: queries, every GET, plans |
| write | change data: ingest, mark segments used or unused, kill, retention rules, end tasks |
| external | let a statement reach beyond the tables: EXTERN, the other input-source functions, exports, the sampler |
| admin | change configuration; and everything that the other roles may |

A user without listed roles has them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from msq.faults import DruidException

if TYPE_CHECKING:
    from msq.sql.bind import BoundQuery


class Role(Enum):
    READ = "read"
    WRITE = "write"
    EXTERNAL = "external"
    ADMIN = "admin"


ALL_ROLES = frozenset(Role)
_LINE = re.compile(r"(?P<name>[^:\[\]]+)(?:\[(?P<roles>[^\]:]*)\])?:(?P<password>.+)")


class UsersError(Exception):
    """A password file that cannot be used; the text says why."""


@dataclass(frozen=True)
class User:
    """Who asks. Printing one does not show the password."""

    name: str
    password: str = field(repr=False)
    roles: frozenset[Role] = ALL_ROLES

    def has(self, role: Role) -> bool:
        return role in self.roles or Role.ADMIN in self.roles


def require(user: User | None, roles: Iterable[Role]) -> None:
    """Raises DruidException (403) that names the roles the user lacks. None: nobody is asked who he is."""
    missing = [] if user is None else [role.value for role in Role if role in set(roles) and not user.has(role)]
    if user is not None and missing:
        word = "role" if len(missing) == 1 else "roles"
        raise DruidException(
            f"Unauthorized: user [{user.name}] lacks the {word} [{', '.join(missing)}]",
            error_code="forbidden", category="FORBIDDEN",
        )  # fmt: skip


def roles_of(bound: BoundQuery) -> frozenset[Role]:
    """What a statement, or its EXPLAIN, needs by what it reads and writes."""
    # a SELECT asks, even of nothing or of system tables
    needed = {Role.READ} if bound.kind == "SELECT" else set()
    for resource in bound.reads_and_writes:
        if resource.type == "EXTERNAL":
            needed.add(Role.EXTERNAL)
        else:
            needed.add(Role.WRITE if resource.action == "WRITE" else Role.READ)
    return frozenset(needed)


def read_users(file: Path) -> dict[str, User]:
    """Users of a password file, by name: lines `name:password` or `name[role,..]:password`, and `#` comments.

    Raises UsersError for a file that others can read, and for a line or role that is none.
    """
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsersError(f"Cannot read password file [{file}]: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsersError(f"Password file [{file}] is not UTF-8 text") from error
    if mode & 0o077:
        raise UsersError(f"Password file [{file}] can be read by others: run chmod 600 on it")
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"Password file [{file}] line [{number}]"
        found = _LINE.fullmatch(line)
        if found is None:
            raise UsersError(f"{where} is not name:password or name[role,..]:password")
        name = found["name"]
        if name in users:
            raise UsersError(f"{where} names user [{name}] again")
        users[name] = User(name, found["password"], _roles(found["roles"], where))
    if not users:
        raise UsersError(f"Password file [{file}] names no user")
    return users


def _roles(text: str | None, where: str) -> frozenset[Role]:
    if text is None:
        return ALL_ROLES
    known = {role.value: role for role in Role}
    words = [word.strip().lower() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise UsersError(f"{where} has role [{word}]: known roles are [{', '.join(known)}]")
    return frozenset(known[word] for word in words)
