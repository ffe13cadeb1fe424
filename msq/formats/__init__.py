"""Input formats. Importing the package makes every member of the family known."""

from msq.formats.base import InputFormat, ReadOptions, ReadSink, parse_input_format
from msq.formats.delimited import CsvInputFormat, TsvInputFormat
from msq.formats.json_lines import JsonInputFormat

__all__ = [
    "CsvInputFormat", "InputFormat", "JsonInputFormat", "ReadOptions", "ReadSink", "TsvInputFormat",
    "parse_input_format",
]  # fmt: skip
