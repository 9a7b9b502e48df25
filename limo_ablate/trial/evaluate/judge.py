"""A judge model for the answers that graders leave undecided; its verdicts are reported separately.

It also judges some decided answers, to measure how far it agrees with the grader. A benchmark with
`grader=judge` is judged by it alone. LIMO's released code looks for "correct" anywhere in the judge's text,
also inside "incorrect"; here the last line must be exactly one of the two.

What is judged was written by a model that may have been trained to be accepted. Each part of the prompt
stands between tags that its writer can't know, and an answer that speaks of verdicts gets none: the judge may
only have repeated it.
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Literal

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.graders import BY_VERIFIER, JUDGE, Grading
from limo_ablate.data.grade.votes import RIGHT
from limo_ablate.data.pool.sources import file_rows
from limo_ablate.trial.evaluate.config import JudgeConfig
from limo_ablate.trial.evaluate.passes import IS_FRACTION, Scores, clustered, with_scores

TABLE = "judged.parquet"

_PLACE = re.compile(r"\{(problem|gold|answer)\}")
_VERDICT = re.compile(r"\b(in)?correct\b", re.IGNORECASE)


def questions(
    store: Store, judge: JudgeConfig, graded: Artifact, benchmark: Artifact, grading: Grading = BY_VERIFIER
) -> Artifact:
    """The judge's prompts, as problems: a benchmark's undecided answers and `judge.sample` decided ones; with
    grader=judge also those of `judge.labelled`."""
    prompt, alone = grading.options.rubric or judge.prompt, grading.grader == JUDGE
    labelled = Path(judge.labelled) if judge.labelled and alone else None
    inputs: dict[str, object] = {
        "verdicts": graded,
        "benchmark": benchmark,
        "prompt": prompt,
        "sample": judge.sample,
        "seed": judge.seed,
    }

    def make(folder: Path) -> None:
        rows = _questions(judge, prompt, graded, benchmark)
        if labelled:
            rows = pl.concat([rows, _labelled(labelled, prompt)])
        rows.write_parquet(folder / "problems.parquet")

    if labelled:
        if not labelled.is_file():
            raise UserError(f"eval.judge.labelled={labelled}: no such file")
        inputs["labelled"] = store.path_digest(labelled)
    return store.build("questions", inputs, make)


def with_verdicts(store: Store, graded: Artifact, judged: Artifact) -> Artifact:
    """The verdicts with what the judge says of the undecided; where that is unreadable, they stay so."""

    def make(folder: Path) -> None:
        said = pl.read_parquet(judged.path / TABLE).select("problem", "sample", "verdict")
        found = pl.col("verdict").is_not_null() & (pl.col("status") == "undecided")
        right = found & (pl.col("verdict") == "correct")
        text = pl.col("answer").rank("dense").over("problem")
        rows = pl.read_parquet(graded.path / "verdicts.parquet")
        rows.join(said, on=["problem", "sample"], how="left", maintain_order="left").with_columns(
            status=pl.when(found).then("verdict").otherwise("status"),
            reason=pl.when(found).then(None).otherwise("reason"),
            boxed=right | pl.col("boxed"),
            lenient=right | pl.col("lenient"),
            vote=pl.when(right).then(RIGHT).otherwise(text).cast(pl.Int64),
        ).drop("verdict").write_parquet(folder / "verdicts.parquet")

    return store.build("verdicts", {"undecided": graded, "judged": judged}, make)


def judged(store: Store, questions: Artifact, completions: Artifact | None) -> Artifact:
    """`judged.parquet`: problem, sample, status (the verifier's), prompt, text (the judge's), verdict?.

    `completions` are its answers; None if there was no question.
    """

    def make(folder: Path) -> None:
        rows = pl.read_parquet(questions.path / "problems.parquet")
        if completions:
            answers = pl.read_parquet(completions.path / "completions.parquet").rename({"problem": "id"})
            kept = answers.select("id", "prompt", "completion", "finish")
            rows = rows.join(kept, on="id", how="left", maintain_order="left")
        else:
            rows = rows.with_columns(pl.lit("").alias(name) for name in ("prompt", "completion", "finish"))
        verdicts = [
            parse(text) if finish == "stop" and not speaks_of_it else None
            for text, finish, speaks_of_it in rows.select("completion", "finish", "speaks_of_it").iter_rows()
        ]
        rows.select(
            "problem",
            "sample",
            "status",
            "prompt",
            pl.col("completion").alias("text"),
            pl.Series("verdict", verdicts, dtype=pl.String),
        ).write_parquet(folder / TABLE)

    return store.build("judged", {"asked": questions, "texts": completions}, make)


def parse(text: str) -> Literal["correct", "incorrect"] | None:
    """The judge's verdict, which must be the only word of the last line; None if unreadable."""
    last = text.strip().rpartition("\n")[2].strip().lower()
    return "correct" if last == "correct" else "incorrect" if last == "incorrect" else None


def judge_scores(verdicts: pl.DataFrame, judged: pl.DataFrame) -> Scores:
    """`judged_accuracy` counts the undecided answers that the judge calls correct; `accuracy` never does."""
    read = judged.drop_nulls("verdict")
    undecided, decided = (
        read.filter((pl.col("status") == "undecided") == wanted) for wanted in (True, False)
    )
    accepted = undecided.filter(verdict="correct").select("problem", "sample", accepted=True)
    score = pl.when("accepted").then(1.0).otherwise("score")
    rows = with_scores(verdicts).join(accepted, on=["problem", "sample"], how="left")
    by_problem = rows.group_by("problem", maintain_order=True).agg(mean=score.mean())
    accuracy, stderr = clustered(by_problem["mean"].to_list())
    agreed = decided.filter(pl.col("verdict") == pl.col("status")).height
    return {
        "judged_accuracy": accuracy,
        "judged_stderr": stderr,
        "judged": undecided.height / verdicts.height,
        "judge_unreadable": 1 - read.height / judged.height if judged.height else 0.0,
        "judge_agreement": agreed / decided.height if decided.height else math.nan,
        "judge_sample": decided.height,
    }


def _questions(judge: JudgeConfig, prompt: str, graded: Artifact, benchmark: Artifact) -> pl.DataFrame:
    problems = pl.read_parquet(benchmark.path / "problems.parquet").select(
        pl.col("id").alias("problem"), "text"
    )
    answers = with_scores(pl.read_parquet(graded.path / "verdicts.parquet"))
    answers = answers.filter(pl.col("answer").is_not_null())
    undecided, whole = pl.col("status") == "undecided", ~IS_FRACTION  # part of the marks is neither verdict
    places = pl.Series([_draw(judge.seed, *key) for key in answers.select("problem", "sample").iter_rows()])
    decided = answers.with_columns(place=places.cast(pl.String)).filter(~undecided & whole).sort("place")
    chosen = pl.concat([answers.filter(undecided), decided.head(judge.sample).drop("place")])
    rows = chosen.join(problems, on="problem", how="left", maintain_order="left")
    texts = [
        filled(prompt, {"problem": text, "gold": gold, "answer": answer})
        for text, gold, answer in rows.select("text", "gold", "answer").iter_rows()
    ]
    return rows.select(
        pl.format("{}/{}", "sample", "problem").alias("id"),
        pl.Series("text", texts, dtype=pl.String),
        "problem",
        "sample",
        "status",
        speaks_of_it=pl.Series(
            [_VERDICT.search(answer) is not None for answer in rows["answer"]], dtype=pl.Boolean
        ),
    )


def _labelled(file: Path, prompt: str) -> pl.DataFrame:
    """The questions about a sample with labels, whose status is the label. Raises UserError."""
    rows = []
    for place, (where, row) in enumerate(file_rows(str(file))):
        given = row if isinstance(row, dict) else {}
        named = ((name, given.get(name)) for name in ("problem", "gold", "answer"))
        texts = {name: text for name, text in named if isinstance(text, str)}
        label, name = given.get("label"), f"labelled/{place}"
        if len(texts) < 3 or label not in ("correct", "incorrect"):
            raise UserError(
                f"{where}: eval.judge.labelled needs problem, gold and answer as texts, and a label that is "
                "correct or incorrect"
            )
        rows.append({
            "id": name, "text": filled(prompt, texts), "problem": name, "sample": 0, "status": label,
            "speaks_of_it": _VERDICT.search(texts["answer"]) is not None,
        })  # fmt: skip
    return pl.DataFrame(rows)


def filled(prompt: str, parts: dict[str, str]) -> str:
    """The prompt with its parts, each between tags with a digest of all of them, which none can contain."""
    code = hashlib.sha256("\0".join(parts.values()).encode()).hexdigest()[:8]
    return _PLACE.sub(lambda place: f"<{place[1]}-{code}>{parts[place[1]]}</{place[1]}-{code}>", prompt)


def _draw(seed: int, problem: str, sample: int) -> str:
    return hashlib.sha256(f"{seed}/{sample}/{problem}".encode()).hexdigest()
