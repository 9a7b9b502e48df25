"""Registries of what a study's file may choose: designs, samplers of a search, rules of its pruner."""

from __future__ import annotations

from typing import Any

from limo_ablate.core.registry import Entry, Registry

POINTS = "limo_ablate.study.points"
DESIGNS: Registry[Any] = Registry(
    "design",
    {
        "factorial": Entry(f"{POINTS}:FACTORIAL", "all combinations of the axes' levels"),
        "ofat": Entry(f"{POINTS}:OFAT", "one factor at a time, around a base"),
        "fractional": Entry(f"{POINTS}:FRACTIONAL", "a fraction of all combinations of two levels"),
        "random": Entry(f"{POINTS}:RANDOM", "random points"),
        "optuna": Entry(f"{POINTS}:OPTUNA", "a search: trials are proposed from earlier results"),
    },
)
"""How a block's cells come about; each is a `limo_ablate.study.points.Design`."""
SAMPLER = "limo_ablate.study.search.sampler"
SAMPLERS: Registry[Any] = Registry(
    "sampler",
    {
        "tpe": Entry(f"{SAMPLER}:tpe", "tree-structured Parzen estimator", words="TPE"),
        "gp": Entry(f"{SAMPLER}:gp", "Gaussian process", words="a Gaussian process"),
        "nsga2": Entry(f"{SAMPLER}:nsga2", "genetic search for several objectives", words="NSGA-II"),
        "random": Entry(f"{SAMPLER}:at_random", "random points", words="chance"),
    },
)
"""What proposes the trials of a search: (Search, seed, random trials at its start) -> Optuna's sampler."""
PRUNING = "limo_ablate.study.search.pruning"
PRUNERS: Registry[Any] = Registry(
    "pruner rule",
    {
        "median": Entry(f"{PRUNING}:median", "worse than the median of earlier trials on as many problems"),
        "wilcoxon": Entry(
            f"{PRUNING}:wilcoxon", "worse than the best trial on the same problems, by a signed-rank test"
        ),
    },
)
"""When a trial of a search is ended early: Pruning -> Optuna's pruner."""
