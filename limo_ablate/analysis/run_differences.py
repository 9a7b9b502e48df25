"""What trials ran with that may change their results beside their configuration: code and packages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from limo_ablate.analysis.trials import Trial
from limo_ablate.core.code import PACKAGES
from limo_ablate.core.provenance import read_provenance

NAMES = ("code", "python", *PACKAGES)
DIGITS = 8
"""Digits shown of a digest of the code."""
DECISIVE = ("weights", "completions", "verdicts")
"""Stages whose origin is compared, in whatever trial and study they were made."""


def run_facts(folder: Path) -> dict[str, str]:
    """Package -> version in the trial's folder, and `code`: digest of the code that ran it."""
    return _run_facts(folder, (folder / "provenance.json").stat().st_mtime_ns)


@lru_cache(maxsize=20_000)
def _run_facts(folder: Path, modified: int) -> dict[str, str]:
    record = read_provenance(folder)
    return facts_of(record["code"], record["versions"])


def facts_of(code: str, versions: dict[str, str | None]) -> dict[str, str]:
    """The same, of a record's fields."""
    return {"code": code[:DIGITS]} | {name: str(versions.get(name)) for name in NAMES[1:]}


def differing(trials: Sequence[Trial]) -> list[str]:
    """A text for each fact in which the trials, or what made their artifacts, differ: `torch 2.12.0 and
    2.13.0`."""
    values: dict[str, set[str]] = {name: set() for name in NAMES}
    for trial in trials:
        for name, value in (*run_facts(trial.folder).items(), *_artifact_facts(trial)):
            values[name].add(value)
    return [
        f"{'code of limo-ablate' if name == 'code' else name} {' and '.join(sorted(own))}"
        for name, own in values.items()
        if len(own) > 1
    ]


def _artifact_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Digests of the code that made its artifacts, and the packages in which they differ from the trial."""
    for stage, artifact in (trial.metrics or {}).get("artifacts", {}).items():
        if stage.partition("/")[0] in DECISIVE and "code" in artifact:
            yield "code", (artifact["code"] or "unknown")[:DIGITS]
            for name, version in artifact.get("packages", {}).items():
                yield name, str(version)
