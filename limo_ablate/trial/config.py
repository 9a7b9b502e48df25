"""The schema of a trial: the configuration classes of all packages put together.

`conf/` holds the values; `limo_ablate.trial.compose` turns Hydra's DictConfig into a `TrialConfig`. The other
classes stand in `config.py` of the package that reads them. Nothing heavy is imported here.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.object_store import check_url, is_url
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.grade.grader import GraderOptions
from limo_ablate.data.grade.graders import GRADERS, JUDGE, VERIFIER
from limo_ablate.data.pool.config import BandsConfig, PoolConfig, same_problems
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import EngineConfig, check_sampling
from limo_ablate.model.generate.endpoint.config import EndpointConfig
from limo_ablate.model.train.config import KeptConfig, TrainConfig
from limo_ablate.trial.evaluate.config import EvalConfig

LAUNCHERS: Registry[Any] = Registry(
    "launcher",
    {
        "local": Entry("limo_ablate.sweep.launchers.local:LocalLauncher", "this machine"),
        "slurm": Entry("limo_ablate.sweep.launchers.slurm:SlurmLauncher", "jobs of a Slurm cluster"),
        "ray": Entry("limo_ablate.sweep.launchers.ray:RayLauncher", "tasks on the nodes of a Ray cluster"),
    },
    group="limo_ablate.launchers",
)
"""What starts a study's trials; each is a `limo_ablate.sweep.launchers.launcher.Launcher`."""
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
class SlurmConfig:
    """Options of a study's Slurm jobs; see docs/slurm.md."""

    jobs: Literal["trial", "worker"]
    """A job for each trial, or long-lived workers that run one trial after the other."""
    workers: int
    """Number of jobs at a time: the limit of an array of trials, or the number of workers."""
    partition: str | None
    """Partition of each job."""
    time_minutes: int
    """Time limit of a job, in minutes."""
    gpus_per_node: int | None
    """null: as many as a trial needs; must be set for workers, which use all their GPUs."""
    cpus_per_task: int | None
    """null: as many as a trial needs; for a worker the whole machine."""
    memory_gb: int | None
    """null: the cluster's default; for a worker with a machine of its own all of its memory."""
    extra: dict[str, Any]
    """Further options of sbatch: {account: lab, constraint: h100}."""

    def __post_init__(self) -> None:
        for key in ("workers", "time_minutes", "cpus_per_task", "memory_gb"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise UserError(f"launch.slurm.{key}={value} must be at least 1")
        if self.gpus_per_node is not None and self.gpus_per_node < 0:
            raise UserError(f"launch.slurm.gpus_per_node={self.gpus_per_node} must be at least 0")
        for key, value in {"partition": self.partition, **self.extra}.items():
            # each becomes a line of the job's script
            if not (re.fullmatch(r"[a-z][a-z0-9_-]*", key) and str(value).isprintable()):
                where = "" if key == "partition" else "extra."
                raise UserError(
                    f"launch.slurm.{where}{key}={value!r}: an option of sbatch is a name in small "
                    "letters, with a value on one line"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """Options of a study's trials on a Ray cluster; see docs/ray.md."""

    address: str
    """The cluster's: `auto` on one of its nodes, else `HOST:6379`."""
    folder: str | None
    """The directory in which trials run on each node, which may be of its own: `~` and `$VARIABLES` are the
    node's; null: the path that `sweep` runs in."""
    cpus: int | None
    """CPUs of a trial; null: a core for each thread of each of its processes."""
    memory_gb: int | None
    """Memory of a trial, as Ray counts it; null: not counted."""
    resources: dict[str, float]
    """Further resources of a trial by Ray's names: {H100: 1}."""

    def __post_init__(self) -> None:
        if self.address.startswith("ray://"):
            raise UserError(
                f"launch.ray.address={self.address}: Ray's client is not supported; run the sweep on a node "
                "of the cluster, with launch.ray.address=auto"
            )
        for key in ("cpus", "memory_gb"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise UserError(f"launch.ray.{key}={value} must be at least 1")
        for name, value in self.resources.items():
            if value <= 0 or name in ("CPU", "GPU", "memory"):
                raise UserError(
                    f"launch.ray.resources: {name}={value:g}: more than 0 of a resource other than CPU, GPU "
                    "and memory"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """How a sweep uses this machine, or a cluster."""

    executor: Annotated[str, LAUNCHERS]
    """What starts trials."""
    slots: int | None
    """Number of trials that run at the same time; null: as many as the cores (or GPUs) allow."""
    attempts: int
    """Number of failures after which a trial is given up; a larger number retries it."""
    backoff_seconds: float
    """Wait before a failed trial's second attempt; doubled before each further one."""
    hang_seconds: float | None
    """A trial without progress or log output for this long is killed and retried; null: never."""
    grace_seconds: float
    """Time between SIGTERM and SIGKILL, in which a trial can write a checkpoint."""
    max_same_failures: int | None = None
    """Number of trials that may fail for the same reason; then no more are started. null: any number."""
    notify: str | tuple[str, ...] | None = None
    """A command (text, or a list of words; run without a shell) or an http(s) address that is told when a
    sweep starts, when trials first fail for a reason, and when it ends; null: nothing."""
    slurm: SlurmConfig | None = None
    ray: RayConfig | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of a launcher that another package adds, which reads them."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff_seconds < 0 or self.grace_seconds < 0:
            raise UserError(
                f"launch: attempts={self.attempts} must be at least 1, "
                f"backoff_seconds={self.backoff_seconds:g}, grace_seconds={self.grace_seconds:g} at least 0"
            )
        if self.hang_seconds is not None and self.hang_seconds <= 0:
            raise UserError(f"launch.hang_seconds={self.hang_seconds:g} must be positive, or null")
        if self.max_same_failures is not None and self.max_same_failures < 1:
            raise UserError(f"launch.max_same_failures={self.max_same_failures} must be at least 1, or null")
        self._check_notify()
        if self.options and self.executor in LAUNCHERS.builtin:
            raise UserError(f"launch.options={self.options}: launch.executor={self.executor} has no options")
        for name in LAUNCHERS.builtin:  # the options of a launcher of ours are the key with its name
            if hasattr(self, name) and (self.executor == name) != (getattr(self, name) is not None):
                raise UserError(
                    f"launch.executor={self.executor}: launch.{name} is required for {name}, else not allowed"
                )

    def _check_notify(self) -> None:
        try:
            words = shlex.split(self.notify) if isinstance(self.notify, str) else self.notify
        except ValueError as error:
            raise UserError(f"launch.notify={self.notify}: {error}; quote it as in a shell") from error
        if words is not None and not words:
            raise UserError("launch.notify is empty: a command, an http(s) address, or null")


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
        if self.cache_gb <= 0:
            raise UserError(f"paths.cache_gb={self.cache_gb:g} must be positive")
        for name, path in asdict(self).items():
            if not str(path).isprintable():  # it becomes part of a job's script, of logs and commands
                raise UserError(
                    f"paths.{name}={path!r}: has a line break, or another character that is not printed"
                )

    def store(self) -> Store:
        """The store at `artifacts`."""
        if not is_url(self.artifacts):
            return Store(self.artifacts)
        from limo_ablate.core.remote_store import remote_store

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
