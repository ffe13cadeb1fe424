"""Input sources. Importing the package makes every member of the family known."""

from msq.sources.azure import AzureInputSource, AzureStorageInputSource
from msq.sources.base import InputItem, InputSource, SourceAccess, parse_input_source, reading
from msq.sources.combining import CombiningInputSource
from msq.sources.druid import DruidInputSource
from msq.sources.google import GoogleInputSource
from msq.sources.http import HttpInputSource
from msq.sources.inline import InlineInputSource, NilInputSource
from msq.sources.local import LocalInputSource
from msq.sources.s3 import S3InputSource
from msq.sources.sql import SqlInputSource
from msq.sources.unsupported import UnsupportedInputSource

__all__ = [
    "AzureInputSource", "AzureStorageInputSource", "CombiningInputSource", "DruidInputSource", "GoogleInputSource",
    "HttpInputSource", "InlineInputSource", "InputItem", "InputSource", "LocalInputSource", "NilInputSource",
    "S3InputSource", "SourceAccess", "SqlInputSource", "UnsupportedInputSource", "parse_input_source", "reading",
]  # fmt: skip
