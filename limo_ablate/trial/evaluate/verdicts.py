"""Every completion graded by the verifier, three ways: as stated, in a box only, and leniently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.progress import keep_alive
from limo_ablate.data.pool.choices import read_options
from limo_ablate.trial.evaluate.votes import votes
from limo_ablate.verify import VERSION as VERIFIER
from limo_ablate.verify import Verdict, verify_many

VERSION = 3


def verdicts(store: Store, completions: Artifact, benchmark: Artifact) -> Artifact:
    """`verdicts.parquet`: one row a completion, with its gold answer, status, rule, reason and vote."""
    inputs = {"completions": completions, "benchmark": benchmark, "verifier": VERIFIER}
    return store.build("verdicts", VERSION, inputs, lambda folder: _write(completions, benchmark, folder))


def _write(completions: Artifact, benchmark: Artifact, folder: Path) -> None:
    problems = pl.read_parquet(benchmark.path / "problems.parquet").rename({"id": "problem"})
    rows = pl.read_parquet(completions.path / "completions.parquet").join(
        problems.select("problem", "gold", "level", "source", "subject"),
        on="problem",
        how="left",
        maintain_order="left",
    )
    pairs = list(zip(rows["completion"], rows["gold"], strict=True))
    asked = read_options(benchmark)
    options = [asked[problem]["options"] if asked else None for problem in rows["problem"]]
    stated = verify_many(pairs, choices=options, progress=_lives)
    boxed, lenient = (
        verify_many(pairs, extract=mode, choices=options, progress=_lives) for mode in ("boxed", "any")
    )
    graded = {
        "answer": [v.answer for v in stated],
        "status": [v.status for v in stated],
        "rule": [v.rule for v in stated],
        "reason": [v.reason for v in stated],
        "boxed": [v.status == "correct" for v in boxed],
        "lenient": [v.status == "correct" for v in lenient],
        "vote": _votes(rows["problem"].to_list(), stated, asked),
    }
    kept = rows.select(
        "benchmark", "problem", "sample", "level", "source", "subject", "gold", "tokens", "finish", "loops"
    )
    types = {"answer": pl.String, "reason": pl.String, "vote": pl.Int64}
    kept.hstack(pl.DataFrame(graded, schema_overrides=types)).write_parquet(folder / "verdicts.parquet")


def _lives(_: int) -> None:
    """Grading goes on: thousands of long completions take minutes."""
    keep_alive()


def _votes(problems: list[str], verdicts: list[Verdict], asked: dict[str, Any]) -> list[int | None]:
    by_problem: dict[str, list[int]] = {}
    for row, problem in enumerate(problems):
        by_problem.setdefault(problem, []).append(row)
    found: dict[int, int | None] = {}
    for problem, rows in by_problem.items():
        options = asked[problem]["options"] if asked else None
        found |= zip(rows, votes([verdicts[row] for row in rows], options), strict=True)
    return [found[row] for row in range(len(problems))]
