"""What the checks of a study's trials find out, each thing once: pools, benchmarks, rows to choose among."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from limo_ablate.core.artifacts import Artifact, NotInStore, Store, find_only
from limo_ablate.core.errors import UserError
from limo_ablate.core.remote.object_store import is_url, store_folder
from limo_ablate.data.grade.graders import CODE
from limo_ablate.data.grade.own_file import is_own_file
from limo_ablate.data.pool.config import GENERATED, BenchmarkSetConfig, ProblemsConfig
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.read_only import denied_in

if TYPE_CHECKING:
    from limo_ablate.data.select.funnel import Funnel

T = TypeVar("T")
LARGE = 200 * 2**20
"""Bytes of a file from which on it is read by the first trial that needs it, and not by a check."""
CHOOSING = ("seed", "size", "order", "best", "tokens", "stratify")
"""Fields of `select` that choose among the rows which pass its filters."""
DECISIVE = tuple(field.name for field in fields(SelectConfig) if field.name not in CHOOSING)

SCALARS = frozenset((int, float, str, bool, type(None)))
"""Types of values that are compared as they are."""


class NotChecked(Exception):
    """Why something is known only once the trial runs."""


class Notice(NotChecked):
    """What is worth knowing, and no reason not to run."""


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
        folder = store_folder(config.paths.artifacts, config.paths.cache)
        key = "paths.cache" if is_url(config.paths.artifacts) else "paths.artifacts"
        return self.once(("store", folder), lambda: denied_in(folder, key))

    def pool(self, config: TrialConfig) -> Artifact:
        """The pool that the trial selects from. Raises NotChecked while its teacher has not written it."""
        from limo_ablate.data.pool.load import load_pool, sources_of

        def find() -> Artifact:
            with _read_locally(sources_of(config.data).values()):
                given = load_pool(config.paths.store(), config.data)
            return _taught(config) if config.data.teacher else given

        return self.once(("pool", config.paths.artifacts, self.number(config.data)), find)

    def benchmark(self, config: TrialConfig, name: str, problems: BenchmarkSetConfig, key: str) -> Artifact:
        from limo_ablate.data.pool.load import load_benchmark

        def find() -> Artifact:
            with _read_locally([problems]):
                return load_benchmark(config.paths.store(), name, problems, key)

        return self.once(("benchmark", config.paths.artifacts, name, key, self.number(problems)), find)

    def rows(self, config: TrialConfig) -> Funnel:
        """The rows of the pool that the trial's selection chooses among."""
        return self.once(("rows", self.number(row_parts(config))), lambda: _available(config, self))


def _taught(config: TrialConfig) -> Artifact:
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.stages import Stages
    from limo_ablate.trial.teacher import trial_pool

    with find_only():
        try:
            return trial_pool(config, Stages(), trained_model)
        except NotInStore as error:
            assert config.data.teacher
            raise NotChecked(f"{config.data.teacher.name}: the teacher has yet to write solutions") from error


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@contextmanager
def _read_locally(sources: Any) -> Iterator[None]:
    """Inside, small local files are read; raises NotChecked where more would have to be read and is not yet
    in the store."""
    elsewhere = next((text for source in sources if (text := why_not_read(source))), None)
    with find_only() if elsewhere else nullcontext():
        try:
            yield
        except NotInStore as error:
            raise NotChecked(elsewhere) from error


def why_not_read(source: ProblemsConfig) -> str | None:
    """Why a check does not read the source; None where it does."""
    path = Path(source.path) if source.path else None
    if source.source == "lm_eval":
        return "tasks of lm-eval: read by the trial"
    if source.source in GENERATED or (source.source == "file" and path is None):
        return None
    if path is None or not path.exists():
        return None if source.source == "file" else f"{source.path or source.source}: not downloaded yet"
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{path}: large, and not read yet" if sum(file.stat().st_size for file in files) > LARGE else None


def row_parts(config: TrialConfig) -> tuple[Any, ...]:
    """What decides which rows a selection chooses among."""
    select = config.select
    decisive = tuple(getattr(select, name) for name in DECISIVE)
    gate = None if select.contamination.policy == "none" else config.eval.benchmarks
    return config.data, decisive, gate, config.paths.artifacts


def _available(config: TrialConfig, known: Known) -> Funnel:
    """Filters whose evidence is costly and not there yet are left out; they would leave fewer rows."""
    from limo_ablate.data.select.features import features
    from limo_ablate.data.select.selection import Evidence, available_rows

    store, pool, select, data = config.paths.store(), known.pool(config), config.select, config.data
    known_features = features(store, select.score.phrases(), pool)
    with find_only():
        grades = _found(partial(_grades, config, store, pool))
        flags = _found(partial(_flags, config, store, pool))
        duplicates = _found(partial(_duplicates, config, store, pool))
        degenerate = _found(partial(_degenerate, config, store, pool))
    if grades is None:
        select = replace(select, correctness="any")
    if duplicates is None:
        select = replace(select, duplicates="keep")
    if _difficulty_is_measured(config, grades):
        select = replace(select, difficulty="any")
    evidence = Evidence(
        features=known_features, grades=grades, flags=flags, duplicates=duplicates, degenerate=degenerate
    )
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
    grader = config.data.grader
    if wanted and (is_own_file(grader) or grader == CODE):
        raise NotChecked(f"data.grader={grader}: it runs when the trial does")
    return grades(store, pool, config.data.grading()) if wanted else None


def _degenerate(config: TrialConfig, store: Store, pool: Artifact) -> Artifact | None:
    from limo_ablate.data.select.degenerate import degenerate

    return degenerate(store, pool) if config.select.degenerate == "drop" else None


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
