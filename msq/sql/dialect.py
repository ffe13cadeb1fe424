"""Druid's dialect for sqlglot: what its trees are made of, and how they print.

sqlglot brings the syntax tree and its printer. The grammar is our own (`expressions`, `calls`, `query`, `shell`):
sqlglot's accepts much that Druid refuses, renames functions, folds literals into casts, and knows neither Druid's
statements nor the tokens, places and texts of its refusals. `DruidDialect` joins the two, so that
`sqlglot.parse_one(text, dialect=DruidDialect)` and `node.sql(dialect=DruidDialect)` work.

Every node carries its place (`nodes.position_of`). Node inventory; whatever is not listed never occurs:

Queries (`Statement.query`)
  exp.Select        expressions, distinct (exp.Distinct), hint (exp.Hint of exp.Var), from_ (exp.From), joins, where,
                    group, having, windows (NamedWindow ..), qualify, order, limit, offset, with_
  exp.Union, exp.Except, exp.Intersect   this, expression, distinct (bool), and order, limit, offset, with_. A run of
                    UNION ALL is a balanced tree. Operands are queries, never parenthesised; an operand may have its own
                    order and limit
  exp.Values        expressions: exp.Tuple ..; never with further clauses
  exp.With          expressions: exp.CTE(this=query, alias=exp.TableAlias(this, columns)); recursive
  exp.Order         expressions: exp.Ordered(this, desc, nulls_first), both None when not written
  exp.Limit, exp.Offset   expression: number literal or exp.Placeholder. FETCH is a Limit, `LIMIT a, b` both
  exp.Group         expressions: expressions, exp.Tuple (`()` is empty), exp.GroupingSets, exp.Rollup, exp.Cube
  exp.Where, exp.Having, exp.Qualify   this
Select list
  exp.Star, exp.Column(this=exp.Star, table=..), exp.Alias(this, alias=exp.Identifier), or a bare expression
FROM (alias: exp.TableAlias(this, columns) | None)
  exp.Table         this, db, catalog: exp.Identifier
  exp.Subquery      this: query
  exp.Unnest        expressions (LATERAL UNNEST is the same node)
  exp.Lateral       this: exp.Subquery
  JoinedTables      this, joins: a parenthesised join
  ExternalTable     EXTERN, INLINE, LOCALFILES, HTTP, S3, their arguments resolved
  AppendTable       TABLE(APPEND('a', 'b'))
  PivotedTable      this (any of these), pivot: Pivot | Unpivot
  exp.Join          this, method ("NATURAL"), side ("LEFT" | "RIGHT" | "FULL"), kind ("INNER" | "CROSS"; a comma is
                    CROSS), on, using (exp.Identifier ..)
Expressions
  exp.Column        this: exp.Identifier, table, db, catalog
  exp.Literal       this: text; is_string. U&'..' is decoded. Numbers are as written (`1`, `1.50`, `1e5`)
  exp.Null, exp.Boolean, exp.Placeholder (this: its index as text; only where no value was given)
  TemporalLiteral, IntervalLiteral
  exp.And, exp.Or, exp.DPipe (runs of them are balanced trees), exp.Not, exp.Neg, exp.Paren
  exp.Add, exp.Sub, exp.Mul, exp.Div, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE
  exp.Is            expression: exp.Null | exp.Boolean (IS UNKNOWN is IS NULL); negation is exp.Not around it
  exp.NullSafeEQ    IS NOT DISTINCT FROM; exp.NullSafeNEQ: IS DISTINCT FROM
  exp.Between       this, low, high, symmetric
  exp.In            expressions, or query: exp.Subquery
  exp.Like, exp.ILike, exp.SimilarTo; with ESCAPE an exp.Escape(this=the like, expression) around it
  exp.Any, exp.All  after a comparison; this: exp.Subquery | exp.Tuple
  exp.Exists        this: exp.Subquery
  exp.Subquery      a scalar subquery
  exp.Case          this, ifs (exp.If(this, true)), default
  exp.Cast          this, to: TypeName
  exp.Array         expressions; exp.Bracket(this, expressions=[index])
  exp.Tuple         ROW(..) and (a, b)
  Call              every function, aggregate and window call, under the user's own name. Forms with words become
                    positional arguments: EXTRACT(Var unit, x); FLOOR and CEIL(x [, Var unit]); POSITION(a, b [, from]);
                    SUBSTRING(x, from [, for]); TRIM(x) or TRIM(Var side, chars, x); OVERLAY(x, by, from [, for]);
                    TIMESTAMPADD and TIMESTAMPDIFF(Var unit, a, b); JSON_OBJECT(k, v, ..); JSON_VALUE(x, path) with
                    `returning` and `options`; CURRENT_TIMESTAMP and its like have `bare`; USER and its like are columns
  exp.Var           a word among arguments (DAY, BOTH) or IGNORE NULLS
  WindowOver, WindowFrame, FrameBound, NamedWindow, NamedArgument, Option, TypeName
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp, generator, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.generator import Generator

from msq.sql import nodes

Transform = Callable[[Any, Any], str]


def _list(printer: Generator, items: list[exp.Expr] | None) -> str:
    return ", ".join(printer.sql(item) for item in items or ())


def _call(printer: Generator, node: nodes.Call) -> str:
    if node.args.get("bare"):
        return node.name
    arguments = node.expressions
    inner = _list(printer, arguments)
    if node.upper in ("FLOOR", "CEIL", "CEILING") and len(arguments) == 2 and isinstance(arguments[1], exp.Var):
        inner = f"{printer.sql(arguments[0])} TO {printer.sql(arguments[1])}"
    elif node.upper == "EXTRACT":
        inner = " FROM ".join(printer.sql(a) for a in arguments)
    elif node.upper == "TRIM" and len(arguments) == 3:
        inner = "{} {} FROM {}".format(*(printer.sql(a) for a in arguments))
    elif node.upper == "POSITION" and len(arguments) > 1:
        inner = " IN ".join(printer.sql(a) for a in arguments[:2])
        inner += f" FROM {printer.sql(arguments[2])}" if len(arguments) > 2 else ""
    elif node.upper == "OVERLAY" and len(arguments) > 2:
        words = (" PLACING ", " FROM ", " FOR ")
        inner = printer.sql(arguments[0]) + "".join(w + printer.sql(a) for w, a in zip(words, arguments[1:]))
    if node.args.get("distinct"):
        inner = f"DISTINCT {inner}"
    for key, word in (("returning", "RETURNING "), ("order", "")):
        if node.args.get(key) is not None:
            inner += f" {word}{printer.sql(node, key).strip()}"
    if node.args.get("options"):
        inner += " " + " ".join(printer.sql(o) for o in node.args["options"])
    name = node.name
    if not re.fullmatch(r"[^\W\d]\w*", name):
        name = printer.sql(exp.to_identifier(name, quoted=True))
    out = f"{name}({inner})"
    if node.args.get("nulls") is not None:
        out += f" {printer.sql(node, 'nulls')}"
    if node.args.get("filter") is not None:
        out += f" FILTER (WHERE {printer.sql(node, 'filter')})"
    if node.args.get("over") is not None:
        out += f" OVER {printer.sql(node, 'over')}"
    return out


def _window(printer: Generator, node: nodes.WindowOver) -> str:
    parts = [printer.sql(node, "this")]
    if node.args.get("partition_by"):
        parts.append(f"PARTITION BY {_list(printer, node.args['partition_by'])}")
    parts += [printer.sql(node, "order").strip(), printer.sql(node, "frame")]
    return f"({' '.join(p for p in parts if p)})"


def _frame(printer: Generator, node: nodes.WindowFrame) -> str:
    start, end = printer.sql(node, "start"), printer.sql(node, "end")
    return f"{node.args['this']} BETWEEN {start} AND {end}" if end else f"{node.args['this']} {start}"


def _bound(printer: Generator, node: nodes.FrameBound) -> str:
    if node.args["this"] == "CURRENT ROW":
        return "CURRENT ROW"
    return f"{printer.sql(node, 'expression') or 'UNBOUNDED'} {node.args['this']}"


def _quoted(node: exp.Expr) -> str:
    return "'" + str(node.args["this"]).replace("'", "''") + "'"


def _type(text: str) -> str:
    """A type as it is written in SQL: complex ones as TYPE('..')."""
    return re.sub(r"(COMPLEX(?:<.*>)?)", r"TYPE('\1')", text, flags=re.IGNORECASE)


def _option(printer: Generator, node: nodes.Option) -> str:
    word, _, rest = str(node.args["this"]).partition(" ")
    value = printer.sql(node, "expression")
    return " ".join(part for part in (word, value, rest) if part)


def _interval(printer: Generator, node: nodes.IntervalLiteral) -> str:
    sign = "-" if node.args.get("negative") else ""
    to = f" TO {node.args['to']}" if node.args.get("to") else ""
    return f"INTERVAL {sign}{_quoted(node)} {node.args['unit']}{to}"


def _aliased(printer: Generator, node: exp.Expr, text: str) -> str:
    alias = printer.sql(node, "alias")
    return f"{text} AS {alias}" if alias else text


def _external(printer: Generator, node: nodes.ExternalTable) -> str:
    """An EXTERN of what the call came down to, whichever function it was."""
    objects = (printer.sql(exp.Literal.string(json.dumps(o))) for o in (node.source, node.format) if o is not None)
    columns = zip(node.signature.names, node.sql_types)
    extend = ", ".join(f"{printer.sql(exp.to_identifier(name, quoted=True))} {_type(kind)}" for name, kind in columns)
    return _aliased(printer, node, f"TABLE(EXTERN({', '.join(objects)})) EXTEND ({extend})")


def _joined(printer: Generator, node: nodes.JoinedTables) -> str:
    joins = "".join(printer.sql(join) for join in node.args.get("joins") or ())
    return f"({printer.sql(node, 'this')}{joins})"


def _wrapped(printer: Generator, items: list[exp.Expr]) -> str:
    inner = _list(printer, items)
    return inner if len(items) == 1 else f"({inner})"


def _pivot(printer: Generator, node: nodes.Pivot | nodes.Unpivot) -> str:
    measures = _list(printer, node.expressions)
    if isinstance(node, nodes.Unpivot):
        measures = _wrapped(printer, node.expressions)
    axes = _wrapped(printer, node.args["axes"])
    return f"({measures} FOR {axes} IN ({_list(printer, node.args['values'])}))"


def _pivot_value(printer: Generator, node: nodes.PivotValue) -> str:
    out = _wrapped(printer, node.expressions)
    if node.args.get("constants"):
        out += f" AS {_wrapped(printer, node.args['constants'])}"
    return _aliased(printer, node, out)


def _ordered(printer: Generator, node: exp.Ordered) -> str:
    """As it was written: Druid has one order of nulls, and its messages name no default."""
    out = printer.sql(node, "this")
    if node.args.get("desc") is not None:
        out += " DESC" if node.args["desc"] else " ASC"
    if node.args.get("nulls_first") is not None:
        out += " NULLS FIRST" if node.args["nulls_first"] else " NULLS LAST"
    return out


_TRANSFORMS: dict[type[exp.Expr], Transform] = {
    nodes.Call: _call,
    nodes.WindowOver: _window,
    nodes.WindowFrame: _frame,
    nodes.FrameBound: _bound,
    nodes.IntervalLiteral: _interval,
    nodes.TemporalLiteral: lambda printer, node: f"{node.args['kind']} {_quoted(node)}",
    nodes.TypeName: lambda printer, node: _type(str(node)),
    nodes.Option: _option,
    nodes.NamedArgument: lambda printer, node: f"{printer.sql(node, 'this')} => {printer.sql(node, 'expression')}",
    nodes.NamedWindow: lambda printer, node: f"{printer.sql(node, 'this')} AS {printer.sql(node, 'window')}",
    nodes.ExternalTable: _external,
    nodes.AppendTable: lambda printer, node: _aliased(
        printer, node, f"TABLE(APPEND({_list(printer, node.expressions)}))"
    ),
    nodes.JoinedTables: _joined,
    nodes.PivotedTable: lambda printer, node: _aliased(
        printer, node, f"{printer.sql(node, 'this')} {printer.sql(node, 'pivot')}"
    ),
    nodes.Pivot: lambda printer, node: f"PIVOT {_pivot(printer, node)}",
    nodes.Unpivot: lambda printer, node: (
        f"UNPIVOT {'INCLUDE NULLS ' if node.args.get('nulls') else ''}{_pivot(printer, node)}"
    ),
    nodes.PivotValue: _pivot_value,
    exp.Ordered: _ordered,
    exp.Placeholder: lambda printer, node: "?",
    exp.Array: lambda printer, node: f"ARRAY[{_list(printer, node.expressions)}]",
}


class DruidDialect(Dialect):
    """sqlglot's view of Druid. Names have case; NULL is the smallest value."""

    NULL_ORDERING = "nulls_are_small"

    class Parser(parser.Parser):
        def parse(self, raw_tokens: Any, sql: str) -> list[exp.Expr | None]:
            from msq.sql.query import parse_query

            return [parse_query(sql)]

    class Generator(generator.Generator):
        TRANSFORMS: ClassVar[dict[Any, Any]] = {**generator.Generator.TRANSFORMS, **_TRANSFORMS}


class _MessageDialect(DruidDialect):
    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]


def to_sql(node: exp.Expr) -> str:
    """An expression as SQL, names in double quotes: `CEIL("m2")`."""
    return node.sql(dialect=DruidDialect, identify=True)


def to_message(node: exp.Expr) -> str:
    """An expression as Druid's messages print it, names in back quotes: `` `x` DESC ``."""
    return node.sql(dialect=_MessageDialect, identify=True)
