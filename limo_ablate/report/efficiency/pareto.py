"""Accuracy against training cost, with the Pareto front of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.hardware import HardwareConfig, device_count
from limo_ablate.core.typed import from_dict
from limo_ablate.report.declared.marks import accuracy_axis, ceiling
from limo_ablate.report.figure_data import LOG_RATIO
from limo_ablate.report.health.groups import APART
from limo_ablate.report.labels import axis, level, percent, plus_minus
from limo_ablate.report.result_tables import interval
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView

HEIGHT = 300
"""Pixels of the plot."""
COLOURS = 8
"""Maximum number of levels with colours of their own."""
NAMED = 6
"""Number of cells of the front named in the finding."""
TEXT = (
    "A cell is on the Pareto front if its {} is higher than that of all cheaper cells and of the "
    "untrained base. The front uses measured means: of two close cells, which one is on it may be "
    "chance. Costs are of training, as recorded by each trial; for a tuned point, of its best trial alone."
)


def section(view: StudyView) -> Section | None:
    """A chart of the main score for each kind of cost that differs between cells."""
    if not view.done or not view.keys:
        return None
    cells, kinds = costs(view)
    charts = tuple(_pareto_chart(view, cells, kind) for kind in kinds)
    word = view.word(view.scores[0])
    return (
        Section("pareto", f"{word.capitalize()} and cost", (TEXT.format(word),), charts) if charts else None
    )


def front(cells: pl.DataFrame, column: str) -> pl.DataFrame:
    """The trained cells, cheapest first, with `place`, the number of a cell on the front: one with a higher
    mean than all cheaper cells and than the untrained base, which costs nothing."""
    spent = cells.filter(pl.col("tokens").is_not_null()).sort(
        [column, "mean"], descending=[False, True], maintain_order=True
    )
    best = max(_bases(cells)["mean"].to_list(), default=0.0)
    before = pl.col("mean").cum_max().shift(1).fill_null(0.0).clip(lower_bound=best)
    higher = spent.with_columns(on=pl.col("mean") > before)
    return higher.with_columns(place=pl.when("on").then(pl.col("on").cum_sum())).drop("on")


def _bases(cells: pl.DataFrame) -> pl.DataFrame:
    """Untrained cells."""
    return cells.filter(pl.col("tokens").is_null())


def _pareto_chart(view: StudyView, cells: pl.DataFrame, kind: CostMeasure) -> Chart:
    shown = front(cells, kind.column)
    best = [
        f"{row['place']}: {row['cell']} ({percent(row['mean'])} % for {amount(row[kind.column])})"
        for row in shown.filter(pl.col("place").is_not_null()).iter_rows(named=True)
    ]
    named = "; ".join(best[:NAMED]) or "no cell"
    left = f"; and {len(best) - NAMED} more" if len(best) > NAMED else ""
    base = "" if _bases(cells).is_empty() else " Dashed: the best untrained base."
    rows = [
        _row(row, kind)
        for row in shown.sort("place", nulls_last=True, maintain_order=True).iter_rows(named=True)
    ]
    word = view.word(view.scores[0])
    header = ["cell", "on the front", kind.title, f"{word} ± se", "95 % interval", "seeds"]
    return Chart(
        f"pareto-{kind.column}",
        f"{word.capitalize()} and {kind.title}",
        f"On the front, cheapest first: {named}{left}.",
        f"A mark for each cell, mean of its seeds; numbered cells are on the front, the stepped line.{base}",
        _chart(view, shown, _bases(cells), kind).to_dict(),
        Table(header, rows, 1),
    )


def _row(row: dict[str, Any], kind: CostMeasure) -> list[str]:
    place = "–" if row["place"] is None else str(row["place"])
    accuracy = plus_minus(row["mean"], row["stderr"])
    return [
        row["cell"],
        place,
        amount(row[kind.column]),
        accuracy,
        interval(row["low"], row["high"]),
        str(row["seeds"]),
    ]


def _chart(
    view: StudyView, shown: pl.DataFrame, bases: pl.DataFrame, kind: CostMeasure
) -> alt.LayerChart | alt.FacetChart:
    key = _coloured(view)
    levels = [level(row[key], key) if key else "" for row in shown.iter_rows(named=True)]
    texts = [
        f"{percent(mean)} % ({percent(low)} to {percent(high)})"
        for mean, low, high in shown.select("mean", "low", "high").iter_rows()
    ]
    rows = shown.select(
        "cell", "mean", "place", cost=kind.column, level=pl.Series(levels, dtype=pl.String),
        front=pl.col("place").is_not_null(), accuracy=pl.Series(texts, dtype=pl.String),
        spent=pl.Series([amount(value) for value in shown[kind.column]], dtype=pl.String),
    )  # fmt: skip
    costs = shown[kind.column]
    log = costs.max() / costs.min() >= LOG_RATIO  # type: ignore[operator]
    x = alt.X(
        "cost:Q",
        title=kind.title + (" (log scale)" if log else ""),
        scale=alt.Scale(nice=False, padding=14, **({"type": "log"} if log else {"zero": False})),
        axis=alt.Axis(format="~s", tickCount=5, labelOverlap="greedy"),
    )
    word = view.word(view.scores[0])
    y = accuracy_axis(ceiling(*shown["mean"], *bases["mean"]), view.scores[0], word)
    base = alt.Chart(rows).encode(x=x, y=y)
    tips = [
        "cell:N",
        alt.Tooltip("accuracy:N", title=f"{word} (95 % interval)"),
        alt.Tooltip("spent:N", title=kind.title),
    ]
    opacity = alt.when("datum.front").then(alt.value(1)).otherwise(alt.value(0.45))
    points = base.mark_point(filled=True, size=70).encode(
        opacity=opacity, tooltip=tips, **_hues(view, key, levels)
    )
    best = base.transform_filter("datum.front")
    layers: list[Any] = [
        best.mark_line(interpolate="step-after", strokeWidth=1.2, style="published"),
        points,
        best.mark_text(dy=-11, fontWeight=600, fontSize=11).encode(text="place:Q"),
    ]
    if not bases.is_empty():
        rule = alt.Chart(bases.sort("mean").tail(1).select("mean", "cell")).mark_rule(strokeDash=[5, 4])
        layers.insert(0, rule.encode(y=y, tooltip=["cell:N", alt.Tooltip("mean:Q", format=".1%")]))
    return alt.layer(*layers).properties(height=HEIGHT)


def _coloured(view: StudyView) -> str | None:
    """The factor shown by colour: the lines of the first figure, else its axis."""
    figure = view.figures[0] if view.figures else None
    keys = [figure.line, figure.x] if figure else view.keys
    return next((key for key in keys if key in view.keys), None)


def _hues(view: StudyView, key: str | None, levels: Sequence[str]) -> dict[str, Any]:
    """Colours and shapes as in the figures: levels in the study's order."""
    declared = [
        level(value, key or "") for block in view.study.blocks for value in block.factors().get(key or "", ())
    ]
    present = [value for value in dict.fromkeys([*declared, *levels]) if value in levels]
    if key is None or not 1 < len(present) <= COLOURS:
        return {"color": alt.Color("kind:N", legend=None)}
    legend, scale = alt.Legend(title=axis(key), symbolOpacity=1), alt.Scale(domain=present)
    return {
        "color": alt.Color("level:N", scale=scale, legend=legend),
        "shape": alt.Shape("level:N", scale=scale, legend=legend),
    }


def amount(value: float) -> str:
    """Three digits: `0.0123`, `4.56`, `34,100`, `32.8 M`."""
    if value >= 1e6:
        power, sign = (1e9, "G") if value >= 1e9 else (1e6, "M")
        return f"{value / power:.3g} {sign}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


HOUR, MINUTES = 3600.0, 600.0
"""Seconds of an hour, and the time from which times are shown in hours."""


@dataclass(frozen=True, slots=True)
class CostMeasure:
    """A column of `costs`, and its title."""

    column: str
    title: str


def costs(view: StudyView) -> tuple[pl.DataFrame, list[CostMeasure]]:
    """A row for each counted cell on the main score; and the costs that differ between cells.

    Columns: the study's keys, cell (text), mean, stderr, low, high, seeds, and means over seeds of
    tokens (trained on), time (of training, times devices), parameters; null for an untrained base.
    """
    own = {trial.name: trial for trial in view.counted}
    rows = view.table.filter(pl.col("trial").is_in(list(own)), pl.col("score") == view.scores[0])
    times = [_devices(own[name]) for name in rows["trial"]]
    rows = rows.with_columns(time=pl.col("trained_seconds") * pl.Series(times, dtype=pl.Float64))
    spent = rows.group_by(view.keys, maintain_order=True).agg(
        tokens=pl.col("trained_tokens").mean(),
        time=pl.col("time").mean(),
        parameters=pl.col("parameters").mean(),
    )
    means = summary(rows.drop("time"), view.answers, view.keys).drop("tokens")
    cells = means.join(spent, on=view.keys, how="left", nulls_equal=True, maintain_order="left")
    longest = max(cells["time"].drop_nulls().to_list(), default=0.0)
    unit, word = (HOUR, "hours") if longest >= MINUTES else (1.0, "seconds")
    texts = [
        APART.join(part for part in view.levels(row) if part != "–") for row in cells.iter_rows(named=True)
    ]
    cells = cells.with_columns(pl.col("time") / unit, cell=pl.Series(texts, dtype=pl.String))
    trained = cells.filter(pl.col("tokens").is_not_null())
    kinds = [
        CostMeasure("tokens", "trained tokens"),
        CostMeasure("time", f"{_device(view)}-{word} of training"),
        CostMeasure("parameters", "parameters"),
    ]
    return cells, [kind for kind in kinds if trained[kind.column].n_unique() > 1]


def _devices(trial: Trial) -> int:
    return device_count(from_dict(HardwareConfig, resolved(trial.folder)["hardware"], "hardware"))


def _device(view: StudyView) -> str:
    """The kind of device that the trials ran on."""
    kinds = {resolved(trial.folder)["hardware"]["device"] for trial in view.counted}
    return {frozenset({"cuda"}): "GPU", frozenset({"cpu"}): "core"}.get(frozenset(kinds), "device")
