"""The completions that travel in the page: chosen, shortened, packed. page_browser.js unpacks and shows them.

All of it is text of models and data sets. It is base64 in the page, decoded only when its reader opens the
browser, and goes into the page as text, never as markup.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import axis
from limo_ablate.report.study_view import StudyView

BUDGET = 12_000_000
"""Bytes of text, before compression. What does not compress takes 4/3 of it in the page: 16 MB of the 25."""
LENGTH = 4000
"""Characters of a completion or a prompt; a longer one loses its middle."""
SHORT = 200
"""Characters of an answer, a gold answer, a reason."""
ROW = 120
"""Bytes of a completion's numbers and names."""
BYTES_PER_TOKEN = 4
"""Guessed before the texts are read, so that only about as many are read as fit."""
ITEM = ["benchmark", "problem"]
KEYS = [*ITEM, "sample"]
LIGHT = [*KEYS, "status", "tokens", "finish"]
WHY = ["gold", "answer", "rule", "reason"]
RULES = {
    "text": "compared as text", "identical": "compared as read", "words": "compared as words",
    "exact": "compared as exact numbers", "identity": "compared as functions",
    "numeric": "compared at points",
    "symbolic": "compared by algebra", "kind": "of different kinds", "undefined": "one has no value",
    "no_answer": "no answer found", "unparsed gold": "the gold answer can't be read",
    "unparsed answer": "the answer can't be read", "limit": "a limit of the verifier was met",
    "unsupported": "the verifier has no rule for this",
}  # fmt: skip
"""The verifier's rules in words; the others (`percent`, `set`) say what they are."""


@dataclass(frozen=True, slots=True)
class PackedCompletions:
    """What the page holds of the completions, and of how many."""

    data: str
    """Base64 of gzipped JSON: `cells`, `problems`, `prompts`, `rules` and the columns of `rows`."""
    named_by: str
    shown: int
    of: int
    cells: int
    of_cells: int
    problems: int
    """Those that are here from every cell that has them."""
    of_problems: int


def pack_completions(view: StudyView, budget: int = BUDGET) -> PackedCompletions | None:
    """The completions of each cell's first finished trial, as far as the budget goes; null without any.

    Of a problem with several samples, the first correct one and the first other one. First comes one of each
    verdict that a cell has, then whole problems: those in most cells first, and of these, in turns over the
    benchmarks, those that cells disagree most about. Nothing is drawn at random.
    """
    cells = first_trials(view)
    if not cells:
        return None
    verdicts = pl.concat([_light(place, trial) for place, trial in enumerate(cells.values())])
    ranked = _ranked(verdicts)
    rows = _within(_with_texts(_guessed(ranked, budget), list(cells.values())), budget)
    problems = ranked.select(*ITEM).unique().height
    whole = ranked.group_by(ITEM).agg(pl.len()).join(rows.group_by(ITEM).agg(pl.len()), on=[*ITEM, "len"])
    return PackedCompletions(
        data=_packed(list(cells), rows),
        named_by=" · ".join(map(axis, view.keys)),
        shown=rows.height,
        of=sum(int(trial_rows) for trial_rows in _heights(view.done)),
        cells=rows["cell"].n_unique(),
        of_cells=len(cells),
        problems=whole.height,
        of_problems=problems,
    )


def first_trials(view: StudyView) -> dict[str, Trial]:
    """Each cell's name and the first of its finished trials."""
    cells: dict[str, Trial] = {}
    for trial in view.done:
        levels = {key: trial.level_if_any(key) for key in view.keys}
        cells.setdefault(" · ".join(view.levels(levels)) or view.study.name, trial)
    return cells


def _heights(trials: Sequence[Trial]) -> Iterator[int]:
    for trial in trials:
        yield pl.scan_parquet(trial.folder / "verdicts.parquet").select(pl.len()).collect().item()


def _light(cell: int, trial: Trial) -> pl.DataFrame:
    """A trial's verdicts without its texts, at most two of a problem and one more of each verdict."""
    correct = pl.col("status") == "correct"
    verdicts = pl.read_parquet(trial.folder / "verdicts.parquet", columns=LIGHT).with_columns(
        cell=pl.lit(cell, pl.UInt32),
        right=correct.sum().over(ITEM),
        samples=pl.len().over(ITEM),
    )
    own = verdicts.with_columns(correct=correct).unique([*ITEM, "correct"], keep="first", maintain_order=True)
    each = verdicts.unique(["status", "finish"], keep="first", maintain_order=True)
    return pl.concat([own.drop("correct"), each]).unique(KEYS, keep="first", maintain_order=True)


def _ranked(verdicts: pl.DataFrame) -> pl.DataFrame:
    """With `rank`: 0 for the first of each verdict of a cell, then a number for each problem."""
    share = pl.col("right") / pl.col("samples")
    problems = (
        verdicts.group_by(ITEM)
        .agg(missing=-pl.col("cell").n_unique().cast(pl.Int64), agreed=(share.mean() - 0.5).abs().round(6))
        .sort("missing", "agreed", *ITEM)
        .with_columns(turn=pl.int_range(pl.len()).over("benchmark", "missing"))
        .sort("missing", "turn", "benchmark")
        .with_row_index("place", offset=1)
        .select(*ITEM, "place")
    )
    ranked = verdicts.join(problems, on=ITEM).sort("place", "cell", "sample")
    first = pl.struct("cell", "status", "finish").is_first_distinct()
    return ranked.with_columns(rank=pl.when(first).then(0).otherwise("place")).sort(
        "rank", "place", "cell", "sample"
    )


def _guessed(ranked: pl.DataFrame, budget: int) -> pl.DataFrame:
    """What may fit: twice as much as fits if a token has `BYTES_PER_TOKEN`."""
    bytes_ = (pl.col("tokens") * BYTES_PER_TOKEN).clip(upper_bound=LENGTH) + ROW
    return ranked.filter(bytes_.cast(pl.Int64).cum_sum() <= 2 * budget)


def _with_texts(rows: pl.DataFrame, trials: Sequence[Trial]) -> pl.DataFrame:
    parts = []
    for (cell,), own in rows.group_by("cell", maintain_order=True):
        folder = trials[int(str(cell))].folder
        wanted = pl.col("problem").is_in(own["problem"].unique().to_list())
        texts = pl.scan_parquet(folder / "completions.parquet").filter(wanted)
        why = pl.scan_parquet(folder / "verdicts.parquet").filter(wanted)
        parts.append(
            own.lazy()
            .join(texts.select(*KEYS, _shortened("prompt"), _shortened("completion")), on=KEYS)
            .join(why.select(*KEYS, *(_shortened(name, SHORT) for name in WHY)), on=KEYS)
            .collect()
        )
    return pl.concat(parts).sort("rank", "place", "cell", "sample")


def _shortened(name: str, length: int = LENGTH) -> pl.Expr:
    """The beginning and the end of a text, and between them how much is left out."""
    text, half = pl.col(name), length // 2
    cut = text.str.len_chars().cast(pl.Int64) - length
    middle = pl.format("{}\n[… {} characters left out …]\n{}", text.str.head(half), cut, text.str.tail(half))
    return pl.when(cut > 0).then(middle).otherwise(text).alias(name)


def _within(rows: pl.DataFrame, budget: int) -> pl.DataFrame:
    """The first rows whose texts, and the prompts that come with them, are within the budget."""
    texts = pl.sum_horizontal(pl.col("completion", *WHY).str.len_bytes().fill_null(0)) + ROW
    prompt = pl.when(pl.col("prompt").is_first_distinct()).then(pl.col("prompt").str.len_bytes()).otherwise(0)
    return rows.filter((texts + prompt).cast(pl.Int64).cum_sum() <= budget)


def _packed(cells: list[str], rows: pl.DataFrame) -> str:
    shown = rows.sort("place", "cell", "sample").with_columns(
        item=pl.struct(ITEM).rank("dense") - 1, asked=pl.col("prompt").rank("dense") - 1
    )
    problems = shown.unique("item").sort("item").select(*ITEM, "gold")
    prompts = shown.unique("asked").sort("asked")["prompt"].to_list()
    columns = ["cell", "item", "sample", "asked", "completion", "status", "answer", "rule", "reason"]
    data: dict[str, Any] = {
        "cells": cells,
        "problems": problems.to_dict(as_series=False),
        "prompts": prompts,
        "rules": RULES,
        "rows": shown.select(*columns, "tokens", "finish", "right", "samples").to_dict(as_series=False),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
