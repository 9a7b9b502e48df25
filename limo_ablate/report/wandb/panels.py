"""W&B panels of a study: drawn by W&B from the trials' runs, or showing what the summary run logs.

A panel refers only to keys that runs log (trial/track/run.py, summary_run.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr

from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.labels import axis, score_title
from limo_ablate.report.section import Chart
from limo_ablate.report.wandb.summary_run import PAGE, SummaryRun, picture_key, points_key
from limo_ablate.study.block import Block
from limo_ablate.trial.track.names import flat, logged

WIDE, HIGH = 24, 10
"""Width of a grid in W&B's units, and height of a table or picture."""
SHOWN = ("accuracy", "stderr", "pass@", "maj@", "undecided", "truncated", "tokens")
"""Prefixes of the main score's measures that the table of runs shows."""
UNFIT = "=<>"
"""Characters that wandb-workspaces 0.4 reads as operators even within a quoted value of a filter."""


def score(name: str, measure: str = "accuracy") -> str:
    return logged(f"eval/{name}/{measure}")


def of_study(study: str, job: str | None = None) -> str:
    """Filter for a study's runs; `job`: `trial` or `summary`."""
    return f"Metric('Group') == {study!r}" + (f" and Metric('JobType') == {job!r}" if job else "")


def of_block(summary: SummaryRun, block: Block) -> str:
    """Filter for a block's trials: the levels that they have."""
    parts = [of_study(summary.view.study.name, "trial")]
    own = [trial for trial in summary.view.done if block.name in trial.blocks]
    for key in summary.view.keys:
        levels = list(
            dict.fromkeys(trial.level_if_any(key) for trial in own if _plain(trial.level_if_any(key)))
        )
        if len(levels) == 1:
            parts.append(f"Config({flat(key)!r}) == {levels[0]!r}")
        elif levels:
            parts.append(f"Config({flat(key)!r}) in {levels!r}")
    return " and ".join(parts)


def _plain(level: Any) -> bool:
    return isinstance(level, int | float | str) and not {*str(level)} & {*UNFIT}


def columns(summary: SummaryRun) -> list[str]:
    """Columns of the table of runs: factors, then the main score with its errors."""
    main = summary.view.scores[0]
    measures = dict.fromkeys(
        key for trial in summary.view.done for key in (trial.metrics or {})["scores"].get(main, ())
    )
    shown = [
        key for start in SHOWN for key in measures if key == start or ("@" in start and key.startswith(start))
    ]
    factors = [f"config:{flat(key)}.value" for key in (*summary.view.keys, "seed")]
    return [*factors, *(f"summary:{score(main, key)}" for key in shown)]


def grouped(data: FigureData) -> Any:
    """Mean and standard error over runs as computed by W&B, which updates while a study is running."""
    common: dict[str, Any] = {
        "title": f"{data.figure.title}: mean of runs, ± standard error",
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "stderr",
    }
    if data.scale == "category":
        metrics = [score(data.figure.score)]
        return wr.BarPlot(metrics=metrics, groupby=wr.Config(flat(data.figure.x)), **common)
    return wr.LinePlot(
        x=flat(data.figure.x),
        y=[score(data.figure.score)],
        groupby=wr.Config(flat(data.figure.line)),
        log_x=data.scale == "log",
        title_x=axis(data.figure.x),
        title_y=score_title(data.figure.score, data.word),
        range_y=(0.0, None),
        **common,
    )


def measured(data: FigureData) -> Any:
    """The report's points of a figure over amounts, joined by lines: W&B's chart of a table, without a
    logarithmic axis."""
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": points_key(data)}},
        chart_name="wandb/line/v0",
        chart_fields={"x": flat(data.figure.x), "y": "mean", "stroke": flat(data.figure.line)},
        chart_strings={"title": f"{data.figure.title}: as in the report"},
    )


def points(summary: SummaryRun) -> list[Any]:
    return [measured(data) for data in summary.figure_data if data.scale != "category"]


def picture(chart: Chart) -> Any:
    """A chart of the report, from the summary run."""
    return wr.MediaBrowser(
        title=chart.title, media_keys=[picture_key(chart)], num_columns=1, layout=_layout()
    )


def table(key: str) -> Any:
    """A table, over all runs that logged it."""
    return wr.WeavePanelSummaryTable(table_name=key, layout=_layout())


def parallel(summary: SummaryRun) -> Any:
    """Parallel coordinates of factors and scores, a line for each run."""
    factors = [(wr.Config(flat(key)), axis(key)) for key in summary.view.keys]
    scores = [
        (wr.SummaryMetric(score(name)), score_title(name, summary.view.word(name)))
        for name in summary.view.scores
    ]
    column = wr.ParallelCoordinatesPlotColumn
    shown = [column(metric=metric, display_name=title) for metric, title in (*factors, *scores)]
    return wr.ParallelCoordinatesPlot(title="Factors and scores", columns=shown, layout=_layout())


def training(summary: SummaryRun) -> Iterator[Any]:
    """Training curves, with a colour for each level of the first figure's lines."""
    line = summary.view.figures[0].line if summary.view.figures else next(iter(summary.view.keys), "seed")
    for key, title in (
        ("loss", "Training loss"),
        ("token_accuracy", "Token accuracy"),
        ("dev_loss", "Dev loss"),
    ):
        if _in_curves(summary, key):
            yield wr.LinePlot(
                title=title, x="train/step", y=[f"train/{key}"], log_y=key != "token_accuracy",
                groupby=wr.Config(flat(line)), groupby_aggfunc="mean", groupby_rangefunc="minmax",
            )  # fmt: skip


def _in_curves(summary: SummaryRun, key: str) -> bool:
    import polars as pl

    first = next(
        (t.folder / "curve.parquet" for t in summary.view.done if (t.folder / "curve.parquet").exists()), None
    )
    return first is not None and key in (curve := pl.read_parquet(first)).columns and curve[key].count() > 0


def claims(summary: SummaryRun) -> list[Any]:
    """Forest plot and table of the contrasts."""
    charts = summary.claims.section.charts if summary.claims else ()
    return [*(picture(chart) for chart in charts if chart.spec), *tables_of(summary, "contrasts")]


def tables_of(summary: SummaryRun, start: str) -> list[Any]:
    """Tables of the summary run whose key begins with `start`."""
    return [table(key) for key in summary.tables if key.startswith(start)]


def page() -> Any:
    """The report's page."""
    return wr.MediaBrowser(title="Report", media_keys=[PAGE], num_columns=1, layout=_layout())


def _layout() -> Any:
    return wr.Layout(w=WIDE, h=HIGH)


def spread(panels: Sequence[Any]) -> list[Any]:
    """Lays out panels two side by side."""
    for number, panel in enumerate(panels):
        if panel.layout.w < WIDE:
            panel.layout = wr.Layout(x=12 * (number % 2), w=12, h=8)
    return list(panels)
