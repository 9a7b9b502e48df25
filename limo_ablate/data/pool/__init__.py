"""Pools and benchmarks: problems with gold answers and, in a pool, worked solutions.

`load_pool` and `load_benchmark` (load.py) turn any source (hub data set, local file or folder, the
miniature's generator) into the tables of docs/architecture.md.
"""
