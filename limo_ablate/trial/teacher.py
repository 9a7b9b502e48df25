"""The pool of a trial: that of its data, or a teacher's solutions to the problems of that (`data.teacher`).

A teacher is sampled and graded as a model is evaluated. What comes out is a pool like any other: the number
in a solution's id is its sample, `correct` and `score` are the grader's, and a problem's pass rate is the
share of right samples, where the data has none of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.grade.graders import Grading
from limo_ablate.data.pool.load import load_pool, pool_counts, require_gold
from limo_ablate.data.pool.schema import SOLUTIONS
from limo_ablate.data.pool.tables import BatchedParquet
from limo_ablate.data.pool.values import digest
from limo_ablate.model.generate.completions import GenerationRequest, generation_request
from limo_ablate.model.generate.endpoint.draw import endpoint_completions
from limo_ablate.trial.config import TeacherConfig, TrialConfig
from limo_ablate.trial.reference import TrainModel, reference_model
from limo_ablate.trial.stages import Stages

TEACHER = "completions/teacher"
THINK = "<think>"
RIGHT = {"correct": True, "incorrect": False}
"""Status of a verdict -> what a solution is marked as; undecided ones are marked as neither."""


def trial_pool(config: TrialConfig, stages: Stages, train_model: TrainModel) -> Artifact:
    """The pool that the trial selects its rows from. The untuned base needs no solutions, and asks no
    teacher. Arguments as in `limo_ablate.trial.rows.gather_evidence`."""
    store, teacher = config.paths.store(), config.data.teacher
    if teacher is None or not config.needs_pool:
        return stages.run("pool", load_pool, store, config.data)
    given = stages.run("pool/given", load_pool, store, config.data)
    _check(given, teacher)
    answers = _answers(config, teacher, given, stages, train_model)
    verdicts = None
    if teacher.grader:
        grading = {"teacher": Grading(teacher.grader, teacher.grader_options)}
        asked = {"teacher": teacher_request(teacher, given)}
        verdicts = stages.grade(store, asked, {"teacher": answers}, grading)["teacher"]

    def make(folder: Path) -> None:
        _write(teacher, given, answers, verdicts, folder)

    inputs = {"pool": given, "completions": answers, "verdicts": verdicts, "teacher": teacher.name}
    return stages.run("pool", store.build, "taught", inputs, make)


def teacher_request(teacher: TeacherConfig, given: Artifact) -> GenerationRequest:
    """What a teacher is asked for; `given`: the pool with the problems."""
    template = {"template": teacher.local.model.template} if teacher.local else {}
    return generation_request(given, teacher, teacher.system_prompt, teacher.seed, **template)


def _check(given: Artifact, teacher: TeacherConfig) -> None:
    if dialogs := pool_counts(given).get("dialogs"):
        raise UserError(
            f"{counted(dialogs, 'problem')} have several turns, and a teacher is asked one question"
        )
    if teacher.grader:
        require_gold(given, f"data.teacher.grader={teacher.grader} can't grade solutions; null grades none")


def _answers(
    config: TrialConfig, teacher: TeacherConfig, given: Artifact, stages: Stages, train_model: TrainModel
) -> Artifact:
    """The teacher's completions."""
    store, request = config.paths.store(), teacher_request(teacher, given)
    if teacher.endpoint:
        return stages.run(TEACHER, endpoint_completions, store, "teacher", teacher.endpoint, request)
    assert teacher.local
    model = reference_model(config, "teacher", teacher.local, given, stages, train_model)
    return stages.generate(store, model, {"teacher": request}, teacher.local, config.hardware)["teacher"]


def _write(
    teacher: TeacherConfig, given: Artifact, answers: Artifact, verdicts: Artifact | None, folder: Path
) -> None:
    problems = pl.read_parquet(given.path / "problems.parquet")
    rows = pl.read_parquet(answers.path / "completions.parquet")
    if verdicts:
        keys, marks = ["problem", "sample"], ["status", "score"]
        graded = pl.read_parquet(verdicts.path / "verdicts.parquet", columns=[*keys, *marks])
        rows = rows.join(graded, on=keys, how="left", maintain_order="left")
    else:
        rows = rows.with_columns(status=pl.lit(None, pl.String), score=pl.lit(None, pl.Float64))
    kept = rows.filter((pl.col("finish") == "stop") & (pl.col("completion").str.strip_chars() != ""))
    solutions = BatchedParquet(folder / "solutions.parquet", SOLUTIONS)
    for row in kept.iter_rows(named=True):
        solutions.add(_solution(row, teacher))
    solutions.close()
    marked = rows.filter(pl.col("status").is_in(list(RIGHT))).group_by("problem")
    rates = marked.agg((pl.col("status") == "correct").mean().alias("pass_rate"))
    if problems["pass_rate"].null_count() == problems.height:
        problems = problems.drop("pass_rate").join(
            rates, left_on="id", right_on="problem", how="left", maintain_order="left"
        )
    problems.write_parquet(folder / "problems.parquet")
    shutil.copyfile(given.path / "rejected.parquet", folder / "rejected.parquet")
    counts = pool_counts(given) | _counts(problems.height, rows, kept)
    (folder / "pool.json").write_text(json.dumps(counts, indent=1) + "\n")


def _solution(row: dict[str, Any], teacher: TeacherConfig) -> dict[str, Any]:
    text = row["completion"]
    if teacher.local and row["prompt"].rstrip().endswith(THINK):  # its chat template opens the answer's tag
        text = f"{THINK}\n{text.lstrip()}"
    return {
        "id": f"{row['problem']}-{row['sample']}",
        "problem": row["problem"],
        "text": text,
        "teacher": teacher.name,
        "correct": RIGHT.get(row["status"]),
        "score": row["score"],
        "digest": digest(text)[:16],
    }


def _counts(problems: int, rows: pl.DataFrame, kept: pl.DataFrame) -> dict[str, int]:
    cut = rows.filter(pl.col("finish") == "length").height
    counts = {
        "samples": rows.height,
        "solutions": kept.height,
        "cut": cut,
        "refused": rows.height - kept.height - cut,
        "repeated": kept.height - kept.unique(["problem", "completion"]).height,
        "unsolved": problems - kept["problem"].n_unique(),
    }
    if kept["status"].null_count() < kept.height:
        right = kept.filter(pl.col("status") == "correct")
        counts |= {status: kept.filter(pl.col("status") == status).height for status in (*RIGHT, "undecided")}
        counts["without_correct"] = problems - right["problem"].n_unique()
    return counts
