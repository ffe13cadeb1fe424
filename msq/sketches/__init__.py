"""Sketch kernels: hashes, states and estimates as bytes and numpy arrays, equal to Druid's.

Each module owns one sketch: `build` makes the states of many groups at once from their values, `union` merges states,
`estimate` reads them. Groups are given as offsets into flat arrays. Nothing here knows of queries or SQL.
"""
