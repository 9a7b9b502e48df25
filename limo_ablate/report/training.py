"""Training curves: the loss of every trial of a block against the tokens it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from limo_ablate.effects import Trial
from limo_ablate.report.load import StudyView
from limo_ablate.report.names import axis, level
from limo_ablate.report.section import Drawn, Section, slug
from limo_ablate.study.design import Figure

POINTS = 40
"""Steps drawn of each curve, denser at the start."""
CURVES = 300
"""Curves drawn in one chart; of more, every so many."""
SMALLEST = 1e-6
"""Of the losses drawn: a logarithm has no zero."""
HEIGHT = 260
COLUMNS = ["tokens", "loss", "token_accuracy"]


def section(view: StudyView) -> Section | None:
    """The training curves of each block that a figure shows."""
    blocks = {figure.block: figure for figure in reversed(view.figures)}
    found = []
    for figure in reversed(blocks.values()):
        steps = curves(figure, view.done)
        if steps is not None:
            name = f"Training: {figure.block}"
            note = "A line for each trial. The same numbers: trials/*/curve.parquet."
            found.append(Drawn(slug(name), name, "", note, training_chart(figure, steps).to_dict()))
    return Section("training", "Training curves", drawn=tuple(found)) if found else None


def curves(figure: Figure, trials: Sequence[Trial]) -> pl.DataFrame | None:
    """Steps of the figure's block: trial, x, line, seed, tokens, loss, token_accuracy; null without any."""
    own = [t for t in trials if figure.block in t.blocks and (t.folder / "curve.parquet").exists()]
    parts = [
        _thinned(pl.read_parquet(t.folder / "curve.parquet", columns=COLUMNS)).select(
            trial=pl.lit(t.name),
            x=pl.lit(level(t.level(figure.x))),
            line=pl.lit(level(t.level(figure.line))),
            seed=pl.lit(str(t.seed)),
            tokens=pl.col("tokens").cast(pl.Int64),
            loss=pl.col("loss").clip(SMALLEST).round_sig_figs(4),
            token_accuracy=pl.col("token_accuracy").round(4),
        )
        for t in own[:: -(-len(own) // CURVES) or 1]
    ]
    return pl.concat(parts) if parts else None


def _thinned(curve: pl.DataFrame) -> pl.DataFrame:
    kept = np.unique(np.geomspace(1, max(1, curve.height), POINTS).round().astype(int)) - 1
    return curve.select(pl.all().gather(kept.tolist()))


def training_chart(figure: Figure, steps: pl.DataFrame) -> alt.Chart:
    """Loss over trained tokens, both logarithmic; a colour for each line of the figure and a menu for its x,
    or, where it has one line only, a colour for each x.
    """
    levels, lines = (list(dict.fromkeys(steps[key])) for key in ("x", "line"))
    several = len(lines) > 1
    legend = alt.Legend(
        title=axis(figure.line if several else figure.x), symbolOpacity=1, symbolStrokeWidth=3
    )
    scale = alt.Scale(domain=lines if several else levels)
    chart = alt.Chart(steps).mark_line(strokeWidth=1.2, opacity=0.6)
    drawn: alt.Chart = chart.encode(
        x=alt.X("tokens:Q", title="trained tokens (log scale)", scale=_log(), axis=_ticks("~s")),
        y=alt.Y("loss:Q", title="training loss (log scale)", scale=_log(), axis=_ticks("~g")),
        color=alt.Color("line:N" if several else "x:N", scale=scale, legend=legend),
        detail="trial:N",
        tooltip=["trial:N", "tokens:Q", "loss:Q", alt.Tooltip("token_accuracy:Q", title="token accuracy")],
    ).properties(height=HEIGHT)
    if not several:
        return drawn
    menu = alt.binding_select(options=[None, *levels], labels=["all", *levels], name=f"{axis(figure.x)}: ")
    chosen = alt.selection_point(fields=["x"], bind=menu, name="chosen")
    filtered: alt.Chart = drawn.transform_filter(chosen).add_params(chosen)
    return filtered


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False)


def _ticks(format: str) -> alt.Axis:
    return alt.Axis(format=format, tickCount=5)
