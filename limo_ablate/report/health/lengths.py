"""Section on lengths of completions (correct and other), truncation, and training examples over the limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.trials import Trial
from limo_ablate.core.text import counted
from limo_ablate.report.health.groups import Groups, groups
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView

GROUPS = 32
"""Maximum number of rows of a chart; with more cells, cells are grouped."""
KINDS = ("correct", "other")
QUANTILES = {"low": 0.1, "lower": 0.25, "middle": 0.5, "upper": 0.75, "high": 0.9}
WIDE = 12.0
"""Ratio of the largest to the smallest length above which the axis is logarithmic."""
NOTES = 5
"""Most notes on chat templates that are shown."""
ROW = 24
"""Height in pixels of a group."""


def section(view: StudyView) -> Section | None:
    """Lengths and truncation on the main benchmark; None without finished trials."""
    if not view.counted:
        return None
    grouping, benchmark = groups(view, GROUPS), view.scores[0]
    rows = lengths(grouping, benchmark)
    table = _table(rows, grouping)
    boxes = Chart(
        "completion-lengths",
        f"Tokens per completion on {benchmark}",
        _lengths_finding(rows),
        f"Bar: 25 % to 75 %; line: 10 % to 90 %; tick: median. {grouping.note}",
        lengths_chart(rows).to_dict(),
        table,
    )
    charts = [boxes]
    if any(rows["truncated"]):
        cut = Chart(
            "truncated",
            f"Truncated completions on {benchmark}",
            _cut_finding(rows),
            f"Share of all completions. {grouping.note}",
            cut_chart(rows).to_dict(),
            table,
        )
        charts.append(cut)
    none_cut = () if len(charts) > 1 else (f"No completion on {benchmark} reached the limit of new tokens.",)
    return Section(
        "lengths", "Lengths and truncation", (*none_cut, *_over_length(view), *_notes(view)), tuple(charts)
    )


def lengths(grouping: Groups, benchmark: str) -> pl.DataFrame:
    """A row for each group and kind of completion (`KINDS`).

    Columns: group, kind, completions, truncated (number), and of tokens mean and `QUANTILES`.
    """
    return pl.concat([_quantiles(name, trials, benchmark) for name, trials in grouping.trials.items()])


def _quantiles(name: str, trials: Sequence[Trial], benchmark: str) -> pl.DataFrame:
    scans = [pl.scan_parquet(trial.folder / "verdicts.parquet") for trial in trials]
    rows = pl.concat([scan.select("benchmark", "status", "tokens", "finish") for scan in scans])
    correct = pl.col("status") == "correct"
    return (
        rows.filter(pl.col("benchmark") == benchmark)
        .group_by(kind=pl.when(correct).then(pl.lit(KINDS[0])).otherwise(pl.lit(KINDS[1])))
        .agg(
            completions=pl.len(),
            truncated=(pl.col("finish") == "length").sum(),
            mean=pl.col("tokens").mean(),
            **{key: pl.col("tokens").quantile(q, "linear") for key, q in QUANTILES.items()},
        )
        .select(pl.lit(name).alias("group"), pl.all())
        .sort("kind")
        .collect()
    )


def lengths_chart(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Box plots without outliers, one for each kind, side by side in each group's row."""
    low, high = max(1.0, min(rows["low"])), max(rows["high"])
    log = high / low > WIDE
    scale = alt.Scale(type="log", domainMin=low, nice=False) if log else alt.Scale(zero=True)
    x = alt.X(
        "from:Q", scale=scale, title=f"tokens{' (log scale)' if log else ''}",
        axis=alt.Axis(format="~s", tickCount=5, grid=True),
    )  # fmt: skip
    shown = rows.select("group", "kind", "completions", *QUANTILES).with_columns(pl.col(*QUANTILES).clip(1.0))
    tips = [alt.Tooltip(f"{key}:Q", title=f"{q:.0%} quantile", format=",.0f") for key, q in QUANTILES.items()]
    base = alt.Chart(shown.rename({"low": "from"})).encode(
        y=_groups(rows),
        yOffset=alt.YOffset("kind:N", sort=list(KINDS), scale=alt.Scale(paddingInner=0.1)),
        color=_kinds(rows),
        tooltip=["group:N", "kind:N", alt.Tooltip("completions:Q", format=","), *tips[1:-1]],
    )
    layers: list[Any] = [
        base.mark_rule(strokeWidth=1.5).encode(x=x, x2="high:Q"),
        base.mark_bar(size=8, opacity=0.6).encode(x="lower:Q", x2="upper:Q"),
        base.mark_tick(thickness=3, size=10).encode(x="middle:Q"),
    ]
    return alt.layer(*layers).properties(height=ROW * max(2, rows["group"].n_unique()))


def cut_chart(rows: pl.DataFrame) -> alt.Chart:
    """Stacked bars of correct and other completions."""
    whole = pl.col("completions").sum().over("group")
    shown = rows.select("group", "kind", "truncated", share=pl.col("truncated") / whole)
    chart = alt.Chart(shown).mark_bar().encode(
        x=alt.X("share:Q", title="truncated", axis=alt.Axis(format="~%", tickCount=5, grid=True)),
        y=_groups(rows),
        color=_kinds(rows),
        tooltip=["group:N", "kind:N", "truncated:Q", alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip
    sized: alt.Chart = chart.properties(height=0.7 * ROW * max(2, rows["group"].n_unique()))
    return sized


def _groups(rows: pl.DataFrame) -> alt.Y:
    names = list(dict.fromkeys(rows["group"]))
    scale = alt.Scale(paddingInner=0.25, paddingOuter=0.1)
    return alt.Y("group:N", sort=names, title=None, axis=alt.Axis(labelLimit=140), scale=scale)


def _kinds(rows: pl.DataFrame) -> alt.Color:
    legend = alt.Legend(title=None, values=[kind for kind in KINDS if kind in set(rows["kind"])])
    return alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS)), legend=legend)


def _lengths_finding(rows: pl.DataFrame) -> str:
    total = rows.group_by("kind").agg(
        mean=(pl.col("mean") * pl.col("completions")).sum() / pl.col("completions").sum()
    )
    means = dict(total.iter_rows())
    right, wrong = (means.get(kind) for kind in KINDS)
    if right is None or wrong is None:
        which = "No completion is correct" if right is None else "All completions are correct"
        return f"{which}; they have {right or wrong:,.0f} tokens on average."
    return f"Correct completions have {right:,.0f} tokens on average, the others {wrong:,.0f}."


def _cut_finding(rows: pl.DataFrame) -> str:
    by = rows.group_by("group", maintain_order=True).agg(pl.col("truncated", "completions").sum())
    shares = by.with_columns(share=pl.col("truncated") / pl.col("completions")).sort("share")
    most, share = shares["group"][-1], percent(shares["share"][-1])
    whole = percent(int(by["truncated"].sum()) / int(by["completions"].sum()))
    return f"{whole} % of all completions were truncated; most for {most}: {share} %."


def _over_length(view: StudyView) -> list[str]:
    """Number of training examples dropped for being longer than `train.max_length`."""
    trained = [(trial.metrics or {})["train"] for trial in view.counted]
    counts = [(row["rows_over_length"], row["rows"]) for row in trained if row]
    if not counts:
        return []
    most, left = max(counts)
    if not most:
        return ["No training example was over the length limit (train.max_length)."]
    dropped = sum(1 for over, _ in counts if over)
    return [
        f"Training examples over the length limit (train.max_length) were dropped in {dropped} of "
        f"{len(counts)} trainings, at most {most}, which left {left}."
    ]


def _notes(view: StudyView) -> list[str]:
    """What was said about the rows of trainings and the model's chat template, the most frequent first."""
    notes = Counter(
        note.partition(": ")[2]
        for trial in view.counted
        for note in (trial.metrics or {})["train"].get("notes", ())
    )
    return [f"In {counted(n, 'training')}: {note}." for note, n in notes.most_common(NOTES)]


def _table(rows: pl.DataFrame, grouping: Groups) -> Table:
    header = [
        "group",
        "kind",
        "completions",
        "mean tokens",
        "10 %",
        "25 %",
        "median",
        "75 %",
        "90 %",
        "truncated (%)",
    ]
    header.append("training examples over the limit")
    table = []
    for row in rows.iter_rows(named=True):
        trained = [(trial.metrics or {})["train"] for trial in grouping.trials[row["group"]]]
        over = sum(train["rows_over_length"] for train in trained if train)
        numbers = [f"{row[key]:,.0f}" for key in ("completions", "mean", *QUANTILES)]
        cut = percent(row["truncated"] / row["completions"])
        table.append([row["group"], row["kind"], *numbers, cut, f"{over:,}"])
    return Table(header, table, 2)
