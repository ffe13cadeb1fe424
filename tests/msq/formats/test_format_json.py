"""Formats as JSON: what is accepted, refused with which words, and printed back."""

from __future__ import annotations

from typing import Any

import pytest

from msq.codec import encode
from msq.faults import DruidException
from msq.formats import parse_input_format


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ({"type": "json"}, {"type": "json"}),
        ({"type": "json", "keepNullColumns": None, "useJsonNodeReader": False, "flattenSpec": None}, {"type": "json"}),
        ({"type": "csv", "findColumnsFromHeader": True, "listDelimiter": "|"},
         {"type": "csv", "listDelimiter": "|", "findColumnsFromHeader": True}),
        ({"type": "csv", "columns": ["a"], "skipHeaderRows": 0}, {"type": "csv", "columns": ["a"]}),
        ({"type": "csv", "columns": ["a"], "tryParseNumbers": None}, {"type": "csv", "columns": ["a"]}),
        ({"type": "tsv", "columns": ["a"], "delimiter": None}, {"type": "tsv", "columns": ["a"], "delimiter": "\t"}),
        ({"type": "csv", "hasHeaderRow": True, "skipHeaderRows": 2},
         {"type": "csv", "findColumnsFromHeader": True, "skipHeaderRows": 2}),
        ({"type": "tsv", "columns": ["t", "k"]}, {"type": "tsv", "columns": ["t", "k"], "delimiter": "\t"}),
        ({"type": "regex", "pattern": "(.)", "columns": ["a"]}, {"type": "regex", "pattern": "(.)", "columns": ["a"]}),
        ({"type": "parquet", "binaryAsString": False}, {"type": "parquet"}),
    ],
)  # fmt: skip
def test_printed_back(given: dict[str, Any], printed: dict[str, Any]) -> None:
    made = encode(parse_input_format(given))
    assert made == printed
    assert list(made) == list(printed)
    assert encode(parse_input_format(made)) == printed


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "csv"}, "Either [columns] or [findColumnsFromHeader] must be set"),
        ({"type": "csv", "findColumnsFromHeader": True, "hasHeaderRow": True},
         "Cannot accept both [findColumnsFromHeader] and [hasHeaderRow]"),
        ({"type": "csv", "findColumnsFromHeader": False}, "If [columns] is not set, the first row of your data"),
        ({"type": "tsv", "columns": ["a"], "delimiter": ""}, "Empty delimiter"),
        ({"type": "csv", "columns": ["a,b"]}, "Column[a,b] cannot have the delimiter[,] in its name"),
        ({"type": "tsv", "columns": ["a"], "delimiter": "|", "listDelimiter": "|"}, "Cannot have same delimiter"),
        ({"type": "csv", "columns": ["a", "a"]}, "Duplicate column entries found : [a]"),
        ({"type": "json", "assumeNewlineDelimited": True, "useJsonNodeReader": True}, "cannot be set to true when"),
        ({"type": "json", "featureSpec": {"ALLOW_ALL": True}}, "Unknown JSON parser feature [ALLOW_ALL]"),
        ({"type": "json", "flattenSpec": {"fields": ["a", {"type": "path", "name": "a", "expr": "$.b"}]}},
         "Cannot have duplicate field definition: [a]"),
        ({"type": "json", "flattenSpec": {"fields": [{"type": "jq", "name": "a", "expr": "}"}]}}, "is no jq program"),
        ({"type": "orc", "flattenSpec": {"fields": [{"type": "jq", "name": "a", "expr": ".b"}]}}, "Orc + JQ not"),
        ({"type": "regex", "pattern": "("}, "An invalid pattern [(] was provided"),
        ({"type": "regex"}, "Missing key [pattern]"),
        ({"type": "protobuf"}, "Missing key [protoBytesDecoder] of [protobuf]"),
        ({"type": "nosuch"}, "Could not resolve type id 'nosuch' as a subtype of"),
        ({}, "missing type id property 'type'"),
        ("[1]", "expected a JSON object"),
        ("{", "Expecting property name"),
    ],
)  # fmt: skip
def test_refused_with_a_reason(given: Any, reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_format(given)
    assert caught.value.message.startswith("Invalid value for the field [inputFormat]. Reason: [")
    assert reason in caught.value.message
    assert (caught.value.error_code, caught.value.category) == ("invalidInput", "INVALID_INPUT")
