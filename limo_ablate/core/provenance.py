"""Provenance of a trial: resolved config, overrides, git commit and diff, versions, hardware, seeds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import yaml

from limo_ablate.core.code import PACKAGES, code_digest, package_versions
from limo_ablate.core.credentials import masked
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json
from limo_ablate.core.typed import installed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""LibYAML's dumper, ten times as fast, where PyYAML was built with it."""
RECORDED = (*PACKAGES, "limo-ablate", "hydra-core", "omegaconf", "optuna", "wandb")
"""Packages whose versions are recorded."""


class Gpu(TypedDict):
    name: str


class Hardware(TypedDict):
    """The machine that a trial ran on."""

    platform: str
    processor: str
    cores: int
    memory_gib: float
    gpus: list[Gpu]


class Git(TypedDict):
    commit: str | None
    dirty: bool | None


class Provenance(TypedDict):
    """What is read of provenance.json by name."""

    started: str
    git: Git
    code: str
    versions: dict[str, str | None]
    hardware: Hardware
    command: NotRequired[list[str]]


def read_provenance(folder: Path) -> dict[str, Any]:
    """provenance.json in a trial's folder. Raises UserError where it can't be read."""
    found: dict[str, Any] = read_json(folder / "provenance.json", Provenance)
    return found


def write_provenance(
    config: DataclassInstance,
    seeds: dict[str, int | None],
    overrides: list[str],
    folder: Path,
    other_versions: dict[str, str | None],
) -> dict[str, Any]:
    """Writes config.yaml, overrides.txt, provenance.json and diff.patch; returns provenance.json's
    content. `other_versions`: of other environments that take part."""
    written = yaml.dump(_with_lists(asdict(config)), Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", written)
    write_atomically(folder / "overrides.txt", "".join(f"{o}\n" for o in overrides))
    commit, diff = code_state()
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *map(masked, sys.argv[1:])],
        "git": {"commit": commit, "dirty": None if diff is None else bool(diff)},
        "code": code_digest(),
        "versions": package_versions(RECORDED) | other_versions,
        "hardware": hardware_facts(),
        "seeds": seeds,
        **installed(config),
    }
    write_atomically(folder / "diff.patch", masked(diff or ""))
    write_atomically(folder / "provenance.json", json.dumps(facts, indent=1) + "\n")
    return facts


def _with_lists(value: Any) -> Any:
    """`value` with tuples as lists: YAML has no tuples."""
    if isinstance(value, dict):
        return {k: _with_lists(v) for k, v in value.items()}
    return [_with_lists(v) for v in value] if isinstance(value, list | tuple) else value


@cache
def code_state() -> tuple[str | None, str | None]:
    """`git_state` of this code, cached at the first call: the state that is running.

    (None, None) where it is installed: a repository around the environment is not its own.
    """
    checkout = Path(__file__).resolve().parents[2]
    return git_state(checkout) if (checkout / "pyproject.toml").is_file() else (None, None)


def git_state(folder: Path) -> tuple[str | None, str | None]:
    """(commit, diff against it) of the repository that holds `folder`; (None, None) outside a repository."""

    def git(*args: str) -> str | None:
        try:
            result = subprocess.run(
                ["git", *args], cwd=folder, capture_output=True, text=True, errors="replace"
            )
        except OSError:
            return None
        return result.stdout if result.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return (commit.strip(), git("diff", "HEAD")) if commit else (None, None)


def hardware_facts() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [{"name": g.name, "memory_gib": round(g.total_memory / 2**30, 1)} for g in gpus],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
