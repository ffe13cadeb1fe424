"""Which functions mean in DuckDB the same as here, over the values that `rows.tame_rows` makes, and by which words.

The words are those that `bench functions` times functions beside (bench.function_peers), where these mean exactly the
same; where they only resemble it, the words stand here. Functions without words are not compared with DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import function_peers

_SAME = frozenset(
    [
        "ABS",
        "ACOS",
        "ARRAY_LENGTH",
        "ASIN",
        "ATAN",
        "ATAN2",
        "BITWISE_AND",
        "BITWISE_COMPLEMENT",
        "BITWISE_OR",
        "BITWISE_XOR",
        "BTRIM",
        "CEIL",
        "CEILING",
        "CHARACTER_LENGTH",
        "CHAR_LENGTH",
        "COALESCE",
        "CONCAT",
        "CONTAINS_STRING",
        "COS",
        "COT",
        "DATE_TRUNC",
        "DEGREES",
        "DIV",
        "EXP",
        "EXTRACT",
        "FLOOR",
        "GREATEST",
        "ICONTAINS_STRING",
        "IFNULL",
        "LEAST",
        "LEFT",
        "LENGTH",
        "LN",
        "LOG10",
        "LOWER",
        "LPAD",
        "LTRIM",
        "MILLIS_TO_TIMESTAMP",
        "MOD",
        "NULLIF",
        "NVL",
        "POSITION",
        "POWER",
        "RADIANS",
        "REGEXP_LIKE",
        "REGEXP_REPLACE",
        "REPLACE",
        "REVERSE",
        "RIGHT",
        "ROUND",
        "RPAD",
        "RTRIM",
        "SAFE_DIVIDE",
        "SIN",
        "SQRT",
        "STRLEN",
        "STRPOS",
        "TAN",
        "TEXTCAT",
        "TIMESTAMPADD",
        "TIMESTAMPDIFF",
        "TIMESTAMP_TO_MILLIS",
        "TIME_EXTRACT",
        "TIME_FLOOR",
        "TIME_FORMAT",
        "TIME_IN_INTERVAL",
        "TIME_SHIFT",
        "TRIM",
        "UPPER",
        "AVG",
        "BIT_OR",
        "BIT_XOR",
        "COUNT",
        "MAX",
        "MIN",
        "SUM",
        "STDDEV_POP",
        "VAR_POP",
        "ARRAY_AGG",
        "STRING_AGG",
        "LISTAGG",
        "+",
        "-",
        "*",
        "/",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "IN",
        "LIKE",
    ]
)
_OPERATORS_OF_WORDS = frozenset(("IS NULL", "IS TRUE", "IS DISTINCT FROM", "CASE", "ARRAY"))

_OWN = {
    "ARRAY_APPEND": "CASE WHEN sa IS NOT NULL THEN list_append(sa, s) END",
    "ARRAY_PREPEND": "CASE WHEN sa IS NOT NULL THEN list_prepend(s, sa) END",
    "ARRAY_CONCAT": "CASE WHEN sa IS NOT NULL AND sb IS NOT NULL THEN list_concat(sa, sb) END",
    "ARRAY_CONTAINS": "d_has(sa, s)",
    "SCALAR_IN_ARRAY": "d_in(s, sa)",
    "ARRAY_OVERLAP": "d_overlap(sa, sb)",
    "ARRAY_OFFSET": "CASE WHEN coalesce(n, 0) >= 0 THEN sa[coalesce(n, 0) + 1] END",
    "ARRAY_ORDINAL": "CASE WHEN n >= 1 THEN sa[n] END",
    "ARRAY_OFFSET_OF": "list_position(sa, s) - 1",
    "ARRAY_ORDINAL_OF": "list_position(sa, s)",
    "ARRAY_SLICE": "d_slice(sa, 0, n)",
    "ARRAY_TO_STRING": "d_joined(sa, ',')",
    "ARRAY_QUANTILE": None,
    "JSON_VALUE": "d_json_value(j, '$.a')",
    "JSON_QUERY": "json_extract(j, '$.b')",
    "PARSE_LONG": "CASE WHEN regexp_full_match(digits, '[+-]?[0-9]+') THEN TRY_CAST(digits AS BIGINT) END",
    "REGEXP_EXTRACT": "CASE WHEN regexp_matches(s, '([a-z]+)([0-9]+)') THEN regexp_extract(s, '([a-z]+)([0-9]+)', 2) "
    "END",
    "REPEAT": "CASE WHEN n >= 1 THEN repeat(s, n) END",
    "SUBSTR": "CASE WHEN length(s) >= 2 THEN substring(s, 2, 3) END",
    "SUBSTRING": "CASE WHEN length(s) >= 2 THEN substring(s, 2, 3) END",
    "TIME_SHIFT": "ts + to_months(CAST(coalesce(n, 0) AS INTEGER))",
    "SUM": "CAST(sum(l) AS BIGINT)",
    "STDDEV": "CASE WHEN count(d) = 1 THEN 0.0 ELSE stddev_samp(d) END",
    "STDDEV_SAMP": "CASE WHEN count(d) = 1 THEN 0.0 ELSE stddev_samp(d) END",
    "VARIANCE": "CASE WHEN count(d) = 1 THEN 0.0 ELSE var_samp(d) END",
    "VAR_SAMP": "CASE WHEN count(d) = 1 THEN 0.0 ELSE var_samp(d) END",
}  # fmt: skip
"""Where DuckDB needs more words, over the same example."""

MACROS = (
    "d_has(a, x) AS CASE WHEN a IS NULL THEN NULL WHEN x IS NULL THEN len(a) > list_count(a) "
    "ELSE coalesce(list_contains(a, x), false) END",
    "d_in(x, a) AS CASE WHEN a IS NULL THEN NULL WHEN x IS NULL THEN CASE WHEN len(a) > list_count(a) THEN true END "
    "ELSE coalesce(list_contains(a, x), false) END",
    "d_overlap(a, b) AS CASE WHEN a IS NULL THEN NULL WHEN b IS NULL THEN false ELSE list_has_any(a, b) "
    "OR (len(a) > list_count(a) AND len(b) > list_count(b)) END",
    "d_slice(a, s, e) AS CASE WHEN s < 0 OR s > len(a) OR s > e THEN NULL "
    "ELSE list_resize(list_slice(a, s + 1, least(e, len(a))), e - s) END",
    "d_joined(a, d) AS CASE WHEN len(a) = 1 AND a[1] IS NULL THEN NULL WHEN len(a) = 0 THEN '' "
    "ELSE array_to_string(list_transform(a, lambda e: coalesce(CAST(e AS VARCHAR), 'null')), d) END",
    "d_json_value(j, p) AS CASE WHEN json_type(j, p) IN ('OBJECT', 'ARRAY') THEN NULL "
    "WHEN json_type(j, p) = 'BOOLEAN' THEN CASE WHEN json_extract_string(j, p) = 'true' THEN '1' ELSE '0' END "
    "ELSE json_extract_string(j, p) END",
)
"""What `_OWN` calls."""

CASTS = {
    ("long", "VARCHAR"): "CAST({} AS VARCHAR)",
    ("long", "DOUBLE"): "CAST({} AS DOUBLE)",
    ("double", "BIGINT"): "CAST(trunc({}) AS BIGINT)",
    ("bool", "VARCHAR"): "CAST({} AS VARCHAR)",
}
"""CAST of a kind to a type, where DuckDB's gives the same."""


_MORE = (
    ("FLOOR", "FLOOR(t TO MONTH)", "date_trunc('month', t)"),
    ("CEIL", "CEIL(t TO DAY)", None),
    ("POSITION", "POSITION('b' IN s FROM n)", None),
    ("TRIM", "TRIM(LEADING 'a' FROM s)", "ltrim(s, 'a')"),
    ("TRIM", "TRIM(s)", "trim(s, ' ')"),
    ("JSON_VALUE", "JSON_VALUE(j, '$.a' RETURNING BIGINT)", None),
    ("JSON_VALUE", "JSON_VALUE(j, '$.b' RETURNING VARCHAR ARRAY)", None),
    ("JSON_OBJECT", "JSON_OBJECT('a': s, 'b': l, 'c': d)", None),
    ("LEFT", "LEFT(s, n)", None),
    ("RIGHT", "RIGHT(s, n)", None),
    ("LPAD", "LPAD(s, n)", None),
    ("SUBSTRING", "SUBSTRING(s FROM n)", None),
    ("SUBSTRING", "SUBSTRING(s, n, l)", None),
    ("ROUND", "ROUND(d)", "round(d)"),
    ("ROUND", "ROUND(l, n)", None),
    ("POWER", "POWER(d, l)", None),
    ("CEIL", "CEIL(l)", None),
    ("FLOOR", "FLOOR(l)", None),
    ("GREATEST", "GREATEST(s, w)", "greatest(s, w)"),
    ("LEAST", "LEAST(d, e)", "least(d, e)"),
    ("COALESCE", "COALESCE(l, n, 7)", "coalesce(l, n, 7)"),
    ("COALESCE", "COALESCE(t, u)", "coalesce(t, u)"),
    ("COALESCE", "COALESCE(l > 2, n > 1)", "coalesce(l > 2, n > 1)"),
    ("NULLIF", "NULLIF(l, n)", "nullif(l, n)"),
    ("CONCAT", "CONCAT(s, l, w)", "s || l || w"),
    ("MOD", "MOD(d, e)", None),
    ("DIV", "DIV(d, e)", None),
    ("ARRAY_CONTAINS", "ARRAY_CONTAINS(la, n)", "d_has(la, n)"),
    ("ARRAY_CONTAINS", "ARRAY_CONTAINS(sa, sb)", None),
    ("ARRAY_OVERLAP", "ARRAY_OVERLAP(sa, ARRAY['a', 'b'])", "d_overlap(sa, ['a', 'b'])"),
    ("ARRAY_APPEND", "ARRAY_APPEND(la, n)", "CASE WHEN la IS NOT NULL THEN list_append(la, n) END"),
    ("MV_CONTAINS", "MV_CONTAINS(m, ARRAY['a1', 'b2'])", None),
    ("BETWEEN", "l NOT BETWEEN n AND 5", "l NOT BETWEEN n AND 5"),
    ("BETWEEN", "l BETWEEN SYMMETRIC 5 AND n", None),
    ("IN", "l NOT IN (1, 2, 3)", "l NOT IN (1, 2, 3)"),
    ("IN", "l IN (1, NULL, n)", "l IN (1, NULL, n)"),
    ("IN", "s NOT IN ('a', NULL)", "s NOT IN ('a', NULL)"),
    ("IN", "m IN ('a1', 'b2')", None),
    ("=", "m = 'a1'", None),
    ("LIKE", "m LIKE 'a%'", None),
    ("LIKE", "s NOT LIKE '_b%'", "s NOT LIKE '_b%'"),
    ("LIKE", "s LIKE 'a!%%' ESCAPE '!'", "s LIKE 'a!%%' ESCAPE '!'"),
    ("IS NULL", "l IS NOT NULL", "l IS NOT NULL"),
    ("IS TRUE", "(l > n) IS NOT FALSE", "(l > n) IS NOT FALSE"),
    ("IS TRUE", "(s = w) IS UNKNOWN", "(s = w) IS NULL"),
    ("IS DISTINCT FROM", "l IS NOT DISTINCT FROM n", "l IS NOT DISTINCT FROM n"),
    ("CASE", "CASE l WHEN 1 THEN s WHEN n THEN w END", "CASE l WHEN 1 THEN s WHEN n THEN w END"),
    (
        "CASE",
        "CASE WHEN s = w THEN l WHEN s > 'b' THEN n ELSE 0 END",
        "CASE WHEN s = w THEN l WHEN s > 'b' THEN n ELSE 0 END",
    ),
    ("CASE", "CASE WHEN l > 2 THEN sa ELSE sb END", "CASE WHEN l > 2 THEN sa ELSE sb END"),
    ("+", "t + INTERVAL '1' DAY", "t + INTERVAL 1 DAY"),
    ("-", "t - INTERVAL '3' HOUR", "t - INTERVAL 3 HOUR"),
    ("-", "-l", "-l"),
    ("AND", "s = 'a' AND NOT (l > 2 OR t < u)", "s = 'a' AND NOT (l > 2 OR t < u)"),
    ("ARRAY", "ARRAY[s, w, 'a']", "[s, w, 'a']"),
    ("ARRAY", "ARRAY[d, 1.5]", "[d, 1.5e0]"),
)
"""(name, call, DuckDB's words): ways to call that the examples do not show."""
_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR")


def more() -> Iterator[tuple[str, str, str, str | None]]:
    """(name, kind, call, DuckDB's words) beside the examples."""
    for name, here, there in _MORE:
        yield name, "scalar" if name in function_peers.SCALAR else "operator", here, there
    for unit in _UNITS:
        yield "EXTRACT", "scalar", f"EXTRACT({unit} FROM t)", f"extract('{unit.lower()}' FROM ts)"
        yield "TIMESTAMPADD", "scalar", f"TIMESTAMPADD({unit}, n, t)", None
        yield "TIMESTAMPDIFF", "scalar", f"TIMESTAMPDIFF({unit}, t, u)", None
    for unit in ("WEEK", "DOY", "DOW", "ISODOW", "ISOYEAR", "EPOCH", "MILLISECOND", "DECADE", "CENTURY", "MILLENNIUM"):
        yield "EXTRACT", "scalar", f"EXTRACT({unit} FROM t)", None


def scalar(name: str) -> str | None:
    """DuckDB's words for the example of a scalar function; None where it does not define the same."""
    return _OWN[name] if name in _OWN else function_peers.SCALAR[name] if name in _SAME else None


def aggregate(name: str) -> str | None:
    """As `scalar`, of an aggregate function."""
    return _OWN[name] if name in _OWN else function_peers.AGGREGATE[name] if name in _SAME else None


def operator(name: str) -> tuple[str, str | None]:
    """The call of an operator here and in DuckDB."""
    here, there = function_peers.OPERATORS[name]
    return here, there if name in _SAME or name in _OPERATORS_OF_WORDS else None
