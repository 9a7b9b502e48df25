"""What `limo-ablate why` says of trials that were imported: nothing of them runs, so where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.analysis.results import read_metrics
from limo_ablate.analysis.trials import Trial, load_trials, resolved
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.report.compare.arms import find_named
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import IMPORTED, STUDY, started_in
from limo_ablate.trial.compose import compose
from limo_ablate.trial.show import plus_minus

NOT_IN_LOGS = "how long completions are and how they ended; how the models were trained"


def imported_trials(name: str, study: str | None) -> list[Trial]:
    """The trials of the cell or trial `name` in the imported study `study`, or in any; none where there is no
    such study. Raises UserError where the study has no such trial."""
    root = Path(compose([]).paths.studies)
    given = (
        [Path(study), root / study] if study else [file.parent for file in sorted(root.glob(f"*/{STUDY}"))]
    )
    folders = [folder for folder in given if is_imported(folder)]
    try:
        return list(find_named(name, folders).trials) if folders else []
    except UserError:
        if study is None:
            return []  # a declared study may have it
        raise


def is_imported(folder: Path) -> bool:
    """Whether the folder holds an imported study."""
    return (folder / STUDY).is_file() and load_study(str(folder / STUDY)).imported


def explanation(trial: Trial) -> dict[str, Any]:
    """Where an imported trial comes from, and what is missing, as JSON."""
    metrics: Mapping[str, Any] = trial.metrics or read_metrics(trial.folder) or {}
    own, files = resolved(trial.folder).get(IMPORTED), metrics.get("inputs", {}).get("files", {})
    return {
        "trial": trial.name,
        "format": str(own.get("format")) if isinstance(own, dict) else "unknown",
        "logs": {file: _state(trial, file) for file in files},
        "factors": trial.overrides,
        "seed": trial.seed,
        "scores": {
            score: {key: values[key] for key in ("accuracy", "stderr", "problems", "samples")}
            for score, values in metrics.get("scores", {}).items()
        },
        "missing": [*_missing_items(trial), NOT_IN_LOGS],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The explanation for a terminal."""
    scores = [
        f"{score}: {plus_minus(one['accuracy'], one['stderr'])}, {counted(one['problems'], 'item')} × "
        f"{counted(one['samples'], 'sample')}"
        for score, one in found["scores"].items()
    ]
    levels = [f"{key}={level}" for key, level in found["factors"].items()]
    parts = {
        "factors": [", ".join([*levels, f"seed {found['seed']}"])],
        "logs": [f"{file} ({state})" for file, state in found["logs"].items()],
        "scores": scores,
        "missing": found["missing"],
    }
    rows = [
        (name if not place else "", text) for name, own in parts.items() for place, text in enumerate(own)
    ]
    return [
        f"{found['trial']}: imported from logs of {found['format']}, so nothing of it would run; "
        "`limo-ablate import FILE` reads them again",
        *(f"  {name:9}{text}" for name, text in rows),
    ]


def _state(trial: Trial, file: str) -> str:
    if f"{file} has changed" in trial.stale:
        return "has changed since"
    bases = [*started_in(trial.folder.parent.parent), Path()]
    return "unchanged since" if any((base / file).exists() for base in bases) else "not here"


def _missing_items(trial: Trial) -> list[str]:
    """Of each benchmark, how many items other trials of the study have and this one lacks."""
    study = trial.folder.parent.parent
    known, own = _items(load_trials(study)), _items([trial])
    return [
        f"{len(lacking)} of {counted(len(items), 'item')} of {benchmark}"
        for benchmark, items in known.items()
        if (lacking := items - own.get(benchmark, set()))
    ]


def _items(trials: Sequence[Trial]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for trial in trials:
        rows = pl.read_parquet(trial.folder / "verdicts.parquet", columns=["benchmark", "problem"]).unique()
        for benchmark, problem in rows.iter_rows():
            found.setdefault(benchmark, set()).add(problem)
    return found
