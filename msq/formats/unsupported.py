"""Formats that Druid knows and this engine does not read: each is refused by its name."""

from __future__ import annotations

from typing import Any

from msq.codec import CodecError
from msq.formats.base import InputFormat
from msq.sources.base import supported_types


class UnsupportedInputFormat(InputFormat):
    supported = False

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        known = ", ".join(f"[{tag}]" for tag in supported_types(cls))
        raise CodecError(f"Input format type [{cls.TAG}] is not supported. Use one of {known}.")


for _tag in ("avro_stream", "kafka", "kinesis", "thrift", "influx"):
    type(f"_{_tag}", (UnsupportedInputFormat,), {"__module__": __name__}, tag=_tag)
