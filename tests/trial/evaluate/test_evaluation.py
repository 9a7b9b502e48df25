"""Whole evaluations: a trial with everything switched on, and the base that all cells share."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade import verified
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Request
from limo_ablate.trial.compose import compose, compose_trials
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.run import run_trial
from limo_ablate.trial.show import other_scores
from limo_ablate.trial.stages import Stages
from limo_ablate.verify import Verdict, verify_many
from tests.trial.evaluate.test_protocols import PROTOCOLS

TINY = [
    "model=mini_s", "model.pretrain.tokens=20000", "track=none", "select.size=0",
    "data.miniature.per_level=2", "eval.benchmarks.mini.miniature.per_level=1",
    "eval.benchmarks.mini.max_tokens=32",
]  # fmt: skip
ALL = [
    "eval.probe={share: 0.6, max_tokens: 16}", "eval.rerun_batch_size=3",
    "eval/judge=qwen2_5_7b", "model@eval.judge.model=scratch", "eval.judge.model.architecture.width=32",
    "eval.judge.prompt='{problem} {gold} {answer}'", "eval.judge.max_tokens=4", "eval.judge.sample=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[list[Request]]:
    """What each pass asks the engine for."""
    passes: list[list[Request]] = []
    generate = TransformersEngine.generate

    def counted(self: TransformersEngine, requests: list[Request]) -> Iterator[Completed]:
        passes.append(list(requests))
        return generate(self, requests)

    monkeypatch.setattr(TransformersEngine, "generate", counted)
    return passes


def scores(store: Path, folder: Path, *overrides: str) -> dict:
    config = compose([*TINY, f"paths.artifacts={store}", *overrides])
    return run_trial(config, folder, TrialLabels("test", {}, "cell"))["scores"]


def answering(pairs: Iterable[tuple[str, str]], **options: Any) -> list[Verdict]:
    """The model has learned nothing: verdicts as if its completions stated an answer."""
    return verify_many([(f"{completion}\nThe answer is 7.", gold) for completion, gold in pairs], **options)


def test_judge_probe_and_second_pass_are_scores_of_their_own(
    store: Path, tmp_path: Path, asked_for: list[list[Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "verify_many", answering)
    plain = scores(store, tmp_path / "plain")
    made = scores(store, tmp_path / "all", *ALL)
    assert list(made) == list(plain)
    for name, score in plain.items():
        assert {key: made[name][key] for key in score} == pytest.approx(score, nan_ok=True)
        assert set(made[name]) - set(score) == {
            "decoding_sd", "flips", "probe_exact", "probe_rouge", "judged_accuracy", "judged_stderr",
            "judged", "judge_unreadable", "judge_agreement", "judge_sample",
        }  # fmt: skip
    assert made["mini"]["flips"] == made["mini"]["decoding_sd"] == 0  # one CPU thread rounds the same way
    passes = [len(requests) for requests in asked_for]
    assert passes[:3] == [9, 9, 9]  # the benchmark, its probe, a second pass
    tables = {path.stem: pl.read_parquet(path) for path in (tmp_path / "all").glob("*.parquet")}
    assert set(tables) == {"completions", "verdicts", "again", "probed", "judged"}
    assert all(set(table["benchmark"]) == {"mini"} for table in tables.values())
    assert tables["probed"].height == 9
    saved = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert {"completions/probe/mini", "probed/mini", "judged/mini", "base/judge"} <= set(saved["artifacts"])


def test_the_base_is_one_trial_for_all_cells_of_a_protocol() -> None:
    cells = (["select.quality=L1"], ["select.quality=L5", "select.order=score", "train.learning_rate=1"])
    keys = set()
    for protocol in PROTOCOLS:
        one, other = compose_trials([["select.size=0", f"eval={protocol}", *cell] for cell in cells])
        assert trial_key(one) == trial_key(other)
        keys.add(trial_key(one))
    assert len(keys) == len(PROTOCOLS)


def test_the_base_is_evaluated_once(store: Path, tmp_path: Path, asked_for: list[list[Request]]) -> None:
    one = scores(store, tmp_path / "a", "select.quality=L1", "eval.benchmarks.mini.max_tokens=20")
    other = scores(store, tmp_path / "b", "select.quality=L5", "eval.benchmarks.mini.max_tokens=20")
    assert one == other
    assert [len(requests) for requests in asked_for] == [9]


def test_several_samples_have_scores_of_their_own(store: Path, tmp_path: Path) -> None:
    sampled = [
        "eval.benchmarks.mini.samples=2",
        "eval.benchmarks.mini.temperature=1",
        "eval.rerun_batch_size=3",
    ]
    made = scores(store, tmp_path / "a", *sampled)
    assert {"pass@2", "pass@2_stderr", "maj@2", "maj@2_stderr", "decoding_sd"} <= set(made["mini/hard"])
    assert "flips" not in made["mini"]  # two samples differ by chance, not by rounding
    assert "pass@2" in other_scores(made["mini"])
    assert not (tmp_path / "a" / "again.parquet").exists()


def test_each_second_pass_is_one_of_its_own(
    store: Path, tmp_path: Path, asked_for: list[list[Request]]
) -> None:
    short = "eval.benchmarks.mini.max_tokens=5"
    for size in (1, 2, 1):
        scores(store, tmp_path / "a", short, f"eval.rerun_batch_size={size}")
    assert len(asked_for) == 1 + 2


def test_passes_that_ended_with_one_batch_size_measure_no_flips(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory ran out, both were halved to the same."""
    generate = Stages.generate

    def with_one_size(self: Stages, *args: Any) -> Any:
        made = generate(self, *args)
        self.batch_sizes.used |= dict.fromkeys(made, 1)
        return made

    monkeypatch.setattr(Stages, "generate", with_one_size)
    made = scores(store, tmp_path / "a", "eval.benchmarks.mini.max_tokens=5", "eval.rerun_batch_size=2")
    assert not {"flips", "decoding_sd"} & set(made["mini"])


def test_what_can_t_be_evaluated_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    kept = [f"paths.artifacts={tmp_path / 'store'}", "select.size=4"]
    missing = ["eval=jsonl", "eval.benchmarks.own.path=nowhere.jsonl"]
    for wrong, said in (
        (missing, "no such file: nowhere"),
        (["eval.engine=vllm"], "engine=vllm: vLLM is not installed"),
    ):
        with pytest.raises(UserError, match=said):
            run_trial(compose(["track=none", *kept, *wrong]), tmp_path, TrialLabels("test", {}, "cell"))
    assert not (tmp_path / "store" / "pool").exists()


@pytest.mark.parametrize(
    "wrong", ["samples=0", "samples=2", "temperature=-1", "top_p=0", "top_p=1.5", "max_tokens=0"]
)
def test_a_decoding_that_makes_no_sense_is_refused(wrong: str) -> None:
    key, _, value = wrong.partition("=")
    with pytest.raises(UserError, match=rf"^eval.benchmarks.mini.{key}={value}"):
        compose([f"eval.benchmarks.mini.{wrong}"])


def test_a_second_pass_with_the_same_batches_is_refused() -> None:
    with pytest.raises(UserError, match=r"eval.rerun_batch_size=180 must be 1 or more, and differ from"):
        compose(["eval.rerun_batch_size=180"])
