"""Expressions of the syntax tree to typed native nodes.

Names are resolved in a scope; functions and operators are msq.expr's. Aggregates, windows and subqueries are handed to
the block that the expression belongs to, which answers with the column that will hold their value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlglot import exp

from msq.aggregate.registry import is_aggregate
from msq.expr import operators
from msq.expr.binding import BindEnv, Typed, bind_call, literal, number_literal, refuse
from msq.expr.functions.json_sql import bind_json_call
from msq.expr.sqltypes import BOOLEAN, SqlType, parse_sql_type, sql_array, sql_complex
from msq.expr.temporal import bind_interval_literal, bind_temporal_literal
from msq.faults import DruidException, invalid_sql
from msq.sql.bind.scope import Scope
from msq.sql.nodes import Call, IntervalLiteral, NamedArgument, TemporalLiteral, TypeName, position_of

WINDOW_ONLY = frozenset(
    [
        "ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD", "FIRST_VALUE",
        "LAST_VALUE", "NTH_VALUE",
    ]
)  # fmt: skip


LONGEST_CHAIN = 100
"""Terms of AND and OR that stand in one chain; more are nested as a balanced tree."""

Logic = Callable[[Sequence[Typed], BindEnv], Typed]


class Host(Protocol):
    """The query block around an expression."""

    def aggregate(self, node: Call, binder: Expressions) -> Typed: ...
    def window(self, node: Call, binder: Expressions) -> Typed: ...
    def scalar(self, node: exp.Subquery, binder: Expressions) -> Typed: ...
    def membership(self, node: exp.In, binder: Expressions) -> Typed: ...
    def exists(self, node: exp.Exists, binder: Expressions) -> Typed: ...
    def quantified(self, node: exp.Binary, word: str, binder: Expressions) -> Typed: ...


class Expressions:
    """Binds expressions of one clause. `host` is None where aggregates, windows and subqueries may not stand."""

    def __init__(self, env: BindEnv, scope: Scope, host: Host | None, clause: str) -> None:
        self.env = env
        self.scope = scope
        self.host = host
        self.clause = clause

    def within(self, scope: Scope, host: Host | None, clause: str) -> Expressions:
        return Expressions(self.env, scope, host, clause)

    def bind(self, node: exp.Expr) -> Typed:
        """The typed node of an expression. Raises invalid SQL with the place of what is wrong."""
        method = _METHODS.get(type(node))
        if method is None:
            refuse(f"[{type(node).__name__}] expressions are not supported", position_of(node))
        bound = method(self, node)
        position = position_of(node)
        return replace(bound, position=position) if position is not None else bound

    def condition(self, node: exp.Expr) -> Typed:
        """A condition of WHERE, HAVING, ON, FILTER or QUALIFY: BOOLEAN."""
        bound = self.bind(node)
        if bound.sql_type.name == "BOOLEAN":
            return bound
        if bound.sql_type.is_null:
            return replace(literal(None), sql_type=BOOLEAN)
        raise refused(f"{self.clause} clause must be a condition", node)

    def _at(self, node: exp.Expr) -> BindEnv:
        return self.env.at(position_of(node))

    # --- operands ---

    def _column(self, node: exp.Column) -> Typed:
        if isinstance(node.this, exp.Star):
            refuse("Unknown identifier '*'", position_of(node))
        bare = node.args.get("table") is None and not node.this.args.get("quoted")
        if bare and node.name.upper() == "PI" and not self.scope.knows(node.name):
            return bind_call("PI", [], self._at(node), position_of(node))
        return self.scope.resolve(node).at(position_of(node))

    def _literal(self, node: exp.Literal) -> Typed:
        if node.is_string:
            return literal(str(node.this), None, position_of(node))
        return number_literal(str(node.this), position_of(node))

    def _null(self, node: exp.Expr) -> Typed:
        return literal(None, None, position_of(node))

    def _boolean(self, node: exp.Boolean) -> Typed:
        return literal(bool(node.this), None, position_of(node))

    def _placeholder(self, node: exp.Placeholder) -> Typed:
        raise invalid_sql(f"No value bound for parameter (position [{int(str(node.this)) + 1}])")

    def _temporal(self, node: TemporalLiteral) -> Typed:
        return bind_temporal_literal(str(node.args["kind"]), str(node.this), self._at(node))

    def _interval(self, node: IntervalLiteral) -> Typed:
        text = str(node.this)
        negative = bool(node.args.get("negative"))
        unit, to = str(node.args["unit"]), node.args.get("to")
        return bind_interval_literal(text, unit, None if to is None else str(to), negative, self._at(node))

    def _paren(self, node: exp.Paren) -> Typed:
        return self.bind(node.this)

    def _tuple(self, node: exp.Tuple) -> Typed:
        refuse("Row values are only supported as rows of VALUES and in IN", position_of(node))

    def _array(self, node: exp.Array) -> Typed:
        return operators.bind_array([self.bind(n) for n in node.expressions], self._at(node))

    def _bracket(self, node: exp.Bracket) -> Typed:
        raise invalid_sql("Array subscripts are not supported, use ARRAY_OFFSET or ARRAY_ORDINAL")

    # --- operators ---

    def _binary(self, node: exp.Binary) -> Typed:
        word = _OPERATORS[type(node)]
        if isinstance(node.expression, (exp.Any, exp.All)):
            return self._quantified(node, word)
        return operators.bind_operator(word, self.bind(node.this), self.bind(node.expression), self._at(node))

    def _quantified(self, node: exp.Binary, word: str) -> Typed:
        """`x = ANY (a, b)` and the like over a list; over a subquery `= ANY` and `<> ALL` are IN and NOT IN."""
        quantifier = node.expression
        every = isinstance(quantifier, exp.All)
        inner = quantifier.this
        if isinstance(inner, exp.Tuple):
            left = self.bind(node.this)
            terms = [operators.bind_operator(word, left, self.bind(n), self._at(node)) for n in inner.expressions]
            return (operators.bind_and if every else operators.bind_or)(terms, self._at(node))
        if (word, every) not in (("=", False), ("<>", True), ("!=", True)):
            return self._host(node).quantified(node, word, self)
        member = exp.In(this=node.this.copy(), query=inner.copy())
        member.meta.update(node.meta)
        bound = self.bind(member)
        return operators.bind_not(bound, self._at(node)) if every else bound

    def _chain(self, node: exp.Expr) -> Typed:
        """Balanced runs of AND, OR and `||` as one list of terms."""
        kind = type(node)
        terms = [self.bind(n) for n in flatten(node, kind)]
        if kind in (exp.And, exp.Or):
            return self.logic(operators.bind_and if kind is exp.And else operators.bind_or, terms, self._at(node))
        made = terms[0]
        for term in terms[1:]:
            made = operators.bind_concat(made, term, self._at(node))
        return made

    def logic(self, bind: Logic, terms: Sequence[Typed], env: BindEnv) -> Typed:
        """AND or OR of any number of terms: a chain as Druid prints it or, beyond what recursion bears, a tree."""
        if len(terms) <= LONGEST_CHAIN:
            return bind(terms, env)
        middle = len(terms) // 2
        return bind([self.logic(bind, terms[:middle], env), self.logic(bind, terms[middle:], env)], env)

    def _not(self, node: exp.Not) -> Typed:
        inner = node.this
        if isinstance(inner, exp.Is):
            return self._is(inner, negated=True)
        return operators.bind_not(self.bind(inner), self._at(node))

    def _negate(self, node: exp.Neg) -> Typed:
        return operators.bind_negate(self.bind(node.this), self._at(node))

    def _is(self, node: exp.Is, negated: bool = False) -> Typed:
        right = node.expression
        what = "NULL" if isinstance(right, exp.Null) else ("TRUE" if right.this else "FALSE")
        return operators.bind_is(self.bind(node.this), f"NOT {what}" if negated else what, self._at(node))

    def _same(self, node: exp.Expr) -> Typed:
        left, right = self.bind(node.this), self.bind(node.expression)
        return operators.bind_distinct(left, right, self._at(node), negated=isinstance(node, exp.NullSafeEQ))

    def _between(self, node: exp.Between) -> Typed:
        value, low, high = (self.bind(node.args[k]) for k in ("this", "low", "high"))
        return operators.bind_between(value, low, high, self._at(node), symmetric=bool(node.args.get("symmetric")))

    def _in(self, node: exp.In) -> Typed:
        if node.args.get("query") is not None:
            return self._host(node).membership(node, self)
        if isinstance(node.this, exp.Tuple):
            return self._row_in(node)
        return operators.bind_in(self.bind(node.this), [self.bind(n) for n in node.expressions], self._at(node))

    def _row_in(self, node: exp.In) -> Typed:
        left = [self.bind(n) for n in node.this.expressions]
        rows = []
        for row in node.expressions:
            items = row.expressions if isinstance(row, exp.Tuple) else [row]
            if len(items) != len(left):
                refuse("Values passed to IN operator must have compatible types", position_of(node))
            pairs = [operators.bind_comparison("=", a, self.bind(b), self._at(node)) for a, b in zip(left, items)]
            rows.append(operators.bind_and(pairs, self._at(node)))
        return operators.bind_or(rows, self._at(node))

    def _like(self, node: exp.Like, escape: exp.Expr | None = None) -> Typed:
        bound = None if escape is None else self.bind(escape)
        return operators.bind_like(self.bind(node.this), self.bind(node.expression), bound, self._at(node))

    def _escape(self, node: exp.Escape) -> Typed:
        inner = node.this
        if not isinstance(inner, exp.Like):
            refuse("ESCAPE is only supported with LIKE", position_of(node))
        return self._like(inner, node.expression)

    def _unsupported_like(self, node: exp.Expr) -> Typed:
        word = "ILIKE" if isinstance(node, exp.ILike) else "SIMILAR TO"
        refuse(f"{word} is not supported", position_of(node))

    def _case(self, node: exp.Case) -> Typed:
        subject = None if node.this is None else self.bind(node.this)
        whens = []
        for branch in node.args["ifs"]:
            several = isinstance(branch.this, exp.Tuple) and subject is not None
            tests = branch.this.expressions if several else [branch.this]
            if subject is None:
                test = self.bind(branch.this)
            else:
                equal = [operators.bind_comparison("=", subject, self.bind(t), self._at(branch)) for t in tests]
                test = equal[0] if len(equal) == 1 else operators.bind_or(equal, self._at(branch))
            whens.append((test, self.bind(branch.args["true"])))
        default = node.args.get("default")
        return operators.bind_case(whens, None if default is None else self.bind(default), self._at(node))

    def _cast(self, node: exp.Cast) -> Typed:
        return operators.bind_cast(self.bind(node.this), type_of(node.args["to"]), self._at(node))

    # --- calls ---

    def _call(self, node: Call) -> Typed:
        name = node.upper
        if node.args.get("over") is not None:
            return self._host(node).window(node, self)
        if is_aggregate(name):
            return self._host(node).aggregate(node, self)
        if name in WINDOW_ONLY:
            refuse("OVER clause is necessary for window functions", position_of(node))
        for key in ("distinct", "filter", "nulls", "order"):
            if node.args.get(key) is not None:
                refuse(f"{key.upper()} is only allowed for aggregate functions", position_of(node))
        returning, options = node.args.get("returning"), node.args.get("options")
        if returning is not None or options:
            of = None if returning is None else type_of(returning)
            words = [str(o.this) for o in options or ()]
            return bind_json_call(name, self.arguments(node), of, words, self._at(node), position_of(node))
        return bind_call(name, self.arguments(node), self._at(node), position_of(node))

    def arguments(self, node: Call) -> list[Typed]:
        """The bound arguments; words such as DAY become texts."""
        out = []
        for argument in node.expressions:
            if isinstance(argument, exp.Var):
                out.append(literal(str(argument.this), None, position_of(argument)))
            elif isinstance(argument, NamedArgument):
                refuse(f"Function [{node.name}] does not take named arguments", position_of(argument))
            elif isinstance(argument, exp.Star):
                refuse(f"Unknown identifier '*' in the arguments of [{node.name}]", position_of(argument))
            else:
                out.append(self.bind(argument))
        return out

    def _subquery(self, node: exp.Subquery) -> Typed:
        return self._host(node).scalar(node, self)

    def _exists(self, node: exp.Exists) -> Typed:
        return self._host(node).exists(node, self)

    def _host(self, node: exp.Expr) -> Host:
        if self.host is None:
            if isinstance(node, Call) and node.args.get("over") is None:
                refuse(f"Aggregate expression is illegal in {self.clause} clause", position_of(node))
            if isinstance(node, Call):
                refuse(f"Windowed aggregate expression is illegal in {self.clause} clause", position_of(node))
            refuse(f"Subqueries are not supported in {self.clause} clause", position_of(node))
        return self.host


def refused(message: str, node: exp.Expr) -> DruidException:
    """The validator's refusal of a node."""
    try:
        refuse(message, position_of(node))
    except DruidException as error:
        return error


def flatten(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The operands of a balanced run of one operator, left to right."""
    if type(node) is not kind:
        return [node]
    return [*flatten(node.args["this"], kind), *flatten(node.args["expression"], kind)]


def type_of(node: TypeName) -> SqlType:
    """The SQL type a TypeName says. Raises invalid SQL for one that expressions do not have."""
    name = str(node.args["this"])
    if name == "TYPE":
        native = str(node.args["native"])
        inner = native[8:-1] if native.upper().startswith("COMPLEX<") else None
        made: SqlType | None = sql_complex(inner) if inner else None
    else:
        plain = TypeName(**{**node.args, "array": None})
        made = parse_sql_type(str(plain))
    if made is None:
        refuse(f"Unknown datatype name '{node}'", position_of(node))
    for _ in range(int(node.args.get("array") or 0)):
        made = sql_array(made)
    return made


_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=",
    exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip

_METHODS: dict[type[exp.Expr], Callable[[Expressions, Any], Typed]] = {
    exp.Column: Expressions._column, exp.Literal: Expressions._literal, exp.Null: Expressions._null,
    exp.Boolean: Expressions._boolean, exp.Placeholder: Expressions._placeholder,
    TemporalLiteral: Expressions._temporal, IntervalLiteral: Expressions._interval, exp.Paren: Expressions._paren,
    exp.Tuple: Expressions._tuple, exp.Array: Expressions._array, exp.Bracket: Expressions._bracket,
    **dict.fromkeys(_OPERATORS, Expressions._binary), exp.And: Expressions._chain, exp.Or: Expressions._chain,
    exp.DPipe: Expressions._chain, exp.Not: Expressions._not, exp.Neg: Expressions._negate, exp.Is: Expressions._is,
    exp.NullSafeEQ: Expressions._same, exp.NullSafeNEQ: Expressions._same, exp.Between: Expressions._between,
    exp.In: Expressions._in, exp.Like: Expressions._like, exp.Escape: Expressions._escape,
    exp.ILike: Expressions._unsupported_like, exp.SimilarTo: Expressions._unsupported_like, exp.Case: Expressions._case,
    exp.Cast: Expressions._cast, Call: Expressions._call, exp.Subquery: Expressions._subquery,
    exp.Exists: Expressions._exists,
}  # fmt: skip
