"""Contrasts of two levels of a factor: effect, confidence interval, p-values and conclusion.

A contrast is a weighted sum of the cells of its block (`cube.contrast_weights`), paired on problems and on
seeds. `crossed` gives its interval and p-value, over trainings and problems. Holm's adjustment of the primary
contrasts is made in `adjust`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.adjust import with_adjusted_p
from limo_ablate.analysis.crossed import DIFFERENCE, Crossed, crossed, unpaired
from limo_ablate.analysis.cube import Cube, contrast_weights, cube, points_compared
from limo_ablate.analysis.power import ALPHA, Contrast
from limo_ablate.analysis.resample import bootstrap, mcnemar, sign_flips
from limo_ablate.analysis.trials import Trial
from limo_ablate.core.errors import UserError


def contrasts(
    declared: Sequence[Contrast],
    axes: Mapping[str, Sequence[str]],
    trials: Sequence[Trial],
    answers: pl.DataFrame,
    alpha: float = ALPHA,
) -> pl.DataFrame:
    """A row for each contrast, in their order.

    `axes` maps each block's name to its axes, `answers` is `answers.items` of the trials.

    - contrast, block, factor, a, b, score, primary
    - over: the levels of the block's other axes over which it is averaged
    - effect: accuracy at b minus accuracy at a; low, high: its 1 - `alpha` confidence interval; stderr; p:
      two-sided
    - p_adj: adjusted by Holm over the primary contrasts; a secondary one keeps its p
    - p_equivalent: p-value of the equivalence test (two one-sided tests); null without a margin
    - p_equivalent_adj: adjusted by Holm over the primary contrasts with a margin
    - conclusion: `different` (p_adj < alpha), else `equivalent` (p_equivalent_adj < alpha), else `unclear`;
      `no information` (without p-values) where both arms solved nothing, or everything
    - low_boot, high_boot: two-way bootstrap; p_flips: sign flips of the problems' differences with trainings
      fixed; p_mcnemar: exact, null unless each arm has one sample of one training
    - paired: whether the arms have the same seeds; if not, each is averaged over its own, as independent of
      the other's (`crossed.unpaired`), and there is no bootstrap
    - problems, samples, seeds (subsets or bases, if the block has an axis of these as replicates)
    - note: why there is no result (the row's numbers are then null)

    If `answers` has a column cluster, clusters are resampled and flipped instead of problems.
    """

    @cache
    def block(name: str, score: str) -> Cube:
        own = [trial for trial in trials if name in trial.blocks and trial.metrics]
        return cube(own, answers, axes[name], score)

    rows = [_row(contrast, block, alpha) for contrast in declared]
    return (
        _with_conclusions(pl.DataFrame(rows, schema=SCHEMA | {"margin": pl.Float64}), alpha)
        if rows
        else pl.DataFrame(schema=SCHEMA)
    )


NUMBERS = (
    "effect", "low", "high", "stderr", "p", "p_adj", "p_equivalent", "p_equivalent_adj", "low_boot",
    "high_boot", "p_flips", "p_mcnemar",
)  # fmt: skip
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("contrast", "block", "factor", "a", "b", "score"), pl.String),
    "primary": pl.Boolean,
    "over": pl.String,
    **dict.fromkeys(NUMBERS, pl.Float64),
    "conclusion": pl.String,
    "paired": pl.Boolean,
    **dict.fromkeys(("problems", "samples", "seeds"), pl.Int64),
    "note": pl.String,
}


def _row(contrast: Contrast, blocks: Callable[[str, str], Cube], alpha: float) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA) | {
        "contrast": contrast.name,
        "block": contrast.block,
        "factor": contrast.factor,
        "a": str(contrast.a),
        "b": str(contrast.b),
        "score": contrast.score,
        "primary": contrast.primary,
        "margin": contrast.margin,
    }
    try:
        block = blocks(contrast.block, contrast.score)
        weights = contrast_weights(block, contrast)
        over = points_compared(block, contrast, weights)
        return row | contrast_numbers(block, weights, contrast.margin, alpha) | {"over": over}
    except UserError as error:
        return row | {"note": str(error)}


def contrast_numbers(
    block: Cube, weights: npt.NDArray[np.float64], margin: float | None, alpha: float
) -> dict[str, Any]:
    """Effect, interval and p-values of one weighted sum of the cells."""
    arms = [np.where(weights * sign > 0, weights, 0.0) for sign in (1, -1)]
    paired = block.trainings is not None or np.array_equal(block.complete(arms[0]), block.complete(arms[1]))
    resampled: dict[str, float | None]
    if paired:
        values = block.grouped(block.weighted(weights)[None])
        estimate = crossed(values, bounds=DIFFERENCE, problems=len(block.problems))
        low_boot, high_boot = bootstrap(values[0], 1 - alpha)
        means = values[0].reshape(-1, values.shape[-1]).mean(axis=0)
        resampled = {"low_boot": low_boot, "high_boot": high_boot, "p_flips": sign_flips(means)}
    else:
        sides = [block.grouped(block.weighted(arm)[None]) for arm in arms]
        estimate = _unpaired(sides, len(block.problems))
        means = np.sum([side.mean(axis=(0, 1)) for side in sides], axis=0)
        resampled = {"low_boot": None, "high_boot": None, "p_flips": sign_flips(means)}
    low, high = estimate.interval(1 - alpha)
    numbers: dict[str, Any] = {
        "effect": float(estimate.mean[0]),
        "low": float(low[0]),
        "high": float(high[0]),
        "stderr": float(estimate.stderr[0]),
        "p": float(estimate.p_value()[0]),
        "p_equivalent": None if margin is None else float(estimate.p_equivalent(margin)[0]),
        **resampled,
        "p_mcnemar": _mcnemar(block, weights),
        "paired": paired,
        "problems": len(block.problems),
        "samples": block.samples,
        "seeds": estimate.trainings,
    }
    if nothing_to_compare(block, weights):
        numbers |= dict.fromkeys(("p", "p_equivalent", "p_flips", "p_mcnemar", "low_boot", "high_boot"))
    return numbers


def nothing_to_compare(block: Cube, weights: npt.NDArray[np.float64]) -> bool:
    """Whether all cells with a weight solved nothing, or everything: the problems then tell nothing of a
    difference between them."""
    values = block.accuracy[weights != 0]
    answered = values[np.isfinite(values)]
    return bool((answered == 0).all() or (answered == 1).all())


def _unpaired(sides: Sequence[npt.NDArray[np.float64]], problems: int) -> Crossed:
    if max(side.shape[1] for side in sides) < 2:
        raise UserError("the arms have one seed each, and not the same; no error can be estimated")
    return unpaired(sides, problems=problems)


def _mcnemar(block: Cube, weights: npt.NDArray[np.float64]) -> float | None:
    seeds = np.flatnonzero(block.complete(weights))
    arms = [np.flatnonzero(weights == side) for side in (-1.0, 1.0)]
    single = block.trainings is None and block.clusters is None
    if not single or block.samples != 1 or len(seeds) != 1 or any(len(arm) != 1 for arm in arms):
        return None
    a, b = (block.accuracy[arm[0], seeds[0]] == 1 for arm in arms)
    return mcnemar(a, b)


def _with_conclusions(rows: pl.DataFrame, alpha: float) -> pl.DataFrame:
    """The rows with adjusted p-values (Holm, over the primary contrasts) and conclusions."""
    primary = rows["primary"].to_numpy()
    rows = with_adjusted_p(rows, primary)
    tested = primary & rows["margin"].is_not_null().to_numpy()
    rows = with_adjusted_p(rows, tested, "p_equivalent").drop("margin")
    return rows.with_columns(
        conclusion=pl.when(pl.col("effect").is_null())
        .then(None)
        .when(pl.col("p").is_null())
        .then(pl.lit("no information"))
        .when(pl.col("p_adj") < alpha)
        .then(pl.lit("different"))
        .when(pl.col("p_equivalent_adj") < alpha)
        .then(pl.lit("equivalent"))
        .otherwise(pl.lit("unclear"))
    )
