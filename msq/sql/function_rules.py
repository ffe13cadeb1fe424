"""What functions make of NULL and of rows with several values, told by trying them on the examples."""

from __future__ import annotations

from functools import lru_cache

from msq.aggregate.registry import aggregate_type
from msq.catalog import Lookups
from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.binding import BindEnv, Typed, evaluate
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers, transform
from msq.expr.registry import native_function
from msq.expr.sqltypes import SqlType, native
from msq.sql import function_examples as examples
from msq.sql.bind.expressions import Expressions
from msq.sql.bind.relation import Column
from msq.sql.bind.scope import Item, Scope
from msq.sql.query import parse_query

ENV = BindEnv(lookups={examples.LOOKUP_NAME: {"a": "b"}})


def _call(function: str, *values: object) -> Call:
    return Call(function, tuple(Literal(v, LONG if isinstance(v, int) else STRING) for v in values))


_DAY = 86_400_000
_VALUES: dict[str, Node] = {
    "__time": Literal(0, LONG), "t": Literal(_DAY, LONG), "u": Literal(40 * _DAY, LONG), "g": Literal("g", STRING),
    "s": Literal("a1b", STRING), "w": Literal("b2c", STRING), "m": _call("array", "a1", "b2"), "l": Literal(5, LONG),
    "n": Literal(1, LONG), "d": Literal(0.5, DOUBLE), "e": Literal(0.25, DOUBLE), "sa": _call("array", "a1b", "b"),
    "sb": _call("array", "b", "c"), "la": _call("array", 1, 2), "da": Call("array", (Literal(0.5, DOUBLE),)),
    "j": _call("parse_json", '{"a":1,"b":[2]}'), "k": _call("parse_json", '{"c":3}'),
    "iso": Literal("2024-01-02T03:04:05Z", STRING), "digits": Literal("12", STRING), "ip": Literal("10.1.2.3", STRING),
    "ip6": Literal("2001:db8::1", STRING), "json_text": Literal("[1]", STRING), "base64": Literal("YQ==", STRING),
}  # fmt: skip


@lru_cache(maxsize=1)
def example_scope() -> Scope:
    """The sample table of the examples."""
    several = examples.MULTI_VALUE
    return Scope((Item("sample", tuple(Column(n, n, of, n in several) for n, of in examples.COLUMNS.items())),))


def bind_example(text: str, lookups: Lookups | None = None) -> Typed:
    """An example of a scalar function or an operator as a typed node. Raises DruidException."""
    env = ENV if lookups is None else BindEnv(lookups=lookups)
    query = parse_query(f"SELECT {text} FROM sample")
    return Expressions(env, example_scope(), None, "SELECT").bind(query.expressions[0])


def bind_arguments(text: str, lookups: Lookups | None = None) -> tuple[str, list[Typed]]:
    """Name and typed arguments of an example of an aggregate function. Raises DruidException."""
    env = ENV if lookups is None else BindEnv(lookups=lookups)
    call = parse_query(f"SELECT {text} FROM sample GROUP BY g").expressions[0]
    return call.upper, Expressions(env, example_scope(), None, "SELECT").arguments(call)


def example_type(kind: str, text: str) -> SqlType:
    """The SQL type of an example of a scalar or aggregate function."""
    return aggregate_type(*bind_arguments(text)) if kind == "aggregate" else bind_example(text).sql_type


def null_rule(example: str) -> str:
    """What the scalar function makes of NULL in place of each column of its example."""
    node = bind_example(example).node
    columns = identifiers(node)
    passed = [c for c in columns if _is_null(node, c)]
    if not columns:
        return ""
    if len(passed) == len(columns):
        return "NULL gives NULL"
    return f"NULL gives NULL in place of {', '.join(passed)}" if passed else "takes NULL as a value"


def _is_null(node: Node, column: str) -> bool:
    nulls: dict[str, Node] = {name: Literal(None, native(of)) for name, of in examples.COLUMNS.items()}
    values = {**nulls, **_VALUES, column: nulls[column]}
    filled = transform(node, lambda n: values.get(n.name) if isinstance(n, Identifier) else None)
    return evaluate(filled, ENV.lookups) is None


def value_rule(example: str) -> str:
    """What the scalar function makes of a text column whose rows hold several values."""
    node = bind_example(example).node
    texts = [n for n in identifiers(node) if examples.COLUMNS[n].is_character]
    if not texts:
        return ""
    if any(_takes_array(node, n) for n in texts):
        return "takes several values as an array"
    return "applies to each of several values"


def _takes_array(node: Node, column: str) -> bool:
    """Whether the column stands where a native function takes an array as a whole."""
    for one in node.walk():
        function = native_function(one.function) if isinstance(one, Call) else None
        if function is not None and isinstance(one, Call):
            for place, arg in enumerate(one.args):
                if arg == Identifier(column) and function.takes_array(place):
                    return True
    return False


AGGREGATE_NULLS = "NULLs are left out"
AGGREGATE_OWN_NULLS = {
    "COUNT": "COUNT(*) counts rows, COUNT(x) those where x is not NULL",
    "ARRAY_AGG": "NULL is an element",
    "GROUPING": "",
    "ANY_VALUE": "takes NULL as a value",
    "EARLIEST": "takes NULL as a value",
    "EARLIEST_BY": "takes NULL as a value",
    "LATEST": "takes NULL as a value",
    "LATEST_BY": "takes NULL as a value",
}
OPERATOR_NULLS = "NULL gives NULL"
OPERATOR_OWN_NULLS = {
    "AND": "unknown unless an operand is false",
    "OR": "unknown unless an operand is true",
    "IN": "unknown where only a NULL could be equal",
    "IS NULL": "never NULL",
    "IS TRUE": "never NULL",
    "IS DISTINCT FROM": "takes NULL as a value",
    "CASE": "an unknown condition is not met",
    "ARRAY": "NULL is an element",
    "EXISTS": "never NULL",
}
