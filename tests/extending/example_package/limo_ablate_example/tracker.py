"""track.kind=jsonl: the steps of a training as lines of JSON, `track.options.file` in the trial's folder."""

import json
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import Artifact
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels


class JsonLines:
    def __init__(self, config: TrialConfig, labels: TrialLabels, folder: Path) -> None:
        self.file = (folder / config.track.options.get("file", "steps.jsonl")).open("w")
        self.write({"trial": labels.name, "seed": config.seed})

    def write(self, row: dict[str, Any]) -> None:
        self.file.write(json.dumps(row) + "\n")

    def step(self, row: dict[str, Any]) -> None:
        self.write(row)

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        self.write({"scores": metrics["scores"]})
        self.file.close()

    def fail(self, reason: str) -> None:
        self.write({"failed": reason})
        self.file.close()
