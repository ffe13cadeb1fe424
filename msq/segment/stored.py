"""What the columns of a written segment are, as the metadata store keeps it beside the segment's row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msq.datatypes import RowSignature
from msq.segment.identity import DataSegment


@dataclass(frozen=True)
class StoredSchema:
    """`multi_value` names those STRING columns that hold several values in some row."""

    signature: RowSignature
    multi_value: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The payload of a row of `druid_segmentSchemas`."""
        return {
            "rowSignature": self.signature.to_json(),
            "aggregators": {},
            "multiValueColumns": list(self.multi_value),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StoredSchema:
        return StoredSchema(RowSignature.from_json(value["rowSignature"]), tuple(value.get("multiValueColumns", ())))


@dataclass(frozen=True)
class MadeSegment:
    """A segment in deep storage and its columns: what the segment generator tells the controller of each."""

    segment: DataSegment
    columns: StoredSchema

    def to_json(self) -> dict[str, Any]:
        return {"segment": self.segment.to_json(), "columns": self.columns.to_json()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> MadeSegment:
        return MadeSegment(DataSegment.from_json(value["segment"]), StoredSchema.from_json(value["columns"]))
