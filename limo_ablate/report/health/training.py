"""Section on training curves: loss, dev loss and token accuracy of each trial of a block over trained
tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import axis, level, percent
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.design import Figure

POINTS = 30
"""Number of steps drawn of each curve, denser at the start."""
CURVES = 120
"""Maximum number of curves in a chart; of more, every n-th is drawn."""
SMALLEST = 1e-6
"""Smallest loss that is drawn: a logarithmic axis has no zero."""
HEIGHT = 260
COLUMNS = ("tokens", "loss", "token_accuracy", "dev_loss")
COLOURS = 8
"""Maximum number of levels with colours of their own; with more, all lines have the same colour."""
LINES = {"training": [1, 0], "dev": [5, 3]}
"""Kind of loss -> dash pattern of its line."""


def section(view: StudyView) -> Section | None:
    """Curves of each block that has a declared figure, or of all blocks if there are no figures."""
    charts = [chart for figure in training_figures(view) for chart in _charts(view, figure)]
    return Section("training", "Training curves", charts=tuple(charts)) if charts else None


def training_figures(view: StudyView) -> list[Figure]:
    """A figure for each block: its `line` is shown by colour, its `x` selected in a menu."""
    if view.figures:
        return list(reversed({figure.block: figure for figure in reversed(view.figures)}.values()))
    figures = []
    for block in view.study.blocks:
        keys = [*block.factors(), "seed", "seed"]
        figures.append(Figure(title=block.name, block=block.name, x=keys[1], line=keys[0], score=""))
    return figures


def _charts(view: StudyView, figure: Figure) -> list[Chart]:
    own = [t for t in view.done if figure.block in t.blocks and (t.folder / "curve.parquet").exists()]
    if not own:
        return []
    sampled = own[:: -(-len(own) // CURVES)]
    rows, table = curves(view, figure, sampled), _table(figure, own)
    note = "A line for each trial. Data: trials/*/curve.parquet."
    if len(sampled) < len(own):
        note = f"A line for each of {len(sampled)} of {len(own)} trials. Data: trials/*/curve.parquet."
    dashed = " Dashed: loss on the held-out dev examples." if _with_dev_loss(rows).height else ""
    name, accuracy = f"Training loss: {figure.block}", f"Training token accuracy: {figure.block}"
    loss = loss_chart(figure, rows).to_dict()
    return [
        Chart(slug(name), name, "", note + dashed, loss, table),
        Chart(slug(accuracy), accuracy, "", note, accuracy_chart(figure, rows).to_dict(), table),
    ]


def curves(view: StudyView, figure: Figure, trials: Sequence[Trial]) -> pl.DataFrame:
    """A row for each trial: trial, x, line, and the lists tokens, loss, token_accuracy, dev_tokens, dev_loss.

    Levels of x and line come in the block's order.
    """
    rows = [
        {"trial": t.name, "x": _level(t, figure.x), "line": _level(t, figure.line)} | _lists(_curve(t))
        for t in trials
    ]
    declared = next(block for block in view.study.blocks if block.name == figure.block).factors()
    order = {key: [level(value, key) for value in declared.get(key, ())] for key in (figure.x, figure.line)}

    def place(row: dict[str, Any]) -> list[int]:
        named = ((order[figure.line], row["line"]), (order[figure.x], row["x"]))
        return [levels.index(name) if name in levels else len(levels) for levels, name in named]

    return pl.DataFrame(sorted(rows, key=place), infer_schema_length=None)


def _level(trial: Trial, key: str) -> str:
    return level(trial.level_if_any(key), key)


def _curve(trial: Trial) -> pl.DataFrame:
    """Columns `COLUMNS` of a trial's curve; dev_loss is null if it was not measured."""
    file = pl.scan_parquet(trial.folder / "curve.parquet")
    missing = [pl.lit(None, pl.Float64).alias(name) for name in COLUMNS if name not in file.collect_schema()]
    return file.with_columns(missing).select(COLUMNS).collect()


def _lists(curve: pl.DataFrame) -> dict[str, list[float]]:
    kept = np.unique(np.geomspace(1, max(1, curve.height), POINTS).round().astype(int)) - 1
    steps, dev = curve[kept.tolist()], curve.drop_nulls("dev_loss")
    dev = dev[:: -(-dev.height // POINTS) or 1]
    return {
        "tokens": steps["tokens"].to_list(),
        "loss": steps["loss"].clip(SMALLEST).round_sig_figs(4).to_list(),
        "token_accuracy": steps["token_accuracy"].round(4).to_list(),
        "dev_tokens": dev["tokens"].to_list(),
        "dev_loss": dev["dev_loss"].clip(SMALLEST).round_sig_figs(4).to_list(),
    }


def _with_dev_loss(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of trials with a dev loss."""
    return rows.filter(pl.col("dev_loss").list.len() > 0)


def loss_chart(figure: Figure, rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Loss over trained tokens, both on logarithmic axes; dev loss is dashed."""
    y = alt.Y("loss:Q", title="loss (log scale)", scale=_log(), axis=_ticks("~g"))
    curves_of = {"training": rows.select("trial", "x", "line", "tokens", "loss")}
    if (dev := _with_dev_loss(rows)).height:
        curves_of["dev"] = dev.select("trial", "x", "line", tokens="dev_tokens", loss="dev_loss")
    layers: list[Any] = [
        _lines(figure, part, "loss", y).mark_line(
            strokeWidth=1.8 if name == "dev" else 1.2,
            strokeOpacity=0.6,
            strokeDash=LINES[name],
            point=name == "dev",
        )
        for name, part in curves_of.items()
    ]
    return _with_menu(alt.layer(*layers), figure, rows)


def accuracy_chart(figure: Figure, rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Token accuracy over trained tokens: share of response tokens with the highest probability."""
    scale, ticks = alt.Scale(zero=False, nice=True), alt.Axis(format="~%", tickCount=5)
    y = alt.Y("token_accuracy:Q", title="token accuracy", scale=scale, axis=ticks)
    part = rows.select("trial", "x", "line", "tokens", "token_accuracy")
    lines = _lines(figure, part, "token_accuracy", y).mark_line(strokeWidth=1.2, strokeOpacity=0.6)
    return _with_menu(alt.layer(lines), figure, rows)


def _lines(figure: Figure, rows: pl.DataFrame, measure: str, y: alt.Y) -> alt.Chart:
    """A line for each trial; a colour for each line of the figure or, if it has only one, for each x."""
    levels, lines = (list(dict.fromkeys(rows[key])) for key in ("x", "line"))
    several = len(lines) > 1
    coloured = lines if several else levels
    title = axis(figure.line if several else figure.x)
    legend = alt.Legend(title=title, symbolOpacity=1, symbolStrokeWidth=3, symbolDash=[1, 0], columns=5)
    colour = alt.Color("line:N" if several else "x:N", scale=alt.Scale(domain=coloured), legend=legend)
    chart: alt.Chart = (
        alt.Chart(rows)
        .transform_flatten(["tokens", measure])
        .encode(
            x=alt.X("tokens:Q", title="trained tokens (log scale)", scale=_log(), axis=_ticks("~s")),
            y=y,
            color=colour if len(coloured) <= COLOURS else alt.Undefined,
            detail="trial:N",
            tooltip=["trial:N", "tokens:Q", f"{measure}:Q"],
        )
    )
    return chart


def _with_menu(
    chart: alt.LayerChart | alt.FacetChart, figure: Figure, rows: pl.DataFrame
) -> alt.LayerChart | alt.FacetChart:
    """The chart with a menu of the figure's x, unless x is shown by colour."""
    sized = chart.properties(height=HEIGHT)
    levels = list(dict.fromkeys(rows["x"]))
    if rows["line"].n_unique() < 2 or len(levels) < 2:
        return sized
    menu = alt.binding_select(options=[None, *levels], labels=["all", *levels], name=f"{axis(figure.x)}: ")
    chosen = alt.param("chosen", bind=menu, value=None)
    return sized.transform_filter("chosen == null || datum.x == chosen").add_params(chosen)


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False)


def _ticks(format: str) -> alt.Axis:
    return alt.Axis(format=format, tickCount=5)


def _table(figure: Figure, trials: Sequence[Trial]) -> Table:
    """Results of training at each level of line and x: means over trials."""
    points: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for trial in trials:
        key = _level(trial, figure.line), _level(trial, figure.x)
        points.setdefault(key, []).append((trial.metrics or {})["train"])
    header = [
        axis(figure.line),
        axis(figure.x),
        "trials",
        "steps",
        "trained tokens",
        "loss",
        "token accuracy (%)",
    ]
    header += ["dev loss", "tokens/s"]
    rows = [
        [
            *key,
            str(len(results)),
            *(_mean(results, name, ",.0f") for name in ("steps", "tokens")),
            _mean(results, "loss", ".3g"),
            percent(_average(results, "token_accuracy")),
            _mean(results, "dev_loss", ".3g"),
            _mean(results, "tokens_per_second", ",.0f"),
        ]
        for key, results in points.items()
    ]
    return Table(
        header,
        rows,
        2,
        ["Means over trials; loss and token accuracy over the response tokens of the last epoch."],
    )


def _average(results: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [train[name] for train in results if train.get(name) is not None]
    return sum(values) / len(values) if values else None


def _mean(results: Sequence[dict[str, Any]], name: str, digits: str) -> str:
    value = _average(results, name)
    return "–" if value is None else format(value, digits)
