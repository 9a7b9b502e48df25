"""What a declared figure shows, in sentences."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import polars as pl

from limo_ablate.analysis.curves import Curve
from limo_ablate.report.efficiency.gains import declines, falling
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.labels import axis, level, percent, plus_minus
from limo_ablate.study.contrast import SIZE
from limo_ablate.study.design import ALL

MOST_OF_IT = 0.9
"""Share of the rise over all sizes from which a size counts as the one that does most of it."""
SHOWN = 5
"""Number of points of a figure over categories that a sentence names."""


def finding(data: FigureData) -> str:
    """The figure's result: what its highest line gains from how many examples, and where the others end."""
    if data.scale == "category":
        return _ranking(data)
    ends = data.curve.filter(pl.col("line").is_in(data.lines)).sort("x")
    last = ends.group_by("line", maintain_order=True).last().sort("mean", descending=True)
    best, others = last.row(0, named=True), last[1:].iter_rows(named=True)
    curve = data.fits.curves.get(best["line"]) if data.fits else None
    if curve is None or best["x"] != curve.sizes[-1]:
        text = _ends(data, ends.filter(pl.col("line") == best["line"]))
    else:
        text = _rise(data, best["line"], curve)
    if rest := ", ".join(f"{row['line']} {_percent(row)}" for row in others):
        text += f" At the end of the other lines: {rest}."
    return text + (f" {declines(data.fits)}" if data.fits and falling(data.fits) else "")


def _rise(data: FigureData, line: str, curve: Curve) -> str:
    """From the base model to the size that does most of it, and from there to the largest."""
    key, start = data.figure.x, _before(data, line)
    first = start if start is not None else float(curve.accuracy[0])
    place = _knee(first, [float(mean) for mean in curve.accuracy])
    sizes = [float(size) for size in curve.sizes]
    name = data.word.capitalize() if line == ALL else line
    text = f"{name} reaches {percent(float(curve.accuracy[place]))} % with {_amount(sizes[place], key)}"
    if start is not None:
        text += f" ({percent(start)} % {_at_zero(key)})"
    elif place:
        text += f" ({percent(first)} % with {level(sizes[0], key)})"
    if place == len(sizes) - 1:
        return f"{text}."
    gain, low, high = curve.to_largest[place]
    change = f"{100 * gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    chance = ", which may be chance" if low <= 0 <= high else ""
    return f"{text}; from there to {level(sizes[-1], key)}: {change}{chance}."


def _amount(size: Any, key: str) -> str:
    """`16 training examples`; `size=16` for a key without words."""
    words = axis(key)
    return f"{key}={level(size, key)}" if words == key else f"{level(size, key)} {words}"


def _at_zero(key: str) -> str:
    return "before fine-tuning" if key == SIZE else f"with {_amount(0, key)}"


def _knee(first: float, means: list[float]) -> int:
    """The first size that has most of the rise from `first` to the highest size; that one, without a rise."""
    if (rise := max(means) - first) <= 0:
        return means.index(max(means))
    return next(i for i, mean in enumerate(accumulate(means, max)) if mean - first >= MOST_OF_IT * rise)


def _before(data: FigureData, line: str) -> float | None:
    """Accuracy of the model before fine-tuning: the line's own, or the one that all lines share."""
    base = data.base.filter(pl.col("line").is_in([line])) if line in data.base["line"] else data.base
    return float(base["mean"][0]) if base.height == 1 else None


def _ends(data: FigureData, points: pl.DataFrame) -> str:
    """Where a line without a curve starts and ends."""
    first, last = points.row(0, named=True), points.row(-1, named=True)
    key, before = data.figure.x, _before(data, last["line"])
    end = f"{_percent(last)} with {_amount(last['x'], key)}"
    if points.height == 1:
        return f"{last['line']}: {end}."
    base = f" ({percent(before)} % {_at_zero(key)})" if before is not None else ""
    return f"{last['line']} goes from {_percent(first)} with {level(first['x'], key)} to {end}{base}."


def _ranking(data: FigureData) -> str:
    several = len(data.lines) > 1
    ranking = [
        f"{row['line']}, {row['x']}: {_percent(row)}" if several else f"{row['x']}: {_percent(row)}"
        for row in data.points.sort("mean", descending=True).iter_rows(named=True)
    ]
    return "; ".join(ranking if len(ranking) <= SHOWN else [*ranking[:3], "…", ranking[-1]]) + "."


def _percent(row: dict[str, Any]) -> str:
    return f"{plus_minus(row['mean'], row['stderr'])} %"
