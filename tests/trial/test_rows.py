"""From a configuration to rows: contamination with a consequence, the paper's sets, measured difficulty."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_pool
from limo_ablate.data.select.selection import Selected, choose_rows
from limo_ablate.report.preview.build import build_preview
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.rows import gather_evidence
from limo_ablate.trial.run import run_trial, trained_model
from limo_ablate.trial.stages import Stages

QUESTION = "In how many ways can {n} children and their parents stand in a row for the picture of the day"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def selected(config: TrialConfig) -> Selected:
    stages = Stages()
    pool = stages.run("pool", load_pool, Store(config.paths.artifacts), config.data)
    return choose_rows(
        config.select, config.data, pool, gather_evidence(config, stages, pool, None, trained_model)
    )


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """A pool of 40 questions, three of which the benchmark has too, and the overrides that say so."""
    rows = [
        {"problem": QUESTION.format(n=n), "answer": n, "solution": f"So \\boxed{{{n}}}."} for n in range(40)
    ]
    rows += [{"problem": f"Alone {n}: what is {n} + 1?", "answer": n, "solution": f"{n}"} for n in range(3)]
    pool = jsonl(tmp_path / "pool.jsonl", rows)
    exam = jsonl(tmp_path / "exam.jsonl", [*rows[40:], {"problem": "Something else entirely?", "answer": 1}])
    return [
        "data=jsonl", f"data.path={pool}", "eval=jsonl", f"eval.benchmarks.own.path={exam}",
        f"paths.artifacts={tmp_path / 'store'}", "select.quality=any", "select.size=null",
        "eval.benchmarks.own.max_tokens=4", "train=mini", "train.steps=1", "model=scratch", "track=none",
        "train.max_length=512",
    ]  # fmt: skip


def test_the_gate_drops_reports_or_refuses(own: list[str]) -> None:
    assert selected(compose([*own, "select/contamination=report"])).rows.height == 43
    dropped = selected(compose([*own, "select/contamination=drop"]))
    assert dropped.rows.height == 40
    reasons = dropped.funnel.excluded().filter(pl.col("step") == "contamination=drop")["reason"]
    assert reasons.str.starts_with("exact with own ").all()
    with pytest.raises(
        UserError, match=r"policy=error: 3 problems of the pool flagged, such as .*policy=drop"
    ):
        selected(compose([*own, "select.contamination.policy=error"]))
    assert selected(compose([*own, "select/contamination=none"])).rows.height == 43


def test_scores_are_on_all_and_on_clean_items_under_report(own: list[str], tmp_path: Path) -> None:
    config = compose([*own, "select/contamination=report", "select.size=8"])
    scores = run_trial(config, tmp_path / "trial", TrialLabels(None, {}, "t"))["scores"]
    assert {name: score["problems"] for name, score in scores.items()} == {"own": 4, "own/clean": 1}
    dropped = compose([*own, "select/contamination=drop", "select.size=8"])
    assert set(run_trial(dropped, tmp_path / "other", TrialLabels(None, {}, "t"))["scores"]) == {"own"}


def test_the_untuned_base_is_scored_on_the_clean_items_of_its_pool(own: list[str]) -> None:
    """Which it then depends on, and only then."""
    hub = [*own, "model=qwen2_5_7b", "select.size=0"]
    keys = {
        (gate, name): trial_key(compose([*hub, f"select/contamination={gate}", f"data.name={name}"]))
        for gate in ("report", "drop")
        for name in ("a", "b")
    }
    assert keys["drop", "a"] == keys["drop", "b"]
    assert keys["report", "a"] != keys["report", "b"]


def test_duplicates_and_clusters(own: list[str]) -> None:
    """Questions alike but for a number are one cluster; with equal shares it waits for its turn."""
    minhash = "{threshold:0.5,shingle:3,permutations:128,seed:0}"
    stratify = f"+select.stratify={{by:cluster,shares:equal,minhash:{minhash}}}"
    base = [*own, "select/contamination=none", "select.size=6"]
    rows = selected(compose([*base, stratify.lstrip("+")])).rows
    assert rows["text"].str.contains("children").sum() <= 3
    assert selected(compose(base)).rows["text"].str.contains("children").sum() >= 4
    twice = compose([*base, "select.size=null", "select.duplicates=drop"])
    assert selected(twice).rows.height == 43


def limo_pool(folder: Path) -> Path:
    """LIMO-Pool-like: 1,200 problems with pass counts of 32 and four solutions each, one of them wrong."""
    rows = [
        {
            "q": f"Problem {n}: find {n} plus {n} and say why.",
            "a": 2 * n,
            "r": [
                f"We check {k} times. " * (k + n % 7) + f"Therefore \\boxed{{{2 * n + (k == 3)}}}."
                for k in range(4)
            ],
            "rate": f"{n % 6}/32",
        }
        for n in range(1200)
    ]
    return jsonl(folder / "limo_pool.jsonl", rows)


def test_limo_800_from_a_pool_like_limo_s(tmp_path: Path) -> None:
    config = compose(
        [
            "select=limo_800", "data=jsonl", f"data.path={limo_pool(tmp_path)}", "data/difficulty=pass_rate",
            "data.fields={problem:q,answer:a,solution:r,pass_rate:rate}",
            "+data.difficulty.bands.limo=[0.03125,0.09375]", f"paths.artifacts={tmp_path}", "select.size=500",
            "select/contamination=none",
        ]
    )  # fmt: skip
    made = selected(config)
    rows = made.rows
    assert rows.height == rows["problem"].n_unique() == 500
    assert rows["pass_rate"].is_between(1 / 32, 3 / 32).all()
    assert rows["score"].is_sorted(descending=True)
    wrong = made.funnel.excluded().filter(pl.col("step") == "correctness=correct")
    assert wrong.height == 1200
    assert [s.rows for s in made.funnel.steps] == [4800, 3600, 3600, 1800, 1800, 600, 500]
    assert selected(replace(config, select=replace(config.select, size=400))).rows.equals(rows.head(400))


def test_pass_rates_of_real_completions(tmp_path: Path, shared: Path) -> None:
    """60 x 8: by the verifier as by the file's own grader, but for the one problem they differ on."""
    path = shared / "completions/qwen_math_60x8.jsonl"
    fields = "{problem:problem,answer:gold,solution:completions,id:id,level:level,correct:reference_correct}"
    rates = {}
    for measure in ("solutions", "pass_rate"):
        config = compose(
            [
                "data=jsonl", f"data.path={path}", f"data.fields={fields}", f"data/difficulty={measure}",
                f"paths.artifacts={tmp_path}", "select.difficulty=1.0", "select.quality=any",
                "select.size=null", "select/contamination=none",
            ]
        )  # fmt: skip
        rows = selected(config).rows
        assert rows.height == 60
        rates[measure] = dict(rows.select("problem", "pass_rate").iter_rows())
    different = [p for p, rate in rates["solutions"].items() if rate != rates["pass_rate"][p]]
    assert len(different) == 1
    assert sum(rates["solutions"].values()) / 60 == pytest.approx(0.9417, abs=1e-4)


def test_rq2_s_questions_from_real_pools(tmp_path: Path, shared: Path) -> None:
    base = [
        "select=limo_rq2", "eval=limo_v3", f"paths.pools={shared / 'pools'}",
        f"paths.benchmarks={shared / 'limo-eval'}", f"paths.artifacts={tmp_path}",
        "select/contamination=ten_sets",
    ]  # fmt: skip
    simple, complex_ = (
        build_preview(compose([*base, "data=math_train", f"select.difficulty={d}"]))
        for d in ("simple", "complex")
    )
    advanced = build_preview(compose([*base, "data=aime_past"]))
    for made in (simple, complex_, advanced):
        assert made.selected.rows["problem"].n_unique() == made.selected.rows.height == 500
        assert made.selected.rows["response"].null_count() == 500
    assert set(simple.selected.rows["level"]) == {1, 2}
    assert set(complex_.selected.rows["level"]) == {3, 4, 5}
    assert not set(simple.selected.rows["problem"]) & set(complex_.selected.rows["problem"])
    assert advanced.flags is not None
    assert advanced.flags.filter(pl.col("method") == "exact")["item"].n_unique() == 6


def test_the_same_selection_twice_has_the_same_key(own: list[str], tmp_path: Path) -> None:
    config = compose([*own, "select.size=8"])
    again = replace(config, paths=replace(config.paths, artifacts=str(tmp_path / "elsewhere")))
    assert build_preview(config).key == build_preview(again).key
    assert build_preview(compose([*own, "select.size=8", "seed=1"])).key != build_preview(config).key


def test_a_benchmark_s_name_is_taken(own: list[str]) -> None:
    also = "+select.contamination.also={own:{source:file,path:x.jsonl,fields:{problem:p,answer:a}}}"
    with pytest.raises(UserError, match=r"also.own: a benchmark of that name is evaluated"):
        compose([*own, also])


def test_policy_error_stops_the_untuned_base_too(own: list[str], tmp_path: Path) -> None:
    config = compose([*own, "select.contamination.policy=error", "select.size=0"])
    with pytest.raises(UserError, match="policy=error: 3 problems"):
        run_trial(config, tmp_path / "trial", TrialLabels(None, {}, "t"))


def test_a_pass_rate_said_on_every_row_is_that_rate(tmp_path: Path) -> None:
    rows = [{"problem": f"q{n}", "answer": 1, "solution": "1", "rate": 0.1} for n in range(3)] * 3
    path = jsonl(tmp_path / "p.jsonl", rows)
    config = compose(
        [
            "data=jsonl", f"data.path={path}", "data.fields.pass_rate=rate", "data/difficulty=pass_rate",
            "select.difficulty=0.1", "select.size=null", "select.quality=any", "select/contamination=none",
            f"paths.artifacts={tmp_path}",
        ]
    )  # fmt: skip
    assert selected(config).rows["pass_rate"].to_list() == [0.1] * 3


def test_dialogs_are_trained_on_and_written_as_they_are(own: list[str], tmp_path: Path) -> None:
    turns = [("user", "What is {n}+{n}?"), ("assistant", "It is {m}."), ("user", "And doubled?")]
    rows = [
        {
            "messages": [
                *({"role": role, "content": text.format(n=n, m=2 * n)} for role, text in turns),
                {"role": "assistant", "content": f"It is \\boxed{{{4 * n}}}."},
            ]
        }
        for n in range(20)
    ]
    path = jsonl(tmp_path / "dialogs.jsonl", rows)
    overrides = [*(text for text in own if not text.startswith("data")), "data=auto", f"data.path={path}"]
    config = compose([*overrides, "select.size=8"])
    metrics = run_trial(config, tmp_path / "trial", TrialLabels(None, {}, "t"))
    assert (metrics["pool"]["dialogs"], metrics["train"]["rows"]) == (20, 8)
    build_preview(config).write(tmp_path / "seen")
    fields = "data.fields={problem: problem, answer: answer, solution: solution}"
    again = compose([*overrides, f"data.path={tmp_path / 'seen/rows.jsonl'}", fields])
    pool = load_pool(Store(tmp_path / "again"), again.data)
    assert pl.read_parquet(pool.path / "dialogs.parquet").height == 8
    with pytest.raises(UserError, match=r"tokens=900 counts the last turn of a dialog, and 20 problems"):
        selected(compose([*overrides, "select.tokens=900"]))
