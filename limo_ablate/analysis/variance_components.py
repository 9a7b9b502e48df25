"""Variance components by sums of squares: what each is, and its part in the variance of a mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.cube import Cube

Array = npt.NDArray[np.float64]
Variances = dict[str, tuple[float | None, float | None]]
"""Component -> its variance, and its part in the variance of a cell's mean; null where not known."""
UNKNOWN = (None, None)
DRAWN = {"select.seed": "subset", "model.pretrain.seed": "base"}
"""Axis that is drawn anew -> its component."""
COMPONENTS = {"component": pl.String, **dict.fromkeys(("variance", "sd", "share", "of_mean"), pl.Float64)}


def components(block: Cube) -> pl.DataFrame:
    """How much of the variance of one completion's correctness is whose, averaged over the block's cells.

    A row for each of `problem`, `training`, `rest` (problem x training, beyond sampling) and `sample`, and
    before `training` two where the block draws something anew: that, `subset` (`select.seed`) or `base`
    (`model.pretrain.seed`), and `seed`, what all of them that are trained with a seed share. Columns:
    component, variance, sd, share, and `of_mean`, its part in the variance of a cell's mean. By sums of
    squares (random effects); below 0 counts as 0. Null is what can't be told apart: with one sample of each
    problem `rest`, which is then in `sample`; with one training of each draw `training` (and there is no
    `seed`), then in the draw; with one seed `training`, and no claim can be made beyond it; with one of each
    all is in `sample`.
    """
    layouts = block.accuracy[:, :, None] if block.trainings is None else block.trainings
    full = layouts[np.isfinite(layouts[..., 0]).all(axis=(1, 2))]
    if not len(full) or full.shape[-1] < 2:
        return pl.DataFrame(schema=COMPONENTS)
    _, draws, trainings, _ = full.shape
    drawn = DRAWN.get(block.over, block.over)
    if draws > 1 and trainings > 1:
        return _table(nested_variances(full, block.samples, drawn))
    found = crossed_variances(full[:, :, 0] if trainings == 1 else full[:, 0], block.samples)
    if block.trainings is not None:
        names = {"problem": "problem", drawn: "training"} if trainings == 1 else {"problem": "problem"}
        apart = {name: found.pop(kept) for name, kept in names.items()}
        found = apart | {drawn: apart.get(drawn, UNKNOWN), "training": found.pop("training", UNKNOWN)} | found
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


def _within(full: Array, k: int) -> float:
    """Variance of one completion of one problem in one training, averaged."""
    return float((full * (1 - full)).mean() * (k / (k - 1) if k > 1 else 1.0))


def crossed_variances(full: Array, k: int) -> Variances:
    """Of (cells, trainings, problems)."""
    _, r, n = full.shape
    within = _within(full, k)
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


def nested_variances(full: Array, k: int, drawn: str) -> Variances:
    """Of (cells, draws, seeds that each is trained with, problems): mean squares, innermost first.

    `seed` is what trainings of one seed have in common over the draws.
    """
    _, s, r, n = full.shape
    within = _within(full, k)
    draws = full.mean(axis=2)
    rest = _residual(full.reshape(-1, r, n))
    mixed = max(_residual(draws) - rest / r, 0.0)
    of_training = _residual(full.mean(axis=3))
    of_seed = float(full.mean(axis=(1, 3)).var(axis=1, ddof=1).mean())
    of_draw = float(draws.mean(axis=2).var(axis=1, ddof=1).mean())
    of_problem = float(draws.mean(axis=1).var(axis=1, ddof=1).mean())
    beyond = max(rest - within / k, 0.0) if k > 1 else rest
    both = beyond + mixed, beyond / (n * s * r) + mixed / (n * s)
    return {
        "problem": _part(of_problem - mixed / s - rest / (s * r), n),
        drawn: _part(of_draw - of_training / r - mixed / n, s),
        "seed": _part(of_seed - of_training / s, r),
        "training": _part(of_training - rest / n, s * r),
        "rest": both if k > 1 else UNKNOWN,
        "sample": _part(within, n * s * r * k) if k > 1 else both,
    }


def _part(variance: float | None, count: int) -> tuple[float | None, float | None]:
    if variance is None:
        return UNKNOWN
    return max(variance, 0.0), max(variance, 0.0) / count


def _residual(layouts: Array) -> float:
    """Mean square of what trainings (or draws) and problems leave, averaged over (E, R, n) layouts."""
    _, r, n = layouts.shape
    rest = layouts - layouts.mean(axis=1, keepdims=True) - layouts.mean(axis=2, keepdims=True)
    rest += layouts.mean(axis=(1, 2), keepdims=True)
    return float((rest**2).sum(axis=(1, 2)).mean() / ((r - 1) * (n - 1)))
