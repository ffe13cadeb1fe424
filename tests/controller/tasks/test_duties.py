"""Duties beside what users do at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from controller.engine import Engine, EngineSettings
from controller.metadata.segments import datasource_names
from controller.metadata.settings import Author, put_rules
from controller.tasks import duties
from controller.tasks.duties import Duties
from controller.tasks.manager import TaskManager
from tests.controller.api.conftest import day_table

LOAD = [{"type": "loadForever", "tieredReplicants": {"_default_tier": 1}}]
DROP = [{"type": "dropForever"}]


@pytest.mark.parametrize(("meanwhile", "dropped"), [(DROP, 2), (LOAD, 0)])
def test_segments_go_by_the_rules_of_the_moment_in_which_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: list[dict[str, Any]], dropped: int
) -> None:
    with Engine(EngineSettings(tmp_path)) as engine:
        assert engine.execute(day_table("t")).status == "SUCCESS"
        manager = TaskManager(engine, 4)
        made = Duties(manager, seconds=1_000_000)
        made.close()

        def rules(value: list[dict[str, Any]]) -> None:
            with engine.store.transaction() as connection:
                put_rules(connection, "t", value, Author())

        def names(connection: Connection) -> list[str]:
            rules(meanwhile)
            return datasource_names(connection)

        rules(DROP)
        monkeypatch.setattr(duties, "datasource_names", names)
        assert made.apply_retention() == dropped
        assert len(engine.used_segments("t")) == 2 - dropped
        manager.close(60)
