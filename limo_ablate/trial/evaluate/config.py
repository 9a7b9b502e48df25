"""Configuration of an evaluation: benchmarks, the judge, the contamination probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import BenchmarkSetConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import EngineConfig, check_sampling
from limo_ablate.trial.evaluate.grader import GRADERS, VERIFIER

REPORTS = "reports.jsonl"
"""File of a trial's folder: a line `[step, score]` for each problem evaluated so far, under `eval.report`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig(BenchmarkSetConfig):
    """A set, and how it is sampled."""

    samples: int
    """Completions per problem."""
    temperature: float
    """0 is greedy."""
    top_p: float
    max_tokens: int
    """New tokens a completion may have."""
    grader: Annotated[str, GRADERS] = field(default=VERIFIER, metadata=DEFAULT_NOT_IN_KEY)
    """What compares its completions with the gold answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """A model that is asked, greedily, about the answers that the verifier leaves undecided."""

    model: ModelConfig
    system_prompt: str | None
    prompt: str
    """With {problem}, {gold} and {answer}; it must ask for a last line that is `correct` or `incorrect`."""
    max_tokens: int
    sample: int
    """Decided answers of each benchmark that it is asked about too: how far it agrees with the verifier."""
    seed: int
    """Draws that sample."""

    def __post_init__(self) -> None:
        missing = [part for part in ("{problem}", "{gold}", "{answer}") if part not in self.prompt]
        if missing:
            raise UserError(f"eval.judge.prompt lacks {', '.join(missing)}: the judge must be shown them")
        if self.sample < 0 or self.max_tokens < 1:
            raise UserError(
                f"eval.judge: sample={self.sample} must be 0 or more, max_tokens={self.max_tokens} 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Whether the model completes a benchmark's problems by heart (Wu et al. 2025, 2507.10532)."""

    share: float
    """Of a problem's words, which the model is given."""
    max_tokens: int

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.max_tokens < 1:
            raise UserError(
                f"eval.probe: share={self.share:g} must lie between 0 and 1, "
                f"max_tokens={self.max_tokens} be 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """Scores problem by problem while a benchmark is evaluated, in `reports.jsonl`, for a search's pruner."""

    score: str
    """A benchmark, or a group of it: only its problems are evaluated ahead of the rest."""
    every: int
    """Problems that are evaluated before the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig(EngineConfig):
    benchmarks: dict[str, BenchmarkConfig]
    system_prompt: str | None
    rerun_batch_size: int | None = None
    """Batch size of a second pass over the greedy benchmarks: what differs is due to rounding; null: none."""
    judge: JudgeConfig | None = None
    probe: ProbeConfig | None = None
    report: ReportConfig | None = field(default=None, metadata=NOT_IN_KEY)
    """Set by a search with a pruner; changes no score."""
    seed: int

    def __post_init__(self) -> None:
        super(EvalConfig, self).__post_init__()
        for name, benchmark in self.benchmarks.items():
            check_sampling(f"eval.benchmarks.{name}", benchmark)
        if self.report:
            self._check_report(self.report)
        if self.rerun_batch_size is not None and (
            self.rerun_batch_size < 1 or self.rerun_batch_size == self.batch_size
        ):
            raise UserError(
                f"eval.rerun_batch_size={self.rerun_batch_size}: a batch size of 1 or more, other than "
                f"eval.batch_size={self.batch_size}; null for no second pass"
            )

    def graders(self) -> dict[str, str]:
        """Benchmark -> its grader."""
        return {name: benchmark.grader for name, benchmark in self.benchmarks.items()}

    def _check_report(self, report: ReportConfig) -> None:
        named = {*self.benchmarks, *(f"{n}/{g}" for n, b in self.benchmarks.items() for g in b.groups or ())}
        if report.score not in named or report.every < 1:
            raise UserError(
                f"eval.report: score={report.score} must be one of {', '.join(sorted(named))}, "
                f"every={report.every} be 1 or more"
            )
