"""Benchmarks: whole jobs against DuckDB on the same machine in the same run, reported as ratios."""
