"""Adjusted p-values: the one place where Holm's method is applied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[np.float64]


def with_adjusted_p(
    rows: pl.DataFrame, family: npt.NDArray[np.bool_] | None = None, of: str = "p"
) -> pl.DataFrame:
    """`rows` with the column p_adj (`of` and `_adj`): p adjusted by Holm over the rows of the family
    (default: all of them).

    Rows outside the family keep their p. A row whose p is null has a null p_adj, but counts in the family.
    """
    adjusted = rows[of].to_numpy().copy()
    members = np.ones(len(adjusted), dtype=bool) if family is None else family
    adjusted[members] = holm(np.nan_to_num(adjusted[members], nan=1.0))
    given = pl.when(pl.col(of).is_not_null()).then(pl.Series(adjusted))
    return rows.with_columns(given.alias(f"{of}_adj"))


def holm(p: npt.ArrayLike) -> Array:
    """Adjusted p-values that control the family-wise error rate (Holm 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    scaled = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
