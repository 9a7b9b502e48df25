"""`limo-ablate gc`: which artifacts no study needs, and freeing them.

Needed are the artifacts that the metrics.json of any trial in the outputs folders names, those that a
declared or registered study's unfinished trials would find, and all that these were made from. What is being
made (its lock is held) or is younger than a given age stays too. Nothing outside the store is removed, and no
link is followed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from limo_ablate.analysis.register.registration import read as read_registration
from limo_ablate.analysis.results import METRICS, Results, read_metrics
from limo_ablate.core.artifacts import DIGEST, content_key, stage_version
from limo_ablate.core.errors import UserError
from limo_ablate.core.manifest import read_manifest
from limo_ablate.core.overrides import format_override
from limo_ablate.core.text import counted
from limo_ablate.model.generate.completion_cache import FOLDER as DRAWN
from limo_ablate.model.train.memory import size
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import REGISTRATION, STUDY
from limo_ablate.study.planned import planned_trials
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.dry_run import DryRun

NAME = re.compile(r"([0-9a-f]{16})(\.partial|\.jsonl)?")
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact, one that was begun (`.partial`), or a file of completions, in the store."""

    path: Path
    key: str
    bytes: int
    changed: float
    """When anything of it was last written."""
    manifest: Mapping[str, Any]
    """Empty where there is none."""

    @property
    def kind(self) -> str:
        return f"{self.path.parent.name}{' (unfinished)' * (self.path.suffix == '.partial')}"

    @property
    def lock(self) -> str:
        final = self.path.with_suffix("") if self.path.suffix == ".partial" else self.path
        return f"{final}.lock"


@dataclass
class Needs:
    """What trials need, by key or by digest."""

    keys: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    trials: int = 0
    unfinished: list[str] = field(default_factory=list)
    """Studies with trials that have no result yet."""

    def of(self, stored: Stored) -> bool:
        if stored.path.parent.name == DRAWN and self.unfinished:
            return True  # which completions their trials look up is known only when they have weights
        return stored.key in self.keys or stored.manifest.get("digest") in self.digests


def collect(outputs: Sequence[Path], store: Path, days: float, *, delete: bool) -> Collected:
    """Finds what is needed and what is not, and frees that with `delete`. Raises UserError."""
    root = store.resolve()
    if not root.is_dir():
        raise UserError(f"paths.artifacts={store}: there is no such folder")
    needs = _needs(outputs, root)
    if not needs.trials and not needs.unfinished:
        raise UserError(
            f"no trial in {', '.join(map(str, outputs))}, so nothing would be needed; name the folders that "
            "have the studies with --outputs"
        )
    every = list(_stored(root))
    _add_inputs(needs, every)
    old = time.time() - days * DAY
    unneeded = [one for one in every if one.changed < old and not needs.of(one)]
    freed = [one for one in unneeded if _free(one)] if delete else unneeded
    return Collected(root, needs, every, freed, days, delete)


def _needs(outputs: Sequence[Path], store: Path) -> Needs:
    needs = Needs()
    for folder in outputs:
        for place, names in _folders(folder, store):
            if METRICS in names and (metrics := read_metrics(place)):
                needs.trials += 1
                needs.keys |= {made["key"] for made in metrics.get("artifacts", {}).values()}
                needs.digests |= {made["digest"] for made in metrics.get("artifacts", {}).values()}
            if (STUDY in names or REGISTRATION in names) and (pending := _pending(place, names)):
                needs.unfinished.append(place.name)
                for config in pending:
                    _add_found(needs, config, place)
    return needs


def _folders(root: Path, store: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `root` but the store, with the names of its files. Raises UserError."""
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder")
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if (Path(place) / name).resolve() != store]
        yield Path(place), files


def _pending(study: Path, names: Sequence[str]) -> list[TrialConfig]:
    """The trials of a study without a result. Raises UserError."""
    try:
        if STUDY in names:
            declared = load_study(str(study / STUDY))
            if declared.imported:
                return []
            results = Results(study)
            return [trial.config for trial in planned_trials(declared) if results.why_not(trial)]
        chain = read_registration(study)
        asked = [one.asked for one in chain.last.cells.values()] if chain else []
        return [compose([format_override(key, value) for key, value in one.items()]) for one in asked]
    except UserError as error:
        raise UserError(f"{study}: what it needs can't be known, so nothing is freed: {error}") from error


def _add_found(needs: Needs, config: TrialConfig, study: Path) -> None:
    """Adds what the trial would find in the store, and the first artifact that it would go on with."""
    run = DryRun(config)
    try:
        steps = run.go()
    except UserError as error:
        raise UserError(f"{study}: what it needs can't be known, so nothing is freed: {error}") from error
    for step in steps:
        if step.found:
            needs.keys.add(step.found.key)
            needs.digests.add(step.found.digest)
        if gap := step.missing:
            needs.keys.add(content_key(gap.stage, gap.version, gap.inputs))


def _stored(root: Path) -> Iterator[Stored]:
    for stage in sorted(root.iterdir()):
        if stage.is_symlink() or not stage.is_dir() or stage.name == DIGEST:
            continue
        for path in sorted(stage.iterdir()):
            match = NAME.fullmatch(path.name)
            if match is None or path.is_symlink():
                continue
            manifest: Mapping[str, Any] = {}
            with suppress(OSError, UserError):
                manifest = read_manifest(path)
            if manifest or match[2]:  # anything else is not ours
                stats = [entry.lstat() for entry in (path, *path.rglob("*"))]
                changed = max(stat.st_mtime for stat in stats)
                yield Stored(path, match[1], sum(stat.st_size for stat in stats), changed, manifest)


def _add_inputs(needs: Needs, every: Sequence[Stored]) -> None:
    """Adds what needed artifacts were made from, and the completions that theirs were put together from."""
    by_digest: dict[str, list[Stored]] = defaultdict(list)
    for one in every:
        by_digest[one.manifest.get("digest", "")].append(one)
    waiting, seen = [one for one in every if one.manifest and needs.of(one)], set[Path]()
    while waiting:
        if (one := waiting.pop()).path in seen:
            continue
        seen.add(one.path)
        needs.keys.add(one.key)
        inputs = one.manifest["inputs"]
        if one.path.parent.name == "completions":
            cached = {name: value for name, value in inputs.items() if name not in OF_COMPLETIONS}
            needs.keys.add(content_key(DRAWN, stage_version(DRAWN), cached))
        waiting += [found for digest in _digests(inputs) for found in by_digest.get(digest, [])]


OF_COMPLETIONS = ("benchmark", "problems", "samples", "system_prompt", "raw", "template")
"""Inputs of `completions` that are not in the key of their cache, see `completion_cache.open_cache`."""


def _digests(value: Any) -> Iterator[str]:
    """The digests of artifacts anywhere in an artifact's inputs."""
    if isinstance(value, dict):
        if isinstance(digest := value.get("digest"), str):
            yield digest
        for inner in value.values():
            yield from _digests(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _digests(inner)


def _free(one: Stored) -> bool:
    """Removes it, unless another process holds its lock."""
    lock = FileLock(one.lock)
    try:
        with lock.acquire(timeout=0):
            if one.path.is_file():
                one.path.unlink()
                return True
            gone = one.path.with_name(f"{one.path.name}.freed")  # nobody finds half of it
            one.path.rename(gone)
            shutil.rmtree(gone)
    except Timeout:
        return False
    except OSError as error:
        raise UserError(f"{one.path}: can't be removed: {error.strerror}") from error
    return True


@dataclass(frozen=True, slots=True)
class Collected:
    """What a store has, and what of it is not needed; as text, a line for each kind."""

    root: Path
    needs: Needs
    every: Sequence[Stored]
    freed: Sequence[Stored]
    """What is not needed and old enough; with `delete`, what of it was removed."""
    days: float
    delete: bool

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "store": self.root,
            "bytes": sum(one.bytes for one in self.every),
            "artifacts": len(self.every),
            "deleted": self.delete,
            "not_needed": [{"kind": one.kind, "path": one.path, "bytes": one.bytes} for one in self.freed],
        }

    def __str__(self) -> str:
        whose = f"needed by {counted(self.needs.trials, 'finished trial')}"
        if self.needs.unfinished:
            whose += f" and by what is left of {', '.join(sorted(self.needs.unfinished))}"
        whole = size(sum(one.bytes for one in self.every))
        lines = [f"{self.root}: {whole}, {whose}, or younger than {self.days:g} days"]
        gone = {one.path for one in self.freed}
        totals: dict[str, Counter[str]] = defaultdict(Counter)
        for one in self.every:
            state = "freed" if one.path in gone else "kept"
            totals[one.kind] += Counter({state: one.bytes, f"{state} count": 1})
        for kind, found in sorted(totals.items(), key=lambda item: -item[1]["freed"]):
            kept = f"{found['kept count']:6,} kept {size(found['kept']):>9}"
            lines.append(
                f"  {kind:24}{kept}   {found['freed count']:6,} not needed {size(found['freed']):>9}"
            )
        total = f"{counted(len(self.freed), 'artifact')}, {size(sum(one.bytes for one in self.freed))}"
        lines.append(f"freed {total}" if self.delete else f"--delete would free {total}")
        return "\n".join(lines)
