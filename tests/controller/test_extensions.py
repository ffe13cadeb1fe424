"""Extension packages: found by their entry points, in every process; what is broken is named.

Each runs in an interpreter of its own, for what an extension declares stays declared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "tests" / "data" / "extension"

STATEMENT = """
SELECT g, ACME_HALF(SUM(n)) AS h, ACME_RANGE(n) AS r, ACME_PRODUCT(n) AS p, MAX(ACME_HALF(n)) AS m,
  ANY_VALUE(ACME_INITIALS(g || ' ' || g, '.')) AS i
FROM (VALUES ('a', 1), ('a', 4), ('b', 3), ('b', NULL)) AS t(g, n) GROUP BY g ORDER BY g
"""
RUN = """
import json, sys
from pathlib import Path
from controller.engine import Engine, EngineSettings
with Engine(EngineSettings(data_dir=Path(sys.argv[1]), workers=sys.argv[2], threads=1)) as engine:
    outcome = engine.execute(sys.argv[3], {"sqlStringifyArrays": False})
    print(json.dumps(outcome.report["multiStageQuery"]["payload"]["results"]["results"]))
"""


def interpreter(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python with the packages of `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def package(folder: Path, name: str, code: str, module: str | None = None) -> None:
    """A package of one module that names itself an extension."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[msq.functions]\n{name} = {module or name}\n")


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_functions_of_an_extension_run_in_every_worker(tmp_path: Path, workers: str) -> None:
    done = interpreter(EXTENSION, "-c", RUN, str(tmp_path), workers, STATEMENT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["a", 2.5, 3.0, 4.0, 2.0, "a.a"], ["b", 1.5, 0.0, 3.0, 1.5, "b.b"]]


def test_an_extension_is_listed() -> None:
    done = interpreter(EXTENSION, "-m", "msq", "functions", "acme_", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {f["name"]: f for f in json.loads(done.stdout)}
    assert sorted(found) == ["ACME_HALF", "ACME_INITIALS", "ACME_PRODUCT", "ACME_RANGE"]
    assert {f["extension"] for f in found.values()} == {"acme"}
    assert found["ACME_HALF"]["kind"] == "scalar" and found["ACME_HALF"]["nulls"] == "NULL gives NULL"
    assert found["ACME_RANGE"]["kind"] == "aggregate" and found["ACME_RANGE"]["result"] == "DOUBLE"


@pytest.mark.parametrize(
    ("code", "module", "told"),
    [
        ("import no_such_library", None, "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", None, "ZeroDivisionError: division by zero"),
        ("", "missing_module", "ModuleNotFoundError: No module named 'missing_module'"),
        (
            "from msq.extend import VARCHAR, sql\nsql('UPPER', 'CHARACTER', VARCHAR, 'upper', 'Upper case.')",
            None,
            "ValueError: SQL function [UPPER] is declared twice",
        ),
    ],
    ids=["import", "error", "module", "taken name"],
)
def test_a_broken_extension_is_named(tmp_path: Path, code: str, module: str | None, told: str) -> None:
    package(tmp_path, "broken", code, module)
    text = f"Extension [broken] ({module or 'broken'} of package [broken]) cannot be loaded: {told}"
    again = (
        "from msq.expr.registry import sql_functions\n"
        "from msq.aggregate.registry import sql_aggregates\n"
        "from msq.faults import DruidException\n"
        "for ask in (sql_functions, sql_functions, sql_aggregates):\n"
        "    try:\n        ask()\n        print('nothing raised')\n"
        "    except DruidException as error:\n        print(error.message)\n"
    )
    done = interpreter(tmp_path, "-c", again)
    assert done.stdout.splitlines() == [text] * 3, done.stderr


def test_a_broken_extension_refuses_statements_and_the_server(tmp_path: Path) -> None:
    package(tmp_path, "broken", "1 / 0")
    (tmp_path / "q.sql").write_text("SELECT UPPER('a')")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from controller.cli.run import run_command\n"
        "from controller.cli.serve import serve_command\n"
        "from controller.cli.functions import functions_command\n"
        "here = Path(sys.argv[1])\n"
        "print(run_command(str(here / 'q.sql'), here / 'd', [], '1GiB', 1, None, 'csv', True))\n"
        "print(serve_command({'data_dir': str(here / 'd')}), functions_command(None, None, True))\n"
    )
    done = interpreter(tmp_path, "-c", code, str(tmp_path))
    assert done.stdout.split() == ["3", "1", "1"], done.stderr
    assert done.stderr.replace("\n", " ").count("Extension [broken] (broken of package [broken]) cannot be loaded") == 3
