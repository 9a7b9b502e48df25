"""The contamination probe catches a model that was trained on the benchmark, and not the base."""

from pathlib import Path

import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import write_options
from limo_ablate.model.generate.completions import GenerationRequest, completions
from limo_ablate.model.generate.engine import Sampling
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.trial.evaluate.config import EvalConfig, ProbeConfig
from limo_ablate.trial.evaluate.probe import _compared, openings, probe_scores, probed, rouge_l
from tests.tiny_models import CPU, hub_model, made_base

PROBE = ProbeConfig(share=0.6, max_tokens=60)
ENGINE = EvalConfig(benchmarks={}, engine="transformers", batch_size=4, system_prompt=None, seed=0)
TEXTS = {
    "a": "A goat walks nine miles north, rests, then walks two miles east. How far?",
    "b": "Find the least odd number that divides both 91 and 119 exactly.",
    "c": "Seven friends share forty tarts; two want none. How many each?",
}


def benchmark(store: Store, texts: dict[str, str]) -> Artifact:
    table = pl.DataFrame({"id": list(texts), "text": list(texts.values())})
    return store.build("benchmark", texts, lambda folder: table.write_parquet(folder / "problems.parquet"))


def learnt_by_heart(base: Artifact, folder: Path) -> None:
    """A copy of the base that has read the texts, as a pre-training would have it."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(model_path(base))
    model = load_model(model_path(base), dtype="float32", attention="sdpa", device="cpu").train()
    texts = [torch.tensor([tokenizer.encode(text, add_special_tokens=False)]) for text in TEXTS.values()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = sum(model(input_ids=ids, labels=ids).loss for ids in texts)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def probe(store: Store, model: Artifact) -> pl.DataFrame:
    begun = openings(store, "b", PROBE, benchmark(store, TEXTS))
    greedy = Sampling(0.0, 1.0, PROBE.max_tokens, 0)
    wanted = {
        "probe/b": GenerationRequest(problems=begun, samples=1, sampling=greedy, system_prompt=None, raw=True)
    }
    texts = completions(store, model, wanted, ENGINE, CPU)["probe/b"]
    return pl.read_parquet(probed(store, begun, texts).path / "probed.parquet")


@pytest.mark.slow
def test_who_was_trained_on_the_problems_is_caught(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = made_base(store)
    learnt_by_heart(base, tmp_path / "contaminated")
    contaminated = base_model(store, hub_model(tmp_path / "contaminated"), None)
    caught, clean = probe(store, contaminated), probe(store, base)
    assert probe_scores(caught) == {"probe_exact": 1.0, "probe_rouge": 1.0}
    assert probe_scores(clean)["probe_exact"] == 0
    assert probe_scores(clean)["probe_rouge"] < 0.2
    assert caught.row(1, named=True)["opening"] == "Find the least odd number that divides"
    assert caught.row(1, named=True)["rest"] == "both 91 and 119 exactly."


def test_a_problem_of_one_word_is_left_out_and_chinese_is_cut_by_characters(tmp_path: Path) -> None:
    made = openings(Store(tmp_path), "b", PROBE, benchmark(Store(tmp_path), {"a": "x", "b": "计算一加一"}))
    rows = pl.read_parquet(made.path / "problems.parquet").rows()
    assert rows == [("b", "计算一", "加一")]
    with pytest.raises(UserError, match="each problem of b has a single word"):
        openings(Store(tmp_path), "b", PROBE, benchmark(Store(tmp_path), {"a": "x"}))


def test_shuffled_options_are_not_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def make(folder: Path) -> None:
        pl.DataFrame({"id": ["a"], "text": ["One two?\n\nA. 1\nB. 2"]}).write_parquet(
            folder / "problems.parquet"
        )
        write_options(folder, {"a": {"question": "One two?", "options": {"A": "1", "B": "2"}}})

    made = openings(store, "b", PROBE, store.build("benchmark", {}, make))
    assert pl.read_parquet(made.path / "problems.parquet").rows() == [("a", "One", "two?")]


def test_a_rest_is_completed_word_by_word() -> None:
    assert _compared("both 91 and 119.", " both 91  and\n119. What else?") == (True, 1.0)
    assert _compared("both ways.", " both ways.And so on") == (True, 1.0)
    assert not _compared("is 11", " is 119.")[0]
    assert _compared("加一", "加一等于") == (True, 1.0)
    assert _compared("is 11", "") == (False, 0.0)


def test_rouge_l_by_hand() -> None:
    """The longest common subsequence of a b c d and a x c is a c: 2 * 2 / (4 + 3)."""
    assert rouge_l("abcd", "axc") == pytest.approx(4 / 7)
    assert rouge_l("abcd", "abcd") == 1
    assert rouge_l("abcd", "") == 0
