"""Memory accounts and stage outputs: what stays in memory, what goes to files, and that all of it is given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from msq.mapped import open_arrow_file
from worker.duck import Instance
from worker.memory import MemoryAccount, OrderMemory, give_back_unused
from worker.outputs.ipc import write_file
from worker.outputs.local import LocalOutput


def batch(*values: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values)], names=["x"])


def test_an_account_hands_out_no_more_than_it_has() -> None:
    account = MemoryAccount(10)
    assert account.reserve(6) and not account.reserve(5) and account.reserve(4)
    account.release(6)
    assert account.used == 4 and account.reserve(6)


def test_shares_of_an_order_fit_into_it() -> None:
    shares = OrderMemory(1 << 30)
    assert shares.sort + shares.merge + shares.duckdb < shares.total
    assert OrderMemory(0).sort > 0 and OrderMemory(0).merge > 0
    give_back_unused()


def test_what_does_not_fit_in_memory_is_read_back_from_files_in_order(tmp_path: Path) -> None:
    account = MemoryAccount(40)
    output = LocalOutput(tmp_path / "o", account)
    for n in range(20):
        output.add(n % 3, batch(n, n + 100))
    output.add(1, batch(["a", "b"]))  # another form of the column
    output.add(2, pa.RecordBatch.from_arrays([pa.array(["s", "s"]).dictionary_encode()], names=["x"]))
    output.touch(7)
    output.finish()
    assert output.partitions == (0, 1, 2, 7) and output.bytes_written > 0 and account.used <= 40
    assert [b.column(0)[0].as_py() for b in output.read(0)] == [0, 3, 6, 9, 12, 15, 18]
    assert list(output.read(1))[-1].column(0).to_pylist() == [["a", "b"]]
    assert list(output.read(2))[-1].column(0).to_pylist() == ["s", "s"]
    assert list(output.read(7)) == [] and output.rows(0) == 14
    held = next(iter(output.read(1)))
    output.close()
    output.close()
    assert account.used == 0 and not (tmp_path / "o").exists()
    assert held.column(0).to_pylist() == [1, 101]  # what was handed out stays valid
    with pytest.raises(LookupError, match="was removed"):
        output.read(0)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"

    def broken() -> Any:
        yield batch(1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_file(path, batch(1).schema, broken())
    assert list(tmp_path.iterdir()) == []
    assert write_file(path, batch(1).schema, [batch(1), batch(2)]) == path.stat().st_size
    assert open_arrow_file(path).get_batch(1).column(0).to_pylist() == [2]


def test_instances_are_lent_again_with_other_limits_and_without_tables(tmp_path: Path) -> None:
    first = Instance.lease(256 << 20, 2, tmp_path / "a")
    one, two = first.connect(), first.connect()
    one.execute("CREATE TEMP TABLE t AS SELECT 1 AS x")
    assert two.execute("SELECT d_add(1, 2)").fetchone() == (3,)
    with pytest.raises(Exception, match="does not exist"):
        two.execute("SELECT * FROM t")
    for connection in (one, two):
        connection.close()
    first.give_back()
    again = Instance.lease(128 << 20, 1, tmp_path / "b")
    connection = again.connect()
    settings = connection.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchone()
    assert settings == ("128.0 MiB", 1)
    assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
    connection.close()
    again.give_back()
