"""Input formats. Importing the package makes every member of the family known."""

from msq.formats.base import InputFormat, ReadOptions, ReadSink, parse_input_format
from msq.formats.delimited import CsvInputFormat, TsvInputFormat
from msq.formats.json_lines import JsonInputFormat
from msq.formats.lines import LinesInputFormat, RegexInputFormat
from msq.formats.unsupported import UnsupportedInputFormat

__all__ = [
    "CsvInputFormat", "InputFormat", "JsonInputFormat", "LinesInputFormat", "ReadOptions", "ReadSink",
    "RegexInputFormat", "TsvInputFormat", "UnsupportedInputFormat", "parse_input_format",
]  # fmt: skip
