import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import BenchmarkConfig, EvalConfig
from limo_ablate.errors import UserError
from limo_ablate.generate import completions
from limo_ablate.generate.decoding import TransformersEngine
from limo_ablate.train import base_model, model_path
from limo_ablate.train.load import load_tokenizer
from limo_ablate.train.tokens import prompt_texts
from tests.tiny_models import CPU, hub_model, made_base, sums

SAMPLED = BenchmarkConfig(source="file", samples=3, temperature=1.0, top_p=1.0, max_tokens=12)
GREEDY = replace(SAMPLED, samples=1, temperature=0.0)
EVAL = EvalConfig(benchmarks={}, engine="transformers", batch_size=4, system_prompt="Think.", seed=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def made_problems(store: Store) -> Artifact:
    table = sums(5).select(id="problem", text="text", gold="gold", source=pl.lit("sums"))
    return store.build(
        "benchmark", 1, {"test": "sums"}, lambda folder: table.write_parquet(folder / "problems.parquet")
    )


def generated(store: Store, benchmark: BenchmarkConfig = SAMPLED, evaluation: EvalConfig = EVAL) -> Artifact:
    return completions(store, made_base(store), made_problems(store), "sums", benchmark, evaluation, CPU)


def table(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "completions.parquet")


def test_the_table_is_as_the_contract_says(store: Store) -> None:
    rows = table(generated(store))
    assert rows.columns == ["benchmark", "problem", "sample", "prompt", "completion", "tokens", "finish"]
    assert rows["problem"].to_list() == [f"p{n}" for n in range(5) for _ in range(3)]
    assert rows["sample"].to_list() == [0, 1, 2] * 5
    tokenizer = load_tokenizer(model_path(made_base(store)))
    assert rows["prompt"][::3].to_list() == prompt_texts(tokenizer, sums(5)["text"].to_list(), "Think.")
    assert rows["tokens"].max() == 12
    assert set(rows["finish"]) <= {"stop", "length"}
    assert not rows["completion"].str.contains("<|im_end|>", literal=True).any()


def test_an_interrupted_stage_asks_only_for_what_is_missing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = table(generated(Store(tmp_path / "whole")))
    asked: list[int] = []
    generate = TransformersEngine.generate

    def die_after_seven(self: TransformersEngine, requests: list, sampling: object):
        asked.append(len(requests))
        for number, done in enumerate(generate(self, requests, sampling)):
            if number == 7 and len(asked) == 1:
                raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(TransformersEngine, "generate", die_after_seven)
    with pytest.raises(KeyboardInterrupt):
        generated(store)
    (lines,) = (store.root / "completions").glob("*.partial/completions.jsonl")
    assert len(lines.read_text().splitlines()) == 7
    with lines.open("a") as half:
        half.write('{"problem": "p')  # as kill -9 in the middle of a write leaves it
    resumed = generated(store)
    assert asked == [15, 8]
    assert table(resumed).equals(whole)
    assert {file.name for file in resumed.path.iterdir()} == {"completions.parquet", "artifact.json"}


def test_the_seed_counts_only_where_something_is_drawn(store: Store) -> None:
    other = replace(EVAL, seed=1)
    assert generated(store, GREEDY) == generated(store, GREEDY, other)
    one, two = table(generated(store)), table(generated(store, SAMPLED, other))
    assert one["completion"].to_list() != two["completion"].to_list()


def test_how_many_are_decoded_together_is_in_no_key(store: Store, tmp_path: Path) -> None:
    wide = replace(EVAL, batch_size=64)
    assert generated(store, SAMPLED, wide) == generated(store)
    assert table(generated(Store(tmp_path / "other"), SAMPLED, wide)).equals(table(generated(store)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed(store: Store) -> None:
    with pytest.raises(UserError, match="hardware=gpu1 wants a GPU"):
        completions(
            store, made_base(store), made_problems(store), "sums", GREEDY, EVAL,
            replace(CPU, name="gpu1", device="cuda"),
        )  # fmt: skip


def test_bfloat16_generates(store: Store) -> None:
    half = completions(
        store, made_base(store), made_problems(store), "sums", GREEDY, EVAL, replace(CPU, precision="bf16")
    )
    assert half != generated(store, GREEDY)
    assert table(half)["tokens"].min() > 0


def test_models_with_sliding_windows_are_refused(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "windowed"
    shutil.copytree(made_base(store).path, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["sliding_attention"] * 2}
    (folder / "config.json").write_text(json.dumps(config))
    base = base_model(store, hub_model(folder), None)
    with pytest.raises(UserError, match="full attention only"):
        completions(store, base, made_problems(store), "sums", GREEDY, EVAL, CPU)


def test_every_line_is_on_disk_before_the_next_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    generate = TransformersEngine.generate

    def watched(self: TransformersEngine, requests: list, sampling: object):
        for done in generate(self, requests, sampling):
            yield done
            (lines,) = (store.root / "completions").glob("*.partial/completions.jsonl")
            seen.append(len([json.loads(line) for line in lines.read_text().splitlines()]))

    monkeypatch.setattr(TransformersEngine, "generate", watched)
    generated(store)
    assert seen == list(range(1, 16))
