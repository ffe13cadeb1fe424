"""SQL: values of rows: EARLIEST, LATEST, ANY_VALUE, ARRAY_AGG, ARRAY_CONCAT_AGG, STRING_AGG, BIT_AND and kin."""

from __future__ import annotations

from typing import Any

from msq.aggregate.fold import ExpressionAggregator
from msq.aggregate.moments import (
    DEFAULT_STRING_BYTES,
    DoubleAnyAggregator,
    DoubleFirstAggregator,
    DoubleLastAggregator,
    FloatAnyAggregator,
    FloatFirstAggregator,
    FloatLastAggregator,
    LongAnyAggregator,
    LongFirstAggregator,
    LongLastAggregator,
    StringAnyAggregator,
    StringFirstAggregator,
    StringLastAggregator,
)
from msq.aggregate.registry import (
    AggregateSite,
    EmitRule,
    SqlAggregate,
    TypeRule,
    add,
    filtered,
    unplanned,
    wrong_types,
)
from msq.aggregate.sql_numbers import Emitted, is_number, not_null
from msq.datatypes import LONG
from msq.expr.binding import refuse
from msq.expr.nodes import Call, Identifier
from msq.expr.printer import quote_string, to_text
from msq.expr.sqltypes import BIGINT, NULL_TYPE, VARCHAR, SqlType, native, sql_array, without_length

ARRAY_BYTES = 1024
_ACCUMULATOR = Identifier("__acc")
_FIRST: dict[str, Any] = {"LONG": LongFirstAggregator, "DOUBLE": DoubleFirstAggregator, "FLOAT": FloatFirstAggregator}
_LAST: dict[str, Any] = {"LONG": LongLastAggregator, "DOUBLE": DoubleLastAggregator, "FLOAT": FloatLastAggregator}
_ANY: dict[str, Any] = {"LONG": LongAnyAggregator, "DOUBLE": DoubleAnyAggregator, "FLOAT": FloatAnyAggregator}
_PAIRS = {"serializablePairLongString": VARCHAR, "serializablePairLongLong": BIGINT,
          "serializablePairLongDouble": SqlType("DOUBLE"), "serializablePairLongFloat": SqlType("FLOAT")}  # fmt: skip


# ------------------------------------------------------------------------------------- EARLIEST, LATEST, ANY_VALUE


def _value_type(site: AggregateSite) -> SqlType:
    """The type of the value picked: the argument's, or the one inside stored (time, value) pairs; arrays are texts."""
    of = site.args[0].sql_type
    if of.name == "OTHER":
        found = _PAIRS.get(of.complex_name or "")
        if found is None:
            kind = site.args[0].native_type
            raise unplanned(f"Cannot build {site.name} aggregatorFactory for type [{kind}]")
        return found
    return VARCHAR if of == NULL_TYPE or of.name == "ARRAY" else without_length(of)


def _text_bytes(site: AggregateSite, at: int) -> int:
    _check_null(site, at)
    size = site.literal(at, DEFAULT_STRING_BYTES)
    if not isinstance(size, int) or size < 1:
        refuse(f"The string limit of [{site.name}] must be a positive number, got [{size}]", site.position)
    return size


def _check_null(site: AggregateSite, at: int) -> None:
    if at < len(site.args) and site.args[at].is_null:
        refuse("Illegal use of 'NULL'", site.args[at].position or site.position)


def _moment_type(by: bool) -> TypeRule:
    def rule(site: AggregateSite) -> SqlType:
        if by:
            if site.args[1].sql_type.name != "TIMESTAMP":
                wrong_types(site)
            if len(site.args) > 2:
                _text_bytes(site, 2)
        else:
            if len(site.args) > 1:
                _check_size_literal(site)
            if not site.has_time:
                raise unplanned(
                    "LATEST and EARLIEST aggregators implicitly depend on the __time column, but the table queried "
                    "doesn't contain a __time column.  Please use LATEST_BY or EARLIEST_BY and specify the column "
                    "explicitly."
                )
        return _value_type(site)

    return rule


def _check_size_literal(site: AggregateSite) -> None:
    arg = site.args[1]
    if not arg.is_literal:
        refuse(f"Argument to function '{site.name}_BY' must be a literal", arg.position or site.position)


def _moment(last: bool, by: bool) -> EmitRule:
    def emit(site: AggregateSite) -> Emitted:
        kind = native(_value_type(site)).kind
        field = site.field()
        time = site.field(1, LONG) if by else "__time"
        if kind == "STRING":
            make = StringLastAggregator if last else StringFirstAggregator
            return [make(site.output, field, time, _text_bytes(site, 2 if by else 1))], ()
        return [(_LAST if last else _FIRST)[kind](site.output, field, time)], ()

    return emit


def _any_type(site: AggregateSite) -> SqlType:
    if len(site.args) > 1 and not site.args[1].is_null and not site.args[1].sql_type.is_numeric:
        wrong_types(site)
    if len(site.args) > 2:
        _check_null(site, 2)
        if site.args[2].sql_type.name != "BOOLEAN":
            wrong_types(site)
    if len(site.args) > 1:
        _text_bytes(site, 1)
    return _value_type(site)


def _any(site: AggregateSite) -> Emitted:
    kind = native(_value_type(site)).kind
    if kind == "STRING":
        several = site.literal(2, 1)
        return [StringAnyAggregator(site.output, site.field(), _text_bytes(site, 1), bool(several))], ()
    return [_ANY[kind](site.output, site.field())], ()


# ------------------------------------------------------------------------------------------------------- arrays


def _size(site: AggregateSite, at: int) -> int:
    size = site.literal(at, ARRAY_BYTES)
    if not isinstance(size, int) or size < 1:
        refuse(f"The size limit of [{site.name}] must be a positive number, got [{size}]", site.position)
    return size


def _fold(function: str, column: str) -> str:
    return to_text(Call(function, (_ACCUMULATOR, Identifier(column)))).replace('","', '", "')


def _collect(
    site: AggregateSite, initial: str, append: str, join: str, size: int, nulls: bool, finalize: str | None = None
) -> ExpressionAggregator:
    field = site.field()
    return ExpressionAggregator(
        site.output, (field,), "__acc", initial, initial, True, nulls, False, _fold(append, field),
        _fold(join, site.output), None, finalize, size,
    )  # fmt: skip


def _array_type(site: AggregateSite) -> SqlType:
    of = site.args[0].sql_type
    if of.name == "OTHER":
        wrong_types(site)
    _size(site, 1)
    return sql_array(VARCHAR if of == NULL_TYPE else without_length(of))


def _array(site: AggregateSite) -> Emitted:
    initial = f"{native(_array_type(site))}[]"
    append, join = ("array_set_add", "array_set_add_all") if site.distinct else ("array_append", "array_concat")
    return [_collect(site, initial, append, join, _size(site, 1), True)], ()


def _concat_type(site: AggregateSite) -> SqlType:
    of = site.args[0].sql_type
    if of.name != "ARRAY":
        wrong_types(site)
    _size(site, 1)
    return of


def _concat(site: AggregateSite) -> Emitted:
    initial = f"{native(site.args[0].sql_type)}[]"
    join = "array_set_add_all" if site.distinct else "array_concat"
    return [_collect(site, initial, join, join, _size(site, 1), False)], ()


def _text_type(site: AggregateSite) -> SqlType:
    of = site.args[0].sql_type
    if of.name in ("OTHER", "ARRAY"):
        wrong_types(site)
    site.literal(1)
    _size(site, 2)
    return VARCHAR


def _text(site: AggregateSite) -> Emitted:
    separator = site.literal(1)
    append, join = ("array_set_add", "array_set_add_all") if site.distinct else ("array_append", "array_concat")
    finalize = f"if(array_length(o) == 0, null, array_to_string(o, {quote_string(str(separator or ''))}))"
    made = _collect(site, "[]", append, join, _size(site, 2), False, finalize)
    return [filtered(made, not_null(made.fields[0]))], ()


# --------------------------------------------------------------------------------------------------------- bits


def _bits_type(site: AggregateSite) -> SqlType:
    if not is_number(site.args[0].sql_type):
        wrong_types(site, f"'{site.name}(<INTEGER>)'")
    return BIGINT


def _bits(function: str) -> EmitRule:
    def emit(site: AggregateSite) -> Emitted:
        field = site.field(of=None if site.args[0].native_type == LONG else site.args[0].native_type)
        made = ExpressionAggregator(
            site.output, (field,), "__acc", "0", "0", True, True, False, _fold(function, field),
            _fold(function, site.output),
        )  # fmt: skip
        return [filtered(made, not_null(field))], ()

    return emit


def _declare(
    name: str, doc: str, least: int, most: int, type_rule: TypeRule, emit: EmitRule, forms: str, *aliases: str,
    distinct: bool = False,
) -> None:  # fmt: skip
    add(SqlAggregate(name, doc, least, most, type_rule, emit, distinct, forms), *aliases)


for _last, _name in ((False, "EARLIEST"), (True, "LATEST")):
    _which = "last" if _last else "first"
    _declare(
        _name, f"The value at the {_which} __time; the second argument limits the bytes of texts.", 1, 2,
        _moment_type(False), _moment(_last, False), f"'{_name}(expr, [maxBytesPerString])'",
    )  # fmt: skip
    _declare(
        f"{_name}_BY", f"The value at the {_which} time of the second argument; the third limits the bytes of texts.",
        2, 3, _moment_type(True), _moment(_last, True), f"'{_name}_BY(<expr>, <timeColumn>, [<maxBytesPerString>])'",
    )  # fmt: skip
_declare(
    "ANY_VALUE", "Some value of the column, null included: (column, bytes of texts, whether lists count whole).", 1, 3,
    _any_type, _any, "'ANY_VALUE(<expr>, [<maxBytesPerStringInt>, [<aggregateMultipleValuesBoolean>]])'",
)  # fmt: skip
_declare(
    "ARRAY_AGG", "All values as an array, nulls included; the second argument limits its bytes.", 1, 2, _array_type,
    _array, "'ARRAY_AGG(expr, maxSizeBytes)'", distinct=True,
)  # fmt: skip
_declare(
    "ARRAY_CONCAT_AGG", "All arrays put together; the second argument limits the bytes.", 1, 2, _concat_type, _concat,
    "'ARRAY_CONCAT_AGG(<ARRAY>)'\n'ARRAY_CONCAT_AGG(expr, maxSizeBytes)'", distinct=True,
)  # fmt: skip
_declare(
    "STRING_AGG", "All values that are not null as one text: (column, separator, bytes).", 2, 3, _text_type, _text,
    "'STRING_AGG(expr, separator, maxSizeBytes)'", "LISTAGG", distinct=True,
)  # fmt: skip
for _name, _function in (("BIT_AND", "bitwiseAnd"), ("BIT_OR", "bitwiseOr"), ("BIT_XOR", "bitwiseXor")):
    _declare(_name, f"{_function} over the values that are not null, from 0.", 1, 1, _bits_type, _bits(_function), "")
