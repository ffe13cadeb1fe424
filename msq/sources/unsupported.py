"""Sources that Druid knows and this engine does not read: each is refused by its name."""

from __future__ import annotations

from typing import Any

from msq.codec import CodecError
from msq.sources.base import InputSource, supported_types

_ADVICE = {
    "delta": "Read its Parquet files with a [local] or [http] source.",
    "iceberg": "Read its data files with a [local] or [http] source.",
}


class UnsupportedInputSource(InputSource):
    supported = False

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        known = ", ".join(f"[{tag}]" for tag in supported_types(cls))
        advice = _ADVICE.get(cls.TAG or "", f"Use one of {known}.")
        raise CodecError(f"Input source type [{cls.TAG}] is not supported. {advice}")


for _tag in ("hdfs", "iceberg", "delta"):
    type(f"_{_tag}", (UnsupportedInputSource,), {"__module__": __name__}, tag=_tag)
