"""System tables: `sys` and `INFORMATION_SCHEMA`, their rows made on demand. Source: reference sql-surface 7."""
