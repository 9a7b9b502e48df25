"""The completions embedded in the page: selected, shortened and packed. browser.js unpacks and shows them.

All of this is text of models and data sets. It is base64 in the page, decoded only when the reader opens the
browser, and inserted as text, never as markup.
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
from limo_ablate.trial.evaluate.passes import with_scores

BUDGET = 12_000_000
"""Bytes of text before compression. Incompressible text takes 4/3 of this in the page: 16 of its 25 MB."""
LENGTH = 4000
"""Characters of a completion or a prompt; the middle of a longer one is cut."""
SHORT = 200
"""Characters of an answer, a gold answer or a reason."""
ROW = 120
"""Estimated bytes of a completion's numbers and names."""
BYTES_PER_TOKEN = 4
"""Estimate made before texts are read, so that only about as many are read as fit."""
ITEM = ["benchmark", "problem"]
KEYS = [*ITEM, "sample"]
VERDICT_COLUMNS = [*KEYS, "status", "score", "tokens", "finish"]
WHY = ["gold", "answer", "rule", "reason"]
RULES = {
    "text": "compared as text", "identical": "compared as parsed", "words": "compared as words",
    "exact": "compared as exact numbers", "identity": "compared as functions",
    "numeric": "compared numerically at points",
    "symbolic": "compared symbolically", "kind": "different kinds", "undefined": "one is undefined",
    "no_answer": "no answer found", "unfinished": "broke off before an answer",
    "unparsed gold": "the gold answer can't be parsed",
    "unparsed answer": "the answer can't be parsed", "limit": "a limit of the verifier was reached",
    "unsupported": "the verifier has no rule for this",
}  # fmt: skip
"""Descriptions of the verifier's rules; the names of the others (`percent`, `set`) are self-explanatory."""


@dataclass(frozen=True, slots=True)
class PackedCompletions:
    """The completions in the page, and counts of what is included."""

    data: str
    """Base64 of gzipped JSON: `cells`, `problems`, `prompts`, `rules` and the columns of `rows`."""
    cell_keys: str
    shown: int
    total: int
    cells: int
    total_cells: int
    problems: int
    """Problems that are included from every cell that has them."""
    total_problems: int


def pack_completions(view: StudyView, budget: int = BUDGET) -> PackedCompletions | None:
    """Completions of each cell's first finished trial, within the budget; None if there are none.

    Of a problem with several samples, the first correct one and the first other one. Included first is one
    completion of each verdict of each cell, then whole problems: those in most cells first, among these those
    on which cells disagree most, alternating over benchmarks. The selection is deterministic.
    """
    cells = first_trials(view)
    if not cells:
        return None
    verdicts = pl.concat([_verdict_rows(place, trial) for place, trial in enumerate(cells.values())])
    ranked = _ranked(verdicts)
    rows = _within(_with_texts(_candidates(ranked, budget), list(cells.values())), budget)
    problems = ranked.select(*ITEM).unique().height
    whole = ranked.group_by(ITEM).agg(pl.len()).join(rows.group_by(ITEM).agg(pl.len()), on=[*ITEM, "len"])
    return PackedCompletions(
        data=_packed(list(cells), rows),
        cell_keys=" · ".join(map(axis, view.keys)),
        shown=rows.height,
        total=sum(int(trial_rows) for trial_rows in _heights(view.done)),
        cells=rows["cell"].n_unique(),
        total_cells=len(cells),
        problems=whole.height,
        total_problems=problems,
    )


def first_trials(view: StudyView) -> dict[str, Trial]:
    """Each cell's name and its first finished trial."""
    cells: dict[str, Trial] = {}
    for trial in view.done:
        levels = {key: trial.level_if_any(key) for key in view.keys}
        cells.setdefault(" · ".join(view.levels(levels)) or view.study.name, trial)
    return cells


def _heights(trials: Sequence[Trial]) -> Iterator[int]:
    for trial in trials:
        yield pl.scan_parquet(trial.folder / "verdicts.parquet").select(pl.len()).collect().item()


def _verdict_rows(cell: int, trial: Trial) -> pl.DataFrame:
    """A trial's verdicts without texts: at most two of each problem, and one of each verdict."""
    correct = pl.col("status") == "correct"
    read = with_scores(pl.scan_parquet(trial.folder / "verdicts.parquet")).select(VERDICT_COLUMNS).collect()
    verdicts = read.with_columns(
        cell=pl.lit(cell, pl.UInt32),
        mean=pl.col("score").mean().over(ITEM),
        samples=pl.len().over(ITEM),
    )
    own = verdicts.with_columns(correct=correct).unique([*ITEM, "correct"], keep="first", maintain_order=True)
    each = verdicts.unique(["status", "finish"], keep="first", maintain_order=True)
    return pl.concat([own.drop("correct"), each]).unique(KEYS, keep="first", maintain_order=True)


def _ranked(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Adds `rank`: 0 for the first of each verdict of a cell, then a number for each problem."""
    problems = (
        verdicts.group_by(ITEM)
        .agg(
            missing=-pl.col("cell").n_unique().cast(pl.Int64),
            agreed=(pl.col("mean").mean() - 0.5).abs().round(6),
        )
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


def _candidates(ranked: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Rows that may fit: twice the budget if a token has `BYTES_PER_TOKEN`."""
    bytes_ = (pl.col("tokens").fill_null(LENGTH) * BYTES_PER_TOKEN).clip(upper_bound=LENGTH) + ROW
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
    """The beginning and the end of a text, with the number of characters left out between them."""
    text, half = pl.col(name), length // 2
    cut = text.str.len_chars().cast(pl.Int64) - length
    middle = pl.format("{}\n[… {} characters omitted …]\n{}", text.str.head(half), cut, text.str.tail(half))
    return pl.when(cut > 0).then(middle).otherwise(text).alias(name)


def _within(rows: pl.DataFrame, budget: int) -> pl.DataFrame:
    """The first rows whose texts and prompts fit the budget."""
    texts = pl.sum_horizontal(pl.col("completion", *WHY).str.len_bytes().fill_null(0)) + ROW
    prompt = pl.when(pl.col("prompt").is_first_distinct()).then(pl.col("prompt").str.len_bytes()).otherwise(0)
    return rows.filter((texts + prompt).cast(pl.Int64).cum_sum() <= budget)


def _packed(cells: list[str], rows: pl.DataFrame) -> str:
    shown = rows.sort("place", "cell", "sample").with_columns(
        item=pl.struct(ITEM).rank("dense") - 1, prompt_id=pl.col("prompt").rank("dense") - 1
    )
    problems = shown.unique("item").sort("item").select(*ITEM, "gold")
    prompts = shown.unique("prompt_id").sort("prompt_id")["prompt"].to_list()
    columns = ["cell", "item", "sample", "prompt_id", "completion", "status", "answer", "rule", "reason"]
    data: dict[str, Any] = {
        "cells": cells,
        "problems": problems.to_dict(as_series=False),
        "prompts": prompts,
        "rules": RULES,
        "rows": shown.select(*columns, "score", "tokens", "finish", "mean", "samples").to_dict(
            as_series=False
        ),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
