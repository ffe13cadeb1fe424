"""Druid's own code on a class path, and its `dump-segment` tool as a function."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

DRUID = os.environ.get("DRUID_VERSION", "33.0.0")
ARTIFACTS = ("org.apache.druid:druid-services", "org.apache.druid.extensions:druid-datasketches")

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>msq</groupId><artifactId>interop</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
# sigar reads machine metrics with native code, is not on Maven Central and not needed to read segments
DEPENDENCY = """
    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
      <exclusions><exclusion><groupId>org.hyperic</groupId><artifactId>sigar</artifactId></exclusion></exclusions>
    </dependency>"""
# Given as global settings, so that the user's own settings keep their say. Repositories that poms bring along are
# answered by an empty folder.
SETTINGS = """<settings><mirrors><mirror>
  <id>nothing</id><mirrorOf>*,!central</mirrorOf><url>{empty}</url>
</mirror></mirrors></settings>
"""

MergeAll = Callable[[bool, Path, Sequence[Path]], None]
DumpAll = Callable[[Sequence[tuple[Any, ...]]], list[list[dict[str, Any]]]]
ReadFormats = Callable[[Sequence[dict[str, Any]]], list[list[Any]]]


@pytest.fixture(scope="session")
def druid_class_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"[{tool}] is not installed: Druid's own code cannot be run")
    folder = tmp_path_factory.mktemp("druid")
    empty = folder / "empty"
    empty.mkdir()
    dependencies = "".join(
        DEPENDENCY.format(group=group, artifact=artifact, version=DRUID)
        for group, artifact in (a.split(":") for a in ARTIFACTS)
    )
    (folder / "pom.xml").write_text(POM.format(dependencies=dependencies))
    (folder / "settings.xml").write_text(SETTINGS.format(empty=empty.as_uri()))
    done = subprocess.run(
        ["mvn", "-B", "-ntp", "-gs", "settings.xml", "dependency:build-classpath", "-Dmdep.includeScope=runtime",
         "-Dmdep.outputFile=classpath.txt"],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        pytest.skip(f"Maven could not fetch Druid {DRUID}: {errors[:1]}")
    return (folder / "classpath.txt").read_text().strip()


def run_java(class_path: str, source: str, *arguments: str) -> None:
    """Run a source file of this folder against Druid's classes, which leave their temporary folders behind."""
    with tempfile.TemporaryDirectory() as temporary:
        opened = ("java.base/java.lang=ALL-UNNAMED", "java.base/sun.nio.ch=ALL-UNNAMED")
        exported = ("java.base/jdk.internal.misc=ALL-UNNAMED", "java.base/jdk.internal.ref=ALL-UNNAMED")
        command = [
            "java", "-Xmx1g", *(f"--add-opens={p}" for p in opened), *(f"--add-exports={p}" for p in exported),
            "-classpath", class_path, "-Ddruid.extensions.loadList=[]", "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={temporary}", str(Path(__file__).with_name(source)), *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="session")
def merge_segments(druid_class_path: str) -> MergeAll:
    """`merge_segments(rollup, out, segments)`: Druid merges the segments, as compaction does, into the folder `out`."""

    def merge(rollup: bool, out: Path, segments: Sequence[Path]) -> None:
        run_java(druid_class_path, "MergeSegments.java", str(rollup).lower(), str(out), *map(str, segments))

    return merge


@pytest.fixture(scope="session")
def dump_segments(druid_class_path: str, tmp_path_factory: pytest.TempPathFactory) -> DumpAll:
    """`dump_segments([(folder, option, ..), ..])`: for each the lines that Druid's tool prints, as JSON; in one JVM."""

    def dump(requests: Sequence[tuple[Any, ...]]) -> list[list[dict[str, Any]]]:
        scratch = tmp_path_factory.mktemp("dump")
        outputs = [scratch / f"{i}.jsonl" for i in range(len(requests))]
        lines = [
            "\t".join(["tools", "dump-segment", "--directory", str(folder), "--out", str(out), *options])
            for (folder, *options), out in zip(requests, outputs)
        ]
        (scratch / "commands").write_text("\n".join(lines) + "\n", "utf-8")
        run_java(druid_class_path, "DumpAll.java", str(scratch / "commands"))
        assert all(out.exists() for out in outputs)
        return [[json.loads(line) for line in out.read_text("utf-8").splitlines()] for out in outputs]

    return dump


@pytest.fixture(scope="session")
def read_formats(druid_class_path: str, tmp_path_factory: pytest.TempPathFactory) -> ReadFormats:
    """`read_formats([{"file", "inputFormat", "columns"}, ..])`: for each the rows that Druid reads; in one JVM."""

    def read(requests: Sequence[dict[str, Any]]) -> list[list[Any]]:
        scratch = tmp_path_factory.mktemp("formats")
        asked, answered = scratch / "requests", scratch / "answers"
        asked.write_text("".join(json.dumps(request) + "\n" for request in requests), "utf-8")
        run_java(druid_class_path, "ReadFormats.java", str(asked), str(answered), str(scratch))
        return [json.loads(line) for line in answered.read_text("utf-8").strip("\n").split("\n")]

    return read
