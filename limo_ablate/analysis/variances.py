"""Variance components by sums of squares: what each is, and its part in the variance of a mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Variances = dict[str, tuple[float | None, float | None]]
"""Component -> its variance, and its part in the variance of a cell's mean; null where not known."""
UNKNOWN = (None, None)


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
