"""Every completion graded by the verifier, three ways: as stated, in a box only, and leniently."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.verify import VERSION as VERIFIER
from limo_ablate.verify import verify_many

VERSION = 1


def verdicts(store: Store, completions: Artifact, benchmark: Artifact) -> Artifact:
    """`verdicts.parquet`: one row a completion, with its gold answer, status, rule and reason."""
    inputs = {"completions": completions, "benchmark": benchmark, "verifier": VERIFIER}
    return store.build("verdicts", VERSION, inputs, lambda folder: _write(completions, benchmark, folder))


def _write(completions: Artifact, benchmark: Artifact, folder: Path) -> None:
    problems = pl.read_parquet(benchmark.path / "problems.parquet").rename({"id": "problem"})
    rows = pl.read_parquet(completions.path / "completions.parquet").join(
        problems.select("problem", "gold", "level"), on="problem", how="left", maintain_order="left"
    )
    pairs = list(zip(rows["completion"], rows["gold"], strict=True))
    stated = verify_many(pairs)
    graded = {
        "answer": [v.answer for v in stated],
        "status": [v.status for v in stated],
        "rule": [v.rule for v in stated],
        "reason": [v.reason for v in stated],
        "boxed": [v.status == "correct" for v in verify_many(pairs, extract="boxed")],
        "lenient": [v.status == "correct" for v in verify_many(pairs, extract="any")],
    }
    kept = rows.select("benchmark", "problem", "sample", "level", "gold", "tokens", "finish")
    table = kept.hstack(pl.DataFrame(graded, schema_overrides={"answer": pl.String, "reason": pl.String}))
    table.write_parquet(folder / "verdicts.parquet")
