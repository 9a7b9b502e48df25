"""Both forward passes (Qwen2's own, and transformers') against `model.generate`."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM
from transformers.cache_utils import DynamicCache

from limo_ablate.model.generate import batch, decoding
from limo_ablate.model.generate.batch import of_like_length
from limo_ablate.model.generate.cache import SlotCache
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Request, Sampling
from limo_ablate.model.train.load import load_model

STOP = 7
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=24, seed=0)
SAMPLED = replace(GREEDY, temperature=1.0, top_p=0.9)


@pytest.fixture(scope="module", params=["plain", "grouped heads"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    """A random Qwen2 that was saved in the hub's format and loaded again."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2 if request.param == "grouped heads" else 4, max_position_embeddings=64,
        initializer_range=0.4, bos_token_id=None, eos_token_id=STOP, pad_token_id=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    network = Qwen2ForCausalLM(config)
    for projection in ("q_proj", "k_proj", "v_proj"):
        for layer in network.model.layers:
            torch.nn.init.normal_(getattr(layer.self_attn, projection).bias, std=0.5)
    network.save_pretrained(folder)
    return load_model(folder, dtype="float32", attention="sdpa", device="cpu")


def requests(count: int = 11, samples: int = 1, sampling: Sampling = GREEDY) -> list[Request]:
    """Prompts of 1 to 9 tokens."""
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(8, 40, (1 + n % 9,), generator=generator).tolist() for n in range(count)]
    return [Request(f"p{n}", s, "", ids, sampling) for n, ids in enumerate(prompts) for s in range(samples)]


def completed(
    model: PreTrainedModel, wanted: list[Request], batch_size: int
) -> dict[tuple[str, int], Completed]:
    """By problem and sample."""
    done = list(TransformersEngine(model, {STOP}, batch_size).generate(wanted))
    by_request = {(one.request.problem, one.request.sample): one for one in done}
    assert len(by_request) == len(done) == len(wanted), "each request is answered once"
    return by_request


def generated(model: PreTrainedModel, request: Request, limit: int) -> list[int]:
    prompt = torch.tensor([request.ids])
    settings: dict[str, Any] = {"max_new_tokens": limit, "do_sample": False, "attention_mask": prompt * 0 + 1}
    return list(model.generate(prompt, **settings)[0, len(request.ids) :])


def test_both_forward_passes_give_the_same_logits(model: PreTrainedModel) -> None:
    """Three sequences that began at different times, one of which has moved to another slot."""
    whole = torch.randint(8, 40, (3, 14), generator=torch.Generator().manual_seed(2))
    expected = model(whole).logits
    for step in (decoding.Qwen2Step(model), decoding.ModelStep(model)):
        cache, count = SlotCache(4, model.device), torch.tensor([2, 5, 3, 3])
        cache.fill([0, 1], prefilled(model, whole[:2, :5]), [0, 1], [2, 5])
        rows = torch.tensor([0, 1, 2, 2])
        for place in range(8):
            if place == 3:
                cache.fill([2, 3], prefilled(model, whole[2:, :3]), [0, 0], [3, 3])
                count[2:] = 3
            if place == 6:
                cache.free(0)
                cache.keep([(3, 0)], 3)
                rows, count = rows[[3, 1, 2]], count[[3, 1, 2]]
            alive = range(2) if place < 3 else range(cache.slots)
            logits = step(whole[rows, count], count, cache)
            cache.advance()
            for slot in alive:
                right = expected[rows[slot], count[slot]]
                torch.testing.assert_close(logits[slot], right, atol=1e-4, rtol=1e-4)
            count = count + 1


def prefilled(model: PreTrainedModel, ids: torch.Tensor) -> DynamicCache:
    prompts = DynamicCache()
    model(ids, past_key_values=prompts, use_cache=True)
    return prompts


def test_a_longer_prompt_that_comes_later_changes_nothing(model: PreTrainedModel) -> None:
    """What it needs before the others' first tokens is not theirs to see."""
    short = [replace(r, sampling=replace(GREEDY, max_tokens=25)) for r in requests(9)]
    long = [Request("long", n, "", [9 + n] * 38, GREEDY) for n in range(2)]
    ours = completed(model, [*short, *long], 3)
    for request in [*short, *long]:
        assert ours[request.problem, request.sample].ids == generated(
            model, request, request.sampling.max_tokens
        )


def test_samples_of_a_prompt_are_prefilled_once(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefills: list[int] = []
    fill = SlotCache.fill

    def counted(self: SlotCache, slots: list[int], prompts: DynamicCache, *rest: Any) -> None:
        fill(self, slots, prompts, *rest)
        prefills.append(len(prompts.layers[0].keys))

    monkeypatch.setattr(SlotCache, "fill", counted)
    completed(model, requests(5, samples=6, sampling=SAMPLED), 30)
    assert prefills == [5]


def test_prompts_of_like_length_share_a_pass() -> None:
    prompts = [[8] * length for length in (9, 9, 8, 8, 5, 1)]
    assert [prompts[part] for part in of_like_length(prompts, 0.5)] == [
        prompts[:2],
        prompts[2:4],
        [[8] * 5],
        [[8]],
    ]
    assert [prompts[part] for part in of_like_length(prompts, 5)] == [prompts[:5], prompts[5:]]
    assert [prompts[part] for part in of_like_length(prompts, 100)] == [prompts]
    longest_first = [[9] * 4, *[[8] * 3] * 50]
    assert len(list(of_like_length(longest_first, 1))) == 1, "one row for all samples of a prompt"


def test_passes_of_their_own_give_the_same_tokens(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = requests(samples=2)
    together = completed(model, wanted, 8)
    monkeypatch.setitem(batch.PASS, "cpu", 0.0)
    apart = completed(model, wanted, 8)
    assert {key: one.ids for key, one in apart.items()} == {key: one.ids for key, one in together.items()}


def test_architectures_beside_qwen2_are_decoded_by_their_own_forward_pass(model: PreTrainedModel) -> None:
    assert decoding.Qwen2Step.fits(model)
    sliding = Qwen2Config(use_sliding_window=True, sliding_window=8, max_window_layers=0, num_hidden_layers=2)
    stretched = Qwen2Config(rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4})
    for config in (sliding, stretched):
        assert not decoding.Qwen2Step.fits(SimpleNamespace(config=config))
