"""Variance components of a block by sums of squares, and the part of each in the variance of a mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.cube import Cube

Array = npt.NDArray[np.float64]
Variances = dict[str, tuple[float | None, float | None]]
"""Component -> its variance, and its part in the variance of a cell's mean; None if not identified."""
UNKNOWN = (None, None)
REPLICATE_NAMES = {"select.seed": "subset", "model.pretrain.seed": "base"}
"""Axis of replicates -> name of its component."""
COMPONENTS = {"component": pl.String, **dict.fromkeys(("variance", "sd", "share", "of_mean"), pl.Float64)}


def components(block: Cube, variances: Cube | None = None) -> pl.DataFrame:
    """Variance components of one completion's score, averaged over the block's cells.

    A row for each of `problem`, `training`, `rest` (problem x training, beyond sampling) and `sample`. With
    an axis of replicates, two more before `training`: `subset` (`select.seed`) or `base`
    (`model.pretrain.seed`), and `seed`, which all trainings with one seed share. Columns: component,
    variance, sd, share, and `of_mean`, its part in the variance of a cell's mean. Estimated by sums of
    squares (random effects); negative estimates count as 0. A component that is not identified is null and
    confounded with another: with one sample of each problem `rest` is in `sample`; with one training of each
    replicate `training` is in the replicate's component (and there is no `seed`); with one seed `training` is
    unknown; with one of each, everything is in `sample`. `variances`: the same trials' cube of `variance`,
    where scores are fractions; of 0 and 1 it follows from their mean.
    """
    layouts = block.accuracy[:, :, None] if block.trainings is None else block.trainings
    full = layouts[np.isfinite(layouts[..., 0]).all(axis=(1, 2))]
    if not len(full) or full.shape[-1] < 2:
        return pl.DataFrame(schema=COMPONENTS)
    k = block.samples
    if k > 1 and variances is not None:
        within = float(np.nanmean(variances.accuracy))
    else:
        within = float((full * (1 - full)).mean() * (k / (k - 1) if k > 1 else 1.0))
    _, replicates, trainings, _ = full.shape
    replicate = REPLICATE_NAMES.get(block.over, block.over)
    if replicates > 1 and trainings > 1:
        return _table(nested_variances(full, k, within, replicate))
    found = crossed_variances(full[:, :, 0] if trainings == 1 else full[:, 0], k, within)
    if block.trainings is not None:
        names = {"problem": "problem", replicate: "training"} if trainings == 1 else {"problem": "problem"}
        renamed = {name: found.pop(component) for name, component in names.items()}
        found = (
            renamed
            | {replicate: renamed.get(replicate, UNKNOWN), "training": found.pop("training", UNKNOWN)}
            | found
        )
    return _table(found)


def _table(variances: Variances) -> pl.DataFrame:
    total = sum(variance or 0.0 for variance, _ in variances.values())
    rows = [
        {
            "component": name,
            "variance": variance,
            "sd": None if variance is None else variance**0.5,
            "share": None if variance is None or not total else variance / total,
            "of_mean": of_mean,
        }
        for name, (variance, of_mean) in variances.items()
    ]
    return pl.DataFrame(rows, schema=COMPONENTS)


def crossed_variances(full: Array, k: int, within: float) -> Variances:
    """Components of accuracies (cells, trainings, problems); `within`: mean variance of one completion of one
    problem in one training."""
    _, r, n = full.shape
    columns = float(full.mean(axis=1).var(axis=1, ddof=1).mean())
    if r == 1:
        problem = columns - within / k if k > 1 else None
        sample = within if k > 1 else columns
        return {
            "problem": _part(problem, n), "training": UNKNOWN, "rest": UNKNOWN, "sample": _part(sample, n * k)
        }  # fmt: skip
    rest = _residual(full)
    rows = float(full.mean(axis=2).var(axis=1, ddof=1).mean())
    return {
        "problem": _part(columns - rest / r, n),
        "training": _part(rows - rest / n, r),
        "rest": _part(rest - within / k if k > 1 else None, n * r),
        "sample": _part(within if k > 1 else rest, n * r * k),
    }


def nested_variances(full: Array, k: int, within: float, replicate: str) -> Variances:
    """Components of accuracies (cells, replicates, seeds of each, problems): mean squares, innermost first.

    `seed` is the component that trainings with one seed share over all replicates.
    """
    _, s, r, n = full.shape
    replicates = full.mean(axis=2)
    rest = _residual(full.reshape(-1, r, n))
    mixed = max(_residual(replicates) - rest / r, 0.0)
    training_square = _residual(full.mean(axis=3))
    seed_square = float(full.mean(axis=(1, 3)).var(axis=1, ddof=1).mean())
    replicate_square = float(replicates.mean(axis=2).var(axis=1, ddof=1).mean())
    problem_square = float(replicates.mean(axis=1).var(axis=1, ddof=1).mean())
    unexplained = max(rest - within / k, 0.0) if k > 1 else rest
    rest_part = unexplained + mixed, unexplained / (n * s * r) + mixed / (n * s)
    return {
        "problem": _part(problem_square - mixed / s - rest / (s * r), n),
        replicate: _part(replicate_square - training_square / r - mixed / n, s),
        "seed": _part(seed_square - training_square / s, r),
        "training": _part(training_square - rest / n, s * r),
        "rest": rest_part if k > 1 else UNKNOWN,
        "sample": _part(within, n * s * r * k) if k > 1 else rest_part,
    }


def _part(variance: float | None, count: int) -> tuple[float | None, float | None]:
    if variance is None:
        return UNKNOWN
    return max(variance, 0.0), max(variance, 0.0) / count


def _residual(layouts: Array) -> float:
    """Residual mean square of trainings (or replicates) x problems, averaged over (E, R, n) layouts."""
    _, r, n = layouts.shape
    rest = layouts - layouts.mean(axis=1, keepdims=True) - layouts.mean(axis=2, keepdims=True)
    rest += layouts.mean(axis=(1, 2), keepdims=True)
    return float((rest**2).sum(axis=(1, 2)).mean() / ((r - 1) * (n - 1)))
