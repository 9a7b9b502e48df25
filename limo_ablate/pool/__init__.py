"""Pools and benchmarks: problems with gold answers and, in a pool, worked solutions.

`load_pool` and `load_benchmark` turn any source (hub data set, local file or folder, the miniature's
generator) into the tables of docs/architecture.md.
"""

from limo_ablate.pool.load import load_benchmark, load_pool

__all__ = ["load_benchmark", "load_pool"]
