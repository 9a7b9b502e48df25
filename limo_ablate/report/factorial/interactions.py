"""Charts of two-factor interactions: heatmaps of the interaction effects, and lines of mean accuracies."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from limo_ablate.analysis.crossed import SHARE, crossed
from limo_ablate.analysis.cube import mean_weights
from limo_ablate.report.declared.marks import accuracy_axis, ceiling
from limo_ablate.report.factorial.grid import Grid, effect_label
from limo_ablate.report.labels import axis, level, percent
from limo_ablate.report.result_tables import interval
from limo_ablate.report.section import Chart, Table, slug

ALPHA = 0.05
"""Adjusted p-value below which an effect is significant."""
MAPS, LINES = 3, 2
"""Number of a block's pairs drawn as heatmaps, and as lines: those with the smallest p."""
ROW, LEAST, HEIGHT = 38, 110, 240
"""Height in pixels of a heatmap's row, at least of a heatmap, and of a line chart."""
NOTE = (
    "Interaction effects in points: 0 everywhere if the factors are additive. Bold: adjusted p "
    f"< {ALPHA:g} (Holm, over the block's interactions). Exploratory."
)
GAPS = alt.Scale(paddingInner=0.03, paddingOuter=0)
Pair = tuple[str, str]


def strongest_pairs(rows: pl.DataFrame) -> list[Pair]:
    """Pairs of factors by the smallest p of their interactions."""
    pairs = rows.filter(pl.col("kind") == "interaction").group_by("factor", "other", maintain_order=True)
    ranked = pairs.agg(pl.col("p").min()).sort("p", maintain_order=True)
    return [(one, other) for one, other in ranked.select("factor", "other").iter_rows()]


def heatmaps(grid: Grid, rows: pl.DataFrame) -> list[Chart]:
    """A heatmap for each of the pairs with the smallest p."""
    return [_map(grid, rows, pair) for pair in strongest_pairs(rows)[:MAPS]]


def _map(grid: Grid, rows: pl.DataFrame, pair: Pair) -> Chart:
    own = rows.filter(pl.col("factor") == pair[0], pl.col("other") == pair[1])
    texts = [{str(value): level(value, key) for value in grid.levels(key)} for key in pair]
    cells = [
        {
            "x": texts[0][row["level"]], "y": texts[1][row["other_level"]], "effect": row["effect"],
            "number": f"{100 * row['effect']:+.1f}", "significant": row["p_adj"] < ALPHA,
            "interval": f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]", "p": f"{row['p_adj']:.3f}",
        }
        for row in own.iter_rows(named=True)
    ]  # fmt: skip
    significant = sorted(
        (cell for cell in cells if cell["significant"]), key=lambda cell: -abs(cell["effect"])
    )
    listed = "; ".join(f"{cell['x']}, {cell['y']} {cell['number']}" for cell in significant[:4])
    title = f"{grid.block.name}: {effect_label(pair)}"
    header = [*map(axis, pair), "interaction", "95 % interval", "adjusted p"]
    table = [[cell[key] for key in ("x", "y", "number", "interval", "p")] for cell in cells]
    return Chart(
        slug(f"{title} interaction"),
        f"{title}, interaction on {grid.score}",
        f"Significant, in points: {listed}." if listed else "None is significant.",
        NOTE,
        _map_chart(pl.DataFrame(cells), pair, [list(text.values()) for text in texts]).to_dict(),
        Table(header, table, 2),
    )


def _map_chart(cells: pl.DataFrame, pair: Pair, levels: list[list[str]]) -> alt.LayerChart | alt.FacetChart:
    names: dict[str, Any] = {
        "labelAngle": 0,
        "grid": False,
        "domain": False,
        "ticks": False,
        "labelLimit": 110,
    }
    base = alt.Chart(cells).encode(
        x=alt.X("x:N", title=axis(pair[0]), sort=levels[0], scale=GAPS, axis=alt.Axis(**names)),
        y=alt.Y("y:N", title=axis(pair[1]), sort=levels[1][::-1], scale=GAPS, axis=alt.Axis(**names)),
    )
    widest = float(np.abs(cells["effect"].to_numpy()).max()) or 1.0
    scale = alt.Scale(range="diverging", domain=[-widest, widest], domainMid=0)
    tips = [alt.Tooltip("x:N", title=axis(pair[0])), alt.Tooltip("y:N", title=axis(pair[1]))]
    tips += [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    colour = alt.Color("effect:Q", scale=scale, legend=None)
    text = base.encode(text="number:N")
    return alt.layer(
        base.mark_rect(cornerRadius=2).encode(color=colour, tooltip=tips),
        text.transform_filter("datum.significant").mark_text(fontWeight=700),
        text.transform_filter("!datum.significant").mark_text(fontSize=11, opacity=0.8),
    ).properties(height=max(LEAST, ROW * len(levels[1])))


TIPS = {"number": "interaction", "interval": "95 % interval", "p": "adjusted p"}


def line_charts(grid: Grid, rows: pl.DataFrame, shown: list[set[str]]) -> list[Chart]:
    """Accuracy by one factor with a line for each level of the other, for the pairs with the smallest p not
    `shown`."""
    pairs = [pair for pair in strongest_pairs(rows) if set(pair) not in shown]
    return [_lines(grid, pair) for pair in pairs[:LINES]]


def _lines(grid: Grid, pair: Pair) -> Chart:
    means: list[dict[str, Any]] = [
        {"x": level(a, pair[0]), "line": level(b, pair[1])} | _mean(grid, {pair[0]: a, pair[1]: b})
        for a in grid.levels(pair[0])
        for b in grid.levels(pair[1])
    ]
    title = f"{grid.block.name}: {effect_label(pair)}"
    table = [
        [row["x"], row["line"], percent(row["mean"]), interval(row["low"], row["high"])] for row in means
    ]
    return Chart(
        slug(f"{title} lines"),
        f"{title}, {grid.word} on {grid.score}",
        "",
        "Averaged over the other factors. Bars: 95 % intervals. Parallel lines: no interaction.",
        _lines_chart(pl.DataFrame(means), grid, pair).to_dict(),
        Table([*map(axis, pair), grid.word, "95 % interval"], table, 2),
    )


def _mean(grid: Grid, levels: dict[str, Any]) -> dict[str, float]:
    cube = grid.cube
    values = cube.grouped(cube.weighted(mean_weights(cube, levels))[None])
    estimate = crossed(values, bounds=SHARE, problems=len(cube.problems))
    (low,), (high,) = estimate.interval()
    return {"mean": float(estimate.mean[0]), "low": float(low), "high": float(high)}


def _lines_chart(means: pl.DataFrame, grid: Grid, pair: Pair) -> alt.LayerChart | alt.FacetChart:
    one, other = ([level(value, key) for value in grid.levels(key)] for key in pair)
    legend, scale = alt.Legend(title=axis(pair[1]), symbolOpacity=1), alt.Scale(domain=other)
    x = alt.X(
        "x:N",
        sort=one,
        title=axis(pair[0]),
        axis=alt.Axis(labelAngle=0, labelLimit=110),
        scale=alt.Scale(padding=0.6),
    )
    base = alt.Chart(means).encode(
        x=x,
        xOffset=alt.XOffset("line:N", sort=other, scale=alt.Scale(paddingOuter=1)),
        color=alt.Color("line:N", scale=scale, legend=legend),
    )
    y = accuracy_axis(ceiling(*means["high"]), grid.score, grid.word)
    shape = alt.Shape("line:N", scale=scale, legend=legend)
    return alt.layer(
        base.mark_line(strokeWidth=1.5, opacity=0.7).encode(y=y),
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            y=y, shape=shape, tooltip=["x:N", "line:N", alt.Tooltip("mean:Q", format=".1%")]
        ),
    ).properties(height=HEIGHT)
