"""Makes a DuckDB connection ready for lowered SQL: settings, macros and the kernels' UDFs.

Macros substitute their arguments as text, so each uses a costly argument as rarely as it can. Names are per catalog;
every connection that runs lowered SQL needs one call of `prepare`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import Any

import duckdb

from msq import extensions
from msq.expr.kernels.base import Kernel, added

_SETTINGS = (
    "SET default_null_order = 'nulls_first_on_asc_last_on_desc'",
    "SET ieee_floating_point_ops = true",
)

_NON_BMP = r"[\x{10000}-\x{10FFFF}]"

_MACROS = {
    # --- numbers. Java's wrap-around: the sum is tried in 64 bits and redone in 128 only where it overflows.
    "d_wrap(h)": "CAST(((h + 9223372036854775808) & 18446744073709551615) - 9223372036854775808 AS BIGINT)",
    "d_fail(text)": "CAST(py_fail(text) AS BIGINT)",
    "d_add(a, b)": "coalesce(TRY(a + b), d_wrap(CAST(a AS HUGEINT) + b))",
    "d_sub(a, b)": "coalesce(TRY(a - b), d_wrap(CAST(a AS HUGEINT) - b))",
    "d_mul(a, b)": "coalesce(TRY(a * b), d_wrap(CAST(a AS HUGEINT) * b))",
    "d_div(a, b)": "CASE WHEN b = 0 AND a IS NOT NULL THEN d_fail('/ by zero') "
    "WHEN b = -1 THEN d_sub(CAST(0 AS BIGINT), a) ELSE a // b END",
    "d_mod(a, b)": "CASE WHEN b = 0 AND a IS NOT NULL THEN d_fail('/ by zero') WHEN b = -1 THEN a - a ELSE a % b END",
    "d_d2l(x)": "CASE WHEN isnan(x) THEN 0 WHEN x >= 9.223372036854775807e18 THEN 9223372036854775807 "
    "WHEN x <= -9.223372036854775808e18 THEN CAST('-9223372036854775808' AS BIGINT) ELSE CAST(trunc(x) AS BIGINT) END",
    # DuckDB sorts NaN above all numbers
    "d_d2f(x)": "CASE WHEN x > 3.4028235677973366e38 AND NOT isnan(x) THEN CAST('inf' AS FLOAT) "
    "WHEN x < -3.4028235677973366e38 THEN CAST('-inf' AS FLOAT) ELSE CAST(x AS FLOAT) END",
    "d_sci(s)": "CASE WHEN contains(s, 'e') THEN regexp_replace(regexp_replace(s, '^(-?[0-9]+)e', '\\1.0e'), "
    "'e([+]|(-))0*', 'E\\2') ELSE regexp_extract(s, '^-?') || regexp_replace(regexp_replace(regexp_replace("
    "replace(s, '-', ''), '^[0.]+|[.]0$|[.]', '', 'g'), '0+$', ''), '^(.)(.*)$', '\\1.\\2') "
    "|| CASE WHEN regexp_matches(regexp_replace(replace(replace(s, '-', ''), '.', ''), '^0+', ''), '^.0*$') "
    "THEN '0' ELSE '' END || 'E' || CASE WHEN regexp_matches(s, '^-?0[.]') "
    "THEN '-' || CAST(length(regexp_extract(s, '[.](0*)', 1)) + 1 AS VARCHAR) "
    "ELSE CAST(length(regexp_extract(s, '^-?([0-9]+)', 1)) - 1 AS VARCHAR) END END",
    "d_text(x)": "CASE WHEN x = 0 OR (abs(x) >= 0.001 AND abs(x) < 1e7) THEN CAST(x AS VARCHAR) "
    "WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END "
    "WHEN abs(x) > 9007199254740992 AND abs(x) < 4611686018427387904 THEN py_double_text(x) "
    "ELSE d_sci(CAST(x AS VARCHAR)) END",
    "d_s2d(s)": "CASE WHEN regexp_full_match(s, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)') THEN TRY_CAST(s AS DOUBLE) "
    "ELSE py_to_double(s) END",
    "d_s2l(s)": "CASE WHEN regexp_full_match(s, '[+-]?[0-9]{1,18}') THEN CAST(s AS BIGINT) ELSE py_to_long(s) END",
    # Java compares doubles bit-wise at zero: -0.0 is below 0.0.
    "d_lt(a, b)": "CASE WHEN a = 0 AND b = 0 THEN signbit(a) AND NOT signbit(b) ELSE a < b END",
    "d_round(x)": "CASE WHEN isnan(x) THEN 0.0 WHEN isinf(x) THEN sign(x) * 1.7976931348623157e308 "
    "WHEN round(x) = 0 THEN 0.0 ELSE round(x) END",
    # Half away from zero on the shortest decimal text. `scaled` is x at the wanted unit, with an error below 2^-52 of
    # it: what may be a tie goes value by value. `whole` is the result where it is none.
    "d_round_at(x, scaled, whole, digits)": "CASE WHEN abs(scaled) < 1e15 "
    "AND abs(abs(scaled - trunc(scaled)) - 0.5) > abs(scaled) * 4.5e-16 THEN whole + 0.0 ELSE py_round(x, digits) END",
    "d_round_long(x, n)": "CASE WHEN n >= 0 THEN x WHEN n < -19 THEN x - x ELSE d_wrap((CAST(x AS HUGEINT) "
    "+ (x >> 63 | 1) * (CAST(pow(10, -n) AS HUGEINT) // 2)) // CAST(pow(10, -n) AS HUGEINT) "
    "* CAST(pow(10, -n) AS HUGEINT)) END",
    # What falls out at the top is cut off first: DuckDB refuses to shift it. The sign bit is set apart.
    "d_shift_left(x, n)": "xor((x & (9223372036854775807 >> (n & 63))) << (n & 63), "
    "((x >> (63 - (n & 63))) & 1) * CAST('-9223372036854775808' AS BIGINT))",
    # --- times. What is far from the ends of 64 bits is added without looking for overflow.
    "d_shift(t, n, size)": "CASE WHEN n IS NULL THEN t WHEN t BETWEEN -4611686018427387904 AND 4611686018427387903 "
    "AND n BETWEEN -10000 AND 10000 AND size < 100000000000000 THEN t + n * size ELSE d_add(t, d_mul(n, size)) END",
    # Steps beyond 10000 go through a kernel; a constant one must not fail here before that is seen.
    "d_step(n)": "greatest(least(coalesce(n, 0), 10000), -10000)",
    "d_months(t, n, m, rest)": "epoch_ms(epoch_ms(t) + to_months(CAST(d_step(n) * m AS INTEGER))) + d_step(n) * rest",
    # --- texts. Positions count UTF-16 units; only texts with characters beyond the BMP need a kernel.
    "d_wide(s)": f"(strlen(s) <> length(s) AND regexp_matches(s, '{_NON_BMP}'))",
    "d_len(s)": f"CASE WHEN d_wide(s) THEN 2 * length(s) - length(regexp_replace(s, '{_NON_BMP}', '', 'g')) "
    "ELSE length(s) END",
    "d_upper(s)": "CASE WHEN strlen(s) = length(s) THEN upper(s) ELSE py_upper(s) END",
    "d_lower(s)": "CASE WHEN strlen(s) = length(s) THEN lower(s) ELSE py_lower(s) END",
    # Counts are Java ints; a text beyond 100 million characters would only end in memory that runs out.
    "d_int(x)": "CASE WHEN x BETWEEN -2147483648 AND 2147483647 THEN x "
    "ELSE (x & 4294967295) - CASE WHEN (x & 2147483648) <> 0 THEN 4294967296 ELSE 0 END END",
    "d_sized(f, n)": "CASE WHEN n > 100000000 THEN d_fail('Function[' || f || '] result of size [' || n || "
    "'] is too large') ELSE n END",
    "d_repeat(s, n)": "CASE WHEN n >= 1 THEN repeat(s, d_sized('repeat', n * length(s)) // greatest(length(s), 1)) END",
    "d_pos(s, b, f)": "CASE WHEN d_wide(s) THEN py_index_of(s, b, f) WHEN f <= 0 THEN strpos(s, b) - 1 "
    "WHEN strpos(substring(s, f + 1), b) = 0 THEN -1 ELSE strpos(substring(s, f + 1), b) + f - 1 END",
    # --- JSON scalars, as json_value() prints them
    "d_json_raw(v)": "CASE WHEN starts_with(v, '\"') THEN json_extract_string(v, '$') "
    "WHEN v = 'null' THEN NULL ELSE v END",
    "d_json_text(v)": "CASE WHEN starts_with(v, '\"') THEN json_extract_string(v, '$') WHEN v = 'null' THEN NULL "
    "WHEN v = 'true' THEN '1' WHEN v = 'false' THEN '0' "
    "WHEN regexp_matches(v, '[.eE]') THEN d_text(CAST(v AS DOUBLE)) ELSE v END",
    # Java drops empty texts at the end; one character to split at is cut off the end first.
    "d_split(s, c)": "CASE WHEN s = '' THEN [''] WHEN rtrim(s, c) = '' THEN CAST([] AS VARCHAR[]) "
    "ELSE string_split(rtrim(s, c), c) END",
    "d_trimmed(l)": "CASE WHEN l[-1] <> '' THEN l ELSE l[1:coalesce(list_max(list_transform(l, "
    "lambda __x, __i: CASE WHEN __x <> '' THEN __i END)), 0)] END",
    "d_split_regex(s, p)": "CASE WHEN s = '' THEN [''] ELSE d_trimmed(string_split_regex(s, p)) END",
    "d_digits(s, n)": "CASE WHEN length(s) >= n THEN s WHEN starts_with(s, '-') "
    "THEN '-' || lpad(s[2:], n - 1, '0') ELSE lpad(s, n, '0') END",
    "d_base64(s)": "CASE WHEN regexp_full_match(s, '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?') "
    "THEN coalesce(TRY(decode(from_base64(s))), py_base64(s)) ELSE py_base64(s) END",
    # DuckDB takes half of a surrogate pair for no JSON; Java's parser does not mind.
    "d_parse_json(s)": "py_parse_json(s, json_valid(s))",
    "d_try_parse_json(s)": "CASE WHEN json_valid(s) OR contains(s, '\\u') THEN py_try_parse_json(s, json_valid(s)) END",
    "d_json_of(s)": "CASE WHEN NOT (json_valid(s) OR contains(s, '\\u')) THEN CAST(to_json(s) AS VARCHAR) "
    "ELSE py_json_text(s, json_valid(s)) END",
    "d_json_double(d)": "CASE WHEN isfinite(d) THEN d_text(d) ELSE '\"' || d_text(d) || '\"' END",
    "d_json_list(l)": "CASE WHEN l IS NOT NULL THEN "
    "'[' || array_to_string(list_transform(l, lambda __x: coalesce(__x, 'null')), ',') || ']' END",
    # --- lists
    "d_some(m)": "CASE WHEN len(m) > 0 THEN m ELSE [NULL] END",
    "d_mv(m)": "CASE WHEN len(m) > 1 OR m[1] IS NOT NULL THEN m END",
    "d_nulls(a)": "(len(a) > list_count(a))",
    "d_off(a, i)": "CASE WHEN i >= 0 THEN a[i + 1] END",
    "d_has(a, x)": "CASE WHEN a IS NULL THEN NULL WHEN x IS NULL THEN d_nulls(a) "
    "ELSE coalesce(list_contains(a, x), false) END",
    "d_all(a, b)": "CASE WHEN a IS NULL THEN NULL WHEN b IS NULL THEN false "
    "ELSE list_has_all(a, list_filter(b, lambda __x: __x IS NOT NULL)) AND (d_nulls(a) OR NOT d_nulls(b)) END",
    "d_overlap(a, b)": "CASE WHEN a IS NULL THEN NULL WHEN b IS NULL THEN false "
    "ELSE list_has_any(a, b) OR (d_nulls(a) AND d_nulls(b)) END",
    "d_mv_overlap(a, b)": "CASE WHEN b IS NULL THEN d_nulls(a) WHEN list_has_any(a, b) OR (d_nulls(a) AND d_nulls(b)) "
    "THEN true WHEN d_nulls(a) AND NOT d_nulls(b) THEN NULL ELSE false END",
    "d_in(x, a)": "CASE WHEN a IS NULL THEN NULL WHEN x IS NULL THEN CASE WHEN d_nulls(a) THEN true END "
    "ELSE coalesce(list_contains(a, x), false) END",
    "d_slice(a, s, e)": "CASE WHEN s < 0 OR s > len(a) OR s > e THEN NULL "
    "ELSE list_resize(list_slice(a, s + 1, least(e, len(a))), e - s) END",
    "d_join(a, d)": "CASE WHEN len(a) = 1 AND a[1] IS NULL THEN NULL WHEN len(a) = 0 THEN '' "
    "ELSE list_reduce(list_transform(a, lambda __x: coalesce(__x, 'null')), lambda __x, __y: __x || d || __y) END",
    "d_joined(a, d)": "CASE WHEN len(a) = 1 AND a[1] IS NULL THEN NULL WHEN len(a) = 0 THEN '' "
    "ELSE array_to_string(list_transform(a, lambda __x: coalesce(__x, 'null')), d) END",
    "d_order(a)": "list_transform(a, lambda __x: {'n': __x IS NOT NULL, 'v': __x})",
}  # fmt: skip


MACROS = {
    head.partition("(")[0]: (tuple(p.strip() for p in head.partition("(")[2].rstrip(")").split(",")), body)
    for head, body in _MACROS.items()
}
"""Macro name to its parameters and body."""


@lru_cache(maxsize=1)
def kernels() -> tuple[Kernel, ...]:
    """Every kernel of msq.expr.kernels, and of extensions."""
    package = importlib.import_module("msq.expr.kernels")
    found: list[Kernel] = []
    for module in pkgutil.iter_modules(package.__path__):
        found += getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "KERNELS", ())
    extensions.load()
    extra = added()
    for kernel in extra:
        if any(k.name == kernel.name for k in found):
            raise ValueError(f"kernel [{kernel.name}] is declared twice")
    return (*found, *extra)


def prepare(connection: Any) -> Any:
    """Registers settings, macros and UDFs on a DuckDB connection and returns it. Calling it again changes nothing."""
    for statement in _SETTINGS:
        connection.execute(statement)
    try:
        connection.execute("SELECT d_int(0)")
        return connection
    except duckdb.CatalogException:
        pass  # not prepared yet; asking DuckDB's catalog tables takes far longer
    for kernel in kernels():
        connection.create_function(
            kernel.name, kernel.run, list(kernel.parameters), kernel.returns, type="arrow", null_handling="special"
        )
    for name, (parameters, body) in MACROS.items():
        # in the catalog and not TEMP: cursors of the connection share them (worker.duck relies on it)
        connection.execute(f"CREATE OR REPLACE MACRO {name}({', '.join(parameters)}) AS ({body})")
    return connection
