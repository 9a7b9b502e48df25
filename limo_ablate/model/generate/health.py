"""Signs that a model does not end its answers: completions that repeat themselves, or are all cut off."""

from __future__ import annotations

import logging

import polars as pl

log = logging.getLogger(__name__)

REPEATS, LOOP_CHARACTERS = 4, 100
"""A loop: what stands at the end stands there at least 4 times in a row, over 100 characters or more."""
MOST = 0.5
"""Share of a benchmark's completions above which there is a warning."""
UNLEARNT = (
    "The model has not learnt to stop: train it longer, and see that its chat template ends an answer with a "
    "special token"
)
TOO_SHORT = "Raise max_tokens where they were still at it; where they ran on, it has not learnt to stop"


def ends_in_a_loop(text: str) -> bool:
    """Whether `text` ends in a repetition, of a letter or of a whole paragraph."""
    tail = text[-LOOP_CHARACTERS // REPEATS :]
    start = len(text) - len(tail)
    # A tail of period p is found again p characters before; nearer finds may be part of the unit.
    while (start := text.rfind(tail, 0, start + len(tail) - 1)) >= 0:
        period = len(text) - len(tail) - start
        span = max(REPEATS * period, LOOP_CHARACTERS)
        if span > len(text):
            return False
        if text[-span:-period] == text[-span + period :]:
            return True
    return False


def warn_of_unlearnt_ends(name: str, completions: pl.DataFrame, max_tokens: int) -> None:
    """Says loudly when most completions were cut off at `max_tokens`, not at the end of the context.

    A model that was never trained on the token that ends its answers (its loss masks it, as where padding is
    EOS: trl #1623) looks like this, and so does a limit that is too short: loops tell them apart.
    """
    cut = completions.filter((pl.col("finish") == "length") & (pl.col("tokens") >= max_tokens))
    if cut.height <= MOST * completions.height:
        return
    shares = 100 * cut.height / completions.height, 100 * cut["loops"].sum() / cut.height
    log.warning(
        "%s: %.0f %% of %d completions did not end within max_tokens=%d, and %.0f %% of those loop. %s",
        name, shares[0], completions.height, max_tokens, shares[1],
        UNLEARNT if shares[1] > 100 * MOST else TOO_SHORT,
    )  # fmt: skip
