"""Log-likelihoods of given texts: the same as transformers computes for each text alone."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.generate import likelihood as module
from limo_ablate.model.generate.likelihood import Pair, Scored, Scorer, likelihood
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.load import load_tokenizer
from tests.tiny_models import ARCHITECTURE, CPU, SCRATCH, made_base, sums

SYSTEM = "Add the numbers."


def alone(base: Artifact, context: list[int], text: list[int]) -> tuple[float, bool]:
    """As transformers computes it: one text, no packing, logits of all positions."""
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([[*context, *text]])).logits[0]
    values = log_softmax(logits[len(context) - 1 : -1].double(), -1)
    own = values[range(len(text)), text]
    return float(own.sum()), bool((values.argmax(-1) == torch.tensor(text)).all())


def texts(base: Artifact) -> list[Pair]:
    tokenizer, rows = load_tokenizer(base.path), sums(7)
    encoded = (tokenizer(rows[name].to_list())["input_ids"] for name in ("text", "response"))
    return list(zip(*encoded, strict=True))


@pytest.mark.parametrize("tokens", [10, 150, 10_000])
def test_packed_texts_have_the_likelihood_that_each_has_alone(
    base: Artifact, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = texts(base)
    scorer = Scorer(str(base.path), CPU)
    scorer._tokens = tokens
    scored = dict(scorer.score(pairs))
    assert len(scored) == len(pairs)
    for number, (context, text) in enumerate(pairs):
        value, greedy = alone(base, context, text)
        assert scored[number].log_likelihood == pytest.approx(value, abs=1e-5 * len(text))
        assert scored[number].greedy == greedy


def test_logits_in_chunks_are_the_same(base: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = texts(base)
    whole = dict(Scorer(str(base.path), CPU).score(pairs))
    monkeypatch.setattr("limo_ablate.model.train.loss.LOGITS_BYTES", 4 * 270 * 3)
    chunked = dict(Scorer(str(base.path), CPU).score(pairs))
    for number, scored in whole.items():
        assert chunked[number].log_likelihood == pytest.approx(scored.log_likelihood, abs=1e-4)


def test_the_most_likely_tokens_are_greedy(base: Artifact) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    text = model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False)[0, 3:].tolist()
    scored = dict(Scorer(str(base.path), CPU).score([([5, 6, 7], text), ([5, 6, 7], [*text[:-1], 9])]))
    assert [scored[0].greedy, scored[1].greedy] == [True, text[-1] == 9]


def test_a_likelihood_that_is_not_finite_ends_the_trial(
    base: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(str(base.path), CPU)
    with torch.no_grad():
        next(scorer._model.parameters()).fill_(torch.nan)
    with pytest.raises(TrialFailure, match=r"eval\.likelihood: .* no finite log-likelihood"):
        list(scorer.score(texts(base)))


def made_solutions(store: Store) -> Artifact:
    rows = sums(7).select("problem", "text", solution="response")
    return store.build("solutions", {"of": "sums"}, lambda f: rows.write_parquet(f / "solutions.parquet"))


def test_a_solution_is_scored_as_it_is_trained_on(store: Store, base: Artifact) -> None:
    solutions = made_solutions(store)
    scorer = Scorer(model_path(base), CPU)
    table = pl.read_parquet(likelihood(store, solutions, base, scorer, SYSTEM).path / module.TABLE)
    tokenizer = load_tokenizer(base.path)
    for row, (text, solution) in zip(
        table.iter_rows(named=True), sums(7).select("text", "response").rows(), strict=True
    ):
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        context, answer = (tokenizer.encode(one, add_special_tokens=False) for one in (prompt, solution))
        answer = [*answer, tokenizer.eos_token_id]
        assert row["solution_tokens"] == len(answer)
        value, _ = alone(base, context, answer)
        assert row["log_likelihood"] / len(answer) == pytest.approx(value / len(answer), abs=1e-5)


def test_a_solution_beyond_the_context_has_none(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    small = made_base(store, replace(SCRATCH, architecture=replace(ARCHITECTURE, context=70)))
    scorer = Scorer(model_path(small), CPU)
    table = pl.read_parquet(likelihood(store, made_solutions(store), small, scorer, None).path / module.TABLE)
    missing = table["log_likelihood"].null_count()
    assert 0 < missing < 7
    assert f"{missing} gold solutions longer than the model's context" in caplog.text
    assert table["solution_tokens"].null_count() == 0


def test_an_interrupted_pass_scores_only_what_is_missing(
    tmp_path: Path, base: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Scorer):
        def _pass(self, pairs: list[Pair]) -> list[Scored]:
            passes.append(len(pairs))
            if len(passes) == 2:
                raise KeyboardInterrupt
            return super()._pass(pairs)

    store, whole, passes = Store(tmp_path), Scorer(model_path(base), CPU), []
    solutions = made_solutions(store)
    scorer = Interrupted(model_path(base), CPU)
    scorer._tokens = 150
    with pytest.raises(KeyboardInterrupt):
        likelihood(store, solutions, base, scorer, None)
    (done,) = tmp_path.glob("likelihood/*.partial/done.jsonl")
    assert len(done.read_text().splitlines()) == passes[0]
    done.write_bytes(done.read_bytes() + b"[6, -1")  # cut short by a kill
    passes[:] = [0, 0]
    resumed = pl.read_parquet(likelihood(store, solutions, base, scorer, None).path / module.TABLE)
    assert sum(passes) < 7
    fresh = likelihood(Store(tmp_path / "other"), solutions, base, whole, None)
    expected = pl.read_parquet(fresh.path / module.TABLE)
    assert resumed["log_likelihood"].to_list() == pytest.approx(
        expected["log_likelihood"].to_list(), abs=1e-4
    )
    assert [file.name for file in fresh.path.iterdir() if file.suffix == ".jsonl"] == []


def test_where_memory_runs_out_passes_are_smaller(base: Artifact) -> None:
    class Small(Scorer):
        def _pass(self, pairs: list[Pair]) -> list[Scored]:
            if len(pairs) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._pass(pairs)

    pairs, most = texts(base), 2
    expected = dict(Scorer(str(base.path), CPU).score(pairs))
    found = dict(Small(str(base.path), CPU).score(pairs))
    for number, scored in expected.items():
        assert found[number].log_likelihood == pytest.approx(scored.log_likelihood, abs=1e-4)
    most = 0
    with pytest.raises(TrialFailure, match="not even one text can be scored"):
        dict(Small(str(base.path), CPU).score(pairs))
