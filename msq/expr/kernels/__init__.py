"""Vectorised kernels behind functions that DuckDB SQL cannot say; each module lists its UDFs in `KERNELS`."""
