"""Registries of what a study's file may choose: designs, samplers of a search, rules of its pruner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from limo_ablate.core.registry import Entry, Registry

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from limo_ablate.study.block import Pruning
    from limo_ablate.study.points import Design
    from limo_ablate.study.search.search import Search

POINTS = "limo_ablate.study.points"
DESIGNS: Registry[Design] = Registry(
    "design",
    {
        "factorial": Entry(f"{POINTS}:FACTORIAL", "all combinations of the axes' levels"),
        "ofat": Entry(f"{POINTS}:OFAT", "one factor at a time, around a base"),
        "fractional": Entry(f"{POINTS}:FRACTIONAL", "a fraction of all combinations of two levels"),
        "random": Entry(f"{POINTS}:RANDOM", "random points"),
        "optuna": Entry(f"{POINTS}:OPTUNA", "a search: trials are proposed from earlier results"),
    },
)
SAMPLER = "limo_ablate.study.search.sampler"
SAMPLERS: Registry[Callable[[Search, int, int], BaseSampler]] = Registry(
    "sampler",
    {
        "tpe": Entry(f"{SAMPLER}:tpe", "tree-structured Parzen estimator", words="TPE"),
        "gp": Entry(f"{SAMPLER}:gp", "Gaussian process", words="a Gaussian process"),
        "nsga2": Entry(f"{SAMPLER}:nsga2", "genetic search for several objectives", words="NSGA-II"),
        "random": Entry(f"{SAMPLER}:at_random", "random points", words="chance"),
    },
)
"""What proposes the trials of a search: (search, seed, random trials at its start) -> Optuna's sampler."""
PRUNING = "limo_ablate.study.search.pruning"
PRUNERS: Registry[Callable[[Pruning], BasePruner]] = Registry(
    "pruner rule",
    {
        "median": Entry(f"{PRUNING}:median", "worse than the median of earlier trials on as many problems"),
        "wilcoxon": Entry(
            f"{PRUNING}:wilcoxon", "worse than the best trial on the same problems, by a signed-rank test"
        ),
    },
)
