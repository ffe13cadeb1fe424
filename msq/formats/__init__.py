"""Input formats. Importing the package makes every member of the family known."""

from msq.formats.base import InputFormat, ReadOptions, ReadSink, parse_input_format
from msq.formats.json_lines import JsonInputFormat

__all__ = ["InputFormat", "JsonInputFormat", "ReadOptions", "ReadSink", "parse_input_format"]
