"""Small real jobs for the sweep's tests: they run in its forks, sleep, write metrics.json, fail or die.

What a trial does is asked for by its tier: `skipped` raises, `shuffled` kills itself (by SIGTERM at
`select.size=15`), `padded` is a user's error, `L1` never ends (at `select.size=1` what it waits for has a
session of its own), `L2` goes on from a checkpoint that it writes on SIGTERM, `L3` writes a megabyte, `L4`
waits for the file `go` in the study's folder, `select.size` is its length in milliseconds.
Each start and each end is a line of `events` in the study's folder, or in `$STUDY_FOLDER`. Its score is the
number in `data.path`, if that is set. With `select.order=longest` it has verdicts too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from limo_ablate.core.artifacts import Store, record_files
from limo_ablate.core.errors import Preempted, UserError
from limo_ablate.core.progress import report_progress
from limo_ablate.model.train import stop
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.verify import VERSION

time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))  # as the real stack does
STEP = 20
"""Milliseconds of a step of `L2`."""


def trial(config: TrialConfig, folder: Path, labels: TrialLabels) -> None:
    study = Path(os.environ.get("STUDY_FOLDER", folder.parent.parent))
    events = study / "events"
    _note(events, f"start {labels.name} {time.time()} {os.getpid()}")
    print(f"training {labels.name} on GPUs [{os.environ['CUDA_VISIBLE_DEVICES']}]")
    match config.select.quality:
        case "skipped":
            raise RuntimeError("the loss is not a number")
        case "shuffled":
            os.kill(os.getpid(), signal.SIGTERM if config.select.size == signal.SIGTERM else signal.SIGKILL)
        case "padded":
            raise UserError("select.size: too many")
        case "L1":
            report_progress("asleep", 1, 10)
            apart = ["setsid"] if config.select.size == 1 else []
            subprocess.run([*apart, "sleep", "1000"], check=True)
        case "L2":
            _train(folder, events, (config.select.size or 0) // STEP)
        case "L3":
            (folder / "large").write_bytes(b"x" * 1_000_000)
        case "L4":
            while not (study / "go").exists():
                time.sleep(0.02)
    if config.select.quality != "L2":
        time.sleep((config.select.size or 0) / 1000)
    with record_files() as files:
        accuracy = _answer(config)
    score = {"accuracy": accuracy, "stderr": 0.1}
    if config.select.order == "longest":
        _write_answers(config, folder)
    metrics = {
        "trial": trial_key(config),
        "scores": {"mini": score},
        "total_seconds": 0.1,
        "artifacts": {"weights": {"key": "abc", "digest": "def"}},
        "finished": datetime.now(UTC).isoformat(),
        "inputs": {"files": files, "versions": {"verifier": VERSION}},
    }
    (folder / "partial").write_text(json.dumps(metrics))
    (folder / "partial").rename(folder / "metrics.json")
    _note(events, f"end {labels.name} {time.time()}")


def _write_answers(config: TrialConfig, folder: Path) -> None:
    """Verdicts on 60 problems, of which a training solves as many per cent as `train.global_batch_size`."""
    import polars as pl
    import yaml

    rng = random.Random(f"{config.seed} {config.select.size} {config.train.global_batch_size}")
    right = [rng.random() < config.train.global_batch_size / 100 for _ in range(60)]
    verdicts = pl.DataFrame(
        {
            "benchmark": "mini", "problem": [f"p{i}" for i in range(60)], "sample": 0, "level": 1.0,
            "status": ["correct" if one else "incorrect" for one in right], "rule": "boxed", "finish": "stop",
            "tokens": 10, "vote": None, "source": "mini", "subject": None, "clean": None,
        },
        schema_overrides={"vote": pl.Int64, "subject": pl.String, "clean": pl.Boolean},
    )  # fmt: skip
    verdicts.write_parquet(folder / "verdicts.parquet")
    read = {
        "paths": {"artifacts": config.paths.artifacts},
        "eval": {"benchmarks": {"mini": {"groups": None}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(read))


def _answer(config: TrialConfig) -> float:
    """The number in the pool's file; 0.5 without one."""
    if config.data.path is None:
        return 0.5
    file = Path(config.data.path)
    Store(config.paths.artifacts).path_digest(file)
    return float(file.read_text())


def _train(folder: Path, events: Path, steps: int) -> None:
    """Steps of STEP milliseconds; as the real one, it ends on SIGTERM once its checkpoint is written."""
    checkpoint = folder / "checkpoint"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with stop.deferring_sigterm():
        for step in range(done + 1, steps + 1):
            time.sleep(STEP / 1000)
            report_progress("weights", step, steps)
            if stop.stop_requested(folder):
                checkpoint.write_text(str(step))
                raise Preempted(f"asked to end after step {step}; its checkpoint is written")
    _note(events, f"trained {folder.name} {steps - done}")


def prepare(config: TrialConfig) -> None:
    time.sleep(0.1)
    if config.model.name == "mini_l":
        raise RuntimeError("no room on the disk")


def report(study: Path) -> tuple[Path, list[str], list[str]]:
    page = study / "report" / "index.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("drawn")
    _note(study / "events", "report")
    return page, ["Methods: TypeError: no"] if (study / "undrawable").exists() else [], ["What came out:"]


def _note(events: Path, line: str) -> None:
    with events.open("a") as file:  # one short append is whole, whoever else writes
        file.write(line + "\n")
