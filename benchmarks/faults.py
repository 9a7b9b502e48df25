"""Kills at random: is every cell finished exactly once, with the result of an undisturbed run?

    python benchmarks/faults.py [--kills 200] [--cells 60] [--seed 0] [--out FILE]

A study of small trials, run by a `sweep` and a `join` side by side, two trials each. At random moments one of
them, or one of their trials, gets kill -9, SIGTERM or SIGSTOP (which the watchdog must notice); who is gone
is started again with the same command. A trial is a chain of hashes, a step every 20 ms, with a checkpoint
every 10 steps and on SIGTERM: a step lost, repeated or mixed with another trial's changes its result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS, STEP_SECONDS, CHECKPOINT_STEPS = 120, 0.02, 10
FAULTS = {
    "kill -9 of the sweep": 2, "kill -9 of the join": 2, "SIGTERM to the sweep": 1, "SIGTERM to the join": 1,
    "kill -9 of a trial": 8, "SIGTERM to a trial": 4, "SIGSTOP of a trial": 2,
}  # fmt: skip
"""What is done, and how often beside the others."""


def trial(config: Any, folder: Path, labels: Any) -> None:
    """One trial: the chain from its key, resumed from its checkpoint."""
    from limo_ablate.core.errors import Preempted
    from limo_ablate.core.progress import report_progress
    from limo_ablate.model.train import stop
    from limo_ablate.trial.identity import trial_key

    key, checkpoint = trial_key(config), folder / "checkpoint.json"
    _note(folder, f"start {labels.name} {os.getpid()}")
    step, value = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, key)
    with stop.deferring_sigterm():
        while step < STEPS:
            time.sleep(STEP_SECONDS)
            step, value = step + 1, hashlib.sha256(value.encode()).hexdigest()
            report_progress("weights", step, STEPS)
            ending = stop.stop_requested(folder)
            if ending or step % CHECKPOINT_STEPS == 0:
                _write(checkpoint, [step, value])
            if ending:
                raise Preempted(f"asked to end after step {step}")
    score = {"accuracy": int(value[:8], 16) / 2**32, "stderr": 0.0}
    metrics = {
        "trial": key,
        "scores": {"mini": score},
        "total_seconds": STEPS * STEP_SECONDS,
        "artifacts": {},
        "inputs": {"files": {}, "versions": {}},
    }
    _write(folder / "metrics.json", metrics)
    _note(folder, f"end {labels.name}")


def prepare(config: Any) -> None:
    """The base model of a trial: nothing to do."""


def report(study: Path) -> Path:
    return study


def _write(path: Path, content: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)


def _note(folder: Path, line: str) -> None:
    with (folder.parent.parent / "events").open("a") as file:
        file.write(line + "\n")


class Study:
    """The study in a folder, its runners, and what became of it."""

    def __init__(self, root: Path, cells: int) -> None:
        import yaml

        self.folder, self.declared = root / "studies" / "faults", root / "faults.yaml"
        overrides = [
            "track=none", f"paths.studies={root / 'studies'}", "launch.slots=2", "launch.attempts=1000",
            "launch.backoff_seconds=0", "launch.hang_seconds=2", "launch.grace_seconds=2",
        ]  # fmt: skip
        axes = {"select.size": list(range(1, cells // 2 + 1)), "select.quality": ["L4", "L5"]}
        study = {"name": "faults", "overrides": overrides, "blocks": [{"name": "b", "axes": axes}]}
        self.declared.write_text(yaml.safe_dump(study))

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.declared.parent / f"{command[0]}.log").open("ab")
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        arguments = [sys.executable, str(Path(__file__).resolve()), "--run", *command]
        return subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": paths}, stdout=log, stderr=log)

    def sweep(self) -> subprocess.Popen[bytes]:
        return self.start("sweep", str(self.declared))

    def join(self) -> subprocess.Popen[bytes]:
        return self.start("join", str(self.folder))

    def events(self) -> list[list[str]]:
        path = self.folder / "events"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def living(self) -> list[int]:
        """Process ids of the trials that run; one that is stopped is left out."""
        pids = [int(words[2]) for words in self.events() if words[0] == "start"]
        return [pid for pid in pids if _state(pid) in ("R", "S", "D")]

    def rows(self) -> list[Any]:
        from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger

        return Ledger(self.folder / LEDGER, "faults").rows()


def run(command: list[str]) -> int:
    """What the started processes do: the engine's own `sweep` and `join`, with the trials of this file."""
    from limo_ablate.core.errors import UserError
    from limo_ablate.study.design import load_study
    from limo_ablate.sweep.coordinate import run as run_sweep
    from limo_ablate.sweep.join import join
    from limo_ablate.sweep.runner import Commands

    commands = Commands(
        trial="faults:trial",
        prepare="faults:prepare",
        report="faults:report",
        preload=("faults", "limo_ablate.model.train.stop"),
    )
    try:
        if command[0] == "sweep":
            return run_sweep(load_study(command[1]), commands=commands)
        return join(Path(command[1]), [], None, commands)
    except UserError as error:
        print(f"limo-ablate: {error}")
        return 2


def disturb(study: Study, kills: int, rng: random.Random) -> Counter[str]:
    """Runs the study to its end, with up to `kills` faults on the way; returns how often each was done."""
    done: Counter[str] = Counter()
    sweep, join = study.sweep(), None
    while sweep.poll() != 0 or (join and join.poll() is None):
        time.sleep(rng.random() * 0.3)
        if sweep.poll() not in (None, 0):
            sweep = study.sweep()
        if (
            sweep.poll() is None
            and (study.folder / "study.yaml").exists()
            and (join is None or join.poll() is not None)
        ):
            join = study.join()
        if done.total() < kills and study.living():
            fault = rng.choices(list(FAULTS), list(FAULTS.values()))[0]
            done[fault] += _do(fault, study, sweep, join, rng)
    return done


def _do(fault: str, study: Study, sweep: Any, join: Any, rng: random.Random) -> bool:
    number = signal.SIGKILL if "-9" in fault else signal.SIGTERM if "SIGTERM" in fault else signal.SIGSTOP
    trials = study.living()
    target = sweep if "sweep" in fault else join if "join" in fault else None
    if "trial" in fault:
        pid = rng.choice(trials) if trials else None
    else:
        pid = target.pid if target and target.poll() is None else None
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    if target is not None:
        target.wait()
    return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def results(study: Study) -> dict[str, float]:
    return {row.user_attrs["cell"]: row.value for row in study.rows() if row.state.name == "COMPLETE"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/faults.md")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        calm, wild = (Study(Path(folder) / name, asked.cells) for name in _made(Path(folder), "calm", "wild"))
        began = time.monotonic()
        disturb(calm, 0, random.Random(0))
        quiet = time.monotonic() - began
        began = time.monotonic()
        done = disturb(wild, asked.kills, random.Random(asked.seed))
        text = table(calm, wild, done, quiet, time.monotonic() - began, asked.seed)
        logs = [(Path(folder) / "wild" / f"{name}.log").read_text() for name in ("sweep", "join")]
    print(text)
    if any("Traceback" in log for log in logs):
        sys.exit("a runner ended with a traceback:\n" + "\n".join(logs)[-5000:])
    asked.out.write_text(text)


def _made(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).mkdir()
    return [root / name for name in names]


def table(calm: Study, wild: Study, done: Counter[str], quiet: float, seconds: float, seed: int) -> str:
    rows, cells = wild.rows(), len(results(calm))
    finished = Counter(row.user_attrs["cell"] for row in rows if row.state.name == "COMPLETE")
    ends = Counter(words[1] for words in wild.events() if words[0] == "end")
    states = Counter(row.state.name for row in rows)
    once = sum(count == 1 for count in finished.values())
    mine = results(wild)
    differing = sum(mine.get(cell) != value for cell, value in results(calm).items())
    twice = sum(count > 1 for count in ends.values())
    command = f"python benchmarks/faults.py --kills {done.total()} --cells {cells} --seed {seed}"
    reasons = Counter(
        row.user_attrs["result"]["reason"].split(":")[0].split(" (")[0]
        for row in rows
        if row.state.name == "FAIL"
    )
    lines = [
        "# Faults", "",
        f"`{command}`: a `sweep` and a `join` "
        f"side by side, trials of {STEPS * STEP_SECONDS:g} s. What is checked, and what came out:", "",
        "| | |", "|---|---|",
        f"| cells | {cells} |",
        *(f"| {fault} | {count} |" for fault, count in done.most_common()),
        f"| faults in all | {done.total()} |",
        f"| cells finished exactly once in the ledger | {once} of {cells} |",
        f"| cells finished more than once | {sum(n > 1 for n in finished.values())} |",
        f"| results that differ from the undisturbed run | {differing} |",
        f"| trials that came to their end | {ends.total()}, {twice} cells more than once |",
        f"| rows left running or waiting | {states['RUNNING'] + states['WAITING']} |",
        f"| attempts that ended otherwise | {states['FAIL']} |",
        *(f"| … {reason} | {count} |" for reason, count in reasons.most_common()),
        f"| undisturbed run | {quiet:.0f} s |",
        f"| disturbed run | {seconds:.0f} s |", "",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        sys.exit(run(sys.argv[2:]))
    main()
