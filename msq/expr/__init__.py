"""Druid's native expression language and the one registry of scalar functions and operators.

- nodes, parser, printer, types: expressions as values, their text, their types.
- lower, prepare, filters, virtual: expressions, filters and virtual columns to DuckDB SQL, and the connection that runs it.
- sqltypes, binding, casting, operators: the SQL side, typed operands in, a typed native node out; `binding.bind_call` for
  functions, `operators.bind_*` and `functions.time_sql.bind_*` for special forms.
- filtering: predicates to native filters.
- functions/: one declaration per function and side; kernels/: what SQL cannot say.
"""
