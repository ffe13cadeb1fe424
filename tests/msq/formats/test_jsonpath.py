"""JSONPath: the paths Druid's documentation shows, and what a flattenSpec makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from msq.codec import CodecError
from msq.faults import DruidException
from msq.formats import parse_input_format
from msq.formats.jsonpath import compile_path

RECORD = {
    "store": {
        "book": [
            {"category": "reference", "author": "Rees", "price": 8.95},
            {"category": "fiction", "author": "Waugh", "price": 12.5, "isbn": "0-1"},
            {"category": "fiction", "author": "Tolkien", "price": 22.5, "isbn": "0-2"},
        ],
        "bicycle": {"color": "red", "price": 19.5},
    },
    "limit": 10,
    "odd key": {"a.b": [1, [2, 3]]},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.store.bicycle.color", "red"),
        ("store.bicycle.color", "red"),
        ("$['odd key']['a.b'][1][0]", 2),
        ("$.store.book[-1].author", "Tolkien"),
        ("$.store.book[9].author", None),
        ("$.store.book[*].author", ["Rees", "Waugh", "Tolkien"]),
        ("$.store.*.color", ["red"]),
        ("$..isbn", ["0-1", "0-2"]),
        ("$.store..price", [19.5, 8.95, 12.5, 22.5]),
        ("$.store.book[0,2].price", [8.95, 22.5]),
        ("$.store.book[1:].author", ["Waugh", "Tolkien"]),
        ("$.store.book[:2].author", ["Rees", "Waugh"]),
        ("$.store.bicycle['color','price']", {"color": "red", "price": 19.5}),
        ("$.store.book[?(@.isbn != null)].author", ["Waugh", "Tolkien"]),
        ("$.store.book[?(@.price < $.limit)].author", ["Rees"]),
        ("$.store.book[?(@.category == 'fiction' && @.price > 20)].author", ["Tolkien"]),
        ("$.store.book[?(@.price < 9 || @.author =~ /tol.*/i)].author", ["Rees", "Tolkien"]),
        ("$.store.book[?(@.isbn == null)].author", ["Rees"]),
        ("$.store.book[?(@.author in ['Rees', 'Waugh'])].price", [8.95, 12.5]),
        ("$.store.book[*].price.max()", 22.5),
        ("$.store.book.length()", 3),
        ("$.store.book[*].price.avg()", (8.95 + 12.5 + 22.5) / 3),
        ("$.nothing..x", []),
        ("$", RECORD),
    ],
)
def test_paths(path: str, value: Any) -> None:
    found = compile_path(path)(RECORD)
    assert (sorted(found, key=str) == sorted(value, key=str)) if isinstance(value, list) else found == value


@pytest.mark.parametrize("path", ["$.a[", "$.a[?(@.b ==)]", "$.a.b()", "$.a[x]", "$..", "$.a b"])
def test_texts_that_are_no_paths(path: str) -> None:
    with pytest.raises(CodecError, match=r"flattenSpec path \["):
        compile_path(path)


def test_paths_in_a_flatten_spec(read: Any) -> None:
    fields = [{"type": "path", "name": n, "expr": e} for n, e in [("all", "$.l[*].k"), ("most", "$.l[*].n.max()")]]
    text = '{"l":[{"k":"a","n":1},{"k":"b","n":3}],"id":1}\n{"id":2}\nbad\n{"l":[{"k":"c"}],"id":3}'
    got = read(
        text, {"type": "json", "flattenSpec": {"fields": fields}}, {"id": "LONG", "all": "STRING", "most": "DOUBLE"}
    )
    assert got.rows == [[1, ["a", "b"], 3.0], [2, None, None], [3, ["c"], None]]
    assert len(got.sink.bad) == 1


def test_a_path_that_is_none_refuses_the_format() -> None:
    spec = {"fields": [{"type": "path", "name": "a", "expr": "$.a["}]}
    with pytest.raises(DruidException, match=r"Invalid value for the field \[inputFormat\]"):
        parse_input_format({"type": "json", "flattenSpec": spec})


def test_paths_into_parquet_records(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"l": [[{"k": "a"}, {"k": "b"}], []], "m": [{"x": 1.5}, None]}), path)
    fields = [
        {"type": "path", "name": n, "expr": e} for n, e in [("ks", "$.l[*].k"), ("x", "$..x"), ("n", "$.l.length()")]
    ]
    got = read(
        path, {"type": "parquet", "flattenSpec": {"fields": fields}}, {"ks": "STRING", "x": "DOUBLE", "n": "LONG"}
    )
    assert got.rows == [[["a", "b"], None, 2], [None, None, 0]]
