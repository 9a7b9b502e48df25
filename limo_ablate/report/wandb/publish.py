"""A workspace and a report on W&B's server: made once, then updated, by ids kept in the study's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import wandb

from limo_ablate.trial.track.settings import environment, quiet

FILE = "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """What is where."""

    server: str
    entity: str
    project: str
    workspace: tuple[str, str] = ("", "")
    """Its name and its id, there."""
    report: str = ""

    @classmethod
    def at(cls, folder: Path, server: str, entity: str, project: str) -> Published:
        """What `folder` knows of that project; nothing, where it has not been sent there."""
        new = cls(server, entity, project)
        return next((known for known in _known(folder) if known._place == new._place), new)

    @property
    def _place(self) -> tuple[str, str, str]:
        return self.server, self.entity, self.project

    def write(self, folder: Path) -> None:
        others = [known for known in _known(folder) if known._place != self._place]
        (folder / FILE).write_text(json.dumps([asdict(known) for known in (*others, self)], indent=1) + "\n")


def _known(folder: Path) -> list[Published]:
    """All places that the study has been sent to."""
    path = folder / FILE
    found = json.loads(path.read_text()) if path.exists() else []
    return [Published(**one | {"workspace": tuple(one["workspace"])}) for one in found]


def publish(folder: Path, workspace: Any, report: Any) -> list[str]:
    """Saves both; their addresses. Raises whatever W&B does when its server does not take them."""
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
