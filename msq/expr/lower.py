"""Native expressions to DuckDB SQL. The SQL runs in a connection that `msq.expr.prepare.prepare` made ready.

Owns the walk, literals, implicit conversions between native types, and the mapping of scalar functions over multi-value
strings; what each function becomes is declared with the function (msq.expr.functions).

Values in SQL: STRING is VARCHAR (VARCHAR[] when multi-valued), LONG is BIGINT, FLOAT and DOUBLE are DOUBLE inside
expressions, ARRAY<T> is a list, COMPLEX<json> is VARCHAR holding JSON text, other COMPLEX are BLOB. Inside an
expression a predicate may stay BOOLEAN (`Lowered.boolean`); `lower` hands out BIGINT 0/1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msq.catalog import Lookups
from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, STRING_ARRAY, ColumnType, array_of
from msq.expr.nodes import Call, Identifier, Lambda, Literal, Node
from msq.expr.registry import LowerRule, native_function
from msq.expr.size import expanded_size
from msq.faults import invalid_input

_LARGE = 6_000
"""Characters of expanded SQL from which one function's arguments are held instead of copied."""
_SHORT = 80
"""Characters of expanded SQL that cost less to compute several times than to hold."""


@dataclass(frozen=True, slots=True)
class InputColumn:
    """A column the SQL may read: its quoted SQL name, type, and whether its rows may hold several values.

    fraction: of a text that is a scalar of a JSON column, SQL of the number (DOUBLE) where the scalar is a number with
    a fraction or exponent, NULL elsewhere.
    """

    sql_name: str
    type: ColumnType
    multi_value: bool = False
    fraction: str | None = None


@dataclass(frozen=True, slots=True)
class LowerEnv:
    """What lowering needs besides columns. `lookups`: name to key/value texts."""

    lookups: Lookups = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowered:
    """SQL of a value. `boolean`: the SQL is BOOLEAN and stands for LONG 0/1. `literal`: set when it is a constant."""

    sql: str
    type: ColumnType
    multi_value: bool = False
    boolean: bool = False
    literal: Literal | None = None

    @property
    def is_null(self) -> bool:
        return self.literal is not None and self.literal.value is None


def lower(node: Node, inputs: Mapping[str, InputColumn], env: LowerEnv | None = None) -> Lowered:
    """The value of `node`, one per row. Multi-value strings give VARCHAR[] with `multi_value` set.

    A column that is not in `inputs` reads as NULL. Raises DruidException for unknown functions and bad constants.
    """
    if isinstance(node, Identifier) and node.name in inputs:
        column = inputs[node.name]
        return Lowered(column.sql_name, column.type, column.multi_value)
    made = Lowering(inputs, env or LowerEnv()).node(node)
    return replace(made, sql=as_long_sql(made), boolean=False) if made.boolean else made


def lower_condition(node: Node, inputs: Mapping[str, InputColumn], env: LowerEnv | None = None) -> str:
    """BOOLEAN SQL: numbers are true above 0, texts when `true`; of a multi-value string any value counts."""
    return Lowering(inputs, env or LowerEnv()).condition(node)


def as_output(value: Lowered, wanted: ColumnType) -> Lowered:
    """The value as a virtual column of type `wanted` holds it; a list asked for as STRING becomes multi-valued."""
    if wanted == STRING and (value.multi_value or value.type.is_array):
        sql = value.sql if value.multi_value or value.type == STRING_ARRAY else convert(value, STRING_ARRAY)
        return Lowered(sql, STRING, True)
    if value.type == wanted and not value.boolean:
        return value
    if value.multi_value and not wanted.is_array:
        return Lowered(convert(_single(value), wanted), wanted)
    return Lowered(convert(value, wanted), wanted)


# ------------------------------------------------------------------------------------------------------- SQL pieces


def quote(text: str) -> str:
    """A SQL string literal."""
    if "\0" in text:
        return "(" + " || chr(0) || ".join(quote(part) for part in text.split("\0")) + ")"
    return "'" + text.replace("'", "''") + "'"


SQL_TYPES = {"STRING": "VARCHAR", "LONG": "BIGINT", "DOUBLE": "DOUBLE", "FLOAT": "FLOAT"}


def sql_type(of: ColumnType, multi_value: bool = False) -> str:
    """The DuckDB type of values of a native type."""
    if of.element is not None:
        return sql_type(of.element) + "[]"
    if of.is_complex:
        return "VARCHAR" if of.is_json else "BLOB"
    return SQL_TYPES[of.kind] + ("[]" if multi_value else "")


def literal_sql(value: Any, of: ColumnType | None) -> str:
    """A constant, typed: NULLs are cast, LONG is BIGINT, DOUBLE is DOUBLE."""
    kind = of or STRING
    if value is None:
        return f"CAST(NULL AS {sql_type(kind)})"
    if kind.element is not None:
        return f"CAST([{', '.join(literal_sql(v, kind.element) for v in value)}] AS {sql_type(kind)})"
    if kind.kind == "STRING" or kind.is_json:
        return quote(str(value))
    if kind == LONG:
        return f"CAST({int(value)} AS BIGINT)" if value != -(2**63) else "CAST('-9223372036854775808' AS BIGINT)"
    return f"CAST('{float(value)!r}' AS {sql_type(kind)})"


def as_long_sql(value: Lowered) -> str:
    return f"CAST({value.sql} AS BIGINT)" if value.boolean else value.sql


def convert(value: Lowered, wanted: ColumnType) -> str:
    """SQL of `value` as `wanted`, by Druid's rules of CAST (never raises; failures give NULL)."""
    if value.literal is not None and value.literal.value is None:
        return literal_sql(None, wanted)
    have = value.type
    if value.boolean:
        value, have = Lowered(f"CAST({value.sql} AS BIGINT)", LONG), LONG
    if have == wanted and not value.multi_value:
        return value.sql
    if wanted.element is not None:
        return _to_array(value, wanted)
    if value.multi_value:
        return convert(_single(value), wanted)
    if have.element is not None:
        return _array_to_scalar(value, wanted)
    rule = _CONVERSIONS.get((have.kind, wanted.kind))
    if rule is None:
        return literal_sql(None, wanted)
    return rule.format(value.sql)


def java_int(value: Lowered) -> str:
    """SQL of a position or count: a LONG cut to 32 bits."""
    if value.literal is not None and isinstance(value.literal.value, int) and abs(value.literal.value) < 2**31:
        return literal_sql(value.literal.value, LONG)
    return f"d_int({convert(value, LONG)})"


_CONVERSIONS = {
    ("LONG", "DOUBLE"): "CAST({0} AS DOUBLE)",
    ("FLOAT", "DOUBLE"): "CAST({0} AS DOUBLE)",
    ("STRING", "DOUBLE"): "d_s2d({0})",
    ("LONG", "FLOAT"): "d_d2f(CAST({0} AS DOUBLE))",
    ("DOUBLE", "FLOAT"): "d_d2f({0})",
    ("STRING", "FLOAT"): "d_d2f(d_s2d({0}))",
    ("DOUBLE", "LONG"): "d_d2l({0})",
    ("FLOAT", "LONG"): "d_d2l(CAST({0} AS DOUBLE))",
    ("STRING", "LONG"): "d_s2l({0})",
    ("LONG", "STRING"): "CAST({0} AS VARCHAR)",
    ("DOUBLE", "STRING"): "d_text({0})",
    ("FLOAT", "STRING"): "d_text(CAST({0} AS DOUBLE))",
    ("COMPLEX", "STRING"): "CAST({0} AS VARCHAR)",
    ("STRING", "COMPLEX"): "d_json_of({0})",
    ("LONG", "COMPLEX"): "CAST({0} AS VARCHAR)",
    ("DOUBLE", "COMPLEX"): "d_text({0})",
    ("COMPLEX", "COMPLEX"): "{0}",
}


def _to_array(value: Lowered, wanted: ColumnType) -> str:
    assert wanted.element is not None
    element = wanted.element
    if value.type.element is not None:
        inner = value.type.element
    elif value.multi_value:
        inner = STRING
    elif value.type.is_json and not element.is_json:
        # A JSON text as an array: its elements as JSON, each cast; anything else is one element.
        return f"CAST(py_json_array({value.sql}) AS {sql_type(wanted)})"
    else:
        item = convert(value, element)
        return f"(CASE WHEN {value.sql} IS NOT NULL THEN [{item}] END)"
    if inner == element:
        return value.sql
    return f"list_transform({value.sql}, lambda __c: {convert(Lowered('__c', inner), element)})"


def _array_to_scalar(value: Lowered, wanted: ColumnType) -> str:
    """An array read as a scalar: its one element, else its JSON text for STRING and NULL for numbers."""
    assert value.type.element is not None
    if wanted.is_json:
        return json_sql(value)
    inner = Lowered(f"({value.sql})[1]", value.type.element)
    return f"(CASE WHEN len({value.sql}) = 1 THEN {convert(inner, wanted)} END)"


def json_sql(value: Lowered) -> str:
    """SQL of the JSON text of an array, of a number or of a text that is no array's element; NULL for NULL."""
    if value.type.element == STRING or value.type == STRING:
        return f"CAST(to_json({value.sql}) AS VARCHAR)"
    if value.type.element is not None:
        return f"d_json_list(list_transform({value.sql}, lambda __j: {json_sql(Lowered('__j', value.type.element))}))"
    if value.type.is_json:
        return f"py_json_normal({value.sql})"
    if value.type == LONG:
        return f"CAST({as_long_sql(value)} AS VARCHAR)"
    if value.type.is_numeric:
        return f"d_json_double({convert(value, DOUBLE)})"
    raise invalid_input(f"Values of type [{value.type}] have no JSON form")


def _single(value: Lowered) -> Lowered:
    """A multi-value string where one value is wanted: NULL for a row that holds several."""
    return Lowered(f"(CASE WHEN len({value.sql}) = 1 THEN ({value.sql})[1] END)", STRING)


# --------------------------------------------------------------------------------------------------------- the walk


class Lowering:
    """One expression's walk: columns in scope, environment, and the names of lambda parameters handed out."""

    def __init__(self, scope: Mapping[str, InputColumn], env: LowerEnv, depth: int = 0) -> None:
        self.scope = scope
        self.env = env
        self.depth = depth

    def node(self, node: Node) -> Lowered:
        """A node with multi-value strings mapped over where it takes scalars."""
        names = self._multi_values(node) if isinstance(node, Call) else []
        return self._mapped(node, names) if names else self.plain(node)

    def plain(self, node: Node) -> Lowered:
        if isinstance(node, Literal):
            return Lowered(literal_sql(node.value, node.type), node.type or STRING, literal=node)
        if isinstance(node, Identifier):
            return self._column(node.name)
        if isinstance(node, Lambda):
            raise invalid_input("A lambda stands where a value is expected")
        assert isinstance(node, Call)
        function = native_function(node.function)
        if function is None:
            raise invalid_input(f"function '{node.function}' is not defined.")
        args: list[Lowered] = []
        for position, arg in enumerate(node.args):
            if isinstance(arg, Lambda):
                continue
            args.append(self.node(arg) if function.takes_array(position) else self.plain(arg))
        if function.arrays or any(isinstance(a, Lambda) for a in node.args):
            return self._bounded(function.lower, node, args)
        if not function.whole:
            # Only functions on multi-value strings hand an array to one that takes scalars: its values are meant.
            args = [as_output(v, STRING) if v.type == STRING_ARRAY else v for v in args]
        if any(v.multi_value for v in args):
            return self._mapped_values(function.lower, node, args)
        return self._bounded(function.lower, node, args)

    def _bounded(self, rule: LowerRule, node: Call, args: Sequence[Lowered]) -> Lowered:
        """The function's SQL; large arguments become a lambda's parameters where copies of them would add up."""
        made = rule(self, node, args)
        size = expanded_size(made.sql)
        if size < _LARGE or size < sum(expanded_size(v.sql) + _SHORT for v in args):
            return made
        held = [i for i, v in enumerate(args) if v.literal is None and expanded_size(v.sql) > _LARGE // 20]
        if not held:
            return made
        inner = self.child({})
        # one lambda for all of them: DuckDB's time to bind lambdas within lambdas doubles with each
        name = f"__b{inner.depth}"
        variables = {i: name if len(held) == 1 else f"{name}.v{i}" for i in held}
        scalars = [replace(v, sql=variables[i]) if i in variables else v for i, v in enumerate(args)]
        body = rule(inner, node, scalars)
        packed = ", ".join(f"v{i} := {args[i].sql}" for i in held)
        source = args[held[0]].sql if len(held) == 1 else f"struct_pack({packed})"
        return replace(body, sql=f"(list_transform([{source}], lambda {name}: {body.sql}))[1]")

    def once(self, value: str, body: Callable[[str], str]) -> str:
        """SQL of `body`, which names its argument several times, over a value that is computed once.

        A column or short SQL without a kernel is copied; anything else becomes a lambda's parameter.
        """
        if expanded_size(value) <= _SHORT and "py_" not in value:
            return body(value)
        held = f"__o{self.depth}"
        return f"(list_transform([{value}], lambda {held}: {body(held)}))[1]"

    def condition(self, node: Node) -> str:
        """BOOLEAN SQL of a node as a filter: over a multi-value string, whether any value makes it true."""
        names = self._multi_values(node) if isinstance(node, Call) else []
        if isinstance(node, Identifier) and node.name in self.scope and self.scope[node.name].multi_value:
            names = [node.name]
        if not names:
            return truth(self.plain(node))
        inner, variables = self._bind(names)
        body = f"coalesce(CAST({truth(inner.plain(node))} AS TINYINT) * 2, 1)"
        for name in reversed(names):
            source = f"d_some({self.scope[name].sql_name})"
            body = f"list_max(list_transform({source}, lambda {variables[name]}: {body}))"
        return f"(CASE {body} WHEN 2 THEN true WHEN 0 THEN false END)"

    def child(self, scope: Mapping[str, InputColumn]) -> Lowering:
        return Lowering({**self.scope, **scope}, self.env, self.depth + 1)

    def variable(self) -> str:
        """A lambda parameter name that no enclosing lambda uses."""
        return f"__e{self.depth + 1}"

    def _column(self, name: str) -> Lowered:
        column = self.scope.get(name)
        if column is None:
            return Lowered("CAST(NULL AS VARCHAR)", STRING, literal=Literal(None, None))
        if column.type == FLOAT:
            return Lowered(f"CAST({column.sql_name} AS DOUBLE)", DOUBLE)
        return Lowered(column.sql_name, column.type, column.multi_value)

    def _multi_values(self, node: Node) -> list[str]:
        """Multi-value columns that stand where scalars are taken, below scalar functions only."""
        found: dict[str, None] = {}

        def visit(at: Node) -> None:
            if isinstance(at, Identifier):
                column = self.scope.get(at.name)
                if column is not None and column.multi_value:
                    found.setdefault(at.name)
            elif isinstance(at, Call):
                function = native_function(at.function)
                if function is None or function.arrays:
                    return
                for arg in at.args:
                    visit(arg)

        visit(node)
        return list(found)

    def _bind(self, names: Sequence[str]) -> tuple[Lowering, dict[str, str]]:
        variables = {name: f"__m{self.depth}_{i}" for i, name in enumerate(names)}
        return self.child({n: InputColumn(v, STRING) for n, v in variables.items()}), variables

    def _mapped(self, node: Node, names: Sequence[str]) -> Lowered:
        inner, variables = self._bind(names)
        body = inner.plain(node)
        if body.type != STRING or body.boolean or body.multi_value:
            return self._at_single(node, names)
        sql = body.sql
        for position, name in enumerate(reversed(names)):
            sql = f"list_transform(d_some({self.scope[name].sql_name}), lambda {variables[name]}: {sql})"
            if position:
                sql = f"flatten({sql})"
        return Lowered(sql, STRING, True)

    def _at_single(self, node: Node, names: Sequence[str]) -> Lowered:
        """A result that is no string: NULL for a row in which one of the columns holds several values."""
        columns = [self.scope[n].sql_name for n in names]
        scope = {n: InputColumn(f"({c})[1]", STRING) for n, c in zip(names, columns)}
        body = self.child(scope).plain(node)
        several = " OR ".join(f"coalesce(len({c}), 0) > 1" for c in columns)
        return replace(body, sql=f"(CASE WHEN {several} THEN NULL ELSE {body.sql} END)")

    def _mapped_values(self, rule: Any, node: Call, args: Sequence[Lowered]) -> Lowered:
        """A scalar function over computed lists (ARRAY_TO_MV and the like): mapped over their values."""
        inner = self.child({})
        variables = {i: f"__v{self.depth}_{i}" for i, v in enumerate(args) if v.multi_value}
        scalars = [Lowered(variables[i], STRING) if i in variables else v for i, v in enumerate(args)]
        body: Lowered = rule(inner, node, scalars)
        if body.type != STRING or body.boolean:
            return rule(self, node, [_single(v) if v.multi_value else v for v in args])  # type: ignore[no-any-return]
        sql = body.sql
        for position, i in enumerate(reversed(variables)):
            sql = f"list_transform(d_some({args[i].sql}), lambda {variables[i]}: {sql})"
            if position:
                sql = f"flatten({sql})"
        return Lowered(sql, STRING, True)


def truth(value: Lowered) -> str:
    """BOOLEAN SQL of a value's truth: numbers above 0, the text `true` in any case; NULL stays NULL."""
    if value.boolean:
        return value.sql
    if value.is_null:
        return "CAST(NULL AS BOOLEAN)"
    if value.type.is_numeric:
        return f"({value.sql} > 0)"
    if value.type == STRING and not value.multi_value:
        return f"(lower({value.sql}) = 'true')"
    return "CAST(NULL AS BOOLEAN)"


def as_array(value: Lowered) -> Lowered:
    """The value as an array: a scalar becomes one element, a multi-value string its values, its empty forms NULL."""
    if value.type.element is not None:
        return value
    if value.multi_value:
        return Lowered(f"d_mv({value.sql})", STRING_ARRAY)
    if value.is_null:
        return Lowered("CAST(NULL AS VARCHAR[])", STRING_ARRAY, literal=value.literal)
    made = Lowered(as_long_sql(value), LONG) if value.boolean else value
    return Lowered(f"(CASE WHEN {made.sql} IS NOT NULL THEN [{made.sql}] END)", array_of(made.type))
