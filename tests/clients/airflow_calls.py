"""What a DAG does with Airflow's Druid hooks, as a program: `PORT LONG_STATEMENT`, the ingest's JSON on standard input.

Runs under an interpreter that has apache-airflow-providers-apache-druid; prints one JSON object of what it saw.
"""

from __future__ import annotations

import json
import os
import sys

port, too_long = int(sys.argv[1]), sys.argv[2]
ingest = sys.stdin.read()
extra = {"endpoint": "druid/indexer/v1/task", "msq_endpoint": "druid/v2/sql/task"}
connection = {"conn_type": "http", "host": "localhost", "port": port, "extra": extra}
os.environ["AIRFLOW_CONN_DRUID_INGEST_DEFAULT"] = json.dumps(connection)
os.environ["AIRFLOW_CONN_DRUID_BROKER_DEFAULT"] = json.dumps({**connection, "conn_type": "druid", "extra": {}})

from airflow.providers.apache.druid.hooks.druid import DruidDbApiHook, DruidHook, IngestionType  # noqa: E402


def error_of(hook: DruidHook, body: str, kind: IngestionType) -> str:
    try:
        hook.submit_indexing_job(body, kind)
    except Exception as error:
        return str(error)
    return ""


seen = {
    "ingest": error_of(DruidHook(), ingest, IngestionType.MSQ),
    "rows": DruidDbApiHook().get_records("SELECT COUNT(*) AS c FROM scheduled"),
    "first": DruidDbApiHook().get_first("SELECT page FROM scheduled LIMIT 1"),
    "refused": error_of(DruidHook(), json.dumps({"query": "SELEC 1"}), IngestionType.MSQ),
    "too long": error_of(DruidHook(max_ingestion_time=1), too_long, IngestionType.MSQ),
    "batch": error_of(DruidHook(), json.dumps({"type": "noop", "runTime": 1}), IngestionType.BATCH),
}
print(json.dumps(seen))
