"""Accuracy against what it cost, and the cells that no cheaper one comes up to."""

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
"""Levels that can be told apart."""
NAMED = 6
"""Cells of the front in the sentence."""
TEXT = (
    "A cell is on the front if no cheaper one comes as high. That goes by measured means: of two cells that "
    "lie close, which is on it may be chance. Costs are those of training, as each trial recorded them; of a "
    "tuned point, those of its best trial alone."
)


def section(view: StudyView) -> Section | None:
    """Of the study's main score: a picture for each cost that differs between cells."""
    if not view.done or not view.keys:
        return None
    cells, kinds = costs(view)
    drawn = tuple(_picture(view, cells, kind) for kind in kinds)
    return Section("pareto", "Accuracy and cost", (TEXT,), drawn) if drawn else None


def front(cells: pl.DataFrame, column: str) -> pl.DataFrame:
    """The trained cells, the cheapest first, and `place`, numbers of those on the front: higher than
    all cheaper ones, and than the untrained base, which costs nothing."""
    spent = cells.filter(pl.col("tokens").is_not_null()).sort(
        [column, "mean"], descending=[False, True], maintain_order=True
    )
    best = max(_bases(cells)["mean"].to_list(), default=0.0)
    before = pl.col("mean").cum_max().shift(1).fill_null(0.0).clip(lower_bound=best)
    higher = spent.with_columns(on=pl.col("mean") > before)
    return higher.with_columns(place=pl.when("on").then(pl.col("on").cum_sum())).drop("on")


def _bases(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells that were not trained."""
    return cells.filter(pl.col("tokens").is_null())


def _picture(view: StudyView, cells: pl.DataFrame, kind: CostMeasure) -> Chart:
    shown = front(cells, kind.column)
    best = [
        f"{row['place']}: {row['cell']} ({percent(row['mean'])} % for {amount(row[kind.column])})"
        for row in shown.filter(pl.col("place").is_not_null()).iter_rows(named=True)
    ]
    left = f"; and {len(best) - NAMED} more" if len(best) > NAMED else ""
    base = "" if _bases(cells).is_empty() else " Dashed: the best untrained base."
    rows = [
        _row(row, kind)
        for row in shown.sort("place", nulls_last=True, maintain_order=True).iter_rows(named=True)
    ]
    header = ["cell", "on the front", kind.title, "accuracy ± se", "95 % interval", "seeds"]
    return Chart(
        f"pareto-{kind.column}",
        f"Accuracy and {kind.title}",
        f"On the front, from the cheapest: {'; '.join(best[:NAMED])}{left}.",
        f"A mark for each cell, mean of its seeds; numbered are those on the front, the stepped line.{base}",
        _chart(view, shown, _bases(cells), kind).to_dict(),
        Table(header, rows, 1),
    )


def _row(row: dict[str, Any], kind: CostMeasure) -> list[str]:
    place = "–" if row["place"] is None else str(row["place"])
    accuracy = plus_minus(row["mean"], row["seed_error"])
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
    levels = [level(row[key]) if key else "" for row in shown.iter_rows(named=True)]
    said = [
        f"{percent(mean)} % ({percent(low)} to {percent(high)})"
        for mean, low, high in shown.select("mean", "low", "high").iter_rows()
    ]
    rows = shown.select(
        "cell", "mean", "place", cost=kind.column, level=pl.Series(levels, dtype=pl.String),
        front=pl.col("place").is_not_null(), accuracy=pl.Series(said, dtype=pl.String),
        spent=pl.Series([amount(value) for value in shown[kind.column]], dtype=pl.String),
    )  # fmt: skip
    found = shown[kind.column]
    log = found.max() / found.min() >= LOG_RATIO  # type: ignore[operator]
    x = alt.X(
        "cost:Q",
        title=kind.title + (" (log scale)" if log else ""),
        scale=alt.Scale(nice=False, padding=14, **({"type": "log"} if log else {"zero": False})),
        axis=alt.Axis(format="~s", tickCount=5, labelOverlap="greedy"),
    )
    y = accuracy_axis(ceiling(*shown["mean"], *bases["mean"]), view.scores[0])
    base = alt.Chart(rows).encode(x=x, y=y)
    tips = [
        "cell:N",
        alt.Tooltip("accuracy:N", title="accuracy (95 % interval)"),
        alt.Tooltip("spent:N", title=kind.title),
    ]
    pale = alt.when("datum.front").then(alt.value(1)).otherwise(alt.value(0.45))
    points = base.mark_point(filled=True, size=70).encode(
        opacity=pale, tooltip=tips, **_hues(view, key, levels)
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
    """The factor that colours stand for: the first figure's lines, or else its axis."""
    figure = view.figures[0] if view.figures else None
    wished = [figure.line, figure.x] if figure else view.keys
    return next((key for key in wished if key in view.keys), None)


def _hues(view: StudyView, key: str | None, levels: Sequence[str]) -> dict[str, Any]:
    """The colours that the figures have: levels in the study's order."""
    declared = [level(known) for block in view.study.blocks for known in block.factors().get(key or "", ())]
    several = [known for known in dict.fromkeys([*declared, *levels]) if known in levels]
    if key is None or not 1 < len(several) <= COLOURS:
        return {"color": alt.Color("kind:N", legend=None)}
    legend, scale = alt.Legend(title=axis(key), symbolOpacity=1), alt.Scale(domain=several)
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
"""Seconds, and how many of them are given in hours."""


@dataclass(frozen=True, slots=True)
class CostMeasure:
    """A column of `costs`, as it is called."""

    column: str
    title: str


def costs(view: StudyView) -> tuple[pl.DataFrame, list[CostMeasure]]:
    """A row for each counted cell, on the study's main score; and the costs that differ between them.

    Columns: the study's keys, cell (text), mean, seed_error, low, high, seeds, and means over seeds of
    tokens (trained), time (of training, times devices), parameters; null of an untrained base.
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
    """What the trials ran on."""
    kinds = {resolved(trial.folder)["hardware"]["device"] for trial in view.counted}
    return {frozenset({"cuda"}): "GPU", frozenset({"cpu"}): "core"}.get(frozenset(kinds), "device")
