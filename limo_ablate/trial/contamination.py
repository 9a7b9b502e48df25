"""The contamination gate in a trial: pairs of a pool's problem and a benchmark item that look alike.

`limo_ablate.data.select.contamination` finds the pairs; this module decides which benchmarks are compared and
what `select.contamination.policy` makes of the pairs.
"""

from __future__ import annotations

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.data.select.config import ContaminationConfig
from limo_ablate.data.select.contamination import flags
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.stages import Stages

SHOWN_PAIRS = 3
"""Number of flagged pairs in an error message."""


def contamination_flags(config: TrialConfig, stages: Stages, pool: Artifact) -> Artifact | None:
    """The `flags` artifact; None under policy=none. Raises UserError for any pair under policy=error."""
    gate = config.select.contamination
    if gate.policy == "none":
        return None
    store = config.paths.store()
    benchmarks = {}
    for name, benchmark in (config.eval.benchmarks | gate.also).items():
        key = "select.contamination.also" if name in gate.also else "eval.benchmarks"
        benchmarks[name] = stages.run(f"benchmark/{name}", load_benchmark, store, name, benchmark, key)
    pairs = stages.run("flags", flags, store, gate, pool, benchmarks)
    if gate.policy == "error":
        _refuse_pairs(pairs, gate)
    return pairs


def reported_items(config: TrialConfig, stages: Stages) -> dict[str, set[str]] | None:
    """Benchmark -> ids of its flagged items under policy=report, else None; the same for all cells of a pool.

    Raises UserError under policy=error, also for the untuned base, which has no selection.
    """
    policy = config.select.contamination.policy
    if policy not in ("report", "error"):
        return None
    pairs = stages.artifacts.get("flags") or contamination_flags(config, stages, stages.artifacts["pool"])
    return _flagged_items(pairs) if pairs and policy == "report" else None


def _flagged_items(pairs: Artifact) -> dict[str, set[str]]:
    table = pl.read_parquet(pairs.path / "flags.parquet", columns=["benchmark", "item"]).unique()
    return {
        str(name): set(part["item"]) for (name,), part in table.group_by("benchmark", maintain_order=True)
    }


def _refuse_pairs(pairs: Artifact, gate: ContaminationConfig) -> None:
    table = pl.read_parquet(pairs.path / "flags.parquet")
    if table.is_empty():
        return
    shown = [
        f"{row['problem']} with {row['benchmark']} {row['item']} ({row['method']}: {row['evidence'][:60]})"
        for row in table.head(SHOWN_PAIRS).iter_rows(named=True)
    ]
    raise UserError(
        f"select.contamination.policy={gate.policy}: "
        f"{counted(table['problem'].n_unique(), 'problem')} of the "
        f"pool flagged, such as {'; '.join(shown)}; all of them: {pairs.path / 'flags.parquet'}; "
        "policy=drop leaves them out"
    )
