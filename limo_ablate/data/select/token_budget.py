"""Chooses rows with a given total of response tokens, so that arms differ only in what they vary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limo_ablate.core.errors import UserError

TOLERANCE = 0.005
"""Relative deviation from the token budget; two arms that keep to it agree within 1 %."""

MAX_SUBSET_BITS = 4_000_000_000
"""Bits that `_subset` may hold: half a gigabyte."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of responses."""

    count: Callable[[Sequence[str]], list[int]]
    digest: str
    """Digest of the tokenizer."""


def choose_for_budget(lengths: Sequence[int], target: int, size: int | None) -> list[int]:
    """Positions of rows whose lengths sum to `target` within 0.5 %, as early in the order as possible.

    With `size`, exactly that many rows: the first ones, with as few as possible exchanged for later ones.
    Raises UserError with the nearest total if there is no such choice.
    """
    numbers = np.asarray(lengths, np.int64)
    chosen = np.zeros(len(numbers), bool)
    chosen[_first_that_fit(numbers, target) if size is None else slice(size)] = True
    while abs(missing := target - int(numbers[chosen].sum())) > TOLERANCE * target:
        change = _best_change(numbers, chosen, missing, adding=size is None)
        if change is None:
            if size is None and (exact := _subset(lengths, target)) is not None:
                return exact
            raise UserError(_unreachable(numbers, chosen, target, size))
        out, new = change
        chosen[new] = True
        if out is not None:
            chosen[out] = False
    return [int(place) for place in np.flatnonzero(chosen)]


def _subset(lengths: Sequence[int], target: int) -> list[int] | None:
    """Rows with such a sum, of the shortest prefix that has any; None if there are none, or too many to try.

    The possible sums of each prefix are the set bits of one integer.
    """
    low, high = math.ceil(target * (1 - TOLERANCE)), math.floor(target * (1 + TOLERANCE))
    if high * len(lengths) > MAX_SUBSET_BITS:
        return None
    below = (1 << (high + 1)) - 1
    sums = [1]
    for length in lengths:
        sums.append((sums[-1] | sums[-1] << length) & below)
        if sums[-1] >> low:
            break
    else:
        return None
    total = min((s for s in range(low, high + 1) if sums[-1] >> s & 1), key=lambda s: abs(s - target))
    places = []
    for place in range(len(sums) - 2, -1, -1):
        if not sums[place] >> total & 1:
            places.append(place)
            total -= lengths[place]
    return places[::-1]


def _first_that_fit(lengths: Numbers, target: int) -> list[int]:
    total, places = 0, []
    for place, length in enumerate(lengths):
        if total + length <= target:
            total += int(length)
            places.append(place)
    return places


def _best_change(
    lengths: Numbers, chosen: npt.NDArray[np.bool_], missing: int, *, adding: bool
) -> tuple[int | None, int] | None:
    """(row to remove or None, row to add) that brings the sum closest to the target; None if none helps."""
    inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    best: tuple[int | None, int] | None = None
    error = abs(missing)
    if adding and len(outside):
        gains = np.abs(missing - lengths[outside])
        if gains.min() < error:
            best, error = (None, int(outside[gains.argmin()])), int(gains.min())
    if len(inside) and len(outside):
        by_length = inside[np.argsort(lengths[inside], kind="stable")]
        wanted = lengths[outside] - missing
        right = np.searchsorted(lengths[by_length], wanted).clip(max=len(inside) - 1)
        for near in (right, (right - 1).clip(min=0)):
            errors = np.abs(wanted - lengths[by_length[near]])
            if errors.min() < error:
                at = int(errors.argmin())
                best, error = (int(by_length[near[at]]), int(outside[at])), int(errors.min())
    return best


def _unreachable(lengths: Numbers, chosen: npt.NDArray[np.bool_], target: int, size: int | None) -> str:
    total, rows = int(lengths[chosen].sum()), len(lengths)
    text = f"select.tokens={target}: "
    if size is None:
        return text + f"{rows} rows pass; the nearest total found is {total} tokens"
    ordered = np.sort(lengths)
    low, high = int(ordered[:size].sum()), int(ordered[rows - size :].sum())
    return (
        text
        + f"{size} of the {rows} rows that pass have {low} to {high} tokens; nearest total found: {total}"
    )
