"""The W&B workspace of a study: sections of panels over its runs. Makes no requests to the server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from limo_ablate.report.wandb import panels
from limo_ablate.report.wandb.summary_run import SummaryRun

COLUMNS = 2
"""Number of panels side by side."""


def workspace(summary: SummaryRun, entity: str, project: str) -> Any:
    """The workspace's specification. Sections without panels are omitted."""
    study = summary.view.study
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{study.name}: ablation",
        sections=[_section(name, shown) for name, shown in sections(summary).items() if shown],
        settings=ws.WorkspaceSettings(max_runs=max(10, len(summary.view.trials) + 1)),
        runset_settings=ws.RunsetSettings(
            filters=panels.of_study(study.name), pinned_columns=panels.columns(summary)
        ),
    )


def sections(summary: SummaryRun) -> dict[str, list[Any]]:
    """Name -> panels. Panels averaged by W&B are included only if all trials of the study belong to the
    figure's block: a workspace can't exclude runs from a single panel."""
    whole = [
        panels.grouped(data)
        for data in summary.figure_data
        if all(data.figure.block in trial.blocks for trial in summary.view.done)
    ]
    return {
        "Question": [wr.MarkdownPanel(markdown=summary.view.study.question)]
        if summary.view.study.question
        else [],
        "Data efficiency": [*panels.points(summary), *whole, *map(panels.picture, summary.figures)],
        "Size and quality": [
            *map(panels.picture, summary.of("heatmap")),
            *panels.tables_of(summary, "heatmap/"),
        ],
        "Factors and scores": [panels.parallel(summary)],
        "Contrasts": panels.claims(summary),
        "Cells": panels.tables_of(summary, "cells"),
        "Completions": [panels.table("completions")],
        "Training": list(panels.training(summary)),
        "Failures": panels.tables_of(summary, "failed"),
        "Report": [panels.page()],
    }


def _section(name: str, shown: list[Any]) -> Any:
    layout = ws.SectionLayoutSettings(
        columns=1 if len(shown) == 1 else COLUMNS, rows=-(-len(shown) // COLUMNS)
    )
    return ws.Section(
        name=name, panels=shown, is_open=name in ("Question", "Data efficiency"), layout_settings=layout
    )


@contextmanager
def same_ids(study: str) -> Iterator[None]:
    """Makes the random names that wandb-workspaces gives panels and run sets reproducible for a study."""
    state = random.getstate()
    random.seed(study)
    try:
        yield
    finally:
        random.setstate(state)
