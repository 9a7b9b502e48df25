"""The stages of a trial as they run: their artifacts, and the seconds spent on each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from limo_ablate.artifacts import Artifact


class Stages:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Next to nothing where the artifact was found."""
        self.artifacts: dict[str, Artifact] = {}

    def run(self, name: str, stage: Callable[..., Artifact], *args: Any, **options: Any) -> Artifact:
        started = time.perf_counter()
        self.artifacts[name] = artifact = stage(*args, **options)
        spent = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.seconds[name] = round(spent, 3)
        return artifact
