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
from functools import partial
from itertools import combinations
from typing import Any

import polars as pl

from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.report.labels import axis, level
from limo_ablate.report.study_view import StudyView
from limo_ablate.trial.evaluate.passes import with_scores
from limo_ablate.verify.turns import split_thinking

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
MOST_CELLS = 100
"""Cells among which the most different two are looked for, where no contrast names any."""


@dataclass(frozen=True, slots=True)
class PackedCompletions:
    """The completions in the page, and counts of what is included."""

    data: str
    """Base64 of gzipped JSON: `cells`, `opens`, `problems`, `prompts`, `rules` and the columns of `rows`."""
    cell_keys: str
    shown: int
    total: int


def pack_completions(view: StudyView, budget: int = BUDGET) -> PackedCompletions | None:
    """Completions of the study's finished trials, within the budget; None if there are none.

    Of a problem with several samples, the first correct one and the first other one of each trial. Included
    first is one completion of each verdict of each cell, then each cell's first trial, then its second one,
    and so on; of a trial, the problems that most cells have first, among these those on which cells disagree
    most, alternating over benchmarks. The selection is deterministic.
    """
    if not view.done:
        return None
    cells = dict.fromkeys(map(partial(_cell, view), view.done))
    places = {cell: place for place, cell in enumerate(cells)}
    verdicts = pl.concat(
        [_verdict_rows(places[_cell(view, trial)], n, trial) for n, trial in enumerate(view.done)]
    )
    rows = _within(_with_texts(_candidates(_ranked(verdicts), budget), view.done), budget)
    return PackedCompletions(
        data=_packed(list(cells), _opens(view, list(cells), verdicts), rows),
        cell_keys=" · ".join(map(axis, view.keys)),
        shown=rows.height,
        total=sum(_heights(view.done)),
    )


def _cell(view: StudyView, trial: Trial) -> str:
    levels = {key: trial.level_if_any(key) for key in view.keys}
    return " · ".join(view.levels(levels)) or view.study.name


def _heights(trials: Sequence[Trial]) -> Iterator[int]:
    for trial in trials:
        yield pl.scan_parquet(trial.folder / "verdicts.parquet").select(pl.len()).collect().item()


def _verdict_rows(cell: int, number: int, trial: Trial) -> pl.DataFrame:
    """A trial's verdicts without texts: at most two of each problem, and one of each verdict."""
    correct = pl.col("status") == "correct"
    read = with_scores(pl.scan_parquet(trial.folder / "verdicts.parquet")).select(VERDICT_COLUMNS).collect()
    verdicts = read.with_columns(
        cell=pl.lit(cell, pl.UInt32),
        trial=pl.lit(number, pl.UInt32),
        seed=pl.lit(trial.seed, pl.Int64),
        mean=pl.col("score").mean().over(ITEM),
        samples=pl.len().over(ITEM),
    )
    own = verdicts.with_columns(correct=correct).unique([*ITEM, "correct"], keep="first", maintain_order=True)
    each = verdicts.unique(["status", "finish"], keep="first", maintain_order=True)
    return pl.concat([own.drop("correct"), each]).unique(KEYS, keep="first", maintain_order=True)


def _ranked(verdicts: pl.DataFrame) -> pl.DataFrame:
    """The rows in the order in which they are included, and `place`, the rank of their problem."""
    problems = (
        verdicts.group_by(ITEM)
        .agg(
            missing=-pl.col("cell").n_unique().cast(pl.Int64),
            agreed=(pl.col("mean").mean() - 0.5).abs().round(6),
        )
        .sort("missing", "agreed", *ITEM)
        .with_columns(turn=pl.int_range(pl.len()).over("benchmark", "missing"))
        .sort("missing", "turn", "benchmark")
        .with_row_index("place")
        .select(*ITEM, "place")
    )
    ranked = verdicts.join(problems, on=ITEM).sort("place", "trial", "sample")
    first = pl.struct("cell", "status", "finish").is_first_distinct()
    turn = pl.col("trial").rank("dense").over("cell")
    return ranked.with_columns(turn=pl.when(first).then(0).otherwise(turn)).sort(
        "turn", "place", "trial", "sample", maintain_order=True
    )


def _opens(view: StudyView, cells: list[str], verdicts: pl.DataFrame) -> list[str]:
    """The two cells that the browser opens with, those that differ on most problems: of the arms of declared
    contrasts with all else equal, or of all cells if there are none."""
    shares = verdicts.group_by(*ITEM, "cell").agg(share=pl.col("mean").mean())
    wide = shares.pivot("cell", index=ITEM, values="share").drop(*ITEM)
    pairs = _arms(view) or combinations(cells, 2) if len(cells) <= MOST_CELLS else _arms(view)

    def differ(pair: tuple[str, str]) -> float:
        a, b = (wide[str(cells.index(name))] for name in pair)
        return float((a - b).abs().sum())

    return list(max(pairs, key=differ, default=cells[:1]))


def _arms(view: StudyView) -> list[tuple[str, str]]:
    """The pairs of cells that the study's contrasts compare, with all else equal."""
    cells = {tuple(view.levels({key: trial.level_if_any(key) for key in view.keys})): _cell(view, trial)
             for trial in view.done}  # fmt: skip
    found = []
    for contrast in (one for declared in view.study.contrasts for one in declared.pairs()):
        if contrast.factor in view.keys:
            place = view.keys.index(contrast.factor)
            a, b = level(contrast.a, contrast.factor), level(contrast.b, contrast.factor)
            for levels, name in cells.items():
                if levels[place] == a and (other := cells.get((*levels[:place], b, *levels[place + 1 :]))):
                    found.append((name, other))
    return found


def _candidates(ranked: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Rows that may fit: twice the budget if a token has `BYTES_PER_TOKEN`."""
    bytes_ = (pl.col("tokens").fill_null(LENGTH) * BYTES_PER_TOKEN).clip(upper_bound=LENGTH) + ROW
    return ranked.with_row_index("rank").filter(bytes_.cast(pl.Int64).cum_sum() <= 2 * budget)


def _with_texts(rows: pl.DataFrame, trials: Sequence[Trial]) -> pl.DataFrame:
    parts = []
    for (number,), own in rows.group_by("trial", maintain_order=True):
        folder = trials[int(str(number))].folder
        wanted = pl.col("problem").is_in(own["problem"].unique().to_list())
        completions = pl.scan_parquet(folder / "completions.parquet").filter(wanted)
        why = pl.scan_parquet(folder / "verdicts.parquet").filter(wanted)
        found = (
            own.lazy()
            .join(completions.select(*KEYS, "prompt", "completion"), on=KEYS)
            .join(why.select(*KEYS, *(_shortened(name, SHORT) for name in WHY)), on=KEYS)
            .collect()
        )
        thinking = resolved(folder)["eval"].get("thinking", "auto")
        split = [
            split_thinking(completion, prompt, thinking)
            for prompt, completion in found.select("prompt", "completion").iter_rows()
        ]
        found = found.with_columns(
            pl.Series(name, [texts[i] for texts in split], dtype=pl.String)
            for i, name in enumerate(("thinking", "completion"))
        )
        parts.append(found.with_columns(map(_shortened, ("prompt", "thinking", "completion"))))
    return pl.concat(parts).sort("rank")


def _shortened(name: str, length: int = LENGTH) -> pl.Expr:
    """The beginning and the end of a text, with the number of characters left out between them."""
    text, half = pl.col(name), length // 2
    cut = text.str.len_chars().cast(pl.Int64) - length
    middle = pl.format("{}\n[… {} characters omitted …]\n{}", text.str.head(half), cut, text.str.tail(half))
    return pl.when(cut > 0).then(middle).otherwise(text).alias(name)


def _within(rows: pl.DataFrame, budget: int) -> pl.DataFrame:
    """The first rows whose texts and prompts fit the budget."""
    texts = pl.sum_horizontal(pl.col("thinking", "completion", *WHY).str.len_bytes().fill_null(0)) + ROW
    prompt = pl.when(pl.col("prompt").is_first_distinct()).then(pl.col("prompt").str.len_bytes()).otherwise(0)
    return rows.filter((texts + prompt).cast(pl.Int64).cum_sum() <= budget)


def _packed(cells: list[str], opens: list[str], rows: pl.DataFrame) -> str:
    shown = rows.sort("place", "trial", "sample").with_columns(
        item=pl.struct(ITEM).rank("dense") - 1, prompt_id=pl.col("prompt").rank("dense") - 1
    )
    problems = shown.unique("item").sort("item").select(*ITEM, "gold")
    prompts = shown.unique("prompt_id").sort("prompt_id")["prompt"].to_list()
    columns = ["cell", "seed", "item", "sample", "prompt_id", "thinking", "completion", "status", "answer",
               "rule", "reason", "score", "tokens", "finish", "mean", "samples"]  # fmt: skip
    data: dict[str, Any] = {
        "cells": cells,
        "opens": opens,
        "problems": problems.to_dict(as_series=False),
        "prompts": prompts,
        "rules": RULES,
        "rows": shown.select(columns).to_dict(as_series=False),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
