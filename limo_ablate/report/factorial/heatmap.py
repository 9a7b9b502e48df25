"""Section with heatmaps of figures with two axes: each cell's accuracy, and its interaction if
significant."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.factors import factor_effects
from limo_ablate.report.figure_data import FigureData, full_grid
from limo_ablate.report.labels import axis, level, percent, score_title
from limo_ablate.report.result_tables import interval
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView

ROW, LEAST = 46, 140
"""Height in pixels of a row, and at least of the plot."""
WIDE, WIDEST = 8, 16
"""Maximum number of columns for numbers with a decimal, and for numbers at all."""
ALPHA = 0.05
"""Adjusted p-value below which an interaction is shown in its cell."""
GAPS = alt.Scale(paddingInner=0.03, paddingOuter=0)
INTERACTION = (
    "Interaction: the cell's {} minus what its row and its column predict, in points, with its 95 % "
    "interval; p adjusted by Holm over the cells. Exploratory."
)


def section(view: StudyView) -> Section | None:
    """A heatmap of each figure with several levels on both axes; None if there are none."""
    charts = tuple(heatmap_chart(data) for data in view.panels(of_accuracy=True) if is_crossed(data))
    return Section("heatmap", "Heatmaps of two axes", charts=charts) if charts else None


def is_crossed(data: FigureData) -> bool:
    """Whether the figure has at least two lines and two levels, and more than half of the cells."""
    wide = data.curve["x"].n_unique()
    return len(data.lines) > 1 and wide > 1 and data.curve.height > len(data.lines) * wide / 2


def heatmap_chart(data: FigureData) -> Chart:
    cells = heatmap_table(data)
    ranked = cells.sort("mean")
    worst, best = (_named(ranked.row(place, named=True)) for place in (0, -1))
    significant = cells.filter(pl.col("sign") != "").height
    note = f"{data.word.capitalize()} in per cent. "
    if significant:
        note += f"Below: interaction of row and column, if adjusted p < {ALPHA:g}. "
    if base := [f"{row['line']} {percent(row['mean'])} %" for row in data.base.iter_rows(named=True)]:
        note += f"Not shown: {axis(data.figure.x)} 0 ({', '.join(base)})."
    header = [axis(data.figure.line), axis(data.figure.x), data.word, "95 % interval", "seeds"]
    header += ["interaction", "its interval", "adjusted p"]
    return Chart(
        slug(f"{data.figure.title} heatmap"),
        f"{data.figure.title}: heatmap",
        f"From {worst} to {best}. Significant interactions: {significant} of {cells.height} cells.",
        note.strip(),
        _chart(data, cells).to_dict(),
        Table(header, [_row(row) for row in cells.iter_rows(named=True)], 2, [INTERACTION.format(data.word)]),
    )


def heatmap_table(data: FigureData) -> pl.DataFrame:
    """A row for each cell except the untrained base: line, x (text), mean, low, high, seeds; effect, from, to
    and p_adj of its interaction (null outside the full grid); sign: the interaction's text if significant."""
    points = data.curve.filter(pl.col("line").is_in(data.lines))
    x = pl.Series("x", [level(x, data.figure.x) for x in points["x"]], dtype=pl.String)
    cells = points.select("line", x, "mean", "low", "high", "seeds")
    joined = cells.join(_interactions(data), on=["line", "x"], how="left", maintain_order="left")
    signs = [
        f"{100 * effect:+.1f}" if p is not None and p < ALPHA else ""
        for effect, p in joined.select("effect", "p_adj").iter_rows()
    ]
    return joined.with_columns(sign=pl.Series(signs, dtype=pl.String))


def _interactions(data: FigureData) -> pl.DataFrame:
    named = {"line": pl.String, "x": pl.String} | dict.fromkeys(("effect", "from", "to", "p_adj"), pl.Float64)
    grid = full_grid(data.answers.join(data.curve, on=["x", "line"], how="semi", nulls_equal=True))
    if not grid:
        return pl.DataFrame(schema=named)
    rows = factor_effects(grid).filter(pl.col("kind") == "interaction")
    texts = {str(x): level(x, data.figure.x) for x, _ in grid.cells}
    return rows.select(
        line="other_level", x=pl.col("level").replace(texts), effect="effect", to="high", p_adj="p_adj",
        **{"from": "low"},
    ).select(pl.col(name).cast(kind) for name, kind in named.items())  # fmt: skip


def _chart(data: FigureData, cells: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    names = (level(x, data.figure.x) for x in data.levels)
    levels = [name for name in names if name in set(cells["x"])]
    base = alt.Chart(_shown(cells, 1 if len(levels) <= WIDE else 0)).encode(
        x=alt.X("x:N", sort=levels, title=axis(data.figure.x), scale=GAPS, axis=_names(140)),
        y=alt.Y("line:N", sort=data.lines[::-1], title=axis(data.figure.line), scale=GAPS, axis=_names(110)),
    )
    legend = alt.Legend(
        title=score_title(data.figure.score, data.word), format=".0%", gradientLength=180, tickCount=4
    )
    tips = [
        alt.Tooltip("line:N", title=axis(data.figure.line)),
        alt.Tooltip("x:N", title=axis(data.figure.x)),
        alt.Tooltip("accuracy:N", title=f"{data.word} (95 % interval)"),
        alt.Tooltip("interaction:N"),
    ]
    colour = alt.Color("mean:Q", scale=alt.Scale(range="heatmap", domainMin=0), legend=legend)
    layers: list[Any] = [base.mark_rect(cornerRadius=2).encode(color=colour, tooltip=tips)]
    if len(levels) <= WIDEST:
        size, up = 13 if len(levels) <= WIDE else 10, -6 if any(cells["sign"]) else 0
        layers += [
            base.mark_text(fontSize=size, fontWeight=600, dy=up).encode(text="number:N"),
            base.mark_text(fontSize=size - 2, dy=9).encode(text="sign:N"),
        ]
    return alt.layer(*layers).properties(height=max(LEAST, ROW * len(data.lines)))


def _names(limit: int) -> alt.Axis:
    return alt.Axis(labelAngle=0, labelLimit=limit, grid=False, domain=False, ticks=False)


def _shown(cells: pl.DataFrame, digits: int) -> pl.DataFrame:
    rows = list(cells.iter_rows(named=True))
    return cells.select(
        "line",
        "x",
        "mean",
        "sign",
        number=pl.Series([percent(row["mean"], digits) for row in rows]),
        accuracy=pl.Series([f"{percent(r['mean'])} % ({interval(r['low'], r['high'])})" for r in rows]),
        interaction=pl.Series([_effect(row) for row in rows]),
    )


def _named(row: dict[str, Any]) -> str:
    return f"{percent(row['mean'])} % ({row['line']}, {row['x']})"


def _effect(row: dict[str, Any]) -> str:
    if row["effect"] is None:
        return "–"
    return f"{100 * row['effect']:+.1f} [{100 * row['from']:+.1f}, {100 * row['to']:+.1f}]"


def _row(row: dict[str, Any]) -> list[str]:
    effect, _, bounds = _effect(row).partition(" ")
    p = "–" if row["p_adj"] is None else f"{row['p_adj']:.3f}"
    ends = interval(row["low"], row["high"])
    return [row["line"], row["x"], percent(row["mean"]), ends, str(row["seeds"]), effect, bounds or "–", p]
