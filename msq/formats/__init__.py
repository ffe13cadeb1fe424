"""Input formats. Importing the package makes every member of the family known."""

from msq.formats.avro import AvroInputFormat
from msq.formats.base import InputFormat, ReadOptions, ReadSink, parse_input_format
from msq.formats.delimited import CsvInputFormat, TsvInputFormat
from msq.formats.json_lines import JsonInputFormat
from msq.formats.lines import LinesInputFormat, RegexInputFormat
from msq.formats.orc import OrcInputFormat
from msq.formats.parquet import ParquetInputFormat
from msq.formats.protobuf import ProtobufInputFormat
from msq.formats.unsupported import UnsupportedInputFormat

__all__ = [
    "AvroInputFormat", "CsvInputFormat", "InputFormat", "JsonInputFormat", "LinesInputFormat", "OrcInputFormat",
    "ParquetInputFormat", "ProtobufInputFormat", "ReadOptions", "ReadSink", "RegexInputFormat", "TsvInputFormat",
    "UnsupportedInputFormat", "parse_input_format",
]  # fmt: skip
