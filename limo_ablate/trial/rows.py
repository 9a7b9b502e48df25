"""From a configuration to its training rows: the pool, what must be known of it, the selection.

Above `select`, which imports nothing that generates, because difficulty may be measured by reference models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.data.select.config import ContaminationConfig
from limo_ablate.data.select.contamination import flags
from limo_ablate.data.select.correctness import grades
from limo_ablate.data.select.dedup import clusters, duplicates
from limo_ablate.data.select.features import features
from limo_ablate.data.select.selection import Evidence, select
from limo_ablate.data.select.token_budget import TokenCounter
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.stages import Stages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHOWN_PAIRS = 3


def selection(config: TrialConfig, stages: Stages, pool: Artifact, base: Artifact) -> Artifact:
    """The rows of the cell as an artifact."""
    store = Store(config.paths.artifacts)
    evidence = gather(config, stages, pool, base)
    return stages.run("selection", select, store, config.select, config.data, pool, evidence)


def gather(config: TrialConfig, stages: Stages, pool: Artifact, base: Artifact | None) -> Evidence:
    """Everything the selection goes by; `base` is whose tokens are counted. Raises UserError.

    What the configuration does not ask for is not made.
    """
    store, chosen = Store(config.paths.artifacts), config.select
    stratify = chosen.stratify
    by_difficulty = chosen.difficulty != "any" or (stratify is not None and stratify.by == "difficulty")
    measure = config.data.difficulty.measure if by_difficulty else None
    graded = chosen.correctness != "any" or measure == "solutions"
    rates = None
    if measure == "reference":
        from limo_ablate.trial.reference import pass_rates

        rates = stages.run("rates", pass_rates, config, pool, stages)
    return Evidence(
        features=stages.run("features", features, store, chosen.score.phrases(), pool),
        grades=stages.run("grades", grades, store, pool) if graded else None,
        flags=flagged(config, stages, pool),
        rates=rates,
        duplicates=stages.run("duplicates", duplicates, store, chosen.contamination.punctuation, pool)
        if chosen.duplicates == "drop"
        else None,
        clusters=stages.run("clusters", clusters, store, stratify.minhash, pool)
        if stratify and stratify.minhash
        else None,
        counter=_counter(base) if base and _counts(config, pool) else None,
    )


def flagged(config: TrialConfig, stages: Stages, pool: Artifact) -> Artifact | None:
    """The contamination gate's pairs; none where there is no gate. Raises UserError under policy=error."""
    gate = config.select.contamination
    if gate.policy == "none":
        return None
    store = Store(config.paths.artifacts)
    benchmarks = {
        name: stages.run(f"benchmark/{name}", load_benchmark, store, name, benchmark)
        for name, benchmark in (config.eval.benchmarks | gate.also).items()
    }
    found = stages.run("flags", flags, store, gate, pool, benchmarks)
    if gate.policy == "error":
        _refuse(found, gate)
    return found


def flagged_items(flags: Artifact) -> dict[str, set[str]]:
    """Benchmark -> ids of its items that some problem of the pool is flagged with."""
    pairs = pl.read_parquet(flags.path / "flags.parquet", columns=["benchmark", "item"]).unique()
    return {
        str(name): set(part["item"]) for (name,), part in pairs.group_by("benchmark", maintain_order=True)
    }


def _refuse(found: Artifact, gate: ContaminationConfig) -> None:
    pairs = pl.read_parquet(found.path / "flags.parquet")
    if pairs.is_empty():
        return
    shown = [
        f"{row['problem']} with {row['benchmark']} {row['item']} ({row['method']}: {row['evidence'][:60]})"
        for row in pairs.head(SHOWN_PAIRS).iter_rows(named=True)
    ]
    raise UserError(
        f"select.contamination.policy={gate.policy}: {pairs['problem'].n_unique()} problems of the pool are "
        f"flagged, such as {'; '.join(shown)}; all of them: {found.path / 'flags.parquet'}; "
        "policy=drop leaves them out"
    )


def _counts(config: TrialConfig, pool: Artifact) -> bool:
    """Whether tokens must be counted: asked for, and not those of the pool's own texts as it carries them."""
    if config.select.tokens is None:
        return False
    tokens = pl.read_parquet(pool.path / "solutions.parquet", columns=["tokens"])["tokens"]
    return config.select.perturb != "none" or not tokens.len() or tokens.null_count() > 0


def _counter(base: Artifact) -> TokenCounter:
    from limo_ablate.model.train.base import model_path
    from limo_ablate.model.train.load import load_tokenizer
    from limo_ablate.model.train.tokens import encode_texts, tokenizer_digest

    tokenizer: PreTrainedTokenizerFast = load_tokenizer(model_path(base))

    def count(texts: Sequence[str]) -> list[int]:
        """The end of the turn, which is learnt too, is one more."""
        return [len(ids) + 1 for ids in encode_texts(tokenizer, list(texts))]

    return TokenCounter(count, tokenizer_digest(tokenizer))
