"""Imports point one way. The rooms and their order stand in README.md; this test holds the code to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("msq", "controller", "worker")

# Inside msq, from low to high: a room imports only rooms of its own rank or lower.
RANKS = {
    "msq.datatypes": 0, "msq.intervals": 0, "msq.codec": 0, "msq.faults": 0, "msq.counters": 0, "msq.context": 0,
    "msq.limits": 0, "msq.values": 0, "msq.catalog": 0, "msq.report_keys": 0, "msq.extensions": 0, "msq.mapped": 0,
    "msq.sketches": 1, "msq.frame": 1, "msq.extend": 5,
    "msq.native": 1, "msq.expr": 2, "msq.storage": 3, "msq.sources": 3, "msq.formats": 3, "msq.segment": 2,
    "msq.aggregate": 4, "msq.stage": 5, "msq.protocol": 5, "msq.report": 5, "msq.results": 5, "msq.processors": 6,
    "msq.plan": 7, "msq.sql": 7,
}  # fmt: skip

# One door per library: only these modules may import it.
DOORS = {
    "sqlglot": ("msq.sql",),
    "sqlalchemy": ("controller.metadata", "controller.publish"),
    "typer": ("controller.cli",),
    "rich": ("controller.cli",),
    "httpx": ("msq.sources",),
    "psycopg": ("msq.sources",),
    "fastavro": ("msq.formats", "controller.sampler"),
    "google": ("msq.formats",),
    "jq": ("msq.formats",),
    "isal": ("msq.formats", "msq.sources"),
    "datasketches": ("msq.sketches",),
}

# Exceptions, each with its reason.
ALLOWED = {
    ("msq", "controller"): "msq.run is the library's front door; it loads the engine on first use",
    ("msq.__main__", "controller"): "python -m msq is the command line",
    ("controller.launch", "worker"): "the launcher starts workers",
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, only for type checking) of every import statement."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module or "", node.lineno, id(node) in typing_only


def allowed(module: str, target: str) -> bool:
    return any(
        (module == source or (module.startswith(source + ".") and source != "msq")) and target == room
        for source, room in ALLOWED
    )


def rank(module: str) -> int | None:
    found = [r for room, r in RANKS.items() if module == room or module.startswith(room + ".")]
    return found[0] if found else None


FILES = list(modules())


@pytest.mark.parametrize(("module", "path"), FILES, ids=[m for m, _ in FILES])
def test_imports_point_one_way(module: str, path: Path) -> None:
    package = module.split(".")[0]
    for target, line, typing_only in imports(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {target}"
        top = target.split(".")[0]
        if top in PACKAGES and top != package:
            assert top == "msq" or allowed(module, top), where
        if package == "worker":
            assert not target.startswith(("msq.sql", "msq.plan")), f"{where}: plans arrive finished"
        mine, other = rank(module), rank(target)
        if mine is not None and other is not None and not typing_only:
            assert other <= mine, f"{where}, which stands above it"
        if mine is not None and target.startswith("msq.sql"):
            assert module.startswith("msq.sql"), f"{where}: only the controller binds SQL"
        for library, doors in DOORS.items():
            if top == library:
                assert module.startswith(doors), f"{where}: the door for it is {doors}"


@pytest.mark.parametrize("module", ["controller.kernel", "controller.phases", "worker.kernel"])
def test_kernels_touch_no_world(module: str) -> None:
    path = ROOT / (module.replace(".", "/") + ".py")
    world = {"time", "threading", "socket", "asyncio", "os", "pathlib", "duckdb", "pyarrow", "sqlalchemy", "ray"}
    assert not {target.split(".")[0] for target, _, _ in imports(path)} & world


def test_every_room_of_msq_has_a_rank() -> None:
    rooms = {m for m, _ in FILES if m.count(".") == 1 and m.startswith("msq.")}
    assert {r for r in rooms if rank(r) is None} <= {"msq.__main__"}


@pytest.mark.parametrize(("module", "path"), FILES, ids=[m for m, _ in FILES])
def test_files_stay_small_and_say_what_they_own(module: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 620, "split it: a file this long is a room with too much in it"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module docstring says what the file owns"
