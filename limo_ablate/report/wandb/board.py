"""The workspace of a study: sections of panels over its runs. Nothing here asks a server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from limo_ablate.report.wandb import panels
from limo_ablate.report.wandb.summary_run import Told

COLUMNS = 2
"""Panels beside each other."""


def workspace(told: Told, entity: str, project: str) -> Any:
    """Sections without panels are left out: not every study has contrasts, failures or a heatmap."""
    study = told.view.study
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{study.name}: ablation",
        sections=[_section(name, shown) for name, shown in sections(told).items() if shown],
        settings=ws.WorkspaceSettings(max_runs=max(10, len(told.view.trials) + 1)),
        runset_settings=ws.RunsetSettings(
            filters=panels.of_study(study.name), pinned_columns=panels.columns(told)
        ),
    )


def sections(told: Told) -> dict[str, list[Any]]:
    """Name -> panels. What W&B averages by itself stands here only where every trial of the study belongs to
    the figure's block: a workspace can't leave runs out of one panel."""
    whole = [
        panels.grouped(data)
        for data in told.numbers
        if all(data.figure.block in trial.blocks for trial in told.view.done)
    ]
    return {
        "Question": [wr.MarkdownPanel(markdown=told.view.study.question)] if told.view.study.question else [],
        "Data efficiency": [*panels.points(told), *whole, *map(panels.picture, told.figures)],
        "Size and quality": [*map(panels.picture, told.of("heatmap")), *panels.tables_of(told, "heatmap/")],
        "Factors and scores": [panels.parallel(told)],
        "Contrasts": panels.claims(told),
        "Cells": panels.tables_of(told, "cells"),
        "Completions": [panels.table("completions")],
        "Training": list(panels.training(told)),
        "Failures": panels.tables_of(told, "failed"),
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
    """wandb-workspaces names panels and sets of runs at random: in here, a study has the same names again."""
    state = random.getstate()
    random.seed(study)
    try:
        yield
    finally:
        random.setstate(state)
