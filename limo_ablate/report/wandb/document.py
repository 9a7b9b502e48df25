"""The W&B report of a study: question, results in words, and panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import wandb_workspaces.reports.v2 as wr

from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.wandb import panels
from limo_ablate.report.wandb.summary_run import SummaryRun

TITLE = 128
"""Maximum number of characters of a title in wandb-workspaces."""


def document(summary: SummaryRun, entity: str, project: str) -> Any:
    """The report's specification. With an entity, wandb-workspaces requests the project's id from the
    server."""
    study = summary.view.study
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{study.name}: results"[:TITLE],
        description=study.question,
        blocks=list(_blocks(summary, entity, project if entity else "")),
        width="fluid",
    )


def _blocks(summary: SummaryRun, entity: str, project: str) -> Iterator[Any]:
    study = summary.view.study.name
    where = {"entity": entity, "project": project}
    runset = wr.Runset(name="summary", filters=panels.of_study(study, "summary"), **where)

    def grid(shown: list[Any], runs: Any = runset, hide: bool = True) -> Any:
        return wr.PanelGrid(runsets=[runs], panels=panels.spread(shown), hide_run_sets=hide)

    yield wr.P(text=summary.view.study.question)
    yield from _answer(summary)
    yield from _claims(summary, grid)
    for chart in summary.figures:
        yield wr.H2(text=chart.title)
        yield from (wr.P(text=text) for text in (chart.finding, chart.note) if text)
        yield grid([panels.picture(chart)])
    for data in summary.figure_data:
        yield from _live(summary, data, grid, where)
    for title, shown in (
        ("Size and quality", list(map(panels.picture, summary.of("heatmap")))),
        ("Cells", panels.tables_of(summary, "cells")),
        ("Failures", panels.tables_of(summary, "failed")),
    ):
        if shown:
            yield from (wr.H2(text=title), grid(shown))
    yield wr.H2(text="Trials")
    trials = wr.Runset(
        name="trials",
        filters=panels.of_study(study, "trial"),
        pinned_columns=["run:displayName", *panels.columns(summary)],
        **where,
    )
    yield grid(
        [panels.parallel(summary), *panels.training(summary), panels.table("completions")], trials, hide=False
    )


def _answer(summary: SummaryRun) -> Iterator[Any]:
    """The contrasts' results in words, and the registration, as in the report."""
    claims = summary.claims
    if claims is None:
        return
    yield wr.H1(text="Results")
    yield wr.UnorderedList(items=[f"{name}: {result}" for name, result in claims.findings])
    yield from (wr.P(text=text) for text in (*claims.section.text, claims.warning) if text)
    if claims.deviations:
        yield wr.P(text="Deviations from the registration:")
        yield wr.UnorderedList(items=claims.deviations)


def _claims(summary: SummaryRun, grid: Any) -> Iterator[Any]:
    if shown := panels.claims(summary):
        yield wr.H2(text="Contrasts")
        yield grid(shown)


def _live(summary: SummaryRun, data: FigureData, grid: Any, where: dict[str, str]) -> Iterator[Any]:
    """The figure as drawn by W&B from the runs of its block."""
    block = next(block for block in summary.view.study.blocks if block.name == data.figure.block)
    runs = wr.Runset(name=block.name, filters=panels.of_block(summary, block), **where)
    yield wr.H3(text=f"{data.figure.title}, drawn by W&B")
    if data.scale != "category":
        yield grid([panels.measured(data)])
    yield grid([panels.grouped(data)], runs)
