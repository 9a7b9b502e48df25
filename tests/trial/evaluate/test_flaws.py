"""What is wrong in LIMO's released evaluation code, and is not here: a test for each flaw."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.config import ChoicesConfig, FieldsConfig
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.model.generate.completions import completions, generation_request
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.model.train.chat import ChatEncoder
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.trial.compose import compose
from limo_ablate.trial.evaluate.config import BenchmarkConfig, EvalConfig
from limo_ablate.trial.evaluate.judge import parse
from limo_ablate.trial.evaluate.passes import passes
from tests.tiny_models import CPU, hub_model, made_base
from tests.trial.evaluate.tables import verdicts
from tests.trial.evaluate.test_protocols import TEN

ENGINE = EvalConfig(benchmarks={}, engine="transformers", batch_size=4, system_prompt=None, seed=0)


def benchmark(folder: Path, **given: object) -> BenchmarkConfig:
    """Twenty questions whose right option is always A, sampled twice."""
    options = "\n\nA. right\nB. wrong\nC. worse\nD. worst"
    rows = [{"question": f"Question {n}?{options}", "answer": "A"} for n in range(20)]
    folder.mkdir(exist_ok=True)
    (folder / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    how = {"samples": 2, "temperature": 1.0, "top_p": 1.0, "max_tokens": 6, **given}
    fields = FieldsConfig(problem="question", answer="answer")
    return BenchmarkConfig(source="file", path=str(folder / "b.jsonl"), fields=fields, **how)  # type: ignore[arg-type]


def texts(store: Store, model: Artifact, config: BenchmarkConfig, seed: int = 0) -> list[str]:
    ask = generation_request(load_benchmark(store, "b", config), config, None, seed)
    made = completions(store, model, {"b": ask}, ENGINE, CPU)["b"]
    return pl.read_parquet(made.path / "completions.parquet")["completion"].to_list()


def test_the_seed_reaches_the_sampler(tmp_path: Path) -> None:
    """LIMO: --seed is read and never handed to vLLM."""
    config = benchmark(tmp_path, limit=4)
    one, two = (Store(tmp_path / name) for name in ("one", "two"))
    assert texts(one, made_base(one), config) == texts(two, made_base(two), config)
    assert texts(one, made_base(one), config, seed=1) != texts(one, made_base(one), config)
    drawn = texts(one, made_base(one), config)
    assert drawn[0::2] != drawn[1::2]  # samples of a problem have seeds of their own


def test_accuracy_is_not_pass_at_n() -> None:
    """LIMO: "Acc" counts a problem as solved when any of its samples is right."""
    made = passes(verdicts({"a": "ciii", "b": "ciii"}))
    assert (made["accuracy"], made["pass@4"]) == (0.25, 1.0)


def test_the_judge_s_incorrect_is_not_correct() -> None:
    """LIMO: `"correct" in text.lower()`."""
    assert parse("The answer is\nincorrect") == "incorrect"
    assert parse("The answer is incorrect.") is None


def test_all_ten_sets_have_a_prompt(tmp_path: Path, shared: Path) -> None:
    """LIMO: the prompts of 4 of the 10 sets are not there."""
    config = compose(["experiment=limo_v3", f"paths.benchmarks={shared / 'limo-eval'}"]).eval
    tokenizer = load_tokenizer(model_path(made_base(Store(tmp_path))))
    assert list(config.benchmarks) == list(TEN)
    for name, given in config.benchmarks.items():
        problems = pl.read_parquet(load_benchmark(Store(tmp_path), name, given).path / "problems.parquet")
        prompts = ChatEncoder(tokenizer).prompts(problems["text"].to_list(), config.system_prompt)
        for text, prompt in zip(problems["text"], prompts, strict=True):
            assert text in prompt.text
            assert r"put your final answer within \boxed{}" in prompt.text


def test_options_are_shuffled(tmp_path: Path) -> None:
    """LIMO: the right option of GPQA is always A."""
    config = benchmark(tmp_path, choices=ChoicesConfig())
    problems = pl.read_parquet(load_benchmark(Store(tmp_path), "b", config).path / "problems.parquet")
    assert set(problems["gold"]) == set("ABCD")
    for text, gold in problems.select("text", "gold").iter_rows():
        assert f"\n{gold}. right" in text


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_retrained_model_never_gets_old_completions(tmp_path: Path, temperature: float) -> None:
    """LIMO: outputs are skipped by file name: another model under the same name reports the old scores."""
    store, folder = Store(tmp_path / "store"), tmp_path / "model"
    config = benchmark(tmp_path, limit=4, temperature=temperature, samples=1)
    base = made_base(store)
    model = load_model(model_path(base), dtype="float32", attention="sdpa", device="cpu")
    load_tokenizer(model_path(base)).save_pretrained(folder)
    model.save_pretrained(folder)
    before = texts(store, base_model(store, hub_model(folder), None), config)
    with torch.no_grad():
        model.model.norm.weight.neg_()
    model.save_pretrained(folder)
    assert texts(store, base_model(store, hub_model(folder), None), config) != before
