"""Configuration of an evaluation: benchmarks, the judge, the contamination probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.grader import GraderOptions
from limo_ablate.data.grade.graders import GRADERS, JUDGE, VERIFIER, Grading
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig, check_answers
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import EngineConfig, check_sampling
from limo_ablate.model.train.config import KeptConfig
from limo_ablate.verify.turns import Thinking

REPORTS = "reports.jsonl"
"""File in a trial's folder, with `eval.report`: a line `[step, score]` for each problem evaluated so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig(BenchmarkSetConfig):
    """A benchmark, and how its completions are sampled."""

    samples: int
    """Number of completions per problem."""
    temperature: float
    """0 is greedy."""
    top_p: float
    """Nucleus sampling; 1: off."""
    max_tokens: int
    """Largest number of new tokens of a completion."""
    grader: Annotated[str, GRADERS] = field(default=VERIFIER, metadata=DEFAULT_NOT_IN_KEY)
    """Grader of its completions."""
    grader_options: GraderOptions = field(default=GraderOptions(), metadata=DEFAULT_NOT_IN_KEY)
    apply_chat_template: bool = field(default=False, metadata=DEFAULT_NOT_IN_KEY)
    """Of source=lm_eval: whether prompts are turns, by the model's chat template (`model.template`)."""
    fewshot_as_multiturn: bool = field(default=True, metadata=DEFAULT_NOT_IN_KEY)
    """Whether each example of a prompt is a turn then, or all of them stand in one."""
    system_instruction: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Of source=lm_eval: what stands before the task's description; with a chat template, a system turn."""

    def __post_init__(self) -> None:
        BenchmarkSetConfig.__post_init__(self)  # super() does not work in a class with slots
        if not self.task and self.chat_settings():
            raise UserError(
                f"a benchmark's {next(iter(self.chat_settings()))} is for tasks of lm-eval; others always "
                "have the chat template, and eval.system_prompt"
            )
        if self.task and (self.grader != VERIFIER or self.temperature or self.samples > 1):
            raise UserError(
                f"task={self.task}: the task itself samples and grades; set temperature=0, samples=1 and "
                f"grader={VERIFIER}"
            )
        check_answers("a benchmark", self.grader, self.fields)
        if isinstance(self.fields, FieldsConfig) and self.fields.answers == "any" and self.grader == VERIFIER:
            raise UserError(
                "a benchmark's fields.answers=any: the verifier takes one gold answer; set its grader=any_of"
            )

    def chat_settings(self) -> dict[str, bool | str]:
        """What a task's prompts have beside lm-eval's defaults."""
        multiturn = self.fewshot_as_multiturn
        return {
            **({"apply_chat_template": True} if self.apply_chat_template else {}),
            **({} if multiturn else {"fewshot_as_multiturn": False}),
            **({"system_instruction": self.system_instruction} if self.system_instruction else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """A model that judges, greedily, the answers that graders leave undecided."""

    model: ModelConfig
    system_prompt: str | None
    """System turn of the judge."""
    prompt: str
    """Prompt with {problem}, {gold} and {answer}; asks for a last line that is `correct` or `incorrect`."""
    max_tokens: int
    """Most tokens of a completion."""
    sample: int
    """Number of decided answers per benchmark that it judges too, to measure agreement with the grader."""
    seed: int
    """Seed of that sample."""
    labelled: str | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """A file of rows with problem, gold, answer and label (`correct`, `incorrect`): the judge of a benchmark
    with grader=judge is asked about them too, to measure its agreement with the labels."""

    def __post_init__(self) -> None:
        missing = [part for part in ("{problem}", "{gold}", "{answer}") if part not in self.prompt]
        if missing:
            raise UserError(f"eval.judge.prompt lacks {', '.join(missing)}: the judge must see them")
        if self.sample < 0 or self.max_tokens < 1:
            raise UserError(
                f"eval.judge: sample={self.sample} must be 0 or more, max_tokens={self.max_tokens} 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Whether the model completes a benchmark's problems by heart (Wu et al. 2025, 2507.10532)."""

    share: float
    """Share of a problem's words that is the prompt."""
    max_tokens: int
    """Most tokens of a completion."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.max_tokens < 1:
            raise UserError(
                f"eval.probe: share={self.share:g} must lie between 0 and 1, "
                f"max_tokens={self.max_tokens} be 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """Writes scores problem by problem to `reports.jsonl`, for the pruner of a search."""

    score: str
    """A benchmark or a group of it, whose problems are evaluated before all others."""
    every: int
    """Number of problems between two reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig(EngineConfig):
    benchmarks: dict[str, BenchmarkConfig]
    system_prompt: str | None
    """System turn; null: none."""
    rerun_batch_size: int | None = None
    """Batch size of a second pass over the greedy benchmarks: what differs is due to rounding; null: none."""
    thinking: Thinking = field(default="auto", metadata=DEFAULT_NOT_IN_KEY)
    """How the model marks its thinking, which holds no answer: think (<think>), begin_of_thought, channels
    (gpt-oss), none; auto: any of them."""
    at: KeptConfig | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Scores the training on its way too, without training again: `{epochs: [1, 2, 4, last]}`."""
    likelihood: tuple[str, ...] = field(default=(), metadata=DEFAULT_NOT_IN_KEY)
    """Benchmarks whose gold solutions (`fields.solution`) get their log-likelihood measured."""
    judge: JudgeConfig | None = None
    probe: ProbeConfig | None = None
    report: ReportConfig | None = field(default=None, metadata=NOT_IN_KEY)
    """Set by a search with a pruner; changes no score."""
    seed: int
    """Decides everything random in this section."""

    def __post_init__(self) -> None:
        super(EvalConfig, self).__post_init__()
        for name, benchmark in self.benchmarks.items():
            check_sampling(f"eval.benchmarks.{name}", benchmark)
        if self.report:
            self._check_report(self.report)
        for name in self.likelihood:
            self._check_likelihood(name)
        if (judged := self.judged_alone()) and self.judge is None:
            raise UserError(f"eval.benchmarks.{judged[0]}.grader=judge needs a judge: eval/judge=NAME")
        if judged and self.at:
            raise UserError(f"eval.at: {judged[0]} is graded by a judge, once a trial; set eval.at=null")
        if self.rerun_batch_size is not None and (
            self.rerun_batch_size < 1 or self.rerun_batch_size == self.batch_size
        ):
            raise UserError(
                f"eval.rerun_batch_size={self.rerun_batch_size} must be 1 or more, and differ from "
                f"eval.batch_size={self.batch_size}; null for no second pass"
            )

    @property
    def models(self) -> int:
        """Number of models that a training leaves to be scored: the last one, and those of `at`."""
        return 1 + len(self.at.points) if self.at else 1

    def graders(self) -> dict[str, Grading]:
        """Benchmark -> how it is graded."""
        return {name: Grading(one.grader, one.grader_options) for name, one in self.benchmarks.items()}

    def _check_likelihood(self, name: str) -> None:
        where, benchmark = f"eval.likelihood={list(self.likelihood)}", self.benchmarks.get(name)
        if benchmark is None:
            raise UserError(f"{where}: {name} is no benchmark; there are: {', '.join(self.benchmarks)}")
        fields = benchmark.fields
        if benchmark.task or (isinstance(fields, FieldsConfig) and not fields.solution):
            raise UserError(
                f"{where}: {name} has no gold solutions; set eval.benchmarks.{name}.fields.solution to their "
                "column, or leave it out"
            )
        if benchmark.choices:
            raise UserError(
                f"{where}: the options of {name} are shuffled (choices), and its solutions may name them by "
                "letter; leave it out"
            )
        if self.tensor_parallel > 1:
            raise UserError(
                f"{where}: it holds the model on one GPU; set eval.tensor_parallel=1, or eval.likelihood=[]"
            )

    def judged_alone(self) -> list[str]:
        """The benchmarks that only the judge grades."""
        return [name for name, one in self.benchmarks.items() if one.grader == JUDGE]

    def _check_report(self, report: ReportConfig) -> None:
        named = {*self.benchmarks, *(f"{n}/{g}" for n, b in self.benchmarks.items() for g in b.groups or ())}
        named -= {name for name, benchmark in self.benchmarks.items() if benchmark.task}
        if report.score not in named or report.every < 1:
            raise UserError(
                f"eval.report: score={report.score} must be one of {', '.join(sorted(named))}, "
                f"every={report.every} be 1 or more"
            )
        if report.score.partition("/")[0] in self.judged_alone():
            raise UserError(f"eval.report.score={report.score}: a judge grades it, when all is evaluated")
