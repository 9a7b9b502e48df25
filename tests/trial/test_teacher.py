"""A teacher's solutions as a trial's pool: from a server and from an engine, marked, selected, planned."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_pool, pool_counts, unused_rows
from limo_ablate.data.select.selection import choose_rows
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.plan.plan import plan
from limo_ablate.sweep.plan.text import text
from limo_ablate.sweep.trust import named
from limo_ablate.trial.checks import check_alone
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import trial_key
from limo_ablate.trial.known import Known, NotChecked
from limo_ablate.trial.rows import pool_and_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import trial_pool
from limo_ablate.trial.track.tracker import NoTracker
from tests.endpoint_server import Script, answer, serving

REPLIES = {  # by problem, of each of its first four samples
    "What is 1 + 1?": ["\\boxed{2}", "\\boxed{3}", "It is \\boxed{2}", "\\boxed{2}"],
    "What is 2 + 2?": ["\\boxed{5}", "\\boxed{5}", "\\boxed{4}", ""],
    "What is 3 + 3?": ["\\boxed{7}"] * 4,
}


def replying() -> Script:
    seen: dict[str, dict[int, int]] = {text: {} for text in REPLIES}

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        asked = body["messages"][-1]["content"]
        sample = seen[asked].setdefault(body["seed"], len(seen[asked]))
        if asked == "What is 3 + 3?" and sample == 1:
            return answer("It goes on and", "length")
        return answer(REPLIES[asked][sample])

    return Script(reply=reply)


@pytest.fixture
def server() -> Iterator[Script]:
    with serving(replying()) as script:
        yield script


def overrides(folder: Path, url: str) -> list[str]:
    rows = [{"problem": text, "answer": str(2 * k)} for k, text in enumerate(REPLIES, start=1)]
    file = folder / "questions.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [
        "data=jsonl", f"data.path={file}", "data.fields.solution=null", "data/teacher=endpoint",
        f"data.teacher.endpoint.url={url}", "data.teacher.endpoint.model=big",
        "data.teacher.endpoint.key_env=null", "data.teacher.endpoint.concurrency=1",
        "select/contamination=none", "select.size=null", "select.quality=any",
        f"paths.artifacts={folder / 'store'}", f"paths.studies={folder / 'studies'}", "track=none",
    ]  # fmt: skip


def asked(folder: Path, script: Script, *more: str) -> TrialConfig:
    return compose([*overrides(folder, script.url), *more])


def test_a_teachers_samples_are_the_pool(tmp_path: Path, server: Script) -> None:
    stages = Stages()
    pool = trial_pool(asked(tmp_path, server), stages, trained_model)
    solutions = pl.read_parquet(pool.path / "solutions.parquet")
    problems = pl.read_parquet(pool.path / "problems.parquet")
    given = load_pool(Store(tmp_path / "store"), asked(tmp_path, server).data)
    before = pl.read_parquet(given.path / "problems.parquet")
    assert problems.drop("pass_rate").equals(before.drop("pass_rate"))
    assert problems["pass_rate"].to_list() == pytest.approx([0.75, 0.25, 0.0])
    assert solutions.filter(problem=problems["id"][0])["id"].to_list() == [
        f"{problems['id'][0]}-{sample}" for sample in range(4)
    ]
    assert solutions["teacher"].unique().to_list() == ["big"]
    assert solutions["correct"].to_list() == [True, False, True, True, False, False, True, *[False] * 3]
    assert unused_rows(pool_counts(pool)) == [
        "12 samples of a teacher: 10 solutions (4 correct, 6 incorrect, 0 undecided), 1 cut at max_tokens, "
        "1 refused or empty; 4 repeat another of their problem; of 3 problems, 0 have no solution, 1 no "
        "correct one"
    ]
    assert {"pool", "pool/given", "completions/teacher", "verdicts/teacher"} == set(stages.artifacts)


def test_rejection_is_a_selection(tmp_path: Path, server: Script) -> None:
    rows = {}
    for samples in (4, 1):
        for correctness in ("any", "marked_correct"):
            own = f"data.teacher.samples={samples}", f"select.correctness={correctness}"
            config = asked(tmp_path, server, *own, "select.best=pool")
            pool, evidence = pool_and_evidence(config, Stages(), trained_model)
            rows[samples, correctness] = choose_rows(config.select, config.data, pool, evidence).rows
    assert {key: table.height for key, table in rows.items()} == {
        (4, "any"): 3, (4, "marked_correct"): 2, (1, "any"): 3, (1, "marked_correct"): 1,
    }  # fmt: skip
    assert len(server.bodies) == 12
    assert {solution[-2:] for solution in rows[4, "marked_correct"]["solution"]} == {"-0", "-2"}


def test_the_untuned_base_asks_no_teacher(tmp_path: Path, server: Script) -> None:
    base = [asked(tmp_path, server, "select.size=0", f"data.teacher.samples={n}") for n in (1, 4)]
    assert trial_pool(base[0], Stages(), trained_model).stage == "pool"
    assert not server.bodies
    assert trial_key(base[0]) == trial_key(base[1])
    reporting = [asked(tmp_path, server, "select.size=0", f"data.teacher.samples={n}", "select/contamination=report") for n in (1, 4)]  # noqa: E501  # fmt: skip
    assert trial_key(reporting[0]) == trial_key(reporting[1])


def test_keys_have_what_decides_solutions(tmp_path: Path, server: Script) -> None:
    key = trial_key(asked(tmp_path, server))
    for same in ("retries=1", "concurrency=3", "price_in=1", "timeout_seconds=5", "key_env=OTHER_KEY"):
        assert trial_key(asked(tmp_path, server, f"data.teacher.endpoint.{same}")) == key
    for other in ("samples=3", "temperature=1", "system_prompt=Think", "seed=1", "endpoint.model=small"):
        assert trial_key(asked(tmp_path, server, f"data.teacher.{other}")) != key


def test_what_can_be_known_before_is_told_before(
    tmp_path: Path, server: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    config = asked(tmp_path, server, "data.teacher.endpoint.key_env=ABSENT_KEY")
    with pytest.raises(UserError, match="key_env=ABSENT_KEY: this environment variable is not set"):
        check_alone(config)
    with pytest.raises(NotChecked, match="big: the teacher has yet to write"):
        Known().pool(config)
    trial_pool(asked(tmp_path, server), Stages(), trained_model)
    assert Known().pool(config).stage == "taught"
    check_alone(config)  # all solutions are there: no key is needed


def test_a_benchmark_does_not_share_its_name_with_what_a_trial_records(
    tmp_path: Path, server: Script
) -> None:
    """The teacher's completions and verdicts were recorded as those of the benchmark."""
    also = ["+eval/set@eval.benchmarks.teacher=aime", "+eval/decoding@eval.benchmarks.teacher=greedy"]
    with pytest.raises(UserError, match=r"^eval\.benchmarks\.teacher: data\.teacher uses the name teacher"):
        asked(tmp_path, server, *also)
    config = compose(also)
    assert "teacher" in config.eval.benchmarks
    coarse = [one.replace("teacher", "coarse") for one in also]
    with pytest.raises(UserError, match=r"benchmarks\.coarse: data\.difficulty\.reference\.stages uses"):
        compose(["data/difficulty=mini_reference", *coarse])
    with pytest.raises(UserError, match=r"eval\.benchmarks\.a/b: has a slash"):
        replace(config, eval=replace(config.eval, benchmarks={"a/b": config.eval.benchmarks["teacher"]}))


def test_problems_that_can_not_be_graded_are_refused(tmp_path: Path, server: Script) -> None:
    without = "data.fields.answer=null", "data.without_gold=keep"
    with pytest.raises(UserError, match=r"3 problems of the pool without a gold answer: data\.teacher"):
        trial_pool(asked(tmp_path, server, *without), Stages(), trained_model)
    config = asked(tmp_path, server, *without, "data.teacher.grader=null")
    pool = trial_pool(config, Stages(), trained_model)
    assert pl.read_parquet(pool.path / "solutions.parquet")["correct"].null_count() == 10
    assert "correct" not in unused_rows(pool_counts(pool))[-1]


def test_a_study_of_samples_is_planned(tmp_path: Path, server: Script) -> None:
    """The prices are of the first trial that asks; the other one's sample is one of its four."""
    file = tmp_path / "teachers.yaml"
    priced = [f"data.teacher.endpoint.{key}=1000" for key in ("price_in", "price_out")]
    declared = {
        "name": "teachers", "question": "One sample, or the correct ones of four?", "seeds": [0],
        "overrides": [*overrides(tmp_path, server.url), *priced, "select.correctness=marked_correct", "data.teacher.max_tokens=100"],  # noqa: E501
        "blocks": [{"name": "samples", "axes": {"data.teacher.samples": [1, 4]}}],
        "contrasts": [],
    }  # fmt: skip
    file.write_text(yaml.safe_dump(declared))
    study = load_study(str(file))
    found = plan(study)
    assert found.trials == 2
    assert found.teachers == [
        f"big at {server.url[7:-3]}: 12 requests, at most 2,604 tokens of prompts and 1,200 of answers: "
        "at most 3.80; spent before 0.00, no budget"
    ]
    assert "Teachers, asked by the first trial that needs their solutions" in text(found)
    assert found.preflight.problems == {}
    assert f"data.teacher.endpoint.url={server.url}" in found.named
    assert not server.bodies
    trial_pool(asked(tmp_path, server, "data.teacher.max_tokens=100"), Stages(), trained_model)
    assert plan(study).teachers == []


def test_an_endpoint_of_ones_own_conf_is_not_asked_about() -> None:
    study = load_study("miniature", ["data/teacher=endpoint"])
    assert named(planned_trials(study)[:2], [], []) == []


MINI = [
    "data.miniature.per_level=3", "data.miniature.levels=[1,2]", "data/teacher=mini", "track=none",
    "model@data.teacher.local.model=mini_s", "data.teacher.local.model.pretrain.tokens=20000",
    "data.teacher.local.tune.data.miniature.per_level=10",
    "data.teacher.local.tune.data.miniature.levels=[1,2]", "data.teacher.local.tune.train.steps=30",
    "data.teacher.max_tokens=40", "data.teacher.samples=2", "model=mini_s", "model.pretrain.tokens=20000",
    "train.steps=2", "select.size=2", "select.quality=any", "select.correctness=any",
]  # fmt: skip


def test_a_teacher_on_this_machine_writes_what_is_trained_on(tmp_path: Path) -> None:
    config = compose([*MINI, f"paths.artifacts={tmp_path}"])
    stages = Stages()
    weights = trained_model(config, stages, NoTracker())
    assert weights.stage == "weights"
    solutions = pl.read_parquet(stages.artifacts["pool"].path / "solutions.parquet")
    rows = pl.read_parquet(stages.artifacts["selection"].path / "rows.parquet")
    texts = dict(solutions.select("id", "text").iter_rows())
    assert rows["response"].to_list() == [texts[solution] for solution in rows["solution"]]
    completions = pl.read_parquet(stages.artifacts["completions/teacher"].path / "completions.parquet")
    assert set(texts.values()) <= set(completions["completion"])
    assert solutions["teacher"].unique().to_list() == ["mini_s"]
