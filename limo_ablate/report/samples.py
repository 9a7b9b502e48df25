"""A right and a wrong completion of each cell, to see what the numbers are made of."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from limo_ablate.effects import Trial
from limo_ablate.report.load import StudyView

CELLS = 120
"""Cells shown; of more, every so many."""
LENGTH = 1500
"""Characters shown of a text; a longer one loses its middle."""
ANSWER_LENGTH = 80
COLUMNS = ["benchmark", "problem", "sample", "gold", "answer", "status", "rule", "reason", "tokens", "finish"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion with its verdict; all of it is text of a model or a data set, to be escaped."""

    status: str
    problem: str
    prompt: str
    completion: str
    gold: str
    answer: str
    reason: str
    tokens: int
    finish: str


def samples(view: StudyView) -> list[tuple[str, list[Sample]]]:
    """(cell, its samples), of each cell's first finished trial."""
    cells: dict[str, Trial] = {}
    for trial in view.done:
        levels = {key: trial.level_if_any(key) for key in view.keys}
        cells.setdefault(" · ".join(view.levels(levels)), trial)
    chosen = list(cells.items())[:: -(-len(cells) // CELLS) or 1]
    return [(name, trial_samples(trial)) for name, trial in chosen]


def trial_samples(trial: Trial) -> list[Sample]:
    """The middle one of the correct completions and of the others: neither the easiest nor the hardest."""
    verdicts = pl.read_parquet(trial.folder / "verdicts.parquet", columns=COLUMNS)
    correct = verdicts["status"] == "correct"
    parts = [part for part in (verdicts.filter(correct), verdicts.filter(~correct)) if part.height]
    chosen = pl.concat([part.slice(part.height // 2, 1) for part in parts])
    keys = ["benchmark", "problem", "sample"]
    texts = pl.scan_parquet(trial.folder / "completions.parquet").select(*keys, "prompt", "completion")
    rows = chosen.join(
        texts.join(chosen.lazy(), on=keys, how="semi").collect(), on=keys, maintain_order="left"
    )
    return [
        Sample(
            status=row["status"],
            problem=row["problem"],
            prompt=_shortened(row["prompt"]),
            completion=_shortened(row["completion"]),
            gold=row["gold"],
            answer=_shortened(row["answer"] or "none", ANSWER_LENGTH),
            reason=": ".join(part for part in (row["rule"], row["reason"]) if part),
            tokens=row["tokens"],
            finish=row["finish"],
        )
        for row in rows.iter_rows(named=True)
    ]


def _shortened(text: str, length: int = LENGTH) -> str:
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} [...] {text[-half:]}"
