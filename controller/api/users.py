"""Users and their roles: the password file, and what a request or statement needs of who asks.

| role | may |
|---|---|
| read | ask: queries, every GET, plans |
| write | change data: ingest, mark segments used or unused, kill, retention rules, end tasks |
| external | let a statement reach beyond the tables: EXTERN, the other input-source functions, exports, the sampler |
| admin | change configuration; and everything that the other roles may |

A user without listed roles has them all. `read` and `write` may be limited to tables whose names match a pattern
(`*` any text, `?` a character): `read(web_*|sales)`. What such a user may not read is left out of lists and refused by
name; other users' queries are hidden from him.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msq.codec import encode
from msq.faults import DruidException

if TYPE_CHECKING:
    from msq.sql.bind import BoundQuery


class Role(Enum):
    READ = "read"
    WRITE = "write"
    EXTERNAL = "external"
    ADMIN = "admin"


ALL_ROLES = frozenset(Role)
_ROLE = re.compile(r"(?P<role>[^()]*)(?:\((?P<tables>[^()]*)\))?")
_LINE = re.compile(r"(?P<name>[^:\[\]]+)(?:\[(?P<roles>[^\]:]*)\])?:(?P<password>.+)")


class UsersError(Exception):
    """A password file that cannot be used; the text says why."""


@dataclass(frozen=True)
class User:
    """Who asks. Printing one does not show the password."""

    name: str
    password: str = field(repr=False)
    roles: frozenset[Role] = ALL_ROLES
    tables: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Patterns of the tables that `read` or `write` are limited to; a role that is not there is good for all."""

    def has(self, role: Role) -> bool:
        return role in self.roles or Role.ADMIN in self.roles

    def is_limited(self, role: Role) -> bool:
        return role in self.tables and Role.ADMIN not in self.roles

    def may(self, role: Role, table: str) -> bool:
        """Whether the user has the role for a table."""
        if not self.is_limited(role):
            return self.has(role)
        return self.has(role) and any(fnmatchcase(table, pattern) for pattern in self.tables[role])


def require(user: User | None, roles: Iterable[Role]) -> None:
    """Raises DruidException (403) that names the roles the user lacks. None: nobody is asked who he is."""
    missing = [] if user is None else [role.value for role in Role if role in set(roles) and not user.has(role)]
    if user is not None and missing:
        word = "role" if len(missing) == 1 else "roles"
        raise DruidException(
            f"Unauthorized: user [{user.name}] lacks the {word} [{', '.join(missing)}]",
            error_code="forbidden", category="FORBIDDEN",
        )  # fmt: skip


def require_table(user: User | None, role: Role, table: str) -> None:
    """Raises DruidException (403) that names the table for which the user lacks a role that he has for others."""
    if user is not None and not user.may(role, table):
        raise DruidException(
            f"Unauthorized: user [{user.name}] lacks the role [{role.value}] for data source [{table}]",
            error_code="forbidden", category="FORBIDDEN",
        )  # fmt: skip


def require_tables(user: User | None, bound: BoundQuery) -> None:
    """As `require_table`, for all tables that a statement reads and writes."""
    if user is None or not user.tables:
        return
    for resource in bound.reads_and_writes:
        if resource.type == "DATASOURCE":
            require_table(user, Role.WRITE if resource.action == "WRITE" else Role.READ, resource.name)
    for table in tables_of_sources(encode(bound.query)):
        require_table(user, Role.READ, table)


def tables_of_sources(value: Any) -> Iterator[str]:
    """Tables that input sources of type `druid` read, wherever they stand in a query or spec."""
    if isinstance(value, dict):
        if value.get("type") == "druid" and isinstance(value.get("dataSource"), str):
            yield value["dataSource"]
        value = list(value.values())
    for inner in value if isinstance(value, (list, tuple)) else ():
        yield from tables_of_sources(inner)


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

    A role is a word, or `read` or `write` with patterns of tables: `read(web_*|sales)`.

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
        users[name] = User(name, found["password"], *_roles(found["roles"], where))
    if not users:
        raise UsersError(f"Password file [{file}] names no user")
    return users


def _roles(text: str | None, where: str) -> tuple[frozenset[Role], dict[Role, tuple[str, ...]]]:
    if text is None:
        return ALL_ROLES, {}
    known = {role.value: role for role in Role}
    roles, tables = set[Role](), dict[Role, tuple[str, ...]]()
    for given in text.split(","):
        found = _ROLE.fullmatch(given.strip())
        role = None if found is None else known.get(found["role"].strip().lower())
        if found is None or role is None:
            raise UsersError(f"{where} has role [{given.strip()}]: known roles are [{', '.join(known)}]")
        roles.add(role)
        if found["tables"] is None:
            continue
        patterns = tuple(pattern.strip() for pattern in found["tables"].split("|"))
        if role not in (Role.READ, Role.WRITE) or not all(patterns):
            raise UsersError(f"{where} has role [{given.strip()}]: only read and write take patterns of tables")
        tables[role] = patterns
    return frozenset(roles), tables
