"""What to do about a fault or warning, by its code, for people who read a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADVICE = {
    "CannotParseExternalData": "Look at the row shown; check inputFormat and signature, or allow bad rows with "
    "maxParseExceptions.",
    "TooManyWarnings": "Mend the rows of the warnings, or raise maxParseExceptions (-1 allows any number).",
    "InsertTimeNull": "Some __time came out null: check the time format, or filter with WHERE .. IS NOT NULL.",
    "InsertTimeOutOfBounds": "Widen OVERWRITE WHERE, or filter the SELECT to the same interval.",
    "InsertCannotAllocateSegment": "Use the granularity of the data that is there, or REPLACE it.",
    "InsertCannotBeEmpty": "The SELECT gave no rows: check its WHERE and its input, or leave failOnEmptyInsert out.",
    "InsertLockPreempted": "Another task took the interval: run the statement again.",
    "BroadcastTablesTooLarge": "Set sqlJoinAlgorithm to sortMerge, or put the small table on the right.",
    "TooManyRowsWithSameKey": "Both sides repeat one key often: aggregate or filter a side first.",
    "TooManyBuckets": "Use a coarser PARTITIONED BY.",
    "TooManyPartitions": "Raise rowsPerSegment or maxPartitions.",
    "TooManySegmentsInTimeChunk": "Raise rowsPerSegment or maxNumSegments, or use a finer PARTITIONED BY.",
    "TooManyRowsInAWindow": "Partition the window more finely, or raise maxRowsMaterializedInWindow.",
    "TooManyColumns": "Select fewer columns.",
    "TooManyInputFiles": "Raise maxNumTasks or maxInputFilesPerWorker.",
    "NotEnoughMemory": "Give more --memory, or lower maxNumTasks.",
    "NotEnoughTemporaryStorageFault": "Free disk space, or point the data folder to a larger disk.",
    "RowTooLarge": "Raise maxFrameSize, or leave the wide column out.",
    "InvalidNullByte": "Set removeNullBytes to true in the context.",
    "WorkerFailed": "Look at the worker's log; set faultTolerance to true to start it again.",
    "TaskStartTimeout": "Lower maxNumTasks, or offer more task slots.",
    "ColumnNameRestricted": "Rename the column.",
    "Canceled": "The query was stopped; nothing was published.",
}


def advice_for(error: Mapping[str, Any]) -> str | None:
    """The advice for an error item's `error` object; None where its own message says all there is."""
    return ADVICE.get(str(error.get("errorCode")))
