"""Studies on disk in the contract's format (docs/architecture.md), with planted accuracies: for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from limo_ablate.study.design import Study, load_study
from limo_ablate.study.points import points
from limo_ablate.trial.compose import compose
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores

PROBLEMS = 60
Accuracy = Callable[[dict[str, Any]], float]

SIZE_QUALITY = {
    "name": "size x quality",
    "axes": {"select.size": [4, 16, 64, 256], "select.quality": ["L1", "L2", "L3", "L4", "L5"]},
    "overrides": ["model=mini_m", "select.difficulty=any"],
}
DIFFICULTY = {
    "name": "difficulty",
    "axes": {"select.difficulty": ["easy", "medium", "hard"]},
    "overrides": ["model=mini_m", "select.size=64", "select.quality=L4"],
}
SIZE_MODEL = {
    "name": "size x model",
    "axes": {"model": ["mini_s", "mini_m"], "select.size": [0, 4, 16, 64]},
    "overrides": ["select.quality=L4", "select.difficulty=any"],
}
FIGURES = [
    {"title": "Accuracy by examples and tier", "block": "size x quality", "x": "select.size", "line": "select.quality", "score": "mini"},  # noqa: E501
    {"title": "Hard problems by training difficulty", "block": "difficulty", "x": "select.difficulty", "line": "select.quality", "score": "mini/hard"},  # noqa: E501
    {"title": "Accuracy by examples and model", "block": "size x model", "x": "select.size", "line": "model", "score": "mini"},  # noqa: E501
]  # fmt: skip


def plausible(asked: dict[str, Any]) -> float:
    """Rises with the size, falls off for low tiers and easy training problems."""
    top = {"L1": 0.03, "L2": 0.05, "L3": 0.3, "L4": 0.77, "L5": 0.79}[asked["select.quality"]]
    top *= {"any": 1.0, "easy": 0.3, "medium": 0.6, "hard": 1.05}[asked["select.difficulty"]]
    half = {"mini_s": 20, "mini_m": 7}[asked["model"]]
    return 0.02 + top * asked["select.size"] / (asked["select.size"] + half)


@dataclass
class Making:
    """Writes one study; `accuracy` gives a cell's true accuracy, `spread` is the SD between seeds."""

    folder: Path
    blocks: Sequence[dict[str, Any]] = (SIZE_QUALITY, DIFFICULTY, SIZE_MODEL)
    figures: Sequence[dict[str, Any]] = tuple(FIGURES)
    contrasts: Sequence[dict[str, Any]] = ()
    seeds: Sequence[int] = (0, 1, 2)
    accuracy: Accuracy = plausible
    spread: float = 0.02
    problems: int = PROBLEMS
    samples: int = 1
    question: str = "How many, how good, how hard?"
    reason: str = "text"
    names: Callable[[int], str] = "p{}".format
    completion: str = "8+7*3-4: 26+7=33. 33*3=99. so \\boxed{99}"
    failing: Callable[[dict[str, Any], int], bool] = lambda asked, seed: False
    failure: str = "RuntimeError: out of memory"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def write(self) -> Path:
        text = {
            "name": "made", "question": self.question, "seeds": list(self.seeds),
            "overrides": ["data=miniature", "train=mini", "eval=miniature"],
            "blocks": list(self.blocks), "figures": list(self.figures), "contrasts": list(self.contrasts),
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "study.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
        cells = self._cells(load_study(str(self.folder / "study.yaml")))
        (self.folder / "cells.json").write_text(json.dumps(cells))
        skills = self.rng.normal(0, 0.08, self.problems)
        for cell in cells:
            self._trial(self.folder / "trials" / cell["folder"], cell, skills)
        return self.folder

    def texts(self, verdicts: pl.DataFrame) -> pl.Expr:
        """The completions of a trial; the same one unless a subclass has others."""
        return pl.lit(self.completion)

    def _cells(self, study: Study) -> list[dict[str, Any]]:
        cells: dict[str, dict[str, Any]] = {}
        for seed in study.seeds:
            for block in study.blocks:
                for point in points(block):
                    fixed = dict(o.split("=") for o in (*study.overrides, *block.overrides))
                    asked = {k: yaml.safe_load(v) for k, v in fixed.items()} | point | {"seed": seed}
                    name = "-".join(str(v) for k, v in sorted(asked.items()))
                    cell = {"name": name, "folder": name, "key": name, "seed": seed, "overrides": asked, "blocks": []}  # noqa: E501 # fmt: skip
                    cells.setdefault(name, cell)["blocks"].append(block.name)
        return list(cells.values())

    def _trial(self, folder: Path, cell: dict[str, Any], skills: np.ndarray) -> None:
        asked, seed = cell["overrides"], cell["seed"]
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
        if self.failing(asked, seed):
            log = str(folder / "trial.log")
            failure = {"reason": self.failure, "log": log, "command": "limo-ablate x=1"}
            (folder / "failed.json").write_text(json.dumps(failure))
            return
        chance = self.accuracy(asked) + self.rng.normal(0, self.spread) + skills
        verdicts = self._verdicts(np.clip(chance, 0, 1))
        verdicts.write_parquet(folder / "verdicts.parquet")
        texts = verdicts.select("benchmark", "problem", "sample", "tokens", "finish", "loops").with_columns(
            prompt=pl.format("Start {}. Rule +7 *3 -4.", "problem"), completion=self.texts(verdicts)
        )
        texts.write_parquet(folder / "completions.parquet")
        trained = asked["select.size"] != 0
        if trained:
            curve(asked["select.size"] or 800, seed).write_parquet(folder / "curve.parquet")
        (folder / "metrics.json").write_text(json.dumps(metrics(cell, verdicts, trained)))

    def _verdicts(self, chance: np.ndarray) -> pl.DataFrame:
        chance, problem = np.repeat(chance, self.samples), np.repeat(np.arange(self.problems), self.samples)
        right = self.rng.random(len(problem)) < chance
        status = np.where(
            right, "correct", np.where(self.rng.random(len(problem)) < 0.02, "undecided", "incorrect")
        )
        levels = 1.0 + problem % 9
        return pl.DataFrame(
            {
                "benchmark": "mini", "problem": [self.names(i) for i in problem],
                "sample": np.tile(np.arange(self.samples), self.problems),
                "level": levels, "gold": "99", "answer": np.where(right, "99", "12"), "status": status,
                "rule": np.where(right | (levels > 1), "boxed", "no_answer"), "reason": self.reason,
                "boxed": right, "vote": np.where(right, 0, 1),
                "lenient": right | (levels == 3), "tokens": 10 + 4 * levels.astype(int),
                "finish": np.where(levels == 9, "length", "stop"), "loops": False
            }
        )  # fmt: skip


CONFIG = yaml.safe_dump(json.loads(json.dumps(asdict(compose(["track=none"])))))
PROVENANCE = {
    "started": "2026-01-01T00:00:00+00:00", "command": ["limo-ablate"], "code": "c0de" * 16,
    "git": {"commit": "0123456789abcdef", "dirty": True}, "versions": {"python": "3.11", "peft": None},
    "hardware": {"platform": "Linux", "processor": "A CPU", "cores": 2, "memory_gib": 8.0, "gpus": []},
}  # fmt: skip


def curve(size: int, seed: int) -> pl.DataFrame:
    steps = np.arange(1, 15 * max(1, size // 8) + 1)
    noise = np.random.default_rng(seed).normal(1, 0.05, len(steps))
    return pl.DataFrame(
        {
            "step": steps, "epoch": steps / max(1, size // 8), "loss": 2.5 * steps**-0.5 * noise,
            "token_accuracy": 1 - 0.6 * steps**-0.4, "learning_rate": 2e-3, "grad_norm": 1.0,
            "tokens": steps * 300, "seconds": steps * 0.01,
        }
    )  # fmt: skip


def metrics(cell: dict[str, Any], verdicts: pl.DataFrame, trained: bool) -> dict[str, Any]:
    """The content of metrics.json, scored by the real code."""
    asked = cell["overrides"]
    train = {
        "rows": 64, "rows_over_length": 0, "steps": 120, "epochs": 15.0, "tokens": 36000, "loss": 0.2,
        "token_accuracy": 0.9, "tokens_per_second": 9000.0, "seconds": 2.5,
    }  # fmt: skip
    factors = {"train_size": asked.get("select.size"), "quality_tier": asked.get("select.quality"), "parameters": 42000}  # noqa: E501 # fmt: skip
    return {
        "trial": cell["key"], "study": "made", "cell": asked, "seed": cell["seed"], "factors": factors,
        "scores": benchmark_scores("mini", Results(verdicts=verdicts), {"easy": (1, 3), "hard": (7, 9)}),
        "train": train if trained else {}, "seconds": {"pool": 0.0, "weights": 2.5}, "total_seconds": 3.5,
        "artifacts": {"pool": {"key": "k", "digest": "d"}},
        "inputs": {"files": {}, "versions": {}}, "finished": "2026-01-01T01:00:00+00:00",
    }  # fmt: skip
