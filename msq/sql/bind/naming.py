"""Names of computed columns as Druid chooses them: `v0`, `d0`, `a0`, `p0`, `w0`, `j0.`; underscores when taken."""

from __future__ import annotations

from collections.abc import Iterable

from msq.datatypes import STRING, ColumnType, RowSignature
from msq.expr.nodes import Call, Identifier, Literal, Node, transform
from msq.expr.printer import to_text
from msq.expr.types import infer
from msq.expr.virtual import filtered_values
from msq.native.datasource import DataSource, JoinDataSource, QueryDataSource
from msq.native.virtual import ExpressionVirtualColumn, NestedFieldVirtualColumn, VirtualColumn


def unused_prefix(base: str, names: Iterable[str]) -> str:
    """`base` with as many underscores in front as it takes that no name starts with it and a digit."""
    taken = list(names)
    prefix = base
    while any(n.startswith(prefix) and n[len(prefix) : len(prefix) + 1].isdigit() for n in taken):
        prefix = "_" + prefix
    return prefix


def join_prefix(left_names: Iterable[str], *sources: DataSource) -> str:
    """The prefix of a join's right columns: unused by the left columns and by joins anywhere inside the sources."""
    taken = list(left_names)
    waiting = list(sources)
    while waiting:
        source = waiting.pop()
        if isinstance(source, JoinDataSource):
            taken.append(source.right_prefix)
        if isinstance(source, QueryDataSource):
            waiting.append(source.query.data_source)
        waiting.extend(source.children())
    return unused_prefix("j", taken) + "0."


ANY_COMPLEX = ColumnType("COMPLEX")


class VirtualColumns:
    """The virtual columns of one query, one for each distinct expression, numbered by first use.

    Reads the names of `signature`; nodes given to it must speak of those names.
    """

    def __init__(self, signature: RowSignature) -> None:
        self.signature = signature
        self._prefix = unused_prefix("v", signature.names)
        self._by_key: dict[tuple[Node, ColumnType, str], str] = {}
        self.columns: dict[str, VirtualColumn] = {}

    def column(self, node: Node, output_type: ColumnType, kind: str = "") -> str:
        """The name of the column that holds `node`: its own when it is one, else that of a virtual column.

        `kind` keeps apart expressions of one text that Druid keeps apart (a floored TIMESTAMP and a DATE).
        """
        if isinstance(node, Identifier):
            return node.name
        if output_type == ANY_COMPLEX:
            # SQL has no name for what it is: sketches made of others, and lists of numbers of them
            output_type = infer(node, self.signature)
        key = (node, output_type, kind)
        known = self._by_key.get(key)
        if known is None:
            known = self._by_key[key] = f"{self._prefix}{len(self._by_key)}"
            made = nested_field(node, known, output_type) or self._filtered(node, known)
            if made is None:
                # the outer name is taken before the inner ones, so `v0` may read `v1`
                made = ExpressionVirtualColumn(known, to_text(transform(node, self._apart)), output_type)
            self.columns[known] = made
        return known

    def _filtered(self, node: Node, name: str) -> VirtualColumn | None:
        """MV_FILTER_ONLY and its kin, also over an expression, which becomes a virtual column of its own then."""
        made = filtered_values(node, name)
        if made is not None or not isinstance(node, Call) or node.function != "filter" or len(node.args) != 2:
            return made
        source = node.args[1]
        if filtered_values(Call("filter", (node.args[0], Identifier(name))), name) is None:
            return None
        return filtered_values(Call("filter", (node.args[0], Identifier(self.column(source, STRING)))), name)

    @property
    def used(self) -> tuple[VirtualColumn, ...] | None:
        return tuple(self.columns.values()) or None

    def type_of(self, name: str) -> ColumnType | None:
        """The type of a column or virtual column."""
        made = self.columns.get(name)
        return made.column_type if made is not None else self.signature.type_of(name)

    def _apart(self, node: Node) -> Node | None:
        """Paths of JSON columns inside an expression become virtual columns of their own."""
        if not isinstance(node, Call) or nested_field(node, "", STRING) is None:
            return None
        return Identifier(self.column(node, infer(node, self.signature)))


def nested_field(node: Node, name: str, output_type: ColumnType) -> NestedFieldVirtualColumn | None:
    """The nested-field virtual column of a JSON_VALUE or JSON_QUERY of a plain column, None for other nodes."""
    if not isinstance(node, Call) or node.function not in ("json_value", "json_query"):
        return None
    column, path = node.args[0], node.args[1]
    if not isinstance(column, Identifier) or not isinstance(path, Literal) or not isinstance(path.value, str):
        return None
    parts = _path_parts(path.value)
    if parts is None:
        return None
    raw = node.function == "json_query"
    return NestedFieldVirtualColumn(column.name, name, output_type, parts, raw)


def _path_parts(path: str) -> tuple[dict[str, object], ...] | None:
    from msq.expr.jsonpath import parse_path

    made: list[dict[str, object]] = []
    for part in parse_path(path):
        if isinstance(part, int):
            made.append({"type": "arrayElement", "index": part})
        else:
            made.append({"type": "field", "field": part})
    return tuple(made)
