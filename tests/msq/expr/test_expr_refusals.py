"""What no row can make right is refused when bound: patterns, periods, zones, paths, sizes."""

from __future__ import annotations

import pytest

from msq.faults import DruidException
from msq.sql.function_rules import bind_example


@pytest.mark.parametrize(
    ("call", "category", "text"),
    [
        ("REGEXP_LIKE(s, '[')", "INVALID_INPUT", "An invalid pattern [[] was provided for the regexp_like function"),
        (
            "REGEXP_LIKE(s, 'a))')",
            "INVALID_INPUT",
            "An invalid pattern [a))] was provided for the regexp_like function, error: "
            "[Unmatched closing ')' near index 0\na))\n^]",
        ),
        (
            "REGEXP_LIKE(s, '(a')",
            "INVALID_INPUT",
            "An invalid pattern [(a] was provided for the regexp_like function, "
            "error: [Unclosed group near index 2\n(a]",
        ),
        (
            "REGEXP_LIKE(s, '[]x')",
            "INVALID_INPUT",
            "An invalid pattern [[]x] was provided for the regexp_like function, "
            "error: [Unclosed character class near index 2\n[]x\n  ^]",
        ),
        (
            "REGEXP_LIKE(s, '(*a)')",
            "INVALID_INPUT",
            "An invalid pattern [(*a)] was provided for the regexp_like function"
            ", error: [Dangling meta character '*' near index 1\n(*a)\n ^]",
        ),
        ("REGEXP_EXTRACT(s, '(', 1)", "INVALID_INPUT", "An invalid pattern [(] was provided for the regexp_extract"),
        ("REGEXP_EXTRACT(s, '(a)', 2)", "INVALID_INPUT", "Function[regexp_extract] has no group [2] in pattern [(a)]"),
        ("REGEXP_REPLACE(s, 'a', '$1')", "INVALID_INPUT", "Function[regexp_replace] has no group [1] in pattern [a]"),
        ("REGEXP_REPLACE(s, 'a', '${x}')", "INVALID_INPUT", "Function[regexp_replace] has no group [x]"),
        ("MV_FILTER_REGEX(m, '[')", "INVALID_INPUT", "An invalid pattern [[] was provided"),
        ("STRING_TO_ARRAY(s, '[')", "INVALID_INPUT", "An invalid pattern [[] was provided for the string_to_array"),
        ("STRING_TO_ARRAY(s, '\\p{Foo}')", "INVALID_INPUT", "Unknown character class {Foo}"),
        ("TIME_PARSE(s, 'PPP')", "UNCATEGORIZED", "Illegal pattern component: PPP"),
        ("TIME_FORMAT(t, 'PPP')", "UNCATEGORIZED", "Illegal pattern component: PPP"),
        ("TIME_FORMAT(t, 'yyyy', 'Mars/X')", "UNCATEGORIZED", "The datetime zone id 'Mars/X' is not recognised"),
        (
            "TIME_FLOOR(t, 'PX')",
            "INVALID_INPUT",
            "Invalid period['PX'] specified for expression[timestamp_floor(\"t\", 'PX'",
        ),
        ("TIME_FLOOR(t, 'P0D')", "UNCATEGORIZED", "zero period is not acceptable in PeriodGranularity!"),
        ("TIME_SHIFT(t, 'X', 1)", "INVALID_INPUT", "Invalid period['X'] specified for expression[timestamp_shift("),
        ("TIME_EXTRACT(t, 'FORTNIGHT')", "UNCATEGORIZED", "No enum constant"),
        ("IPV4_MATCH(ip, 'x')", "UNCATEGORIZED", "Function[ipv4_match] subnet arg has an invalid format: x"),
        ("IPV6_MATCH(ip, 'x')", "UNCATEGORIZED", "Function[ipv6_match] failed to parse address"),
        ("JSON_VALUE(j, 'a..b')", "INVALID_INPUT", "JSONPath [a..b] is invalid"),
        ("JSON_OBJECT(KEY 'a' VALUE l, KEY NULL VALUE 2)", "INVALID_INPUT", "Function[json_object] encountered a NULL"),
        ("HUMAN_READABLE_DECIMAL_FORMAT(l, 12)", "INVALID_INPUT", "given precision[12] must be in the range of [0,3]"),
        ("BLOOM_FILTER_TEST(s, 'x')", "INVALID_INPUT", "Function[bloom_filter_test] second argument is no serialized"),
        ("BLOOM_FILTER_TEST(s, 'YQ==')", "INVALID_INPUT", "[1] bytes do not fit its header"),
        ("HLL_SKETCH_UNION(3)", "INVALID_INPUT", "[HLL_SKETCH_UNION] requires an HllSketch as the argument"),
        ("HLL_SKETCH_UNION(3, hll)", "INVALID_INPUT", "[HLL_SKETCH_UNION] needs an lgK between 4 and 21, got [3]"),
        ("HLL_SKETCH_UNION(12, 'X', hll)", "INVALID_INPUT", "needs a sketch type of [HLL_4, HLL_6, HLL_8], got [X]"),
        ("THETA_SKETCH_UNION(-1, theta)", "INVALID_INPUT", "[THETA_SKETCH_UNION] needs a size between 1 and"),
        ("DS_GET_QUANTILE(quantiles, 2)", "INVALID_INPUT", "A normalized rank must be >= 0 and <= 1.0: 2"),
        ("DS_GET_QUANTILE(NULL, 'x')", "INVALID_INPUT", "A normalized rank must be >= 0 and <= 1.0: x"),
        ("DS_CDF(quantiles, 2, 1)", "INVALID_INPUT", "[DS_CDF] needs split points that are numbers and rise"),
        ("HLL_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS(hll, 9)", "INVALID_INPUT", "needs 1, 2 or 3 standard deviations"),
    ],
)
def test_constants_are_refused_when_bound(call: str, category: str, text: str) -> None:
    with pytest.raises(DruidException) as caught:
        bind_example(call)
    assert text in caught.value.message
    assert caught.value.category == category


@pytest.mark.parametrize(
    "call",
    ["THETA_SKETCH_UNION(4096, theta)", "HLL_SKETCH_UNION(12, 'HLL_8', hll)", "DS_GET_QUANTILE(NULL, 0.5)",
     "TRUNCATE(d, 2147483647)", "REGEXP_REPLACE(s, '(?<x>a)', '${x}$1')", "MV_FILTER_ONLY(m, ARRAY['a'])"],
)  # fmt: skip
def test_what_is_right_is_bound(call: str) -> None:
    bind_example(call)


@pytest.mark.parametrize(
    "call",
    ["SUBSTR(s, CAST('-9223372036854775808' AS BIGINT))", "TRUNC(9223372036854775807)", "TRUNC(64, -2147483647)"],
)
def test_constants_at_the_ends_of_their_types(call: str) -> None:
    bind_example(call)
