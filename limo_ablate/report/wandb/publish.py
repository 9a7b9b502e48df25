"""Publishes workspace and report to W&B's server: creates them once, then updates them by their stored
ids."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import wandb

from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json
from limo_ablate.trial.track.settings import environment, quiet

FILE = "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """Where a study's workspace and report are published."""

    server: str
    entity: str
    project: str
    workspace: tuple[str, str] = ("", "")
    """Name and id of the workspace."""
    report: str = ""

    @classmethod
    def at(cls, folder: Path, server: str, entity: str, project: str) -> Published:
        """The record in `folder` for that project; an empty one if nothing was published there."""
        new = cls(server, entity, project)
        return next((known for known in _known(folder) if known._place == new._place), new)

    @property
    def _place(self) -> tuple[str, str, str]:
        return self.server, self.entity, self.project

    def write(self, folder: Path) -> None:
        others = [known for known in _known(folder) if known._place != self._place]
        records = [asdict(known) for known in (*others, self)]
        write_atomically(folder / FILE, json.dumps(records, indent=1) + "\n")


def _known(folder: Path) -> list[Published]:
    """Records of all projects that the study was published to."""
    try:
        found: list[Published] = read_json(folder / FILE, list[Published])
    except FileNotFoundError:
        return []
    return found


def publish(folder: Path, workspace: Any, report: Any) -> list[str]:
    """Saves both and returns their addresses. Raises W&B's exceptions if its server rejects them."""
    server = wandb.setup().settings.base_url
    known = Published.at(folder, server, workspace.entity, workspace.project)
    workspace._internal_name, workspace._internal_id = known.workspace
    report.id = known.report
    with environment(folder), quiet():
        workspace.save()
        known = replace(known, workspace=(workspace._internal_name, workspace._internal_id))
        known.write(folder)
        report.save()
        replace(known, report=report.id).write(folder)
        return [workspace.url, report.url]
