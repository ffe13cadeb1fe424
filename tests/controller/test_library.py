"""`msq.run` as a program uses it: typed rows, segments, reports, and exceptions that carry faults."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import msq
from msq.faults import DruidException, InsertTimeNullFault, MSQError

INGEST = """REPLACE INTO t OVERWRITE ALL
SELECT TIME_PARSE(ts) AS __time, k, n, d, STRING_TO_ARRAY(k, '-') AS parts
FROM TABLE(INLINE(data => ARRAY['2024-01-01T01:00:00Z,a-b,1,1.5','2024-01-02T00:00:00Z,c,2,'], format => 'csv'))
  (ts VARCHAR, k VARCHAR, n BIGINT, d DOUBLE)
PARTITIONED BY DAY"""


def test_an_ingest_answers_its_segments_and_report(tmp_path: Path) -> None:
    done = msq.run(INGEST, data_dir=tmp_path)
    assert done.rows is None
    assert [s.total_rows for s in done.segments] == [1, 1] and done.tombstones == ()
    assert done.report.status.status == "SUCCESS" and done.report.task_id == done.task_id
    assert done.report_json["multiStageQuery"]["payload"]["status"]["status"] == "SUCCESS"


def test_rows_of_a_select_are_typed(tmp_path: Path) -> None:
    msq.run(INGEST, data_dir=tmp_path)
    sql = 'SELECT __time, CAST(__time AS DATE) AS "day", k, n, d, n > 1 AS big, parts FROM t ORDER BY n'
    rows = msq.run(sql, data_dir=tmp_path).rows
    assert rows is not None
    assert rows.schema.types == [
        pa.timestamp("ms", "UTC"), pa.date32(), pa.string(), pa.int64(), pa.float64(), pa.bool_(),
        pa.list_(pa.string()),
    ]  # fmt: skip
    assert rows.to_pylist()[0] == {
        "__time": datetime(2024, 1, 1, 1, tzinfo=UTC), "day": date(2024, 1, 1), "k": "a-b", "n": 1, "d": 1.5,
        "big": False, "parts": ["a", "b"],
    }  # fmt: skip
    assert rows["d"].to_pylist() == [1.5, None]


def test_parameters_and_context(tmp_path: Path) -> None:
    rows = msq.run(
        "SELECT ? + 1 AS n, CAST(TIMESTAMP '2024-06-01 00:00:00' AS VARCHAR) AS t", data_dir=tmp_path,
        parameters=[{"type": "BIGINT", "value": 41}], context={"sqlTimeZone": "America/Los_Angeles"}, memory="512MiB",
    ).rows  # fmt: skip
    assert rows is not None and rows.to_pylist() == [{"n": 42, "t": "2024-06-01 00:00:00"}]


def test_no_rows_keep_their_columns(tmp_path: Path) -> None:
    msq.run(INGEST, data_dir=tmp_path)
    rows = msq.run("SELECT k, n FROM t WHERE n > 100", data_dir=tmp_path).rows
    assert rows is not None and rows.num_rows == 0 and rows.column_names == ["k", "n"]


def test_a_refusal_and_a_fault_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DruidException, match="nosuch"):
        msq.run("SELECT * FROM nosuch", data_dir=tmp_path)
    with pytest.raises(MSQError) as caught:
        msq.run(INGEST.replace("TIME_PARSE(ts)", "TIME_PARSE(k)"), data_dir=tmp_path)
    assert caught.value.fault == InsertTimeNullFault()
