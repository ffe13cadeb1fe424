"""Seeded data of the benchmarks, made by DuckDB once and kept in a folder: click events, order lines, parts.

Click events follow the shape of Koalas' "koalas to the max" events that Druid's documentation ingests: 30 columns, JSON
lines, gzip. Order lines follow TPC-H's lineitem with a timestamp: 17 columns over 83 months.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

EVENT_ROWS = 465_346
PARTS = 200_000
_EVENTS = """
SELECT
  strftime(TIMESTAMP '2019-08-25' + to_milliseconds(CAST(i * 86400000 // {rows} AS BIGINT)), '%Y-%m-%dT%H:%M:%S.%gZ')
    AS "timestamp",
  {pick8} AS agent_category, {browser} AS browser, '7' || h % 9 || '.0.' || h % 4000 AS browser_version,
  {city} AS city, {continent} AS continent, {country} AS country, 'v' || h % 5 AS version,
  CASE WHEN h % 3 = 0 THEN 'PercentClear' ELSE 'Click' END AS event_type, h % 101 AS event_subtype,
  {loaded} AS loaded_image, {pick8} AS adblock_list, 'https://example.org/p/' || h % 20000 AS forwarded_for,
  {language} AS "language", (h % 60) * 13 AS number, {os} AS os, '/' || h % 300 || '/' || (h // 7) % 40 AS path,
  {pick8} AS platform, 'https://ref.example.net/' || h % 9000 AS referrer, 'ref' || h % 700 || '.net' AS referrer_host,
  {region} AS region, (h % 32767) AS remote_address_part, {pick8} AS screen,
  'S' || lpad(CAST(h % 90000 AS VARCHAR), 8, '0') AS session, (h % 250000) AS session_length,
  'Europe/Zone' || h % 24 AS timezone, (h % 13) * 60 - 360 AS timezone_offset, {pick8} AS window_size,
  h % 2 = 0 AS is_bot, (h % 100000) / 100.0 AS price
FROM (SELECT i, CAST(hash(i * 2654435761) % 1000000007 AS BIGINT) AS h FROM range({rows}) t(i))
"""
_WORDS = {
    "pick8": ("Personal computer", "Smartphone", "Tablet", "Smart TV", "Console", "Crawler", "Other", "Unknown"),
    "browser": ("Chrome", "Firefox", "Safari", "Edge", "Opera", "Mobile Safari", "Chrome Mobile", "IE"),
    "continent": ("Europe", "North America", "South America", "Asia", "Africa", "Oceania"),
    "loaded": ("http://www.koalastothemax.com/img/koalas.jpg", "http://www.koalastothemax.com/img/koalas2.jpg"),
    "language": ("en", "en-us", "de", "fr", "es-419", "pt-br", "ja", "zh-cn", "it", "nl"),
    "os": ("Windows 10", "Windows 7", "Mac OS X", "Linux", "Android", "iOS", "Chrome OS"),
}
_LINES = """
SELECT
  i // 4 + 1 AS l_orderkey, h % {parts} + 1 AS l_partkey, h % 10000 + 1 AS l_suppkey, i % 4 + 1 AS l_linenumber,
  h % 50 + 1 AS l_quantity, (h % 10000000) / 100.0 AS l_extendedprice, (h % 11) / 100.0 AS l_discount,
  (h % 9) / 100.0 AS l_tax, ['A', 'N', 'R'][h % 3 + 1] AS l_returnflag, ['O', 'F'][h % 2 + 1] AS l_linestatus,
  strftime(TIMESTAMP '1992-01-01' + to_hours(CAST((h // 3) % (83 * 730) AS BIGINT)), '%Y-%m-%dT%H:%M:%SZ')
    AS l_shipdate,
  strftime(TIMESTAMP '1992-02-01' + to_hours(CAST((h // 5) % (83 * 730) AS BIGINT)), '%Y-%m-%d') AS l_commitdate,
  strftime(TIMESTAMP '1992-03-01' + to_hours(CAST((h // 7) % (83 * 730) AS BIGINT)), '%Y-%m-%d') AS l_receiptdate,
  ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][h % 4 + 1] AS l_shipinstruct,
  ['TRUCK', 'MAIL', 'REG AIR', 'AIR', 'FOB', 'RAIL', 'SHIP'][h % 7 + 1] AS l_shipmode,
  'comment ' || (h % 1000000) || ' carefully final deposits ' || (h % 977) AS l_comment,
  'Clerk#' || lpad(CAST(h % 10000 AS VARCHAR), 9, '0') AS l_clerk
FROM (SELECT i, CAST(hash(i * 40503 + 1) % 1000000007 AS BIGINT) AS h FROM range({rows}) t(i))
"""
_PART_ROWS = """
SELECT i + 1 AS p_partkey, 'part ' || i AS p_name, 'Brand#' || i % 25 AS p_brand, 'TYPE ' || i % 150 AS p_type,
  i % 50 + 1 AS p_size
FROM range({parts}) t(i)
"""
EVENT_COLUMNS = (
    ("timestamp", "VARCHAR"), ("agent_category", "VARCHAR"), ("browser", "VARCHAR"), ("browser_version", "VARCHAR"),
    ("city", "VARCHAR"), ("continent", "VARCHAR"), ("country", "VARCHAR"), ("version", "VARCHAR"),
    ("event_type", "VARCHAR"), ("event_subtype", "BIGINT"), ("loaded_image", "VARCHAR"), ("adblock_list", "VARCHAR"),
    ("forwarded_for", "VARCHAR"), ("language", "VARCHAR"), ("number", "BIGINT"), ("os", "VARCHAR"), ("path", "VARCHAR"),
    ("platform", "VARCHAR"), ("referrer", "VARCHAR"), ("referrer_host", "VARCHAR"), ("region", "VARCHAR"),
    ("remote_address_part", "BIGINT"), ("screen", "VARCHAR"), ("session", "VARCHAR"), ("session_length", "BIGINT"),
    ("timezone", "VARCHAR"), ("timezone_offset", "BIGINT"), ("window_size", "VARCHAR"), ("is_bot", "VARCHAR"),
    ("price", "DOUBLE"),
)  # fmt: skip
LINE_COLUMNS = (
    ("l_orderkey", "BIGINT"), ("l_partkey", "BIGINT"), ("l_suppkey", "BIGINT"), ("l_linenumber", "BIGINT"),
    ("l_quantity", "BIGINT"), ("l_extendedprice", "DOUBLE"), ("l_discount", "DOUBLE"), ("l_tax", "DOUBLE"),
    ("l_returnflag", "VARCHAR"), ("l_linestatus", "VARCHAR"), ("l_shipdate", "VARCHAR"), ("l_commitdate", "VARCHAR"),
    ("l_receiptdate", "VARCHAR"), ("l_shipinstruct", "VARCHAR"), ("l_shipmode", "VARCHAR"), ("l_comment", "VARCHAR"),
    ("l_clerk", "VARCHAR"),
)  # fmt: skip
PART_COLUMNS = (
    ("p_partkey", "BIGINT"), ("p_name", "VARCHAR"), ("p_brand", "VARCHAR"), ("p_type", "VARCHAR"), ("p_size", "BIGINT"),
)  # fmt: skip


def _event_words() -> dict[str, str]:
    lists = {name: "[" + ", ".join(f"'{w}'" for w in words) + "]" for name, words in _WORDS.items()}
    out = {name: f"{text}[h % {len(_WORDS[name])} + 1]" for name, text in lists.items()}
    out["city"] = "'City ' || h % 4000"
    out["country"] = "'Country ' || h % 180"
    out["region"] = "'Region ' || h % 900"
    return out


def events(folder: Path, rows: int = EVENT_ROWS) -> Path:
    """Click events as gzipped JSON lines."""
    sql = _EVENTS.format(rows=rows, **_event_words())
    return _make(folder / f"events-{rows}.json.gz", sql, "FORMAT json, COMPRESSION gzip")


def lines(folder: Path, rows: int, form: str) -> Path:
    """Order lines as CSV with a header, or as Parquet."""
    options = "FORMAT csv, HEADER" if form == "csv" else "FORMAT parquet"
    return _make(folder / f"lines-{rows}.{form}", _LINES.format(rows=rows, parts=PARTS), options)


def parts(folder: Path) -> Path:
    """The parts that order lines name, as CSV with a header."""
    return _make(folder / "parts.csv", _PART_ROWS.format(parts=PARTS), "FORMAT csv, HEADER")


def _make(path: Path, sql: str, options: str) -> Path:
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{aside}' ({options})")
    os.replace(aside, path)
    return path
