"""A contamination probe: does the model continue the beginnings of a benchmark's problems from memory?

The partial-prompt completion of Wu et al. 2025, "Reasoning or Memorization?" (2507.10532): no chat
template, greedy, and the continuation is compared with the rest of the problem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import read_options
from limo_ablate.trial.evaluate.config import ProbeConfig
from limo_ablate.trial.evaluate.passes import Scores

TABLE = "probed.parquet"

_WORD = re.compile(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+")
"""A run of characters without white space; each Chinese character is a word."""


def openings(store: Store, name: str, probe: ProbeConfig, benchmark: Artifact) -> Artifact:
    """The first `probe.share` of each problem's words as a problem of its own, with the `rest` in a column.

    A problem of one word is left out. For multiple choice only the question is used: its options are
    shuffled.
    """

    def make(folder: Path) -> None:
        rows = _openings(probe.share, benchmark)
        if rows.is_empty():
            raise UserError(
                f"eval.probe: each problem of {name} has a single word, and can't be split; use null"
            )
        rows.write_parquet(folder / "problems.parquet")

    return store.build("openings", {"benchmark": benchmark, "share": probe.share}, make)


def probed(store: Store, openings: Artifact, completions: Artifact) -> Artifact:
    """`probed.parquet`: problem, opening, rest, continuation, exact (bool), rouge (0..1)."""

    def make(folder: Path) -> None:
        rests = pl.read_parquet(openings.path / "problems.parquet").select(
            pl.col("id").alias("problem"), pl.col("text").alias("opening"), "rest"
        )
        rows = pl.read_parquet(completions.path / "completions.parquet").join(
            rests, on="problem", how="left", maintain_order="left"
        )
        pairs = [_compared(rest, text) for rest, text in rows.select("rest", "completion").iter_rows()]
        rows.select(
            "problem",
            "opening",
            "rest",
            pl.col("completion").alias("continuation"),
            pl.Series("exact", [exact for exact, _ in pairs]),
            pl.Series("rouge", [rouge for _, rouge in pairs]),
        ).write_parquet(folder / TABLE)

    return store.build("probed", {"openings": openings, "texts": completions}, make)


def probe_scores(table: pl.DataFrame) -> Scores:
    """Share of problems that are completed exactly, and mean ROUGE-L of the completions."""
    return dict(
        table.select(probe_exact=pl.col("exact").mean(), probe_rouge=pl.col("rouge").mean()).row(
            0, named=True
        )
    )


def rouge_l(reference: Sequence[str], text: Sequence[str]) -> float:
    """F1 over the longest common subsequence of words (Lin 2004)."""
    lengths = [0] * (len(text) + 1)
    for word in reference:
        before = 0
        for place, other in enumerate(text, 1):
            above = lengths[place]
            lengths[place] = before + 1 if word == other else max(above, lengths[place - 1])
            before = above
    return 2 * lengths[-1] / (len(reference) + len(text)) if text else 0.0


def _openings(share: float, benchmark: Artifact) -> pl.DataFrame:
    options = read_options(benchmark)
    rows = []
    for name, text in pl.read_parquet(
        benchmark.path / "problems.parquet", columns=["id", "text"]
    ).iter_rows():
        text = options[name]["question"] if options else text
        words = list(_WORD.finditer(text))
        count = max(1, int(share * len(words)))
        if count < len(words):
            rows.append((name, text[: words[count - 1].end()], text[words[count].start() :]))
    return pl.DataFrame(rows, schema={"id": pl.String, "text": pl.String, "rest": pl.String}, orient="row")


def _compared(rest: str, continuation: str) -> tuple[bool, float]:
    """Compares the rest with as much of the continuation, ignoring white space: exact, ROUGE-L.

    A last word or number that is longer in the continuation, such as 119 for 11, is not exact.
    """
    expected, text = (" ".join(one.split()) for one in (rest, continuation))
    text, seam = text[: len(expected)], text[len(expected) - 1 : len(expected) + 1]
    longer = len(seam) == 2 and seam.isascii() and seam.isalnum()
    return text == expected and not longer, rouge_l(_WORD.findall(expected), _WORD.findall(text))
