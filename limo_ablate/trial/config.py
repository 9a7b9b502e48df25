"""The schema of a trial: the configuration classes of all packages put together.

`conf/` holds the values; `limo_ablate.trial.compose` turns Hydra's DictConfig into a `TrialConfig`. The other
classes stand in `config.py` of the package that reads them. Nothing heavy is imported here.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.core.remote.object_store import check_url, is_url
from limo_ablate.data.grade.grader import GraderOptions
from limo_ablate.data.grade.graders import GRADERS, JUDGE, VERIFIER
from limo_ablate.data.pool.config import BandsConfig, PoolConfig, same_problems
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import EngineConfig, check_sampling
from limo_ablate.model.generate.endpoint.config import EndpointConfig
from limo_ablate.model.train.config import KeptConfig, TrainConfig
from limo_ablate.trial.evaluate.config import EvalConfig
from limo_ablate.trial.launch_config import LaunchConfig

TRACKERS: Registry[Any] = Registry(
    "tracker",
    {
        "wandb": Entry("limo_ablate.trial.track.run:open_run", "Weights & Biases, offline by default"),
        "none": Entry("limo_ablate.trial.track.tracker:open_none", "no tracking"),
    },
    group="limo_ablate.trackers",
)
"""What follows a trial; each opens a `limo_ablate.trial.track.tracker.Tracker`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """How a reference model is fine-tuned first, on data of its own."""

    data: DataConfig
    select: SelectConfig
    train: TrainConfig

    def __post_init__(self) -> None:
        if self.select.difficulty != "any":
            raise UserError(
                f"tune.select.difficulty={self.select.difficulty}: the rows of a reference model can't be "
                "selected by difficulty, which it measures; use any"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStageConfig:
    """A model that tries each problem several times; the verifier counts correct samples."""

    model: ModelConfig
    tune: TuneConfig | None = None
    """null: no fine-tuning."""
    samples: int
    """Completions of each problem."""
    temperature: float
    """Sampling temperature; 0: greedy."""
    top_p: float
    """Nucleus sampling; 1: off."""
    max_tokens: int
    """Most tokens of a completion."""
    pass_to_next: tuple[int, int] | None
    """Fewest and most correct samples with which a problem is passed to the next stage; null: any number."""


REFERENCES = "data.difficulty.reference.stages"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceConfig(EngineConfig):
    """How pass rates are measured (LIMO, section 3.1): stage after stage, the last one's rates count."""

    stages: dict[str, ReferenceStageConfig]
    system_prompt: str | None
    """System turn; null: none."""
    seed: int
    """Decides everything random in this section."""
    batch_size_key = "data.difficulty.reference.batch_size"

    def __post_init__(self) -> None:
        super(ReferenceConfig, self).__post_init__()
        for name, stage in self.stages.items():
            check_sampling(f"{REFERENCES}.{name}", stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyConfig(BandsConfig):
    """How difficulty is measured, and its bands."""

    reference: ReferenceConfig | None = None

    def __post_init__(self) -> None:
        super(DifficultyConfig, self).__post_init__()
        if self.measure == "reference" and not (self.reference and self.reference.stages):
            raise UserError(
                "data.difficulty.measure=reference needs data.difficulty.reference.stages; "
                "data/difficulty=limo has two"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTeacherConfig(EngineConfig):
    """A teacher that runs on the trial's hardware."""

    model: ModelConfig
    tune: TuneConfig | None = None
    """How it is fine-tuned first; null: not at all."""
    batch_size_key = "data.teacher.local.batch_size"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """A model that writes the pool's solutions, `samples` to each problem, in place of those it has."""

    local: LocalTeacherConfig | None = None
    endpoint: EndpointConfig | None = None
    """Where the teacher runs: one of the two."""
    samples: int
    """Completions of each problem."""
    temperature: float
    """Sampling temperature; 0: greedy."""
    top_p: float
    """Nucleus sampling; 1: off."""
    max_tokens: int
    """Solutions that are cut off there are left out."""
    system_prompt: str | None
    """System turn; null: none."""
    seed: int
    """Decides everything random in this section."""
    grader: Annotated[str, GRADERS] | None = VERIFIER
    """What marks each solution as right or wrong, for `select.correctness=marked_correct`; null: nothing."""
    grader_options: GraderOptions = field(default=GraderOptions())

    def __post_init__(self) -> None:
        if (self.local is None) == (self.endpoint is None):
            raise UserError("data.teacher: set one of data.teacher.local and data.teacher.endpoint")
        check_sampling("data.teacher", self)
        if self.grader == JUDGE:
            raise UserError("data.teacher.grader=judge: a judge grades the completions of a benchmark only")

    @property
    def name(self) -> str:
        """What `solutions.parquet` calls it."""
        return self.local.model.name if self.local else self.endpoint.model if self.endpoint else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig(PoolConfig):
    """A pool of problems and solutions, how its difficulty is measured, and who writes its solutions."""

    difficulty: DifficultyConfig
    teacher: TeacherConfig | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    kind: Annotated[str, TRACKERS]
    """What records runs; none: nothing does."""
    project: str = "limo-ablate"
    """W&B's project."""
    entity: str | None = None
    """W&B's user or team."""
    mode: Literal["offline", "online", "disabled"] = "offline"
    """Whether runs are sent at once, or kept on disk."""
    name: str | None = None
    """Name of the run; in a study the trial's name follows it. null: the trial's name."""
    tags: str | tuple[str, ...] | None = None
    """Tags of the run beside seed and cell: a list, or a text with commas."""
    dir: str | None = None
    """Folder in whose `wandb` the files of runs are; null: the trial's own folder."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of a tracker that another package adds, which reads them."""
    patience_seconds: float = 120
    """A finished trial waits for its uploads so long; the rest is on disk, for `limo-ablate wandb-sync`."""

    def __post_init__(self) -> None:
        if self.options and self.kind in TRACKERS.builtin:
            raise UserError(f"track.options={self.options}: track.kind={self.kind} has no options")
        if self.patience_seconds <= 0:
            raise UserError(f"track.patience_seconds={self.patience_seconds:g} must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsConfig:
    artifacts: str
    """The content-addressed store, shared by all studies: a folder or a URL (s3, gs, file)."""
    cache: str = "outputs/cache"
    """Folder of the local copies of a store at a URL."""
    cache_gb: float = 200.0
    """Most gigabytes of these copies; those used longest ago are removed."""
    selections: str
    """A folder for each selection that `limo-ablate select` shows."""
    studies: str
    """A folder for each study, with its ledger, trials and report."""
    benchmarks: str
    """Folder of local benchmark files; only used in `conf/eval`."""
    pools: str
    """Folder of local pool files; only used in `conf/data`."""
    umask: str | None = None
    """Permissions that new files lack, as of the shell's `umask`: '002' lets the group write; null: the
    shell's."""

    def __post_init__(self) -> None:
        if self.umask is not None and not re.fullmatch("[0-7]{3}", self.umask):
            raise UserError(
                f"paths.umask={self.umask} must be three digits of 0 to 7 in quotes, as in paths.umask='002'"
            )
        if self.umask is not None and not int(self.umask[2]) & 2:
            raise UserError(
                f"paths.umask='{self.umask}' lets every user of the machine change results; its last "
                "digit is 2, 3, 6 or 7, as in paths.umask='002'"
            )
        if is_url(self.artifacts):
            check_url(self.artifacts, "paths.artifacts")
        if not 0 < self.cache_gb < math.inf:
            raise UserError(f"paths.cache_gb={self.cache_gb:g} must be positive and finite")
        for name, path in asdict(self).items():
            if not str(path).isprintable():  # it becomes part of a job's script, of logs and commands
                raise UserError(
                    f"paths.{name}={path!r}: has a line break, or another character that is not printed"
                )

    def store(self) -> Store:
        """The store at `artifacts`."""
        if not is_url(self.artifacts):
            return Store(self.artifacts)
        from limo_ablate.core.remote.store import remote_store

        return remote_store(self.artifacts, self.cache, self.cache_gb)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """The whole configuration of a trial."""

    data: DataConfig
    select: SelectConfig
    model: ModelConfig
    train: TrainConfig
    hardware: HardwareConfig
    eval: EvalConfig
    track: TrackConfig
    launch: LaunchConfig
    paths: PathsConfig
    seed: int
    """Default of select.seed, train.seed and eval.seed."""

    @property
    def needs_pool(self) -> bool:
        """Whether the pool decides the model: not the untuned base, unless its tokenizer is made of it."""
        return self.select.size != 0 or self.model.source == "scratch"

    def __post_init__(self) -> None:
        difficulty, bands = self.select.difficulty, self.data.difficulty.bands
        if isinstance(difficulty, str) and difficulty not in ("any", *bands):
            raise UserError(
                f"select.difficulty={difficulty} is no band of data={self.data.name}; "
                f"choose {', '.join(['any', *bands])} or a number; data/difficulty= chooses other bands"
            )
        if self.eval.at and self.select.size != 0:
            self._check_kept(self.eval.at)
        for name, problems in self.select.contamination.also.items():
            evaluated = self.eval.benchmarks.get(name)
            if evaluated and not same_problems(evaluated, problems):
                raise UserError(
                    f"select.contamination.also.{name}: a benchmark of that name is evaluated (path "
                    f"{evaluated.path}); give this one ({problems.path}) another name"
                )
        self._check_names()

    def _check_names(self) -> None:
        """Completions, verdicts and models of a trial are recorded by these names."""
        measured, reference = self.data.difficulty.measure == "reference", self.data.difficulty.reference
        taken = {"teacher": "data.teacher"} if self.data.teacher else {}
        stages = dict.fromkeys(reference.stages, REFERENCES) if reference and measured else {}
        judge = {"judge": "eval.judge"} if self.eval.judge else {}
        used = [(f"eval.benchmarks.{name}", name, taken | stages) for name in self.eval.benchmarks]
        used += [(f"{REFERENCES}.{name}", name, taken | judge) for name in stages]
        for key, name, others in used:
            if name in others:
                raise UserError(
                    f"{key}: {others[name]} uses the name {name} in this trial; choose another one"
                )
            if "/" in name:
                raise UserError(f"{key}: has a slash, as a group has (mini/hard); choose another name")

    def _check_kept(self, kept: KeptConfig) -> None:
        if self.train.dev and self.train.dev.keep == "best":
            raise UserError(
                "eval.at with train.dev.keep=best: the last point would have weights of an earlier step; "
                "set train.dev.keep=last"
            )
        length = getattr(self.train, kept.unit)
        if length is not None and kept.points[-1] > length:
            raise UserError(
                f"eval.at.{kept.unit}: {kept.points[-1]:g} is past the end, train.{kept.unit}={length:g}"
            )
