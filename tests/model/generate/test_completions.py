import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.completions import GenerationRequest, completions, generation_request
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Request
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.model.train.chat import ChatEncoder
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.trial.evaluate.config import BenchmarkConfig, EvalConfig
from tests.conftest import ROOT
from tests.tiny_models import CPU, hub_model, made_base, sums
from tests.waiting import PATIENCE

SAMPLED = BenchmarkConfig(source="file", samples=3, temperature=1.0, top_p=1.0, max_tokens=12)
GREEDY = replace(SAMPLED, samples=1, temperature=0.0)
EVAL = EvalConfig(benchmarks={}, engine="transformers", batch_size=4, system_prompt="Think.", seed=0)
DIE = """
import os, signal, sys
from limo_ablate.core.artifacts import Store
from limo_ablate.model.generate.completion_cache import CompletionCache
from tests.model.generate.test_completions import completed

add, count = CompletionCache.add, 0

def add_twelve(self, request, text):
    global count
    add(self, request, text)
    count += 1
    if count == 12:
        os.kill(os.getpid(), signal.SIGKILL)

CompletionCache.add = add_twelve
completed(Store(sys.argv[1]))
"""
"""Generates the default completions and is killed at 12 of 15."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[list[Request]]:
    """What each pass asks the engine for."""
    passes: list[list[Request]] = []
    generate = TransformersEngine.generate

    def counted(self: TransformersEngine, requests: list[Request]) -> Iterator[Completed]:
        passes.append(requests)
        return generate(self, requests)

    monkeypatch.setattr(TransformersEngine, "generate", counted)
    return passes


def made_problems(store: Store, count: int = 5) -> Artifact:
    table = sums(count).select(id="problem", text="text", gold="gold", source=pl.lit("sums"))
    return store.build(
        "benchmark", {"sums": count}, lambda folder: table.write_parquet(folder / "problems.parquet")
    )


def ask(store: Store, how: BenchmarkConfig = SAMPLED, seed: int = 0, count: int = 5) -> GenerationRequest:
    return generation_request(made_problems(store, count), how, "Think.", seed)


def completed(
    store: Store, *wanted: GenerationRequest, settings: EvalConfig = EVAL, hardware: HardwareConfig = CPU
) -> list[Artifact]:
    """Of the asked, named b0, b1, ..."""
    named = {f"b{number}": one for number, one in enumerate(wanted or (ask(store),))}
    return list(completions(store, made_base(store), named, settings, hardware).values())


def table(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "completions.parquet")


def test_the_table_is_as_the_contract_says(store: Store) -> None:
    rows = table(*completed(store))
    assert rows.columns == [
        "benchmark", "problem", "sample", "prompt", "completion", "tokens", "finish", "loops",
    ]  # fmt: skip
    assert rows["problem"].to_list() == [f"p{n}" for n in range(5) for _ in range(3)]
    assert rows["sample"].to_list() == [0, 1, 2] * 5
    tokenizer = load_tokenizer(model_path(made_base(store)))
    prompts = ChatEncoder(tokenizer).prompts(sums(5)["text"].to_list(), "Think.")
    assert rows["prompt"][::3].to_list() == [prompt.text for prompt in prompts]
    assert rows["tokens"].max() == 12
    assert set(rows["finish"]) <= {"stop", "length"}
    assert not rows["completion"].str.contains("<|im_end|>", literal=True).any()


def test_more_samples_and_more_problems_ask_for_what_is_missing(
    store: Store, tmp_path: Path, generated: list[list[Request]]
) -> None:
    more = replace(SAMPLED, samples=5)
    completed(store)
    grown = [*completed(store, ask(store, more)), *completed(store, ask(store, more, count=7))]
    assert [len(requests) for requests in generated] == [15, 10, 10]
    assert {r.sample for r in generated[1]} == {3, 4}
    assert {r.problem for r in generated[2]} == {"p5", "p6"}
    other = Store(tmp_path / "at once")
    for artifact, count in zip(grown, (5, 7), strict=True):
        (whole,) = completed(other, ask(other, more, count=count))
        assert whole.digest == artifact.digest, "the bytes don't depend on what was drawn when"


def test_benchmarks_share_a_pass_and_what_was_drawn(
    store: Store, tmp_path: Path, generated: list[list[Request]]
) -> None:
    """Three ways to sample, one of them asked for by two benchmarks, in one call of the engine."""
    wanted = (ask(store), ask(store, GREEDY), ask(store, replace(SAMPLED, max_tokens=7)), ask(store))
    together = [table(artifact) for artifact in completed(store, *wanted)]
    assert [len(requests) for requests in generated] == [15 + 5 + 15]
    for number, one in enumerate(wanted):
        alone = Store(tmp_path / f"alone{number}")
        (rows,) = completed(alone, replace(one, problems=made_problems(alone)))
        assert rows.stage == "completions"
        assert table(rows).drop("benchmark").equals(together[number].drop("benchmark"))


def test_after_kill_9_only_what_was_in_flight_is_generated_again(
    store: Store, tmp_path: Path, generated: list[list[Request]]
) -> None:
    (whole,) = completed(Store(tmp_path / "whole"))
    killed = subprocess.run([sys.executable, "-c", DIE, str(store.root)], cwd=ROOT, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    (lines,) = (store.root / "drawn").glob("*.jsonl")
    assert len(lines.read_text().splitlines()) == 12
    with lines.open("a") as half:
        half.write('{"problem": "p')  # as a kill in the middle of a write leaves it
    scratch_dir = lines.with_suffix(".scratch")
    scratch_dir.mkdir()  # of its replicas
    (resumed,) = completed(store)
    assert not scratch_dir.exists()
    assert [len(requests) for requests in generated] == [15, 3]
    assert resumed.digest == whole.digest
    assert len([json.loads(line) for line in lines.read_text().splitlines()]) == 15


def test_every_line_is_on_disk_before_the_next_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    generate = TransformersEngine.generate

    def watched(self: TransformersEngine, requests: list[Request]) -> Iterator[Completed]:
        for done in generate(self, requests):
            yield done
            (lines,) = (store.root / "drawn").glob("*.jsonl")
            seen.append(len([json.loads(line) for line in lines.read_text().splitlines()]))

    monkeypatch.setattr(TransformersEngine, "generate", watched)
    completed(store)
    assert seen == list(range(1, 16))


def test_what_is_there_needs_no_model(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(store)
    (artifact,) = completed(store)
    shutil.rmtree(artifact.path)
    monkeypatch.setattr(TransformersEngine, "generate", None)
    assert completed(store)[0].digest == artifact.digest


def test_the_seed_counts_only_where_something_is_drawn(store: Store) -> None:
    one, two = ask(store, replace(GREEDY, top_p=0.9)), ask(store, GREEDY, seed=1)
    assert completed(store, one) == completed(store, two)
    (first,), (second,) = completed(store), completed(store, ask(store, seed=1))
    assert table(first)["completion"].to_list() != table(second)["completion"].to_list()


def test_how_many_are_decoded_together_is_in_no_key(store: Store, tmp_path: Path) -> None:
    wide = replace(EVAL, batch_size=64)
    (narrow,) = completed(store)
    assert completed(store, settings=wide) == [narrow]
    (other,) = completed(Store(tmp_path / "other"), settings=wide)
    assert other.digest == narrow.digest


def test_a_raw_prompt_is_the_text_itself(store: Store) -> None:
    raw = replace(ask(store, GREEDY), raw=True)
    assert table(*completed(store, raw))["prompt"].to_list() == sums(5)["text"].to_list()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed(store: Store) -> None:
    with pytest.raises(UserError, match=r"hardware=gpu1 needs 1 GPU\(s\), 0 are visible"):
        completed(store, hardware=replace(CPU, name="gpu1", device="cuda"))


def test_bfloat16_generates(store: Store) -> None:
    (half,) = completed(store, ask(store, GREEDY), hardware=replace(CPU, precision="bf16"))
    assert [half] != completed(store, ask(store, GREEDY))
    assert table(half)["tokens"].min() > 0


def test_models_with_sliding_windows_are_refused(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "windowed"
    shutil.copytree(made_base(store).path, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["sliding_attention"] * 2}
    (folder / "config.json").write_text(json.dumps(config))
    base = base_model(store, hub_model(folder), None)
    with pytest.raises(UserError, match="full attention only"):
        completions(store, base, {"b": ask(store, GREEDY)}, EVAL, CPU)
