"""What trials ran with that may change their results beside their configuration: code and packages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from limo_ablate.analysis.trials import Trial

PACKAGES = (
    "python", "torch", "transformers", "tokenizers", "accelerate", "peft", "safetensors", "datasets", "sympy",
    "numpy", "polars",
)  # fmt: skip
"""Those that take part in a trial; their versions are compared."""
DIGITS = 8
"""Digits shown of a digest of the code."""


@cache
def run_facts(folder: Path) -> dict[str, str]:
    """Package -> version in the trial's folder, and `code`: digest of the code that ran it."""
    record = json.loads((folder / "provenance.json").read_text())
    return facts_of(record["code"], record["versions"])


def facts_of(code: str, versions: dict[str, str | None]) -> dict[str, str]:
    """The same, of a record's fields."""
    return {"code": code[:DIGITS]} | {name: str(versions.get(name)) for name in PACKAGES}


def differing(trials: Sequence[Trial]) -> list[str]:
    """A text for each fact in which the trials differ: `torch 2.12.0 and 2.13.0`."""
    every = [run_facts(trial.folder) for trial in trials]
    values = {name: sorted({facts[name] for facts in every}) for name in ("code", *PACKAGES)}
    values["code"] = sorted({*values["code"], *(code for trial in trials for code in _codes(trial))})
    return [
        f"{'code of limo-ablate' if name == 'code' else name} {' and '.join(own)}"
        for name, own in values.items()
        if len(own) > 1
    ]


def _codes(trial: Trial) -> set[str]:
    """Digests of the code that made its weights, completions and verdicts, in whatever trial and study."""
    artifacts = (trial.metrics or {}).get("artifacts", {})
    stages = [name for name in artifacts if name.partition("/")[0] in ("weights", "completions", "verdicts")]
    return {(artifacts[name]["code"] or "unknown")[:DIGITS] for name in stages if "code" in artifacts[name]}
