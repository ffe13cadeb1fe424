"""A call of every scalar, aggregate and window function over the columns of one sample table.

They are what `msq functions NAME` shows, what NULL and multi-value rules are tried on, and what
`bench functions` times.
An extension's functions bring their own.
"""

from __future__ import annotations

from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, SQL_JSON, TIMESTAMP, VARCHAR, SqlType, sql_array, sql_complex

COLUMNS: dict[str, SqlType] = {
    "__time": TIMESTAMP, "g": VARCHAR, "t": TIMESTAMP, "u": TIMESTAMP, "s": VARCHAR, "w": VARCHAR,
    "m": VARCHAR, "l": BIGINT,
    "n": BIGINT, "d": SQL_DOUBLE, "e": SQL_DOUBLE, "sa": sql_array(VARCHAR), "sb": sql_array(VARCHAR),
    "la": sql_array(BIGINT), "da": sql_array(SQL_DOUBLE), "j": SQL_JSON, "k": SQL_JSON, "iso": VARCHAR,
    "digits": VARCHAR, "ip": VARCHAR, "ip6": VARCHAR, "json_text": VARCHAR, "base64": VARCHAR,
    "hll": sql_complex("HLLSketch"), "theta": sql_complex("thetaSketch"),
    "quantiles": sql_complex("quantilesDoublesSketch"), "tuples": sql_complex("arrayOfDoublesSketch"),
}  # fmt: skip
"""Columns of the sample table; of a pair such as `s` and `w` the second differs from the first. `m` has several values
in a row; `g` groups; `iso`, `digits`, `ip`, `ip6`, `json_text` and `base64` are texts of what they are called."""
MULTI_VALUE = frozenset({"m"})
LOOKUP_NAME = "names"
"""The lookup that examples read."""

SCALAR = {
    "ABS": "ABS(l)", "ACOS": "ACOS(d)", "ARRAY_APPEND": "ARRAY_APPEND(sa, s)", "ARRAY_CONCAT": "ARRAY_CONCAT(sa, sb)",
    "ARRAY_CONTAINS": "ARRAY_CONTAINS(sa, s)", "ARRAY_LENGTH": "ARRAY_LENGTH(sa)",
    "ARRAY_OFFSET": "ARRAY_OFFSET(sa, n)", "ARRAY_OFFSET_OF": "ARRAY_OFFSET_OF(sa, s)",
    "ARRAY_ORDINAL": "ARRAY_ORDINAL(sa, n)", "ARRAY_ORDINAL_OF": "ARRAY_ORDINAL_OF(sa, s)",
    "ARRAY_OVERLAP": "ARRAY_OVERLAP(sa, sb)", "ARRAY_PREPEND": "ARRAY_PREPEND(s, sa)",
    "ARRAY_QUANTILE": "ARRAY_QUANTILE(da, 0.5)", "ARRAY_SLICE": "ARRAY_SLICE(sa, 0, n)",
    "ARRAY_TO_MV": "ARRAY_TO_MV(sa)", "ARRAY_TO_STRING": "ARRAY_TO_STRING(sa, ',')", "ASIN": "ASIN(d)",
    "ATAN": "ATAN(d)", "ATAN2": "ATAN2(d, e)", "BITWISE_AND": "BITWISE_AND(l, n)",
    "BITWISE_COMPLEMENT": "BITWISE_COMPLEMENT(l)",
    "BITWISE_CONVERT_DOUBLE_TO_LONG_BITS": "BITWISE_CONVERT_DOUBLE_TO_LONG_BITS(d)",
    "BITWISE_CONVERT_LONG_BITS_TO_DOUBLE": "BITWISE_CONVERT_LONG_BITS_TO_DOUBLE(l)", "BITWISE_OR": "BITWISE_OR(l, n)",
    "BITWISE_SHIFT_LEFT": "BITWISE_SHIFT_LEFT(l, n)", "BITWISE_SHIFT_RIGHT": "BITWISE_SHIFT_RIGHT(l, n)",
    "BITWISE_XOR": "BITWISE_XOR(l, n)",
    "BLOOM_FILTER_TEST": "BLOOM_FILTER_TEST(s, 'BAAAAAgAAACAAEAAAAAAAAAAAEIAAAAAAAAAAAAAAAAAAAAAAAIIAAAAAAAAAAAAAAAAAAI"
    "AAAAAAQAAAAAAAAAAAAAA')",
    "BTRIM": "BTRIM(s, 'ab')", "CEIL": "CEIL(d)", "CEILING": "CEILING(d)", "CHARACTER_LENGTH": "CHARACTER_LENGTH(s)",
    "CHAR_LENGTH": "CHAR_LENGTH(s)", "COALESCE": "COALESCE(s, w)", "CONCAT": "CONCAT(s, w)",
    "CONTAINS_STRING": "CONTAINS_STRING(s, 'a')", "COS": "COS(d)", "COT": "COT(d)", "CURRENT_DATE": "CURRENT_DATE",
    "CURRENT_TIMESTAMP": "CURRENT_TIMESTAMP", "DATE_TRUNC": "DATE_TRUNC('HOUR', t)",
    "DECODE_BASE64_COMPLEX": "DECODE_BASE64_COMPLEX('hyperUnique', base64)",
    "DECODE_BASE64_UTF8": "DECODE_BASE64_UTF8(base64)", "DEGREES": "DEGREES(d)", "DIV": "DIV(l, n)",
    "DS_CDF": "DS_CDF(quantiles, 1.0, 2.0)", "DS_GET_QUANTILE": "DS_GET_QUANTILE(quantiles, 0.5)",
    "DS_GET_QUANTILES": "DS_GET_QUANTILES(quantiles, 0.25, 0.75)", "DS_HISTOGRAM": "DS_HISTOGRAM(quantiles, 1.0, 2.0)",
    "DS_QUANTILE_SUMMARY": "DS_QUANTILE_SUMMARY(quantiles)", "DS_RANK": "DS_RANK(quantiles, 1.0)",
    "DS_TUPLE_DOUBLES_INTERSECT": "DS_TUPLE_DOUBLES_INTERSECT(tuples, tuples)",
    "DS_TUPLE_DOUBLES_METRICS_SUM_ESTIMATE": "DS_TUPLE_DOUBLES_METRICS_SUM_ESTIMATE(tuples)",
    "DS_TUPLE_DOUBLES_NOT": "DS_TUPLE_DOUBLES_NOT(tuples, tuples)",
    "DS_TUPLE_DOUBLES_UNION": "DS_TUPLE_DOUBLES_UNION(tuples, tuples)", "EXP": "EXP(d)",
    "EXTRACT": "EXTRACT(HOUR FROM t)", "FLOOR": "FLOOR(d)", "GREATEST": "GREATEST(l, n)",
    "HLL_SKETCH_ESTIMATE": "HLL_SKETCH_ESTIMATE(hll)",
    "HLL_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS": "HLL_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS(hll)",
    "HLL_SKETCH_TO_STRING": "HLL_SKETCH_TO_STRING(hll)", "HLL_SKETCH_UNION": "HLL_SKETCH_UNION(hll, hll)",
    "HUMAN_READABLE_BINARY_BYTE_FORMAT": "HUMAN_READABLE_BINARY_BYTE_FORMAT(l)",
    "HUMAN_READABLE_DECIMAL_BYTE_FORMAT": "HUMAN_READABLE_DECIMAL_BYTE_FORMAT(l)",
    "HUMAN_READABLE_DECIMAL_FORMAT": "HUMAN_READABLE_DECIMAL_FORMAT(l)",
    "ICONTAINS_STRING": "ICONTAINS_STRING(s, 'A')", "IFNULL": "IFNULL(s, w)",
    "IPV4_MATCH": "IPV4_MATCH(ip, '10.0.0.0/8')", "IPV4_PARSE": "IPV4_PARSE(ip)",
    "IPV4_STRINGIFY": "IPV4_STRINGIFY(l)",
    "IPV6_MATCH": "IPV6_MATCH(ip6, '2001:db8::/32')", "JSON_KEYS": "JSON_KEYS(j, '$')",
    "JSON_MERGE": "JSON_MERGE(j, k)",
    "JSON_OBJECT": "JSON_OBJECT(KEY 'a' VALUE l)", "JSON_PATHS": "JSON_PATHS(j)", "JSON_QUERY": "JSON_QUERY(j, '$.b')",
    "JSON_QUERY_ARRAY": "JSON_QUERY_ARRAY(j, '$.b')", "JSON_VALUE": "JSON_VALUE(j, '$.a')", "LEAST": "LEAST(l, n)",
    "LEFT": "LEFT(s, 3)", "LENGTH": "LENGTH(s)", "LN": "LN(d)", "LOCALTIMESTAMP": "LOCALTIMESTAMP", "LOG10": "LOG10(d)",
    "LOOKUP": "LOOKUP(s, 'names')", "LOWER": "LOWER(s)", "LPAD": "LPAD(s, 12, '*')", "LTRIM": "LTRIM(s, 'ab')",
    "MILLIS_TO_TIMESTAMP": "MILLIS_TO_TIMESTAMP(l)", "MOD": "MOD(l, n)", "MV_APPEND": "MV_APPEND(m, s)",
    "MV_CONCAT": "MV_CONCAT(m, m)", "MV_CONTAINS": "MV_CONTAINS(m, 'a1')",
    "MV_FILTER_NONE": "MV_FILTER_NONE(m, ARRAY['a1', 'b2'])", "MV_FILTER_ONLY": "MV_FILTER_ONLY(m, ARRAY['a1', 'b2'])",
    "MV_FILTER_PREFIX": "MV_FILTER_PREFIX(m, 'a')", "MV_FILTER_REGEX": "MV_FILTER_REGEX(m, 'a[0-9]')",
    "MV_LENGTH": "MV_LENGTH(m)", "MV_OFFSET": "MV_OFFSET(m, n)", "MV_OFFSET_OF": "MV_OFFSET_OF(m, s)",
    "MV_ORDINAL": "MV_ORDINAL(m, n)", "MV_ORDINAL_OF": "MV_ORDINAL_OF(m, s)",
    "MV_OVERLAP": "MV_OVERLAP(m, ARRAY['a1', 'b2'])", "MV_PREPEND": "MV_PREPEND(s, m)", "MV_SLICE": "MV_SLICE(m, 0, n)",
    "MV_TO_ARRAY": "MV_TO_ARRAY(m)", "MV_TO_STRING": "MV_TO_STRING(m, ',')", "NULLIF": "NULLIF(s, w)",
    "NVL": "NVL(s, w)",
    "PARSE_JSON": "PARSE_JSON(json_text)", "PARSE_LONG": "PARSE_LONG(digits)", "PI": "PI",
    "POSITION": "POSITION('b' IN s)", "POWER": "POWER(d, 2)", "RADIANS": "RADIANS(d)",
    "REGEXP_EXTRACT": "REGEXP_EXTRACT(s, '([a-z]+)([0-9]+)', 2)", "REGEXP_LIKE": "REGEXP_LIKE(s, '^a[0-9]')",
    "REGEXP_REPLACE": "REGEXP_REPLACE(s, '[0-9]+', '#')", "REPEAT": "REPEAT(s, n)", "REPLACE": "REPLACE(s, 'a', 'xyz')",
    "REVERSE": "REVERSE(s)", "RIGHT": "RIGHT(s, 3)", "ROUND": "ROUND(d, 2)", "RPAD": "RPAD(s, 12, '*')",
    "RTRIM": "RTRIM(s, '01')", "SAFE_DIVIDE": "SAFE_DIVIDE(l, n)", "SCALAR_IN_ARRAY": "SCALAR_IN_ARRAY(s, sa)",
    "SIN": "SIN(d)", "SQRT": "SQRT(d)", "STRING_FORMAT": "STRING_FORMAT('%s-%05d', s, n)",
    "STRING_TO_ARRAY": "STRING_TO_ARRAY(s, '[0-9]')", "STRING_TO_MV": "STRING_TO_MV(s, '[0-9]')", "STRLEN": "STRLEN(s)",
    "STRPOS": "STRPOS(s, 'b')", "SUBSTR": "SUBSTR(s, 2, 3)", "SUBSTRING": "SUBSTRING(s, 2, 3)", "TAN": "TAN(d)",
    "TEXTCAT": "TEXTCAT(s, w)", "THETA_SKETCH_ESTIMATE": "THETA_SKETCH_ESTIMATE(theta)",
    "THETA_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS": "THETA_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS(theta, 2)",
    "THETA_SKETCH_INTERSECT": "THETA_SKETCH_INTERSECT(theta, theta)",
    "THETA_SKETCH_NOT": "THETA_SKETCH_NOT(theta, theta)", "THETA_SKETCH_UNION": "THETA_SKETCH_UNION(theta, theta)",
    "TIMESTAMPADD": "TIMESTAMPADD(DAY, n, t)", "TIMESTAMPDIFF": "TIMESTAMPDIFF(MONTH, t, u)",
    "TIMESTAMP_TO_MILLIS": "TIMESTAMP_TO_MILLIS(t)", "TIME_CEIL": "TIME_CEIL(t, 'PT1H')",
    "TIME_EXTRACT": "TIME_EXTRACT(t, 'HOUR')", "TIME_FLOOR": "TIME_FLOOR(t, 'PT1H')",
    "TIME_FORMAT": "TIME_FORMAT(t, 'yyyy-MM-dd HH:mm')",
    "TIME_IN_INTERVAL": "TIME_IN_INTERVAL(t, '2024-01-01/P6M')", "TIME_PARSE": "TIME_PARSE(iso)",
    "TIME_SHIFT": "TIME_SHIFT(t, 'P1M', n)", "TO_JSON_STRING": "TO_JSON_STRING(j)", "TRIM": "TRIM(BOTH 'ab' FROM s)",
    "TRUNC": "TRUNC(d, 2)", "TRUNCATE": "TRUNCATE(d, 2)", "TRY_PARSE_JSON": "TRY_PARSE_JSON(json_text)",
    "UPPER": "UPPER(s)",
}  # fmt: skip

AGGREGATE = {
    "ANY_VALUE": "ANY_VALUE(s)", "APPROX_COUNT_DISTINCT": "APPROX_COUNT_DISTINCT(s)",
    "APPROX_COUNT_DISTINCT_BUILTIN": "APPROX_COUNT_DISTINCT_BUILTIN(s)",
    "APPROX_COUNT_DISTINCT_DS_HLL": "APPROX_COUNT_DISTINCT_DS_HLL(s)",
    "APPROX_COUNT_DISTINCT_DS_HLL_UTF8": "APPROX_COUNT_DISTINCT_DS_HLL_UTF8(s)",
    "APPROX_COUNT_DISTINCT_DS_THETA": "APPROX_COUNT_DISTINCT_DS_THETA(s)",
    "APPROX_QUANTILE_DS": "APPROX_QUANTILE_DS(d, 0.5)", "ARRAY_AGG": "ARRAY_AGG(l, 100000000)",
    "ARRAY_CONCAT_AGG": "ARRAY_CONCAT_AGG(la, 100000000)", "AVG": "AVG(l)", "BIT_AND": "BIT_AND(l)",
    "BIT_OR": "BIT_OR(l)", "BIT_XOR": "BIT_XOR(l)", "BLOOM_FILTER": "BLOOM_FILTER(s, 1000)", "COUNT": "COUNT(l)",
    "DS_HLL": "DS_HLL(s)", "DS_QUANTILES_SKETCH": "DS_QUANTILES_SKETCH(d)", "DS_THETA": "DS_THETA(s)",
    "DS_TUPLE_DOUBLES": "DS_TUPLE_DOUBLES(s, d)", "EARLIEST": "EARLIEST(l)", "EARLIEST_BY": "EARLIEST_BY(l, t)",
    "GROUPING": "GROUPING(g)", "LATEST": "LATEST(l)", "LATEST_BY": "LATEST_BY(l, t)",
    "LISTAGG": "LISTAGG(s, ',', 100000000)", "MAX": "MAX(l)", "MIN": "MIN(l)", "STDDEV": "STDDEV(d)",
    "STDDEV_POP": "STDDEV_POP(d)", "STDDEV_SAMP": "STDDEV_SAMP(d)", "STRING_AGG": "STRING_AGG(s, ',', 100000000)",
    "SUM": "SUM(l)", "VARIANCE": "VARIANCE(d)", "VAR_POP": "VAR_POP(d)", "VAR_SAMP": "VAR_SAMP(d)",
}  # fmt: skip

WINDOW = {
    "CUME_DIST": "CUME_DIST() OVER (PARTITION BY g ORDER BY l)",
    "DENSE_RANK": "DENSE_RANK() OVER (PARTITION BY g ORDER BY l)",
    "FIRST_VALUE": "FIRST_VALUE(l) OVER (PARTITION BY g ORDER BY l)",
    "LAG": "LAG(l, 1) OVER (PARTITION BY g ORDER BY l)",
    "LAST_VALUE": "LAST_VALUE(l) OVER (PARTITION BY g ORDER BY l)",
    "LEAD": "LEAD(l, 1) OVER (PARTITION BY g ORDER BY l)",
    "NTILE": "NTILE(4) OVER (PARTITION BY g ORDER BY l)",
    "PERCENT_RANK": "PERCENT_RANK() OVER (PARTITION BY g ORDER BY l)",
    "RANK": "RANK() OVER (PARTITION BY g ORDER BY l)",
    "ROW_NUMBER": "ROW_NUMBER() OVER (PARTITION BY g ORDER BY l)",
}
