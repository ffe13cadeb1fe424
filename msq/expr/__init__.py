"""Druid's native expression language and the one registry of scalar functions and operators.

- nodes, parser, printer, types: expressions as values, their text, their types.
- lower, prepare, filters, virtual: expressions, filters and virtual columns to DuckDB SQL, and the connection for it.
- sqltypes, binding, casting, operators, temporal: the SQL side, typed operands in, a typed native node out;
  `binding.bind_call` for functions, `operators.bind_*` for operators and CASE, `temporal` for time literals.
- filtering: predicates to native filters.
- functions/: one declaration per function and side; kernels/: what SQL cannot say.
"""
