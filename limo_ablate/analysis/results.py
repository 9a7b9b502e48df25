"""The result of a trial, its metrics.json: reading it, and whether it is stale.

A trial's key covers its configuration only. metrics.json records what else the result depends on (`inputs`):
the content of files outside the store, and the versions of the stages and of the verifier. Where one of these
has changed since, the result is stale.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from limo_ablate.core.artifacts import Store, digest_file, stage_version
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json
from limo_ablate.study.folder import started_in
from limo_ablate.study.planned import ShownTrial
from limo_ablate.verify import VERSION as VERIFIER

METRICS, VERDICTS, TRAJECTORY = "metrics.json", "verdicts.parquet", "trajectory.parquet"
GONE = "no longer on disk"
MOST_FILES = 10_000
"""Files of a folder that a result is compared with: a model has dozens."""


class Inputs(TypedDict):
    """What a result depends on beside its configuration."""

    files: dict[str, str]
    versions: dict[str, int]


class Score(TypedDict):
    """What is read of every score by name; all its other entries are numbers too."""

    accuracy: float


class TrajectoryPoint(TypedDict):
    """A point of a training that was scored on its way."""

    step: int
    epoch: float
    tokens: int


class Trajectory(TypedDict):
    """All of them, the last one included."""

    points: list[TrajectoryPoint]
    verdicts: str


class Made(TypedDict):
    """What made an artifact of a trial."""

    key: str
    digest: str
    made: NotRequired[str | None]
    code: NotRequired[str | None]
    packages: NotRequired[dict[str, str | None]]


class Metrics(TypedDict):
    """metrics.json."""

    trial: str
    inputs: Inputs
    scores: dict[str, Score]
    finished: str
    total_seconds: float
    seed: NotRequired[int]
    cell: NotRequired[dict[str, Any]]
    factors: NotRequired[dict[str, Any]]
    train: NotRequired[dict[str, Any]]
    seconds: NotRequired[dict[str, float]]
    artifacts: NotRequired[dict[str, Made]]
    verdicts: NotRequired[str | None]
    trajectory: NotRequired[Trajectory]


def read_metrics(folder: Path, key: str | None = None) -> dict[str, Any] | None:
    """The result in a trial's folder; None where there is none, or that of a trial with another key.

    Raises UserError where the file can't be used.
    """
    path = folder / METRICS
    try:
        metrics: dict[str, Any] = read_json(path, Metrics)
    except FileNotFoundError:
        return None
    for name, score in metrics["scores"].items():
        if wrong := [key for key, value in score.items() if not isinstance(value, int | float)]:
            raise UserError(f"{path}: scores.{name}.{wrong[0]} is not a number; run the trial again")
        if not 0 <= score["accuracy"] <= 1:
            raise UserError(
                f"{path}: scores.{name}.accuracy={score['accuracy']}: not a share; run the trial again"
            )
    return metrics if key in (None, metrics["trial"]) else None


class CurrentInputs:
    """The inputs as they are now; each file is looked at once."""

    def __init__(self, store: Path | None, bases: Sequence[Path] = (Path(),)) -> None:
        """`store`: where digests of files are looked up, if there is one.

        `bases`: folders that recorded paths may be relative to; the first that has the file counts.
        """
        self._store, self._bases = Store(store or Path(os.devnull), writes=False), bases
        self._digests: dict[str, str | None] = {}

    def changes(self, metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """What has changed since the trial with these metrics ran; files that are not here are left out."""
        inputs = metrics["inputs"]
        files = [
            f"{path} has changed"
            for path, digest in inputs["files"].items()
            if self._digest(path) not in (digest, None)
        ]
        versions = [
            f"{'the verifier' if name == 'verifier' else f'stage {name}'} is of version {now}, was {version}"
            for name, version in inputs["versions"].items()
            if (now := VERIFIER if name == "verifier" else stage_version(name)) != version
        ]
        return (*files, *versions)

    def _digest(self, path: str) -> str | None:
        if path not in self._digests:
            try:
                there = next((place for base in self._bases if _is_small(place := base / path)), None)
                self._digests[path] = self._store.path_digest(there) if there else None
            except OSError:  # it may not be read here
                self._digests[path] = None
        return self._digests[path]


def _is_small(place: Path) -> bool:
    """Whether there is a file, or a folder or pattern of at most MOST_FILES entries.

    A result may name `/`; a pipe or a device would never end.
    """
    if place.is_file():
        return True
    entries = place.rglob("*") if place.is_dir() else glob.iglob(str(place), recursive=True)  # noqa: PTH207
    return (place.is_dir() or glob.has_magic(str(place))) and 0 < sum(
        1 for _ in islice(entries, MOST_FILES + 1)
    ) <= MOST_FILES


def store_of(bases: Sequence[Path], root: str | None) -> Path | None:
    """The folder `root` of a store, as seen from the first of the folders that has it."""
    return next((base / root for base in bases if root and (base / root).is_dir()), None)


def edited(folder: Path, metrics: Mapping[str, Any], *, by_time: bool = False) -> tuple[str, ...]:
    """A text where the trial's verdicts are not those that it wrote.

    `by_time`: they are not read where they were last changed (ctime, which no program can set) before
    metrics.json was written.
    """
    written = {VERDICTS: metrics.get("verdicts")}
    if trajectory := metrics.get("trajectory"):
        written[TRAJECTORY] = trajectory["verdicts"]
    found = []
    for path, recorded in ((folder / name, digest) for name, digest in written.items() if digest):
        if path.exists():
            if by_time and path.stat().st_ctime_ns <= (folder / METRICS).stat().st_mtime_ns:
                continue
            if digest_file(path) == recorded:
                continue
        found.append(f"{path} is not as its trial wrote it")
    return tuple(found)


class Results:
    """The results of a study's trials on disk, compared with their inputs as they are now."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the study's."""
        self._folder = folder
        self._inputs: dict[str, CurrentInputs] = {}
        """Store -> the inputs, each looked at once."""

    def why_not(self, trial: ShownTrial) -> str | None:
        """Why the trial has no result that counts: GONE, or what has changed since; None if it has one."""
        place = self._folder / "trials" / trial.folder
        try:
            metrics = _read(place, trial.key, (place / METRICS).stat().st_mtime_ns)
        except FileNotFoundError:
            return GONE
        except UserError as error:
            return str(error)
        if metrics is None:
            return GONE
        store = str(trial.store)
        if store not in self._inputs:
            bases = [*started_in(self._folder), Path()]
            self._inputs[store] = CurrentInputs(store_of(bases, store), bases)
        inputs = self._inputs[store]
        return ", ".join((*inputs.changes(metrics), *edited(place, metrics, by_time=True))) or None


@lru_cache(maxsize=20_000)
def _read(folder: Path, key: str, modified: int) -> dict[str, Any] | None:
    """`read_metrics`; a page that is refreshed every second does not read it again."""
    return read_metrics(folder, key)


def usable(finished: Sequence[Mapping[str, Any]], changes: Sequence[tuple[str, ...]]) -> list[str | None]:
    """Of each finished trial (its metrics, and what has changed since), why no table may use it, or None.

    Results of different inputs are not mixed, whether or not the inputs are here to be compared with: beside
    current results stale ones are left out, and of those that remain the ones whose inputs agree with all
    later ones are used.
    """
    why = [", ".join(changed) if changed and not all(changes) else None for changed in changes]
    accepted: dict[tuple[str, str], Any] = {}
    newest_first = sorted(range(len(finished)), key=lambda n: str(finished[n]["finished"]), reverse=True)
    for number in (n for n in newest_first if why[n] is None):
        own = {
            (kind, name): value
            for kind, inputs in finished[number]["inputs"].items()
            for name, value in inputs.items()
        }
        if other := [
            name for (kind, name), value in own.items() if accepted.get((kind, name), value) != value
        ]:
            why[number] = f"{other[0]} is not as for later results"
        else:
            accepted |= own
    return why
