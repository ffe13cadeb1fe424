"""What the README tells people to type works as it stands: the commands of "Serve it", and the set-up that CI runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.clients.process import ServerProcess
from tests.controller.api.conftest import poll

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """The shell blocks of a section."""
    section = re.split(r"^## ", README, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)


def commands(block: str) -> list[str]:
    """Commands of a block; a here-document belongs to its command."""
    out: list[str] = []
    lines = iter(block.splitlines())
    for line in lines:
        command = [line]
        here = re.search(r"<<'(\w+)'", line)
        while here and command[-1] != here[1]:
            command.append(next(lines))
        out.append("\n".join(command))
    return out


def shell(command: str) -> Any:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_serve_it_as_written(tmp_path: Path) -> None:
    start, first = blocks("Serve it")
    assert start.strip() == "msq serve --data-dir msq-data"
    with ServerProcess(tmp_path / "msq-data") as server:
        post, status, reports, query, tasks = [
            command.replace("localhost:8888", f"localhost:{server.port}") for command in commands(first)
        ]
        assert shell(post) == {"taskId": "query-first", "state": "RUNNING"}
        done = poll(lambda: shell(status), lambda answer: answer["status"]["status"] != "RUNNING")
        assert done["status"]["status"] == "SUCCESS", done
        assert shell(reports)["multiStageQuery"]["payload"]["status"]["status"] == "SUCCESS"
        assert shell(query) == [{"name": "fig", "total": 3}, {"name": "plum", "total": 5}]
        listed = {task["task_id"]: task["status"] for task in shell(tasks)}
        assert listed["query-first"] == listed["query-first-worker0_0"] == "SUCCESS"


def test_ci_runs_the_set_up_that_the_readme_gives() -> None:
    demo, tests = (block.strip() for block in blocks("Try it"))
    script = (ROOT / ".ci/run").read_text()
    (extract,) = re.findall(r"^command=\$\((sed .*)\)$", script, flags=re.MULTILINE)
    found = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == tests
    assert 'bash -euo pipefail -c "$command"' in script
    venv = "python3 -m venv .venv && .venv/bin/pip install -q "
    assert demo.startswith(venv) and tests.startswith(venv)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extra,) = re.findall(r"\[(\w+)\]", tests)
    installed = {re.split(r"[<>=\[]", requirement)[0] for requirement in extras[extra]}
    used = set(re.findall(r"\.venv/bin/(\w+)", script + tests)) - {"pip"}
    assert used == {"pytest", "ruff", "mypy"} and used <= installed
