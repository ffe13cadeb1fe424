"""One real server process for all tests of this folder, with a table to read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, extern

SLOTS = 4


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("clients") / "data"
    with ServerProcess(folder, "--task-slots", str(SLOTS)) as server:
        yield server
        # whatever clients did to it, it must end as it is told to
        assert server.end() == 0
        assert not list((folder / "tmp").glob("*")) and not list((folder / "run").glob("*.lease"))


@pytest.fixture(scope="session")
def client(served: ServerProcess) -> Client:
    return served.client


@pytest.fixture(scope="session")
def visits(client: Client) -> str:
    """A table with a column of each kind that clients map: text, long, double, several values, JSON."""
    rows = [
        {"t": "2024-01-01T01:00:00Z", "city": "Zürich", "n": 1, "x": 0.5, "tags": ["a", "b"], "j": {"k": 1}},
        {"t": "2024-01-01T02:00:00Z", "city": "Köln", "n": 2, "x": 1.5, "tags": ["c"], "j": {"k": 2}},
        {"t": "2024-01-02T03:00:00Z", "city": None, "n": 9007199254740993, "x": None, "tags": [], "j": None},
    ]
    kinds = {"t": "VARCHAR", "city": "VARCHAR", "n": "BIGINT", "x": "DOUBLE", "tags": "VARCHAR ARRAY"}
    source = extern(rows, **kinds, j="TYPE('COMPLEX<json>')")
    client.ingest(
        "REPLACE INTO visits OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, city, n, x, ARRAY_TO_MV(tags) AS tags, j "
        f"FROM {source} PARTITIONED BY DAY"
    )  # fmt: skip
    return "visits"
