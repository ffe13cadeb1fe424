"""Leases: a process that lives is never taken for a dead one, whenever others look."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from controller.metadata.liveness import ProcessLease, is_alive, others_alive


def test_a_lease_lives_until_it_is_closed(tmp_path: Path) -> None:
    lease, other = ProcessLease(tmp_path), ProcessLease(tmp_path)
    assert is_alive(tmp_path, lease.name) and others_alive(tmp_path, other.name)
    lease.close()
    assert not is_alive(tmp_path, lease.name) and not others_alive(tmp_path, other.name)
    other.close()
    assert not list((tmp_path / "run").iterdir())


def test_others_look_while_a_lease_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of its file and the lock on it, and between that and its name."""

    real = fcntl.flock

    def flock(file: int, operation: int) -> None:
        assert not others_alive(tmp_path, "mine")
        real(file, operation)
        if operation & fcntl.LOCK_EX:
            others_alive(tmp_path, "mine")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        lease = ProcessLease(tmp_path)
    assert is_alive(tmp_path, lease.name) and others_alive(tmp_path, "mine")
    lease.close()


def test_two_that_look_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that looks at a dead process does not make it look alive to another one."""
    dead = tmp_path / "run" / "1-x.lease"
    dead.parent.mkdir()
    dead.touch()
    seen: list[bool] = []

    real = fcntl.flock

    def flock(file: int, operation: int) -> None:
        real(file, operation)
        if not seen:
            seen.append(True)
            seen.append(is_alive(tmp_path, "1-x"))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not is_alive(tmp_path, "1-x")
    assert seen == [True, False] and not dead.exists()
