"""The syntax nodes that sqlglot has no like of; `dialect` lists the whole inventory."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp

from msq.datatypes import RowSignature

Query = exp.Query | exp.Values
"""What a query is in a tree: `exp.Select`, a set operation, or VALUES."""

Position = tuple[int, int, int, int]


def position_of(node: exp.Expr | None) -> Position | None:
    """(line, column, endLine, endColumn) of a node in its statement, 1-based, both ends inclusive."""
    if node is None or not node._meta:
        return None
    position: Position | None = node._meta.get("position")
    return position


def offsets_of(node: exp.Expr | None) -> tuple[int, int] | None:
    """(start, end) of a node in its statement's text, 0-based, end exclusive."""
    if node is None or not node._meta:
        return None
    offsets: tuple[int, int] | None = node._meta.get("offsets")
    return offsets


class Call(exp.Expression, exp.Condition):
    """A function or aggregate call under the name that the user wrote.

    this: the name (str). expressions: arguments (`exp.Star` in COUNT(*), `exp.Var` for words such as DAY).
    distinct: True for DISTINCT. order: `exp.Order` inside the call or from WITHIN GROUP. filter: condition of FILTER.
    nulls: `exp.Var` IGNORE NULLS or RESPECT NULLS. over: `WindowOver`, or `exp.Identifier` of a named window.
    returning: `TypeName`. options: `Option`s, in order. bare: True when written without parentheses.
    """

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True, "expressions": False, "distinct": False, "order": False, "filter": False, "nulls": False,
        "over": False, "returning": False, "options": False, "bare": False,
    }  # fmt: skip

    @property
    def name(self) -> str:
        return str(self.args["this"])

    @property
    def upper(self) -> str:
        """The function's name in capitals: names of functions have no case."""
        return self.name.upper()


class Option(exp.Expression):
    """A further clause of a JSON function. this: its words (`NULL ON EMPTY`, `DEFAULT ON ERROR`, `WITH ARRAY WRAPPER`,
    `ABSENT ON NULL`); expression: the value of DEFAULT."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": False}


class NamedArgument(exp.Expression):
    """`name => value` among the arguments of a call. this: `exp.Identifier`; expression: the value."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": True}


class WindowOver(exp.Expression):
    """The parenthesised part of OVER. this: `exp.Identifier` of the window it refines; partition_by: list;
    order: `exp.Order`; frame: `WindowFrame`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": False, "partition_by": False, "order": False, "frame": False}


class WindowFrame(exp.Expression):
    """this: "ROWS" or "RANGE"; start, end: `FrameBound` (end None when only one bound was written)."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "start": True, "end": False}


class FrameBound(exp.Expression):
    """this: "PRECEDING", "FOLLOWING" or "CURRENT ROW"; expression: the distance, None for UNBOUNDED."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": False}


class NamedWindow(exp.Expression):
    """`this AS (window)` of the WINDOW clause: `exp.Identifier`, `WindowOver`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "window": True}


class TemporalLiteral(exp.Expression, exp.Condition):
    """`TIMESTAMP '..'`, `DATE '..'`, `TIME '..'`. kind: the word; this: the text between the quotes."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True}


class IntervalLiteral(exp.Expression, exp.Condition):
    """`INTERVAL '..' unit [TO unit]`. this: text between the quotes; negative: bool; unit, to: words in capitals."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True, "negative": False, "unit": True, "to": False, "precision": False,
    }  # fmt: skip


class TypeName(exp.Expression):
    """A SQL type. this: its name in capitals, in one spelling (INTEGER, DECIMAL, VARCHAR, CHAR, DOUBLE ..), or TYPE;
    precision, scale: int; array: how many times ARRAY follows; native: the text in TYPE('..')."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True, "precision": False, "scale": False, "array": False, "native": False,
    }  # fmt: skip

    def __str__(self) -> str:
        name = str(self.args["this"])
        if name == "TYPE":
            name = str(self.args["native"])
        elif self.args.get("precision") is not None:
            scale = self.args.get("scale")
            name += f"({self.args['precision']}{'' if scale is None else f', {scale}'})"
        return name + " ARRAY" * int(self.args.get("array") or 0)


class ColumnDefinition(exp.Expression):
    """One column of an EXTEND list. this: `exp.Identifier`; kind: `TypeName`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True}


class TableFunction(exp.Expression):
    """`TABLE(name(args)) [EXTEND] (columns)` before its arguments are read (see `extern`)."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expressions": False, "columns": False}


class ExternalTable(exp.Expression):
    """An external table. this: name of the function; source, format: JSON objects of the input source and format;
    signature: `RowSignature`; types: tuple of SQL types as text, in the columns' order; alias: `exp.TableAlias`."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True, "source": True, "format": False, "signature": True, "types": True, "alias": False,
    }  # fmt: skip

    @property
    def source(self) -> dict[str, Any]:
        source: dict[str, Any] = self.args["source"]
        return source

    @property
    def format(self) -> dict[str, Any] | None:
        return self.args.get("format")

    @property
    def signature(self) -> RowSignature:
        signature: RowSignature = self.args["signature"]
        return signature

    @property
    def sql_types(self) -> tuple[str, ...]:
        types: tuple[str, ...] = self.args["types"]
        return types


class AppendTable(exp.Expression):
    """`TABLE(APPEND('a', 'b'))`. expressions: string `exp.Literal`s of table names; alias: `exp.TableAlias`."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True, "alias": False}


class PivotValue(exp.Expression):
    """One item of a pivot's IN list. expressions: the values (PIVOT) or columns (UNPIVOT), as many as there are axes or
    measures; alias: `exp.Identifier` of PIVOT's column; constants: UNPIVOT's AS values."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True, "alias": False, "constants": False}


class Pivot(exp.Expression):
    """`PIVOT (aggregates FOR axes IN (values))`. expressions: `Call`s, bare or in `exp.Alias`; axes: `exp.Column`s;
    values: `PivotValue`s."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True, "axes": True, "values": True}


class Unpivot(exp.Expression):
    """`UNPIVOT [INCLUDE NULLS] (measures FOR axes IN (values))`. expressions, axes: `exp.Identifier`s; values:
    `PivotValue`s; nulls: True for INCLUDE NULLS."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True, "axes": True, "values": True, "nulls": False}


class PivotedTable(exp.Expression):
    """this: any item of FROM; pivot: `Pivot` or `Unpivot`; alias: `exp.TableAlias`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "pivot": True, "alias": False}


class JoinedTables(exp.Expression):
    """A parenthesised join in FROM. this: the first table; joins: list of `exp.Join`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "joins": False}
