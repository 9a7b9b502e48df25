"""What can be known of a trial before it starts: are its files, packages, models and rows there?

    for check in CHECKS:
        check.run(config, known)     # raises UserError, or NotChecked where only the trial itself can tell

Each check looks at some parts of the configuration, and is needed once for trials in which these are equal.
Whatever can end a trial with a user's error after its start, and can be known before, belongs here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from limo_ablate.core.artifacts import Artifact, NotInStore, Store, find_only
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import check_gpus, gpu_memories, visible_gpus
from limo_ablate.core.registry import Registry
from limo_ablate.data.pool.config import LOADERS, BenchmarkSetConfig, ProblemsConfig
from limo_ablate.data.select.config import RULES, SelectConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.trial.config import LAUNCHERS, TRACKERS, TrialConfig
from limo_ablate.trial.evaluate.grader import GRADERS
from limo_ablate.trial.read_only import denied_in, first_missing

if TYPE_CHECKING:
    from limo_ablate.data.select.funnel import Funnel

T = TypeVar("T")
log = logging.getLogger(__name__)
LARGE = 200 * 2**20
"""Bytes of a file from which on it is read by the first trial that needs it, and not by a check."""
CHOOSING = ("seed", "size", "order", "best", "tokens", "stratify")
"""Fields of `select` that choose among the rows which pass its filters."""
DECISIVE = tuple(field.name for field in fields(SelectConfig) if field.name not in CHOOSING)

SCALARS = frozenset((int, float, str, bool, type(None)))
"""Types of values that are compared as they are."""


class NotChecked(Exception):
    """Why something is known only once the trial runs."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    parts: Callable[[TrialConfig], tuple[Any, ...]]
    """The parts of the configuration that decide the outcome."""
    run: Callable[[TrialConfig, Known], None]
    """Raises UserError or NotChecked."""
    builds: bool = False
    """Whether artifacts are built for it, cheap ones that the trial would build otherwise. In a store that
    can't be written to, the check of the store does its work."""
    here: bool = False
    """Whether it is about the machine that the trial runs on."""


class Known:
    """What checks have found out so far."""

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[None, int]] = {}
        self._contents: dict[Any, int] = {}
        self._kept: list[Any] = []
        self._results: dict[Any, tuple[Any, Exception | None]] = {}

    def number(self, part: Any) -> Any:
        """The same number for equal parts; an object that trials share is looked at once."""
        kind = part.__class__
        if kind in SCALARS:
            return kind, part
        if kind in (list, tuple):  # made anew for each trial
            return self._number_of(kind, part)
        if (number := self._numbers.get(id(part))) is None:
            names = tuple(part) if kind is dict else _names(kind)
            values = part.values() if kind is dict else [getattr(part, name) for name in names]
            number = self._numbers[id(part)] = self._number_of((kind, names), values)
            self._kept.append(part)  # so that its id stays its own
        return number

    def _number_of(self, kind: Any, values: Iterable[Any]) -> tuple[None, int]:
        content = (kind, *map(self.number, values))
        return None, self._contents.setdefault(content, len(self._contents))

    def once(self, key: tuple[Any, ...], find: Callable[[], T]) -> T:
        """What `find` returned or raised at the first call with this key."""
        if key not in self._results:
            try:
                self._results[key] = find(), None
            except (UserError, NotChecked) as error:
                self._results[key] = None, error
        result, raised = self._results[key]
        if raised is not None:
            raise raised
        found: T = result
        return found

    def denied(self, config: TrialConfig) -> UserError | None:
        """Why the trial's store can't be written to; None where it can."""
        folder = config.paths.artifacts
        return self.once(("store", folder), lambda: denied_in(Path(folder)))

    def pool(self, config: TrialConfig) -> Artifact:
        from limo_ablate.data.pool.load import load_pool, sources_of

        def find() -> Artifact:
            with _read_locally(sources_of(config.data).values()):
                return load_pool(Store(config.paths.artifacts), config.data)

        return self.once(("pool", config.paths.artifacts, self.number(config.data)), find)

    def benchmark(self, config: TrialConfig, name: str, problems: BenchmarkSetConfig, key: str) -> Artifact:
        from limo_ablate.data.pool.load import load_benchmark

        def find() -> Artifact:
            with _read_locally([problems]):
                return load_benchmark(Store(config.paths.artifacts), name, problems, key)

        return self.once(("benchmark", config.paths.artifacts, name, key, self.number(problems)), find)

    def rows(self, config: TrialConfig) -> Funnel:
        """The rows of the pool that the trial's selection chooses among."""
        return self.once(("rows", self.number(_row_parts(config))), lambda: _available(config, self))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@contextmanager
def _read_locally(sources: Any) -> Iterator[None]:
    """Inside, small local files are read; raises NotChecked where more would have to be read and is not yet
    in the store."""
    elsewhere = next((text for source in sources if (text := _not_read(source))), None)
    with find_only() if elsewhere else nullcontext():
        try:
            yield
        except NotInStore as error:
            raise NotChecked(elsewhere) from error


def _not_read(source: ProblemsConfig) -> str | None:
    """Why a check does not read the source; None where it does."""
    path = Path(source.path) if source.path else None
    if source.source == "miniature" or (source.source == "file" and path is None):
        return None
    if path is None or not path.exists():
        return None if source.source == "file" else f"{source.path or source.source}: not downloaded yet"
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{path}: large, and not read yet" if sum(file.stat().st_size for file in files) > LARGE else None


def _row_parts(config: TrialConfig) -> tuple[Any, ...]:
    """What decides which rows a selection chooses among."""
    select = config.select
    decisive = tuple(getattr(select, name) for name in DECISIVE)
    gate = None if select.contamination.policy == "none" else config.eval.benchmarks
    return config.data, decisive, gate, config.paths.artifacts


def _available(config: TrialConfig, known: Known) -> Funnel:
    """Filters whose evidence is costly and not there yet are left out; they would leave fewer rows."""
    from limo_ablate.data.select.features import features
    from limo_ablate.data.select.selection import Evidence, available_rows

    store, pool, select, data = Store(config.paths.artifacts), known.pool(config), config.select, config.data
    known_features = features(store, select.score.phrases(), pool)
    with find_only():
        grades = _found(partial(_grades, config, store, pool))
        flags = _found(partial(_flags, config, store, pool))
        duplicates = _found(partial(_duplicates, config, store, pool))
    if grades is None:
        select = replace(select, correctness="any")
    if duplicates is None:
        select = replace(select, duplicates="keep")
    if _difficulty_is_measured(config, grades):
        select = replace(select, difficulty="any")
    evidence = Evidence(features=known_features, grades=grades, flags=flags, duplicates=duplicates)
    return available_rows(select, data, pool, evidence)


def _found(stage: Callable[[], Artifact | None]) -> Artifact | None:
    """None where the artifact is not in the store yet."""
    try:
        return stage()
    except NotInStore:
        return None


def _grades(config: TrialConfig, store: Store, pool: Artifact) -> Artifact | None:
    from limo_ablate.data.select.correctness import grades

    wanted = (
        config.select.correctness in ("correct", "wrong") or config.data.difficulty.measure == "solutions"
    )
    return grades(store, pool) if wanted else None


def _duplicates(config: TrialConfig, store: Store, pool: Artifact) -> Artifact | None:
    from limo_ablate.data.select.dedup import duplicates

    dropped = config.select.duplicates == "drop"
    return duplicates(store, config.select.contamination.punctuation, pool) if dropped else None


def _flags(config: TrialConfig, store: Store, pool: Artifact) -> Artifact | None:
    from limo_ablate.trial.contamination import contamination_flags
    from limo_ablate.trial.stages import Stages

    return contamination_flags(config, Stages(), pool)


def _difficulty_is_measured(config: TrialConfig, grades: Artifact | None) -> bool:
    """Whether difficulty is known only once it is measured."""
    measure = config.data.difficulty.measure
    return measure == "reference" or (measure == "solutions" and grades is None)


def _check_packages(config: TrialConfig, known: Known) -> None:
    from limo_ablate.model.generate.open import check_settings
    from limo_ablate.model.train.processes import check_packages
    from limo_ablate.model.train.zero3 import check_zero3

    for registry, name in _entries(config):
        registry.check_installed(name)
    check_settings(config.eval, config.hardware)
    if config.eval.engine in ENGINES.builtin:  # another package's may ask for its GPU
        ENGINES.load(config.eval.engine).check(config.eval, config.hardware)
    if config.select.size != 0:
        check_packages(config.train, config.hardware)
        if config.hardware.strategy == "zero3":
            check_zero3(config.train, config.hardware)
    if config.model.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        raise UserError(
            "model.attention=flash_attention_2 needs FlashAttention: pip install flash-attn, or use sdpa"
        )


def _entries(config: TrialConfig) -> tuple[tuple[Registry[Any], str], ...]:
    """The entries of registries that other packages may have added."""
    rules = (rule.removeprefix("-") for rule in (config.select.order, config.select.best))
    return (
        (ENGINES, config.eval.engine),
        (TRACKERS, config.track.kind),
        (LAUNCHERS, config.launch.executor),
        (LOADERS, config.data.source),
        *((RULES, rule) for rule in rules if rule in RULES),
        *((GRADERS, grading.grader) for grading in config.eval.graders().values()),
        *((LOADERS, benchmark.source) for benchmark in config.eval.benchmarks.values()),
    )


def _check_models(config: TrialConfig, known: Known) -> None:
    from limo_ablate.model.train.base import check_model

    for model in _models(config):
        if check_model(model) is None and model.source == "hub":
            _check_downloaded(model)


def _models(config: TrialConfig) -> list[ModelConfig]:
    reference = config.data.difficulty.reference if config.data.difficulty.measure == "reference" else None
    judge = [config.eval.judge.model] if config.eval.judge else []
    stages = reference.stages.values() if reference and config.select.size != 0 else ()
    return [config.model, *judge, *(stage.model for stage in stages)]


def _check_downloaded(model: ModelConfig) -> None:
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "tokenizer.json"):
        if not isinstance(try_to_load_from_cache(str(model.path), name, revision=model.revision), str):
            raise NotChecked(f"model.path={model.path}: not downloaded yet")


def _check_gpus(config: TrialConfig, known: Known) -> None:
    if config.launch.executor == "local":
        check_gpus(config.hardware, known.once(("gpus",), lambda: len(visible_gpus())))


def _check_memory(config: TrialConfig, known: Known) -> None:
    """What a training takes whatever its rows; it checks its memory with its rows when it starts."""
    from limo_ablate.model.train.memory import size
    from limo_ablate.model.train.memory_check import TOLERANCE, Demand
    from limo_ablate.model.train.shapes import shape_config
    from limo_ablate.model.train.token_rows import blank_rows

    hardware, on_gpu = config.hardware, config.hardware.device == "cuda"
    own = known.once(("memory", on_gpu), lambda: _largest_memory(on_gpu=on_gpu))
    if config.select.size == 0 or not own or shape_config(config.model) is None:
        return
    train = replace(config.train, dev=None, steps=None, epochs=1, tokens=None)
    needed = Demand(blank_rows([2], 1), config.model, train, hardware).forecast().total
    own *= 1 if on_gpu else hardware.nodes / hardware.processes
    if needed > TOLERANCE * own:
        raise UserError(
            f"hardware={hardware.name}, model={config.model.name}: weights, gradients and optimiser states "
            f"take {size(needed)} per {'GPU' if on_gpu else 'process'}, and {size(int(own))} are there; "
            "`limo-ablate plan` shows what would fit"
        )


def _largest_memory(*, on_gpu: bool) -> float:
    """Bytes of this machine's largest GPU, 0 without one, or of its main memory."""
    import psutil

    return max(gpu_memories(), default=0.0) if on_gpu else float(psutil.virtual_memory().total)


def _check_store(config: TrialConfig, known: Known) -> None:
    if (denied := known.denied(config)) and (missing := first_missing(config)):
        raise UserError(f"{denied}; the first that is not there and would have to be made: {missing}")


def _check_sources(config: TrialConfig, known: Known) -> None:
    from limo_ablate.data.pool.load import check_first_row, sources_of

    for name, benchmark in config.eval.benchmarks.items():
        if benchmark.source != "miniature" and not _not_read(benchmark):
            check_first_row(benchmark, name, f"eval.benchmarks.{name}")
    if _needs_pool(config):
        for name, source in sources_of(config.data).items():
            if source.source != "miniature" and not _not_read(source):
                check_first_row(source, name, f"data.parts.{name}" if config.data.parts else "data")


def _check_benchmarks(config: TrialConfig, known: Known) -> None:
    from limo_ablate.trial.scores import check_groups

    for name, benchmark in config.eval.benchmarks.items():
        check_groups(name, benchmark, known.benchmark(config, name, benchmark, "eval.benchmarks"))
    gate = config.select.contamination
    for name, also in gate.also.items() if gate.policy != "none" and _needs_pool(config) else ():
        known.benchmark(config, name, also, "select.contamination.also")


def _needs_pool(config: TrialConfig) -> bool:
    return config.select.size != 0 or config.model.source == "scratch"


def _check_pool(config: TrialConfig, known: Known) -> None:
    if _needs_pool(config):
        known.pool(config)


def _check_rows(config: TrialConfig, known: Known) -> None:
    from limo_ablate.data.select.responses import require_size

    if config.select.size == 0:
        return
    try:
        known.pool(config)
    except (UserError, NotChecked):
        return  # told by the check of the pool
    funnel = known.rows(config)
    if config.select.size is not None:
        require_size(funnel.rows, config.select.size, funnel)


CHECKS = (
    Check("GPUs", lambda c: (c.hardware, c.launch.executor), _check_gpus, here=True),
    Check(
        "packages",
        lambda c: (c.hardware, c.train.loss, c.train.lora, c.eval.engine, c.eval.tensor_parallel,
                   c.eval.benchmarks, c.model.attention, c.select.size == 0, c.select.order, c.select.best,
                   c.data.source, c.track.kind, c.launch.executor),
        _check_packages,
        here=True,
    ),
    Check(
        "memory",
        lambda c: (c.model, c.train.lora, c.train.micro_batch_tokens, c.train.gradient_checkpointing,
                   c.hardware, c.select.size == 0),
        _check_memory,
        here=True,
    ),
    Check("store", lambda c: (c,), _check_store),
    Check("models", lambda c: (*_models(c),), _check_models),
    Check("sources", lambda c: (c.eval.benchmarks, _needs_pool(c), c.data), _check_sources),
    Check(
        "benchmarks",
        lambda c: (c.eval.benchmarks, c.select.contamination, _needs_pool(c), c.paths.artifacts),
        _check_benchmarks,
        builds=True,
    ),
    Check("pool", lambda c: (_needs_pool(c), c.data, c.paths.artifacts), _check_pool, builds=True),
    Check(
        "rows",
        lambda c: (*_row_parts(c), c.select.size),
        _check_rows,
        builds=True,
    ),
)  # fmt: skip
"""The cheapest first. A problem that several checks find has the same text, and is told once."""


def check_alone(config: TrialConfig) -> None:
    """The checks that build nothing, for a trial that is started now. Raises UserError."""
    known = Known()
    check_gpus(config.hardware)
    for check in CHECKS:
        if check.builds:
            continue
        try:
            check.run(config, known)
        except NotChecked:
            continue
        except UserError:
            raise
        except Exception as error:  # a mistake of ours must not stop a trial that would run
            log.warning("the check of %s failed itself, and is left out: %r", check.name, error)
