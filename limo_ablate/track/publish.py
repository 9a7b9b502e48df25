"""A workspace and a report on W&B's server: made once, then updated, by ids kept in the study's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import wandb

from limo_ablate.track.settings import environment, quiet

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
        """What `folder` knows of that project; nothing, where it was another one."""
        path, new = folder / FILE, cls(server, entity, project)
        if not path.exists():
            return new
        found = json.loads(path.read_text())
        known = cls(**found | {"workspace": tuple(found["workspace"])})
        return known if (known.server, known.entity, known.project) == (server, entity, project) else new

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


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
