"""Signs that a model does not end its answers: completions that repeat themselves, or are cut off."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl

from limo_ablate.model.generate.engine import Request, max_new_tokens

log = logging.getLogger(__name__)

WARNING_SHARE = 0.5
"""Share of a benchmark's completions above which there is a warning."""
NO_STOP = (
    "The model has not learned to stop: train it longer, and check that its chat template ends an answer "
    "with a special token"
)
TOO_SHORT = (
    "If the answers were unfinished, raise max_tokens; if they ran on, the model has not learned to stop"
)


def warn_of_short_room(name: str, requests: Sequence[Request], context: int) -> None:
    """Logs a warning if prompt and new tokens exceed the model's context, which ends answers early."""
    rooms = [max(0, max_new_tokens(request, context)) for request in requests]
    short = [room for room, one in zip(rooms, requests, strict=True) if room < one.sampling.max_tokens]
    if short:
        log.warning(
            "%s: %d of %d prompts leave room for fewer than max_tokens=%d new tokens in the model's context "
            "of %d, at least for %d; answers end there",
            name, len(short), len(requests), requests[0].sampling.max_tokens, context, min(short),
        )  # fmt: skip


def warn_of_missing_stops(name: str, completions: pl.DataFrame, max_tokens: int) -> None:
    """Logs a warning if most completions were cut off at `max_tokens`, rather than at the end of the context.

    Either the model was never trained on the token that ends an answer (its loss masks it, for instance when
    padding is EOS: trl #1623), or the limit is too short; loops point to the former.
    """
    cut = completions.filter((pl.col("finish") == "length") & (pl.col("tokens") >= max_tokens))
    if cut.height <= WARNING_SHARE * completions.height:
        return
    shares = 100 * cut.height / completions.height, 100 * cut["loops"].sum() / cut.height
    log.warning(
        "%s: %.0f %% of %d completions did not end within max_tokens=%d, and %.0f %% of those loop. %s",
        name, shares[0], completions.height, max_tokens, shares[1],
        NO_STOP if shares[1] > 100 * WARNING_SHARE else TOO_SHORT,
    )  # fmt: skip
