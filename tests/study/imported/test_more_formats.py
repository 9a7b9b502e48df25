"""Logs of OpenCompass, verl, TRL and Every Eval Ever, in the schemas of their writers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import limo_ablate as la
from limo_ablate.core.errors import UserError
from limo_ablate.study.imported.config import ImportConfig
from limo_ablate.study.imported.logs import FORMATS, Log, Reading, format_of
from limo_ablate.study.imported.write import import_study

Row = dict[str, Any]


def read(file: Path, **keys: Any) -> list[Log]:
    return list(FORMATS.load(format_of(file))(file, Reading(**keys)))


def scores(log: Log) -> list[tuple[int, float]]:
    return [(one.sample, one.score) for one in log.samples]


def imported(folder: Path, files: str, **keys: Any) -> la.Study:
    config = ImportConfig(name="arms", files=str(folder / files), **keys)
    return la.Study(import_study(config, folder / "studies"))


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def write_lines(file: Path, rows: list[Row]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def prediction(number: int) -> Row:
    """As OpenCompass's inferencers of generations write it, the prompt as of a chat model."""
    prompt = [{"role": "HUMAN", "prompt": f"What is {number}+1?"}]
    return {"origin_prompt": prompt, "prediction": f"It is {number}.", "gold": str(number + 1)}


def by_index(rows: list[Row]) -> dict[str, Row]:
    return {str(index): row for index, row in enumerate(rows)}


def compass(folder: Path, right: list[list[bool]], model: str = "m") -> Path:
    """What a later version of OpenCompass leaves of items with repetitions."""
    items, runs = len(right), len(right[0])
    write(folder / f"predictions/{model}/gsm8k.json", by_index([prediction(i) for i in range(items)] * runs))
    details = [
        {"example_abbr": f"gsm8k_test_{index}", "pred": ["1"] * runs, "answer": ["2"] * runs, "correct": own,
         f"G-Pass@{runs}_0.0": 1.0}
        for index, own in enumerate(right)
    ]  # fmt: skip
    return write(folder / f"results/{model}/gsm8k.json", {"accuracy": 50.0, "details": details})


def test_opencompass_has_scores_and_questions_in_two_folders(tmp_path: Path) -> None:
    file = compass(tmp_path, [[True, False], [False, False], [True, True]])
    assert format_of(file) == "opencompass"
    (log,) = read(file)
    assert log.benchmark == "gsm8k"
    assert scores(log) == [(0, 1), (1, 0), (0, 0), (1, 0), (0, 1), (1, 1)]
    first = log.samples[0]
    assert (first.prompt, first.completion, first.gold) == ("What is 0+1?", "It is 0.", "1")
    assert log.read_too == (tmp_path / "predictions/m/gsm8k.json",)


def test_opencompass_of_earlier_versions_and_in_parts(tmp_path: Path) -> None:
    details = by_index(
        [
            {"prompt": "p", "origin_prediction": "x", "predictions": "1", "references": "1", "correct": n > 0}
            for n in range(3)
        ]
    )
    write(tmp_path / "predictions/m/gsm8k_0.json", by_index([prediction(0), prediction(1)]))
    write(tmp_path / "predictions/m/gsm8k_1.json", by_index([prediction(2)]))
    (log,) = read(write(tmp_path / "results/m/gsm8k.json", {"accuracy": 66.7, "details": details}))
    (later,) = read(compass(tmp_path / "later", [[False], [True], [True]]))
    assert [(one.item, one.score) for one in log.samples] == [
        (one.item, one.score) for one in later.samples
    ]  # the same questions, whichever version wrote them
    perplexity = {
        "label: A": {"prompt": "Q A", "PPL": 1.0}, "label: B": {"prompt": "Q B", "PPL": 2.0},
        "prediction": "A", "gold": "A",
    }  # fmt: skip
    write(tmp_path / "predictions/m/mc.json", {"0": perplexity})
    (log,) = read(write(tmp_path / "results/m/mc.json", {"details": {"0": {"correct": True}}}))
    assert scores(log) == [(0, 1)]
    assert "Q B" in log.samples[0].prompt


def test_what_opencompass_has_not_written_is_told(tmp_path: Path) -> None:
    file = compass(tmp_path, [[True, False]])
    with pytest.raises(UserError, match=r"predictions have no score; name results/MODEL/DATASET\.json"):
        read(tmp_path / "predictions/m/gsm8k.json")
    with pytest.raises(UserError, match="no details in it; evaluate again with --dump-eval-details"):
        read(write(tmp_path / "results/m/bare.json", {"accuracy": 50.0}))
    write(tmp_path / "predictions/m/gsm8k.json", by_index([prediction(0)]))
    with pytest.raises(UserError, match="1 items of 2 samples, but 1 predictions"):
        read(file)
    (tmp_path / "predictions/m/gsm8k.json").unlink()
    with pytest.raises(UserError, match=r"no such file, and it has the questions of .*; copy both folders"):
        read(file)
    write(tmp_path / "predictions/m/bleu.json", by_index([prediction(0)]))
    graded = write(tmp_path / "results/m/bleu.json", {"details": [{"pred": ["x"], "bleu": [0.5], "n": [3]}]})
    with pytest.raises(UserError, match="set `score` to one of those in it: bleu, n"):
        read(graded)
    assert scores(read(graded, score="bleu")[0]) == [(0, 0.5)]


def rollout(number: int, score: float, step: int = 10, **extra: Any) -> Row:
    """As verl's dump of generations writes it."""
    return {
        "input": f"user\n{number}+1?", "output": "2", "gts": str(number + 1), "score": score, "step": step,
        **extra,
    }  # fmt: skip


def test_rollouts_of_verl(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "10.jsonl", [rollout(n, float(n > 0)) for n in (0, 1, 0, 1)])
    logs = list(FORMATS.load("verl")(file, Reading(benchmark="gsm8k")))
    assert scores(logs[0]) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (logs[0].samples[0].prompt, logs[0].samples[0].gold) == ("user\n0+1?", "1")
    with pytest.raises(UserError, match=r"10\.jsonl: set `benchmark` to its name"):
        list(FORMATS.load("verl")(file, Reading()))
    write_lines(file, [rollout(1, -1.0, acc=False), rollout(2, 1.0, acc=True)])
    (log,) = FORMATS.load("verl")(file, Reading(benchmark="b"))
    assert [score for _, score in scores(log)] == [0, 1], "as verl validates, by acc"
    with pytest.raises(UserError, match=r"score=-1: a score is 0 \(wrong\) to 1 \(right\); choose another"):
        list(FORMATS.load("verl")(file, Reading(benchmark="b", score="score")))


def test_steps_of_a_training_are_no_samples_of_one_model(tmp_path: Path) -> None:
    for arm, bonus in (("a", 0), ("b", 1)):
        rows = [rollout(n, float((n + bonus) % 3 > 0), step) for step in (10, 20) for n in range(9)]
        write_lines(tmp_path / f"{arm}/all.jsonl", rows)
    keys: Row = {"files": "{arm}/all.jsonl", "format": "verl", "benchmark": "b"}
    with pytest.raises(UserError, match=r"several values in the column step.*`columns: \[step\]`"):
        imported(tmp_path, **keys)
    study = imported(tmp_path, columns=("step",), **keys)
    assert set(study.trials()["step"]) == {10, 20}
    assert set(study.trials()["samples"]) == {1}


def test_completions_of_trl(tmp_path: Path) -> None:
    rows = [
        {"step": 5, "prompt": f"{n}?", "completion": "x", "accuracy_reward": float(n), "advantage": 0.1}
        for n in (0, 1, 1)
    ]
    file = tmp_path / "completions_00005.parquet"
    pl.DataFrame(rows).write_parquet(file)
    assert format_of(file) == "trl"
    assert scores(read(file, benchmark="b")[0]) == [(0, 0), (0, 1), (1, 1)]
    pl.DataFrame(rows).with_columns(format_reward=1.0).write_parquet(file)
    with pytest.raises(UserError, match="set `score` to one of those in it: accuracy_reward, format_reward"):
        read(file, benchmark="b")


def instance(number: int, score: float, **changes: Any) -> Row:
    """As Every Eval Ever's schema of single samples has it."""
    return {
        "schema_version": "0.2.2", "evaluation_id": "gsm8k/org/m/1", "model_id": "org/m",
        "evaluation_name": "gsm8k", "sample_id": str(number), "sample_hash": None,
        "interaction_type": "single_turn",
        "input": {"raw": f"{number}+1?", "formatted": None, "reference": [str(number + 1)], "choices": None},
        "output": {"raw": ["2"]}, "messages": None, "answer_attribution": [],
        "evaluation": {"score": score, "is_correct": score == 1}, **changes,
    }  # fmt: skip


def test_samples_of_every_eval_ever(tmp_path: Path) -> None:
    turns = [
        {"turn_idx": 0, "role": "user", "content": "a"}, {"turn_idx": 1, "role": "assistant", "content": "b"}
    ]  # fmt: skip
    file = write_lines(
        tmp_path / "0d6c_samples.jsonl",
        [
            instance(1, 1.0), instance(1, 0.0), instance(1, 0.0, sample_id="7"),
            instance(2, 1.0, evaluation_name="mmlu", output=None, messages=turns),
        ],
    )  # fmt: skip
    assert format_of(file) == "every_eval_ever"
    one, other = read(file)
    assert (one.benchmark, other.benchmark) == ("gsm8k", "mmlu")
    assert scores(one) == [(0, 1), (1, 0), (0, 0)], "twice the same sample, and another one like it"
    assert one.samples[2].item == f"{one.samples[0].item}-2"
    assert other.samples[0].completion == "b"
    write_lines(file, [instance(1, 12.5), instance(2, 1.0)])
    with pytest.raises(UserError, match=r"score=12\.5: a score is 0 \(wrong\) to 1"):
        read(file)
    assert scores(read(file, score="is_correct")[0]) == [(0, 0), (0, 1)]


def test_results_and_models_of_every_eval_ever_are_kept_apart(tmp_path: Path) -> None:
    rows = [
        instance(n, float(n % 2 if name == "em" else 1), evaluation_result_id=f"gsm8k#{name}")
        for n in range(4) for name in ("em", "format")
    ]  # fmt: skip
    file = write_lines(tmp_path / "x_samples.jsonl", rows)
    with pytest.raises(UserError, match="set `filter` to one of those in it: gsm8k#em, gsm8k#format"):
        read(file)
    assert [score for _, score in scores(read(file, filter="#em")[0])] == [0, 1, 0, 1]
    write_lines(file, [instance(1, 1.0), instance(1, 0.0, evaluation_id="gsm8k/org/n/1", model_id="org/n")])
    with pytest.raises(UserError, match="several values in the column evaluation_id, which is not read"):
        read(file)
    study = imported(tmp_path, "*_samples.jsonl", columns=("model_id",))
    assert dict(study.trials().select("model_id", "accuracy").iter_rows()) == {"org/m": 1.0, "org/n": 0.0}


def test_a_changed_prediction_makes_a_result_stale(tmp_path: Path) -> None:
    for arm in "ab":
        compass(tmp_path / arm, [[True], [False]])
    study = imported(tmp_path, "{arm}/results/m/*.json")
    assert study.trials().height == 2
    predictions = tmp_path / "a/predictions/m/gsm8k.json"
    predictions.write_text(predictions.read_text() + "\n")
    study.refresh()
    assert study.trials().height == 1


def test_predictions_of_opencompass_stand_in_any_order(tmp_path: Path) -> None:
    write(tmp_path / "predictions/m/gsm8k.json", {"1": prediction(1), "0": prediction(0)})
    details = {"1": {"correct": False}, "0": {"correct": True}}
    file = write(tmp_path / "results/m/gsm8k.json", {"details": details})
    assert [(one.prompt, one.score) for one in read(file)[0].samples] == [
        ("What is 0+1?", 1),
        ("What is 1+1?", 0),
    ]
    write(tmp_path / "predictions/m/gsm8k.json", {"2": prediction(1), "0": prediction(0)})
    with pytest.raises(UserError, match="an object by index, 0 to 1, is expected; it lacks some"):
        read(file)


def test_an_item_of_opencompass_without_the_score_is_not_scored_by_another_number(tmp_path: Path) -> None:
    write(tmp_path / "predictions/m/gsm8k.json", by_index([prediction(0), prediction(1)]))
    file = write(tmp_path / "results/m/gsm8k.json", {"details": [{"correct": [False]}, {"n": [1]}]})
    with pytest.raises(UserError, match="item 1 has no correct, which the first has"):
        read(file)


def test_an_error_of_every_eval_ever_is_no_wrong_answer(tmp_path: Path) -> None:
    failed = instance(1, 0.0, error="APIError: 500\nTraceback")
    file = write_lines(tmp_path / "x_samples.jsonl", [instance(2, 1.0), failed])
    with pytest.raises(UserError, match=r"jsonl:2: sample 1 ended in an error.*The error: APIError: 500$"):
        read(file)
    assert scores(read(write_lines(file, [instance(2, 1.0, error=None)]))[0]) == [(0, 1)]


def test_a_filter_that_several_results_end_with_is_refused(tmp_path: Path) -> None:
    rows = [
        instance(n, float(name == "a/em"), evaluation_result_id=name)
        for n in (1, 2)
        for name in ("a/em", "em")
    ]
    file = write_lines(tmp_path / "x_samples.jsonl", rows)
    with pytest.raises(UserError, match="filter=m: several results end like that: a/em, em; say more"):
        read(file, filter="m")
    assert [score for _, score in scores(read(file, filter="em")[0])] == [0, 0], "the one of that name"


def test_runs_without_a_common_item_are_kept_apart_too(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "all.jsonl", [rollout(1, 0.0, step=10), rollout(2, 1.0, step=20)])
    with pytest.raises(UserError, match="20 beside 10: several values in the column step"):
        list(FORMATS.load("verl")(file, Reading(benchmark="b")))
    write_lines(tmp_path / "m_samples.jsonl", [instance(1, 1.0), instance(2, 0.0, evaluation_id="other")])
    with pytest.raises(UserError, match="several values in the column evaluation_id"):
        read(tmp_path / "m_samples.jsonl")


def test_rows_of_verl_are_scored_by_one_column(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "10.jsonl", [rollout(1, 0.5), rollout(2, 1.0, acc=True)])
    with pytest.raises(UserError, match="jsonl:1: no acc; columns: "):
        list(FORMATS.load("verl")(file, Reading(benchmark="b")))


def test_a_table_without_items_samples_or_rows_is_refused(tmp_path: Path) -> None:
    keys: Row = {"files": "{arm}.csv", "benchmark": "b"}
    (tmp_path / "a.csv").write_text("item,score,seed\nx,1,0\nx,0,1\n")
    with pytest.raises(UserError, match=r"a\.csv:2: no sampel; columns: item, score, seed"):
        imported(tmp_path, sample="sampel", **keys)
    (tmp_path / "a.csv").write_text("item,score\n,1\n,0\n")
    with pytest.raises(UserError, match=r"a\.csv:2: no item; columns: item, score"):
        imported(tmp_path, **keys)
    (tmp_path / "a.csv").write_text("item,score\nx,1\n")
    (tmp_path / "b.csv").write_text("item,score\n")
    with pytest.raises(UserError, match=r"b\.csv: no sample in it"):
        imported(tmp_path, **keys)


def test_rows_without_a_question_are_not_one_item(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "1.jsonl", [{**rollout(1, 1.0), "input": None}, rollout(2, 0.0)])
    with pytest.raises(UserError, match=r"1\.jsonl:1: no input; columns: input, output"):
        list(FORMATS.load("verl")(file, Reading(benchmark="b")))
    empty = {"raw": "", "reference": [], "choices": None}
    file = write_lines(tmp_path / "x_samples.jsonl", [instance(n, 1.0, input=empty) for n in (1, 2)])
    with pytest.raises(UserError, match="no raw; columns: raw, reference, choices"):
        read(file)
