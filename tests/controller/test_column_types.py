"""One type for a column that segments store as different ones."""

from __future__ import annotations

import pytest

from controller.catalog import least_restrictive
from msq.datatypes import ColumnType


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ("LONG", "LONG", "LONG"),
        ("LONG", "DOUBLE", "DOUBLE"),
        ("LONG", "FLOAT", "DOUBLE"),
        ("STRING", "LONG", "STRING"),
        ("ARRAY<LONG>", "STRING", "ARRAY<STRING>"),
        ("ARRAY<LONG>", "ARRAY<DOUBLE>", "ARRAY<DOUBLE>"),
        ("COMPLEX<json>", "ARRAY<LONG>", "COMPLEX<json>"),
        ("COMPLEX<json>", "STRING", "COMPLEX<json>"),
        ("COMPLEX<json>", "COMPLEX<json>", "COMPLEX<json>"),
    ],
)
def test_least_restrictive_type(a: str, b: str, wanted: str) -> None:
    one, other = ColumnType.parse(a), ColumnType.parse(b)
    assert str(least_restrictive(one, other)) == str(least_restrictive(other, one)) == wanted
