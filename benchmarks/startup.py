"""Seconds to the first training step: our command, a trial of a sweep, and TRL.

    python benchmarks/startup.py [--rounds 3] [--out FILE]

The miniature with model=mini_s and 64 rows; all but the training is in the cache, as for a second seed.
`command` is a fresh process of `limo-ablate ...`; `trial of a sweep` is the same trial in a process forked
from one that has imported what the sweep's server imports; `TRL` is a fresh process that trains the same
model on the same rows, tokenised already. They take turns, and end with the first step. Processor seconds
are given beside seconds: on a machine that others use they are what compares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

KINDS = ("command", "trial of a sweep", "TRL")
STAGES = (
    "write_provenance", "open_tracker", "trial_pool", "base_model", "select_rows", "tokenize", "train",
)  # fmt: skip
"""Functions of limo_ablate.trial.run, in the order of a trial."""


class Marks:
    """Time since `started` at each mark; the processor's counts from the process's own beginning."""

    def __init__(self, started: float) -> None:
        self.started, self.processor = started, time.process_time()
        self.rows: list[tuple[str, float]] = []

    def mark(self, name: str) -> None:
        self.rows.append((name, time.time() - self.started))

    def end(self, forked: bool) -> None:
        """Prints `stage seconds` lines and the processor's total, and leaves."""
        used = time.process_time() - (self.processor if forked else 0.0)
        for name, seconds in [*self.rows, ("processor", used)]:
            print(f"{name}\t{seconds:.4f}")
        sys.stdout.flush()
        os._exit(0)


def run_trial(start: Callable[[], Any], marks: Marks, forked: bool) -> None:
    """What `start` begins, a trial, with marks behind each of its stages; ends in the first step."""
    from limo_ablate.trial import run as trial

    marks.mark("imports")

    def marked(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            marks.mark(name)
            return result

        return call

    write = trial.write_provenance

    def composed(*args: Any) -> Any:
        marks.mark("compose")
        return write(*args)

    trial.write_provenance = composed
    for name in STAGES[:-1]:
        setattr(trial, name, marked(getattr(trial, name), name))

    def first_step(*_: Any) -> None:
        marks.mark("train, to its first step")
        marks.end(forked)

    trial.ProgressReporter.step = first_step  # type: ignore[method-assign]
    start()


def run_trl(folder: Path, marks: Marks) -> None:
    from benchmarks import trainers

    marks.mark("imports")
    clock = trainers.now

    def first_step(device: str) -> float:
        marks.mark("train, to its first step")
        marks.end(forked=False)
        return clock(device)

    trainers.now = first_step
    trainers.trl(trainers.Setting(folder, steps=3, batch=8, pass_tokens=1 << 20), folder / "out")


def timed(kind: str, folder: Path, number: int) -> dict[str, float]:
    """Seconds at each mark of one start."""
    command = [sys.executable, __file__, "--child", kind, "--folder", str(folder), "--number", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    pairs = (line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 1)
    return {name: float(value) for name, value in pairs}


def child(options: argparse.Namespace) -> None:
    # From the start of this process, which the kernel knows in hundredths of a second since boot.
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
    overrides = trial_overrides(options.folder, options.number)
    if options.child == "TRL":
        run_trl(options.folder, Marks(started))
    elif options.child == "command":
        from limo_ablate.cli import main as command

        run_trial(lambda: command(overrides), Marks(started), forked=False)
    else:
        from limo_ablate.sweep.runner import Commands
        from limo_ablate.trial.compose import compose
        from limo_ablate.trial.identity import TrialLabels
        from limo_ablate.trial.run import run_trial as whole_trial

        config, number = compose(overrides[:-1]), str(options.number)
        labels = TrialLabels(study="startup", cell={}, name=number)

        for name in Commands().preload:
            import_module(name.lstrip("?"))
        begun = time.time()
        if os.fork() == 0:
            folder = options.folder / "trials" / number
            run_trial(lambda: whole_trial(config, folder, labels), Marks(begun), forked=True)
        os.wait()


def trial_overrides(folder: Path, seed: int) -> list[str]:
    return [
        "model=mini_s", "select.size=64", f"seed={seed}", "select.seed=0", "track.mode=offline",
        f"paths.artifacts={folder}/artifacts", f"hydra.run.dir={folder}/trials/{seed}",
    ]  # fmt: skip


def prepare(folder: Path) -> None:
    """Fills the cache, and lays the same model and rows out for TRL."""
    from limo_ablate.core.artifacts import Store
    from limo_ablate.data.pool.load import load_pool
    from limo_ablate.model.train.base import base_model
    from limo_ablate.model.train.tokens import tokenize
    from limo_ablate.trial.compose import compose
    from limo_ablate.trial.rows import select_rows
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.stages import Stages

    config = compose(trial_overrides(folder, 0)[:-1])
    store = Store(config.paths.artifacts)
    pool = load_pool(store, config.data)
    base = base_model(store, config.model, pool)
    tokens = tokenize(store, select_rows(config, Stages(), pool, base, trained_model), base, config.train)
    (folder / "model").symlink_to(base.path)
    (folder / "tokens").symlink_to(tokens.path)


def main() -> None:
    options = arguments()
    if options.child:
        child(options)
        return
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for number in range(1, options.rounds + 1):
            for place, kind in enumerate(KINDS):
                found[kind].append(timed(kind, Path(folder), 10 * number + place))
                print(kind, found[kind][-1], file=sys.stderr)
    text = report(found, options.rounds)
    print(text)
    if options.out:
        options.out.write_text(text)


def report(found: dict[str, list[dict[str, float]]], rounds: int) -> str:
    lines = [f"Medians of {rounds} rounds.", "", "| start | seconds | processor seconds |", "|---|---|---|"]
    for kind, runs in found.items():
        total, used = (
            statistics.median(values)
            for values in ([list(r.values())[-2] for r in runs], [r["processor"] for r in runs])
        )
        lines.append(f"| {kind} | {total:.2f} | {used:.2f} |")
    lines += ["", "| stage | command, seconds | trial of a sweep, seconds |", "|---|---|---|"]
    command, forked = ([spent(run) for run in found[kind]] for kind in KINDS[:2])
    for stage in command[0]:
        both = (statistics.median(run.get(stage, 0.0) for run in runs) for runs in (command, forked))
        lines.append(f"| {stage} | " + " | ".join(f"{seconds:.3f}" for seconds in both) + " |")
    return "\n".join(lines) + "\n"


def spent(run: dict[str, float]) -> dict[str, float]:
    """Seconds between a mark and the one before."""
    marks = [(name, value) for name, value in run.items() if name != "processor"]
    before = [0.0, *(value for _, value in marks)]
    return {name: value - since for (name, value), since in zip(marks, before, strict=False)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=KINDS, help="internal: one start, in this process")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--number", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
