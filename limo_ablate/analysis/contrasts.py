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
from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.cube import Cube, contrast_weights, cube
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
    - effect: accuracy at b minus accuracy at a; low, high: its 1 - `alpha` confidence interval; stderr; p:
      two-sided
    - p_adj: adjusted by Holm over the primary contrasts; a secondary one keeps its p
    - p_equivalent: p-value of the equivalence test (two one-sided tests); null without a margin
    - conclusion: `different` (p_adj < alpha), else `equivalent` (p_equivalent < alpha), else `unclear`
    - low_boot, high_boot: two-way bootstrap; p_flips: sign flips of the problems' differences with trainings
      fixed; p_mcnemar: exact, null unless each arm has one sample of one training
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
        _with_conclusions(pl.DataFrame(rows, schema=SCHEMA), alpha) if rows else pl.DataFrame(schema=SCHEMA)
    )


NUMBERS = (
    "effect", "low", "high", "stderr", "p", "p_adj", "p_equivalent", "low_boot", "high_boot", "p_flips",
    "p_mcnemar",
)  # fmt: skip
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("contrast", "block", "factor", "a", "b", "score"), pl.String),
    "primary": pl.Boolean,
    **dict.fromkeys(NUMBERS, pl.Float64),
    "conclusion": pl.String,
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
    }
    try:
        block = blocks(contrast.block, contrast.score)
        weights = contrast_weights(block, contrast.factor, contrast.a, contrast.b)
        return row | contrast_numbers(block, weights, contrast.margin, alpha)
    except UserError as error:
        return row | {"note": str(error)}


def contrast_numbers(
    block: Cube, weights: npt.NDArray[np.float64], margin: float | None, alpha: float
) -> dict[str, Any]:
    """Effect, interval and p-values of one weighted sum of the cells."""
    values = block.grouped(block.weighted(weights)[None])[0]
    estimate = crossed(values[None])
    low, high = estimate.interval(1 - alpha)
    low_boot, high_boot = bootstrap(values, 1 - alpha)
    return {
        "effect": float(estimate.mean[0]),
        "low": max(float(low[0]), -1.0),
        "high": min(float(high[0]), 1.0),
        "stderr": float(estimate.stderr[0]),
        "p": float(estimate.p_value()[0]),
        "p_equivalent": None if margin is None else float(estimate.p_equivalent(margin)[0]),
        "low_boot": low_boot,
        "high_boot": high_boot,
        "p_flips": sign_flips(values.reshape(-1, values.shape[-1]).mean(axis=0)),
        "p_mcnemar": _mcnemar(block, weights),
        "problems": len(block.problems),
        "samples": block.samples,
        "seeds": estimate.trainings,
    }


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
    rows = with_adjusted_p(rows, rows["primary"].to_numpy())
    return rows.with_columns(
        conclusion=pl.when(pl.col("effect").is_null())
        .then(None)
        .when(pl.col("p_adj") < alpha)
        .then(pl.lit("different"))
        .when(pl.col("p_equivalent") < alpha)
        .then(pl.lit("equivalent"))
        .otherwise(pl.lit("unclear"))
    )
