"""Accuracy on the way of the trainings (`eval.at`), and what choosing a point on the test set is worth."""

from __future__ import annotations

from collections import Counter
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.trajectory import ACCURACIES, CHOICE, choice, trajectory_items, trajectory_means
from limo_ablate.core.text import counted
from limo_ablate.report.declared.marks import accuracy_axis, ceiling
from limo_ablate.report.figure_data import LOG_RATIO
from limo_ablate.report.health.groups import groups
from limo_ablate.report.labels import errors_over, percent, plus_minus
from limo_ablate.report.result_tables import interval
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView

HEIGHT, LINES, BANDS = 300, 8, 4
"""Pixels of the plot; maximum number of lines, and of lines with bands."""
TEXT = (
    "The scores of each trial are those of its last point, whatever came before: choosing a point by its "
    "accuracy on a benchmark uses the benchmark up, and the best of several points is too high by chance. "
    "Optimism is what the best point of each training has on these problems above the point that is best on "
    "four fifths of them has on the others (five-fold cross-fitting). The released LIMO-v1 model is the best "
    "of 15 checkpoints, chosen on the test sets: its scores contain such an optimism."
)


def section(view: StudyView) -> Section | None:
    """Charts of the main score over epochs and trained tokens; None without trials that have a trajectory."""
    own, score, word = groups(view, LINES), view.scores[0] if view.done else "", view.word()
    rows = trajectory_items(view.counted, view.study.cluster)
    if rows.is_empty():
        return None
    lines = {trial.name: line for line, trials in own.trials.items() for trial in trials}
    rows = rows.with_columns(line=pl.col("trial").replace_strict(lines))
    main = rows.filter(pl.col("score") == score)
    means = trajectory_means(main, ["line"])
    note = f"Mean over seeds{' and cells' if own.over else ''}. {own.note}"
    if means["line"].n_unique() <= BANDS:
        note += f" Bands: 95 % intervals {errors_over(means['seeds'])}."
    if _differ(main):
        note += (
            " The trainings of a line have different points, so it also changes with which of them a point "
            "is the mean of."
        )
    worth = choice(rows)
    charts = [
        Chart(
            f"trajectory-{x}",
            f"{word.capitalize()} over {title}",
            _finding(worth, main, score) if x == "epoch" else "",
            note,
            _chart(means, x, title, score, word).to_dict(),
            _points(means, word) if x == "epoch" else None,
        )
        for x, title in (("epoch", "epochs"), ("tokens", "trained tokens"))
    ]
    return Section("trajectory", "On the way of the trainings", (TEXT,), tuple(charts), table=_choices(worth))


def _differ(main: pl.DataFrame) -> bool:
    """Whether a point of a line is the mean of some of its trainings only."""
    trainings = pl.col("trial").n_unique()
    at = main.group_by("line", pl.col("epoch").round(4)).agg(own=trainings)
    whole = main.group_by("line").agg(all=trainings)
    return at.join(whole, on="line").filter(pl.col("own") < pl.col("all")).height > 0


def _finding(worth: pl.DataFrame, main: pl.DataFrame, score: str) -> str:
    own = worth.filter(pl.col("score") == score) if "score" in worth.columns else worth
    if own.is_empty():
        return ""
    row = own.row(0, named=True)
    chosen = Counter(_best_epochs(main))
    where = ", ".join(f"{epoch:g} epochs {count}" for epoch, count in sorted(chosen.items()))
    text = (
        f"The last point has {percent(row['last'])} % on average over {counted(row['trials'], 'training')}, "
        f"the best point of each {percent(row['best'])} %, the one that is best on other problems "
        f"{percent(row['cross_fitted'])} %: an optimism of {_points_of(row, 'optimism')} points."
    )
    return f"{text} How often each point is the best: {where}."


def _best_epochs(main: pl.DataFrame) -> list[float]:
    """The epoch of each training's best point on all problems, the earliest where several are."""
    means = main.group_by("trial", "epoch").agg(pl.col("accuracy").mean().round(9))
    best = means.sort(["accuracy", "epoch"], descending=[True, False]).group_by("trial").first()
    return best["epoch"].round(2).to_list()


def _points_of(row: dict[str, Any], name: str) -> str:
    return f"{100 * row[name]:+.1f} {interval(row[f'{name}_low'], row[f'{name}_high'])}"


def _points(means: pl.DataFrame, word: str) -> Table:
    header = ["trainings", "epochs", "trained tokens", f"{word} ± se", "95 % interval", "seeds"]
    rows = [
        [
            row["line"], f"{row['epoch']:g}", f"{row['tokens']:,.0f}", plus_minus(row["mean"], row["stderr"]),
            interval(row["low"], row["high"]), str(row["seeds"]),
        ]
        for row in means.sort("line", "epoch", maintain_order=True).iter_rows(named=True)
    ]  # fmt: skip
    return Table(header, rows, 1)


def _choices(worth: pl.DataFrame) -> Table | None:
    if worth.is_empty():
        return None
    header = [
        "score", "trainings", "last point", "best point", "cross-fitted", "optimism", "best − last",
        "cross-fitted − last",
    ]  # fmt: skip
    rows = [
        [
            row["score"], str(row["trials"]), *(percent(row[name]) for name in ACCURACIES),
            *(_points_of(row, name) for name in CHOICE),
        ]
        for row in worth.iter_rows(named=True)
    ]  # fmt: skip
    note = "Per cent, and differences in points with 95 % intervals over seeds and problems."
    return Table(header, rows, 1, [note])


def _chart(means: pl.DataFrame, x: str, title: str, score: str, word: str) -> alt.LayerChart | alt.FacetChart:
    values = means[x]
    log = values.max() / values.min() >= LOG_RATIO  # type: ignore[operator]
    place = alt.X(
        f"{x}:Q",
        title=title + (" (log scale)" if log else ""),
        scale=alt.Scale(type="log" if log else "linear", nice=False, padding=14),
        axis=alt.Axis(format="~s", labelOverlap="greedy"),
    )
    lines = list(dict.fromkeys(means["line"]))
    legend = alt.Legend(title=None) if len(lines) > 1 else None
    top = ceiling(*means["high"].drop_nulls(), *means["mean"])
    hue = alt.Color("line:N", scale=alt.Scale(domain=lines), legend=legend)
    base = alt.Chart(means.select("line", x, "mean", "low", "high")).encode(x=place, color=hue)
    shown = alt.Tooltip("mean:Q", title=word, format=".1%")
    tips = ["line:N", alt.Tooltip(f"{x}:Q", title=title), shown]
    y = accuracy_axis(top, score, word)
    layers = [
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=y, tooltip=tips),
    ]
    if len(lines) <= BANDS:
        layers.insert(
            0, base.mark_area(opacity=0.15).encode(y=accuracy_axis(top, score, word, "low"), y2="high:Q")
        )
    return alt.layer(*layers).properties(height=HEIGHT)
