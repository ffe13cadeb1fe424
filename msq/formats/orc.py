"""ORC files."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from msq.codec import wire
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import ArrowColumns, damage, local_copy, undamaged
from msq.formats.flatten import FlattenSpec, refuse_jq
from msq.formats.parquet import RecordBuilder
from msq.mapped import let_go, map_file
from msq.sources.base import InputItem


@dataclass(frozen=True)
class OrcInputFormat(InputFormat, tag="orc"):
    flatten_spec: FlattenSpec | None = None
    binary_as_string: bool = wire(default=False, omit=lambda v: not v)

    compressed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_jq(self.flatten_spec, "Orc")

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        from pyarrow import orc

        builder = RecordBuilder(request, self.flatten_spec, ArrowColumns(self.binary_as_string, False))
        with local_copy(request, item) as path:
            with damage():
                file = orc.ORCFile(pa.BufferReader(pa.py_buffer(map_file(path))))
                present = builder.present(file.schema.names)
                # without columns the reader would give no row count
                read = present or file.schema.names[:1]
            rows = request.options.max_batch_rows
            for batch in undamaged(file.read_stripe(n, columns=read) for n in range(file.nstripes)):
                for at in range(0, batch.num_rows, rows):
                    yield builder.batch(batch.slice(at, rows))
                let_go()
