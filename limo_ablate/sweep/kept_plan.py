"""What `status` needs of each planned trial, kept in the study's folder: composing 10,000 trials takes 10 s.

`plan.json` holds the trials with the digest of all that their configurations are composed from: the study's
file, the files of `conf/`, the variables that these may read, our code and the versions of packages. Where
anything of that has changed, or can't be told, nothing kept is used and all trials are composed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TypedDict

from limo_ablate.core.code import TRIAL_CODE, code_digest, package_versions
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.project import conf_folders
from limo_ablate.core.reading import read_json
from limo_ablate.core.registry import adds_entries
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, ShownTrial
from limo_ablate.sweep.attempts import Bases

PLAN = "plan.json"
CODE = (*TRIAL_CODE, "study", "sweep")
PACKAGES = ("hydra-core", "omegaconf", "numpy", "scipy")
"""Of others, that take part in composing trials, or in drawing the points of a block."""
OUR_PLUGINS = {"limo_search_path", "limo_sweeper"}
"""Hydra's plugins that are ours: others may bring configurations from anywhere."""
VARIABLE = re.compile(r"oc\.env\s*:\s*(\w*)")
"""Name of an environment variable that a configuration reads; empty where it is put together."""
ELSEWHERE = re.compile(r"searchpath|--config")
"""What brings configurations from other folders than those of `conf_folders`."""


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """A trial of plan.json."""

    name: str
    key: str
    overrides: tuple[str, ...]
    hardware: HardwareConfig
    executor: str
    store: Path
    base: str | None
    """As `base_of` has it."""
    proposal: None = None

    @property
    def id(self) -> str:
        return self.key

    @property
    def folder(self) -> str:
        return self.key


def base_of(trial: ShownTrial, bases: Bases) -> str | None:
    """Name of the base model that the trial needs made; None where it needs none."""
    if isinstance(trial, KeptTrial):
        return trial.base
    assert isinstance(trial, PlannedTrial)
    base = bases.find(trial.id, trial.config)
    return base.name if base else None


class _Shared(TypedDict):
    """What many trials have in common."""

    hardware: HardwareConfig
    executor: str
    store: str
    base: str | None


class _Kept(TypedDict):
    digest: str
    shared: list[_Shared]
    trials: list[tuple[str, str, int, tuple[str, ...]]]
    """Name, key, place in `shared`, overrides."""


def write_plan(folder: Path, digest: str | None, trials: Sequence[PlannedTrial]) -> None:
    """Keeps the trials of the study in `folder`; `digest`: its `plan_digest` when they were composed."""
    if digest is None:
        return
    bases, shared = Bases(), dict[str, int]()
    rows = []
    for trial in trials:
        about = {
            "hardware": asdict(trial.hardware),
            "executor": trial.executor,
            "store": str(trial.store),
            "base": base_of(trial, bases),
        }
        place = shared.setdefault(json.dumps(about), len(shared))
        rows.append([trial.name, trial.key, place, trial.overrides])
    kept = {"digest": digest, "shared": [json.loads(one) for one in shared], "trials": rows}
    write_atomically(folder / PLAN, json.dumps(kept))


def read_plan(folder: Path, study: Study) -> list[KeptTrial] | None:
    """The trials of the study in `folder`; None where they have to be composed."""
    try:
        kept: _Kept = read_json(folder / PLAN, _Kept)
        if kept["digest"] != plan_digest(study):
            return None
        shared = [
            (one["hardware"], one["executor"], Path(one["store"]), one["base"]) for one in kept["shared"]
        ]
        return [
            KeptTrial(name, key, overrides, *shared[place]) for name, key, place, overrides in kept["trials"]
        ]
    except (FileNotFoundError, UserError, IndexError):
        return None


def plan_digest(study: Study) -> str | None:
    """Of all that decides the study's trials; None where that can't be told, or they are not all known."""
    if study.stop or any(block.adaptive for block in study.blocks):
        return None
    if adds_entries() or not _plugins() <= OUR_PLUGINS:
        return None
    try:
        parts = [part for folder in conf_folders() for part in _contents(folder)]
    except OSError:
        return None
    text = "\0".join([json.dumps(asdict(study), sort_keys=True), *parts])
    named = set(VARIABLE.findall(text))
    if ELSEWHERE.search(text) or "" in named:
        return None
    about: list[object] = [sorted((name, os.environ.get(name)) for name in named), code_digest(CODE)]
    about.append(package_versions(PACKAGES))
    return hashlib.sha256(f"{json.dumps(about)}\0{text}".encode()).hexdigest()


def _contents(folder: Path) -> Iterator[str]:
    """The configurations in a folder, each with its path; raises OSError where one can't be read."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        if any(Path(place, name).is_symlink() for name in folders):
            raise OSError("a link, into which the walk does not go")
        for file in sorted(name for name in files if name.endswith(".yaml")):
            yield f"{os.path.relpath(place, folder)}/{file}"
            yield Path(place, file).read_text(encoding="utf-8", errors="backslashreplace")
    yield ""


def _plugins() -> set[str]:
    spec = find_spec("hydra_plugins")
    return {module.name for module in iter_modules(spec.submodule_search_locations if spec else [])}
