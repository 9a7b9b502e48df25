"""Dry run of a trial's stages: which artifacts are in the store, and which are missing.

Runs the same stages as a trial, with a store that only finds artifacts and makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from limo_ablate.core.artifacts import Artifact, NotInStore, Store, find_only
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.data.select.selection import select
from limo_ablate.model.generate.completions import generation_request
from limo_ablate.model.train.base import base_model
from limo_ablate.model.train.kept import last_checkpoint
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.tokens import tokenize
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.rows import gather_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import trial_pool


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of a trial."""

    name: str
    """As in metrics.json: `selection`, `verdicts/mini`."""
    found: Artifact | None = None
    missing: NotInStore | None = None
    """The artifact that would be made."""
    needs: str | None = None
    """An earlier stage that would be made first, so that the inputs of this one are not known yet."""


@dataclass
class DryRun:
    """Runs through the stages of a trial of `config`."""

    config: TrialConfig
    steps: dict[str, Step] = field(default_factory=dict)

    def go(self) -> list[Step]:
        """The stages in the order in which a trial runs them. Raises UserError where a trial would."""
        with find_only():
            self._go()
        return list(self.steps.values())

    def _go(self) -> None:
        config, store = self.config, self.config.paths.store()
        for name, benchmark in config.eval.benchmarks.items():
            self._ask(f"benchmark/{name}", (), partial(load_benchmark, store, name, benchmark))
        self._ask("pool", (), lambda: trial_pool(config, Stages(), trained_model))
        needs_pool = ("pool",) if config.model.source == "scratch" else ()

        def base() -> Artifact:
            return base_model(store, config.model, self._of("pool") if needs_pool else None)

        self._ask("base", needs_pool, base)
        model = "base"
        if config.select.size != 0:
            model = "weights"
            self._train(store)
        for name, benchmark in config.eval.benchmarks.items():
            self._evaluate(store, name, benchmark, model)

    def _train(self, store: Store) -> None:
        config = self.config
        needs = ("pool", "base") if config.select.tokens is not None else ("pool",)
        self._ask("selection", needs, lambda: self._select(store))
        self._ask(
            "tokens",
            ("selection", "base"),
            lambda: tokenize(
                store, self._of("selection"), self._of("base"), config.train, config.model.template
            ),
        )
        self._ask(
            "weights",
            ("tokens", "base"),
            lambda: train(
                store, self._of("tokens"), self._of("base"), config.train, config.hardware, at=config.eval.at
            ),
        )

    def _select(self, store: Store) -> Artifact:
        config, stages = self.config, Stages()
        base = self._of("base") if config.select.tokens is not None else None
        try:
            evidence = gather_evidence(config, stages, self._of("pool"), base, trained_model)
        finally:
            self.steps |= {name: Step(name, found) for name, found in stages.artifacts.items()}
        return select(store, config.select, config.data, self._of("pool"), evidence)

    def _evaluate(self, store: Store, name: str, benchmark: Any, model: str) -> None:
        evaluation, hardware = self.config.eval, self.config.hardware
        problems = f"benchmark/{name}"

        def complete() -> Artifact:
            from limo_ablate.model.generate.completions import completions

            ask = generation_request(
                self._of(problems),
                benchmark,
                evaluation.system_prompt,
                evaluation.seed,
                self.config.model.template,
            )
            weights = last_checkpoint(self._of(model))
            return completions(store, weights, {name: ask}, evaluation, hardware)[name]

        def grade() -> Artifact:
            from limo_ablate.trial.evaluate.verdicts import verdicts

            texts = self._of(f"completions/{name}")
            return verdicts(store, texts, self._of(problems), evaluation.graders()[name], evaluation.thinking)

        self._ask(f"completions/{name}", (model, problems), complete)
        self._ask(f"verdicts/{name}", (f"completions/{name}", problems), grade)

    def _ask(self, name: str, needs: tuple[str, ...], stage: Callable[[], Artifact]) -> None:
        if waits := next((need for need in needs if self.steps[need].found is None), None):
            self.steps[name] = Step(name, needs=waits)
            return
        try:
            self.steps[name] = Step(name, stage())
        except NotInStore as gap:
            own = name.partition("/")[0]
            if gap.stage == own:
                self.steps[name] = Step(name, missing=gap)
            else:  # a stage within this one: evidence on the pool's rows
                self.steps[gap.stage] = Step(gap.stage, missing=gap)
                self.steps[name] = Step(name, needs=gap.stage)

    def _of(self, name: str) -> Artifact:
        artifact = self.steps[name].found
        assert artifact is not None, name
        return artifact
