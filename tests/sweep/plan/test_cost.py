"""Forecasts: arithmetic that scales as it must, and corrections that come near what trials really take."""

import itertools
import math
import random
from dataclasses import replace
from pathlib import Path

from limo_ablate.sweep.plan.cost import Costs, FinishedTrial, shape_of
from limo_ablate.sweep.plan.work import StageSeconds, prior, problem_count, steps_and_tokens
from limo_ablate.trial.compose import compose, compose_trials
from limo_ablate.trial.config import TrialConfig

SIZES, MODELS = (0, 4, 16, 64, 256), ("mini_s", "mini_m")


def _config(*overrides: str) -> TrialConfig:
    return compose(["track=none", *overrides])


def _seconds(*overrides: str) -> float:
    return Costs().forecast(_config(*overrides)).seconds


def test_the_paper_s_setting_is_priced_from_public_figures() -> None:
    """6 x 32.8e9 x 800 x 15 x 8192 operations, a third more by checkpointing: at 40 % MFU of 8 GPUs 2.3 h."""
    price = Costs().forecast(_config("experiment=limo_v3"))
    assert price.devices == 8
    assert 3600 * 2.3 < price.seconds < 3600 * 6
    assert price.spread > math.log(2)


def test_work_grows_with_what_makes_it() -> None:
    paper = ("experiment=limo_v3", "hardware=fsdp2")
    base = _seconds(*paper)
    assert _seconds(*paper, "model=qwen2_5_7b") < base / 2
    assert _seconds(*paper, "select.size=400") < base < _seconds(*paper, "eval=sober")
    assert _seconds(*paper, "train=lora") < base
    assert _seconds(*paper, "hardware.processes=16") < base
    assert _seconds(*paper, "select.size=0") < base / 2


def test_a_budget_of_training_is_steps_epochs_or_tokens() -> None:
    rows = 0.5 * 512
    by_steps = steps_and_tokens(_config("train.steps=10", "select.size=64"))
    by_epochs = steps_and_tokens(_config("train.steps=null", "train.epochs=2", "select.size=64"))
    by_tokens = steps_and_tokens(_config("train.steps=null", "train.tokens=4096", "select.size=64"))
    assert by_steps == (10, 80 * rows)
    assert by_epochs == (16, 128 * rows)
    assert by_tokens == (2, 4096.0)


def test_problems_are_counted_where_they_can_be(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"problem": "1+1", "answer": "2"}\n' * 7 + "\n")
    (tmp_path / "own.json").write_text('[{"problem": "1+1"}, {"problem": "1+2"}]')
    own = _config("eval=jsonl", "eval.benchmarks.own.path=" + str(tmp_path / "own.jsonl")).eval.benchmarks[
        "own"
    ]
    assert problem_count(own) == 7
    assert problem_count(replace(own, limit=3)) == 3
    assert problem_count(replace(own, path=str(tmp_path / "own.json"))) == 2
    assert problem_count(replace(own, path="not/there", items=55)) == 55
    assert problem_count(_config().eval.benchmarks["mini"]) == 180
    assert problem_count(_config("eval=math500").eval.benchmarks["math500"]) == 500


def _history(noise: float, seed: int) -> list[FinishedTrial]:
    """Trials of a machine that trains slower than assumed, decodes slower still, and L5 takes twice L1."""
    draw = random.Random(seed)
    points = list(itertools.product(SIZES, {"L1": 1.0, "L3": 1.4, "L5": 2.0}.items(), MODELS))
    asked = [
        ["track=none", f"select.size={size}", f"select.quality={tier}", f"model={model}"]
        for size, (tier, _), model in points
    ]
    trials = []
    for (_, (_, longer), _), config in zip(points, compose_trials(asked), strict=True):
        before = prior(config, shape_of(config.model))
        off = [factor * math.exp(draw.gauss(0, noise)) for factor in (2.5 * longer, 6 * longer, 1.5)]
        took = StageSeconds(before.train * off[0], before.generate * off[1], before.rest * off[2])
        trials.append(FinishedTrial(config, took))
    draw.shuffle(trials)
    return trials


def _errors(costs: Costs, trials: list[FinishedTrial]) -> list[float]:
    return [abs(math.log(costs.forecast(trial.config).seconds / trial.took.total)) for trial in trials]


def test_after_ten_trials_the_others_are_forecast() -> None:
    trials = _history(noise=0.1, seed=0)
    costs = Costs()
    before = sorted(_errors(costs, trials[10:]))
    costs.fit(trials[:10])
    after = sorted(_errors(costs, trials[10:]))
    middle = len(after) // 2
    assert before[middle] > math.log(2)
    assert after[middle] < math.log(1.3)
    assert costs.learnt == 10
    costs.fit(trials[:24])
    later = sorted(_errors(costs, trials[24:]))
    assert later[-1] < math.log(1.6)


def test_the_spread_says_how_sure_a_forecast_is() -> None:
    trials = _history(noise=0.2, seed=1)
    costs = Costs()
    blind = costs.forecast(trials[-1].config).spread
    costs.fit(trials[:20])
    seen, unseen = (
        costs.forecast(_config("select.size=64", f"model={model}")) for model in ("mini_s", "mini_l")
    )
    assert seen.spread < unseen.spread < blind
    inside = [
        error < costs.forecast(t.config).spread
        for error, t in zip(_errors(costs, trials[20:]), trials[20:], strict=True)
    ]
    assert sum(inside) >= len(inside) / 2


def test_stages_that_were_found_teach_nothing() -> None:
    trial = _config("select.size=64")
    costs = Costs()
    costs.fit([FinishedTrial(trial, StageSeconds(train=0.01, generate=0.02, rest=0.5))] * 5)
    before, after = prior(trial, shape_of(trial.model)), costs.forecast(trial)
    assert after.seconds > (before.train + before.generate) / 10
