"""The stages of a trial as they run: their artifacts, and the seconds spent on each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import BenchmarkConfig, EvalConfig, HardwareConfig
from limo_ablate.evaluate import verdicts
from limo_ablate.generate import completions


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

    def graded(
        self,
        store: Store,
        model: Artifact,
        problems: Artifact,
        name: str,
        benchmark: BenchmarkConfig,
        evaluation: EvalConfig,
        hardware: HardwareConfig,
    ) -> tuple[Artifact, Artifact]:
        """The model's completions of the problems, and their verdicts."""
        arguments = (store, model, problems, name, benchmark, evaluation, hardware)
        texts = self.run(f"completions/{name}", completions, *arguments)
        return texts, self.run(f"verdicts/{name}", verdicts, store, texts, problems)
