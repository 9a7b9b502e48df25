"""Tasks of lm-evaluation-harness, made of local files, have the scores that its own HFLM gives the model."""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from limo_ablate.core.artifacts import Artifact, Store, json_default
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.likelihood import Scorer
from limo_ablate.model.generate.lm_eval_model import lm_eval_model
from limo_ablate.model.train.chat import ChatEncoder, render
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.model_config import may_allow_code
from limo_ablate.trial.compose import compose
from limo_ablate.trial.evaluate.config import BenchmarkConfig
from limo_ablate.trial.evaluate.lm_eval_items import lm_eval_verdicts
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.run import run_trial
from limo_ablate.trial.stages import Stages
from tests.tiny_models import CPU, sums

HARNESS = Path(__file__).parents[3] / ".harness"
"""Where `make harness` puts the package: outside the environment, which other tests need without it."""
if HARNESS.is_dir():
    sys.path.append(str(HARNESS))
pytest.importorskip("lm_eval")
ENGINE = EngineConfig(engine="transformers", batch_size=4)
FIRST = {"function": "take_first"}
GENERATE = {
    "output_type": "generate_until", "doc_to_text": "Q: {{text}}\nA:", "doc_to_target": "{{gold}}",
    "num_fewshot": 2, "fewshot_config": {"sampler": "default"},
    "generation_kwargs": {"until": ["0", "\n"], "max_gen_toks": 12, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "(.)"}, FIRST]},
        {"name": "whole", "filter": [FIRST]},
    ],
}  # fmt: skip
CHOICE = {
    "output_type": "multiple_choice", "doc_to_text": "Q: {{text}}\nA:", "doc_to_target": 0,
    "doc_to_choice": "{{[gold, '7', text]}}",
    "metric_list": [
        {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
    ],
}  # fmt: skip

CHAT = {"apply_chat_template": True, "system_instruction": "Add."}
OURS = ("filter", "metric")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in sums(9).to_dicts()))
    files = {"test": str(data), "train": str(data)}
    common = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test", "fewshot_split": "train"}  # noqa: E501 # fmt: skip
    for name, own in {"words": GENERATE, "choices": CHOICE}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **common, **own}))
    (folder / "both.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["words", "choices"]}))
    may_allow_code()
    return folder


def benchmark(tasks: Path, task: str, **others: Any) -> BenchmarkConfig:
    return BenchmarkConfig(
        source="lm_eval", path=str(tasks), task=task, samples=1, temperature=0, top_p=1, max_tokens=256,
        **others,
    )  # fmt: skip


def verdicts(store: Store, base: Artifact, config: BenchmarkConfig) -> Artifact:
    stages = Stages()
    return lm_eval_verdicts(
        store, "b", config, load_benchmark(store, "b", config), base, Scorer(str(base.path), CPU),
        lambda requests: stages.generate(store, base, requests, ENGINE, CPU), ENGINE, CPU, 0,
    )  # fmt: skip


def hflm(base: Artifact) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=str(base.path), tokenizer=str(base.path), device="cpu", dtype="float32", batch_size=3
    )


def by_hflm(base: Artifact, tasks: Path, task: str, **others: Any) -> list[dict[str, Any]]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found = simple_evaluate(hflm(base), tasks=[task], task_manager=manager, bootstrap_iters=0, **others)
    rows: list[dict[str, Any]] = found["samples"][task]
    return rows


@pytest.mark.parametrize(
    ("task", "chosen"),
    [
        ("words", {"filter": "whole"}), ("words", {"filter": "strict", "limit": 4}),
        ("choices", {"metric": "acc"}), ("choices", {"metric": "acc_norm"}),
        ("words", {"filter": "whole", **CHAT}), ("choices", {"metric": "acc_norm", **CHAT}),
        ("words", {"filter": "whole", **CHAT, "fewshot_as_multiturn": False}),
        ("choices", {"metric": "acc", "num_fewshot": 2, "system_instruction": "Add."}),
    ],
)  # fmt: skip
def test_each_document_has_the_score_that_hflm_gives_it(
    store: Store, base: Artifact, tasks: Path, task: str, chosen: dict[str, Any]
) -> None:
    made = verdicts(store, base, benchmark(tasks, task, **chosen))
    table = pl.read_parquet(made.path / "verdicts.parquet")
    expected = [
        row for row in by_hflm(base, tasks, task, **{k: chosen[k] for k in chosen if k not in OURS})
        if row["filter"] == chosen.get("filter", "none")
    ]  # fmt: skip
    metric = chosen.get("metric", "exact_match")
    assert table["score"].to_list() == [row[metric] for row in expected]
    assert table["problem"].to_list() == [str(row["doc_id"]) for row in expected]
    if task == "words":
        assert table["answer"].to_list() == [row["filtered_resps"][0] for row in expected]
        assert set(table["finish"]) == {"length"}
    texts = pl.read_parquet(made.path / "completions.parquet")
    if chosen.get("apply_chat_template"):
        assert texts["prompt"][0].startswith("<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\nQ: ")
        turns = 6 if task == "words" and chosen.get("fewshot_as_multiturn", True) else 2
        assert texts["prompt"][0].count("<|im_end|>") == turns
    assert texts["prompt"].to_list() == [row["arguments"][0][0] for row in expected]
    assert set(table["subject"]) == {task}


def test_a_templates_control_tokens_are_tokens(base: Artifact) -> None:
    tokenizer = load_tokenizer(base.path)
    text = render(tokenizer, [[{"role": "user", "content": "1 + 1"}]], add_generation_prompt=True)[0]
    (prompt,) = ChatEncoder(tokenizer).filled_in([text])
    assert prompt.ids == hflm(base).tok_encode(text)
    assert len(prompt.ids) < len(ChatEncoder(tokenizer).raw([text])[0].ids)


def test_a_system_turn_that_a_template_takes_none_of_is_left_out_and_told(
    base: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    scorer, turns = (
        Scorer(str(base.path), CPU),
        [{"role": role, "content": "1"} for role in ("system", "user")],
    )
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}"
    scorer.tokenizer.chat_template = strict + str(scorer.tokenizer.chat_template)
    model = lm_eval_model(scorer, lambda _: [])
    assert model.apply_chat_template(turns) == model.apply_chat_template(turns[1:])
    assert "system turn is left out" in caplog.text


def test_chat_settings_are_for_tasks_and_in_the_key(tasks: Path) -> None:
    plain = benchmark(tasks, "words")
    assert not plain.chat_settings()
    assert json_default(replace(plain, **CHAT))["apply_chat_template"] is True
    assert "apply_chat_template" not in json_default(plain)
    with pytest.raises(UserError, match="apply_chat_template is for tasks of lm-eval; others always have"):
        replace(plain, source="file", task=None, path="x.jsonl", apply_chat_template=True)


def test_likelihoods_are_those_of_hflm(base: Artifact) -> None:
    ours, theirs = lm_eval_model(Scorer(str(base.path), CPU), lambda _: []), hflm(base)
    rows = sums(6)
    pairs = [(text, f" {answer}") for text, answer in rows.select("text", "response").rows()] + [
        ("", "7 + 8")
    ]
    requests = [SimpleNamespace(args=pair) for pair in pairs]
    long = [SimpleNamespace(args=(" ".join(rows["response"].to_list()) * 3,))]
    found = ours.loglikelihood(requests)
    for (value, greedy), (expected, flag) in zip(found, theirs.loglikelihood(requests), strict=True):
        assert value == pytest.approx(expected, abs=1e-3)
        assert greedy == flag
    assert ours.loglikelihood_rolling(long) == pytest.approx(theirs.loglikelihood_rolling(long), rel=1e-5)


def test_a_group_has_the_problems_of_its_tasks_and_no_seed_leaks(
    store: Store, base: Artifact, tasks: Path
) -> None:
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()
    one = replace(benchmark(tasks, "choices", metric="acc", limit=2), groups=None)
    made = verdicts(store, base, one)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert verdicts(store, base, one).made == made.made, "found again"
    with pytest.raises(UserError, match="both: words: filter=None: choose one of strict, whole"):
        verdicts(store, base, benchmark(tasks, "both", metric="acc"))


def test_what_a_task_does_not_say_is_asked_for(store: Store, base: Artifact, tasks: Path) -> None:
    for chosen, said in (
        ({}, "choices: metric=None: choose one of acc, acc_norm"),
        ({"metric": "f1"}, "metric=f1: choose one of acc, acc_norm"),
        ({"metric": "acc", "filter": "strict"}, "filter=strict: choose one of none"),
    ):
        with pytest.raises(UserError, match=said):
            verdicts(store, base, benchmark(tasks, "choices", **chosen))
    with pytest.raises(UserError, match="task=chioces: no task of"):
        verdicts(store, base, benchmark(tasks, "chioces"))
    may_allow_code(trusted=False)
    try:
        with pytest.raises(UserError, match="nobody has said that they may run"):
            load_benchmark(store, "new", benchmark(tasks, "choices", metric="acc"))
    finally:
        may_allow_code()


def test_a_trial_measures_a_task_beside_its_benchmark(tasks: Path, tmp_path: Path) -> None:
    own = {"task": "choices", "path": tasks, "metric": "acc", "limit": 3, "max_tokens": 16}
    config = compose(
        ["model=mini_s", "model.pretrain.tokens=20000", "track=none", "select.size=0",
         "data.miniature.per_level=20", "eval.benchmarks.mini.miniature.per_level=1",
         "eval.benchmarks.mini.max_tokens=4", f"paths.artifacts={tmp_path}/store",
         "+eval/set@eval.benchmarks.kept=lm_eval", "+eval/decoding@eval.benchmarks.kept=greedy",
         *(f"eval.benchmarks.kept.{key}={value}" for key, value in own.items())],
    )  # fmt: skip
    metrics = run_trial(config, tmp_path / "trial", TrialLabels("test", {}, "cell"))
    assert set(metrics["scores"]) == {"mini", "mini/easy", "mini/medium", "mini/hard", "kept"}
    assert metrics["scores"]["kept"]["problems"] == 3
    verdicts = pl.read_parquet(tmp_path / "trial" / "verdicts.parquet").filter(benchmark="kept")
    assert metrics["scores"]["kept"]["accuracy"] == pytest.approx(verdicts["score"].mean())
    texts = pl.read_parquet(tmp_path / "trial" / "completions.parquet").filter(benchmark="kept")
    assert texts["problem"].to_list() == ["0", "1", "2"]
    assert {"benchmark/kept", "lm_eval/kept"} <= set(metrics["artifacts"])
    assert str(tasks) in metrics["inputs"]["files"]
