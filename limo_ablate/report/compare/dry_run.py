"""A trial's stages as the store has them: which are found, and what is new in those that would be made.

The stages themselves are asked, by the code that a trial runs, with a store that makes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import MANIFEST, Artifact, NotInStore, Store, find_only
from limo_ablate.data.pool.load import load_benchmark, load_pool
from limo_ablate.data.select.selection import select
from limo_ablate.model.generate.completions import generation_request
from limo_ablate.model.train.base import base_model
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.tokens import tokenize
from limo_ablate.report.compare.differences import Difference, differences, flat
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.rows import gather_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of a trial."""

    name: str
    """As in metrics.json: `selection`, `verdicts/mini`."""
    found: Artifact | None = None
    missing: NotInStore | None = None
    """What would be made."""
    needs: str | None = None
    """A stage before it that would be made, so that its own inputs are not known yet."""


@dataclass
class DryRun:
    """Goes through the stages of a trial of `config`."""

    config: TrialConfig
    steps: dict[str, Step] = field(default_factory=dict)

    def go(self) -> list[Step]:
        """The stages in the order in which a trial runs them. Raises UserError as it would."""
        with find_only():
            self._go()
        return list(self.steps.values())

    def _go(self) -> None:
        config, store = self.config, Store(self.config.paths.artifacts)
        for name, benchmark in config.eval.benchmarks.items():
            self._ask(f"benchmark/{name}", (), partial(load_benchmark, store, name, benchmark))
        self._ask("pool", (), lambda: load_pool(store, config.data))
        learnt = ("pool",) if config.model.source == "scratch" else ()

        def base() -> Artifact:
            return base_model(store, config.model, self._of("pool") if learnt else None)

        self._ask("base", learnt, base)
        model = "base"
        if config.select.size != 0:
            model = "weights"
            self._train(store)
        for name, benchmark in config.eval.benchmarks.items():
            self._evaluate(store, name, benchmark, model)

    def _train(self, store: Store) -> None:
        config = self.config
        counted = ("pool", "base") if config.select.tokens is not None else ("pool",)
        self._ask("selection", counted, lambda: self._select(store))
        self._ask(
            "tokens",
            ("selection", "base"),
            lambda: tokenize(store, self._of("selection"), self._of("base"), config.train),
        )
        self._ask(
            "weights",
            ("tokens", "base"),
            lambda: train(store, self._of("tokens"), self._of("base"), config.train, config.hardware),
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

            ask = generation_request(self._of(problems), benchmark, evaluation.system_prompt, evaluation.seed)
            return completions(store, self._of(model), {name: ask}, evaluation, hardware)[name]

        def grade() -> Artifact:
            from limo_ablate.trial.evaluate.verdicts import verdicts

            return verdicts(store, self._of(f"completions/{name}"), self._of(problems), benchmark.grader)

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
            else:  # something on its way: what must be known of the pool's rows
                self.steps[gap.stage] = Step(gap.stage, missing=gap)
                self.steps[name] = Step(name, needs=gap.stage)

    def _of(self, name: str) -> Artifact:
        found = self.steps[name].found
        assert found is not None, name
        return found


def changed_inputs(step: Step, before: Mapping[str, Any], store: Path) -> list[Difference] | None:
    """What of the inputs of a missing artifact is new; `before` are the artifacts of a finished trial.

    None where that trial has no such artifact, or its manifest is gone.
    """
    if step.missing is None or step.name not in before:
        return None
    path = store / step.missing.stage / before[step.name]["key"] / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    old = {"version": manifest["version"], **manifest["inputs"]}
    new = {"version": step.missing.version, **step.missing.inputs}
    return differences([flat(old, lists=True)], [flat(new, lists=True)])
