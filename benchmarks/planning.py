"""What planning costs, and how good its forecasts are.

    python benchmarks/planning.py                       # 10,000 cells: composing, keys, `limo-ablate plan`
    python benchmarks/planning.py --study STUDY.yaml [key=value ...]     # forecasts of a study that has run

Processor seconds, the best of three. The forecasts: some finished trials are learnt from, the others are
forecast; ten draws.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials, trial_specs
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
from limo_ablate.sweep.plan.cost import Costs, FinishedTrial, finished_trials
from limo_ablate.trial import compose as composing
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.identity import trial_keys
from limo_ablate.trial.template import NotPlain

ROUNDS, DRAWS, PLAIN = 3, 10, 200
"""PLAIN: cells that are composed without templates, to compare."""
MODELS = ("0_5b", "1_5b", "3b", "7b", "14b")


def big(overrides: list[str], models: list[str], score: str) -> dict[str, object]:
    """A study: 10 sizes x 5 rules x 2 kinds of solutions x 5 models x 20 seeds."""
    axes = {
        "select.size": [10 * n for n in range(1, 11)],
        "select.order": ["random", "pool", "longest", "shortest", "score"],
        "select.correctness": ["any", "correct"],
        "model": models,
    }
    grid = {"name": "grid", "design": "factorial", "axes": axes}
    contrast = {"name": "size", "block": "grid", "factor": "select.size", "a": 10, "b": 100, "score": score}
    return {
        "name": "big", "overrides": overrides, "seeds": list(range(20)), "blocks": [grid],
        "contrasts": [contrast],
    }  # fmt: skip


def best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def child(*command: str) -> float:
    """Processor seconds of a command of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "limo_ablate", *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def speed() -> None:
    studies = {
        "miniature": big([], ["mini_s", "mini_m", "mini_l", "scratch", "qwen2_5_0_5b"], "mini"),
        "LIMO v3": big(["experiment=limo_v3"], [f"qwen2_5_{size}" for size in MODELS], "math"),
    }
    print("| 10,000 cells of | composed | keys | one by one, plain | plan, cold |\n|---|---|---|---|---|")
    for name, declared in studies.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(declared, file, sort_keys=False)
            file.flush()
            asked = [wanted.overrides for wanted in trial_specs(load_study(file.name))]
            composed = best(partial(compose_trials, asked))
            keys = best(partial(trial_keys, compose_trials(asked)))
            cold = min(child("plan", file.name) for _ in range(ROUNDS))
        each = plain(asked[:PLAIN])
        print(f"| {name} | {composed:.2f} s | {keys:.2f} s | {each * len(asked):.0f} s | {cold:.2f} s |")
    print(f"\n`limo-ablate plan --help`: {min(child('plan', '--help') for _ in range(ROUNDS)):.2f} s")


def plain(asked: list[tuple[str, ...]]) -> float:
    """Seconds a cell by OmegaConf alone, once its group choices have been composed."""
    template = vars(composing)["Template"]

    def refuse(*_: object) -> None:
        raise NotPlain

    vars(composing)["Template"] = refuse
    try:
        groups = best(lambda: compose_trials([asked[0]]))
        same = [trial for trial in asked if _groups(trial) == _groups(asked[0])]
        return (best(lambda: compose_trials(same)) - groups) / (len(same) - 1)
    finally:
        vars(composing)["Template"] = template


def _groups(trial: tuple[str, ...]) -> list[str]:
    return [text for text in trial if text.startswith("model=")]


def forecasts(study: str, overrides: list[str]) -> None:
    declared = load_study(study, overrides)
    found = planned_trials(declared)
    folder = Path(found[0].config.paths.studies) / declared.name
    trials = finished_trials(Ledger(declared.ledger or folder / LEDGER, declared.name).rows(), found)
    print(f"{len(trials)} finished trials of {declared.name}\n")
    print("| learnt from | a trial, median | nine of ten | within its spread | all that is left |")
    print("|---|---|---|---|---|")
    for count in (0, 2, 4, 8, 16, 32):
        if count < len(trials) - 4:
            row(trials, count)


def row(trials: list[FinishedTrial], count: int) -> None:
    draw, inside = random.Random(0), 0
    errors: list[float] = []
    whole: list[float] = []
    for _ in range(DRAWS):
        drawn = draw.sample(trials, len(trials))
        costs = Costs()
        costs.fit(drawn[:count])
        prices = [costs.forecast(trial.config) for trial in drawn[count:]]
        took = [trial.took.total for trial in drawn[count:]]
        off = [abs(math.log(price.seconds / real)) for price, real in zip(prices, took, strict=True)]
        inside += sum(error <= price.spread for error, price in zip(off, prices, strict=True))
        whole.append(abs(math.log(sum(price.seconds for price in prices) / sum(took))))
        errors += off
    worst = statistics.quantiles(errors, n=10)[-1]
    factors = [f"x/÷ {math.exp(e):.2f}" for e in (statistics.median(errors), worst, statistics.median(whole))]
    print(f"| {count} | {factors[0]} | {factors[1]} | {inside / len(errors):.0%} | {factors[2]} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    if arguments.study:
        forecasts(arguments.study, arguments.overrides)
    else:
        speed()
