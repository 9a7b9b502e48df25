"""From a trial's configuration to its training rows: evidence about the pool, then the selection.

Evidence is what is costly to learn about a pool's rows. Each piece is an artifact of its own that all cells
share, and only what the configuration asks for is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.pool.load import pool_counts, require_gold
from limo_ablate.data.select.correctness import grades
from limo_ablate.data.select.dedup import clusters, duplicates
from limo_ablate.data.select.degenerate import degenerate
from limo_ablate.data.select.features import features
from limo_ablate.data.select.selection import Evidence, select
from limo_ablate.data.select.token_budget import TokenCounter
from limo_ablate.model.train.base import base_model
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.contamination import contamination_flags
from limo_ablate.trial.reference import TrainModel, pass_rates
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import trial_pool


def select_rows(
    config: TrialConfig, stages: Stages, pool: Artifact, base: Artifact, train_model: TrainModel
) -> Artifact:
    """The selection that the trial trains on. Arguments as in `gather_evidence`."""
    evidence = gather_evidence(config, stages, pool, base, train_model)
    return stages.run("selection", select, config.paths.store(), config.select, config.data, pool, evidence)


def pool_and_evidence(
    config: TrialConfig, stages: Stages, train_model: TrainModel
) -> tuple[Artifact, Evidence]:
    """What a selection is made from, without a trial; arguments as in `gather_evidence`.

    The base model is made only if its tokenizer may be needed.
    """
    store, base = config.paths.store(), None
    pool = trial_pool(config, stages, train_model)
    if config.select.tokens is not None:
        base = stages.run("base", base_model, store, config.model, pool)
    return pool, gather_evidence(config, stages, pool, base, train_model)


def gather_evidence(
    config: TrialConfig, stages: Stages, pool: Artifact, base: Artifact | None, train_model: TrainModel
) -> Evidence:
    """Everything that the selection depends on beside the pool. Raises UserError.

    `base` is the model whose tokens are counted; `train_model` fine-tunes reference models.
    """
    store, chosen = config.paths.store(), config.select
    stratify = chosen.stratify
    by_difficulty = chosen.difficulty != "any" or (stratify is not None and stratify.by == "difficulty")
    measure = config.data.difficulty.measure if by_difficulty else None
    _check_dialogs(config, pool, measure)
    if measure == "reference":
        purpose = "reference models' solutions can't be graded (data/difficulty)"
        require_gold(pool, purpose, config.data.grader)
    needs_grades = chosen.correctness in ("correct", "wrong") or measure == "solutions"
    return Evidence(
        rates=stages.run("rates", pass_rates, config, pool, stages, train_model)
        if measure == "reference"
        else None,
        features=stages.run("features", features, store, chosen.score.phrases(), pool),
        grades=stages.run("grades", grades, store, pool, config.data.grading()) if needs_grades else None,
        flags=contamination_flags(config, stages, pool),
        duplicates=stages.run("duplicates", duplicates, store, chosen.contamination.punctuation, pool)
        if chosen.duplicates == "drop"
        else None,
        degenerate=stages.run("degenerate", degenerate, store, pool) if chosen.degenerate == "drop" else None,
        clusters=stages.run("clusters", clusters, store, stratify.minhash, pool)
        if stratify and stratify.minhash
        else None,
        counter=_token_counter(base) if base and _must_count_tokens(config, pool) else None,
    )


def _check_dialogs(config: TrialConfig, pool: Artifact, measure: str | None) -> None:
    """Raises UserError for what would take a dialog for its last turn."""
    if not (dialogs := pool_counts(pool).get("dialogs")):
        return
    if measure == "reference":
        raise UserError(
            f"{counted(dialogs, 'problem')} have several turns: a reference model (data/difficulty) asks "
            "one question"
        )
    if config.select.tokens is not None and config.train.loss_on == "every":
        raise UserError(
            f"select.tokens={config.select.tokens} counts the last turn of a dialog, and {dialogs} problems "
            "of the pool have several: set train.loss_on=last"
        )


def _must_count_tokens(config: TrialConfig, pool: Artifact) -> bool:
    """Whether a token budget needs counts that the pool does not carry, or that a perturbation changes."""
    if config.select.tokens is None:
        return False
    tokens = pl.read_parquet(pool.path / "solutions.parquet", columns=["tokens"])["tokens"]
    return config.select.perturb != "none" or not tokens.len() or tokens.null_count() > 0


def _token_counter(base: Artifact) -> TokenCounter:
    from limo_ablate.model.train.base import model_path
    from limo_ablate.model.train.chat import ChatEncoder, turn_end
    from limo_ablate.model.train.load import load_tokenizer
    from limo_ablate.model.train.tokens import tokenizer_digest

    tokenizer = load_tokenizer(model_path(base))
    encoder = ChatEncoder(tokenizer)
    _, end = turn_end(tokenizer)

    def count(texts: Sequence[str]) -> list[int]:
        """Response tokens, the end of the turn included."""
        return [len(ids) + len(end) for ids in encoder.texts(texts)]

    return TokenCounter(count, tokenizer_digest(tokenizer))
