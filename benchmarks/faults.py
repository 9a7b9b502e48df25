"""Faults at random: is every trial finished exactly once, with the result of an undisturbed run?

    python benchmarks/faults.py [--faults 300] [--trials 60] [--seed 0] [--out FILE]

A study of small trials, run by a `sweep` and a `join` side by side, two trials each. At random moments one of
them, or one of their trials, gets kill -9, SIGTERM, SIGHUP or SIGSTOP (which the watchdog must notice), finds
the disk full (a limit on its files' size), loses the end of the ledger's last line, sees the times of its
leases jump an hour on or back, or the trials' data file is edited; who is gone is started again with the same
command. A trial is a chain of hashes from its key and the data, a step every 20 ms, with a checkpoint every
10 steps and on SIGTERM: a step lost, repeated, or mixed with another trial's or of other data changes its
result. At the end the data are as at first, and the sweep runs once more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS, STEP_SECONDS, CHECKPOINT_STEPS = 120, 0.02, 10
DATA = ("as at first", "edited")
FAULTS = {
    "kill -9 of the sweep": 2, "kill -9 of the join": 2, "SIGTERM to the sweep": 1, "SIGTERM to the join": 1,
    "kill -9 of a trial": 8, "SIGTERM to a trial": 4, "SIGSTOP of a trial": 2, "SIGHUP to the sweep": 1,
    "disk full for the sweep": 1, "disk full for the join": 1, "a torn line of the ledger": 1,
    "edited data": 2, "a jump of the file server's clock": 2,
}  # fmt: skip
"""What is done, and how often beside the others."""


def trial(config: Any, folder: Path, labels: Any) -> None:
    """One trial: the chain from its key, resumed from its checkpoint."""
    from limo_ablate.core.artifacts import Store, record_files
    from limo_ablate.core.errors import Preempted
    from limo_ablate.core.progress import report_progress
    from limo_ablate.model.train import stop
    from limo_ablate.trial.identity import trial_key

    key, checkpoint = trial_key(config), folder / "checkpoint.json"
    _note(folder, f"start {labels.name} {os.getpid()}")
    with record_files() as files:
        digest = Store(config.paths.artifacts).path_digest(Path(config.data.path))
    step, value = 0, key + digest
    if checkpoint.exists() and (found := json.loads(checkpoint.read_text()))[2] == digest:
        step, value, _ = found
    with stop.deferring_sigterm():
        while step < STEPS:
            time.sleep(STEP_SECONDS)
            step, value = step + 1, hashlib.sha256(value.encode()).hexdigest()
            report_progress("weights", step, STEPS)
            ending = stop.stop_requested(folder)
            if ending or step % CHECKPOINT_STEPS == 0:
                _write(checkpoint, [step, value, digest])
            if ending:
                raise Preempted(f"asked to end after step {step}")
    score = {"accuracy": int(value[:8], 16) / 2**32, "stderr": 0.0}
    metrics = {
        "trial": key,
        "scores": {"mini": score},
        "total_seconds": STEPS * STEP_SECONDS,
        "artifacts": {},
        "inputs": {"files": files, "versions": {}},
        "finished": datetime.now(UTC).isoformat(),
    }
    _write(folder / "metrics.json", metrics)
    _note(folder, f"end {labels.name}")


def prepare(config: Any) -> None:
    """The base model of a trial: nothing to do."""


def report(study: Path) -> tuple[Path, list[str]]:
    return study, []


def _write(path: Path, content: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)


def _note(folder: Path, line: str) -> None:
    with (folder.parent.parent / "events").open("a") as file:
        file.write(line + "\n")


class Study:
    """The study in a folder, its runners, and what became of it."""

    def __init__(self, root: Path, trials: int) -> None:
        import yaml

        self.folder, self.declared = root / "studies" / "faults", root / "faults.yaml"
        self.data = root.parent / "data"  # its path is in the keys
        self.data.write_text(DATA[0])
        overrides = [
            "track=none", "data=jsonl", f"data.path={self.data}", f"paths.artifacts={root / 'store'}",
            f"paths.studies={root / 'studies'}", "launch.slots=2", "launch.attempts=1000",
            "launch.backoff_seconds=0", "launch.hang_seconds=2", "launch.grace_seconds=2",
        ]  # fmt: skip
        axes = {"select.size": list(range(1, trials // 2 + 1)), "select.quality": ["L4", "L5"]}
        study = {"name": "faults", "overrides": overrides, "blocks": [{"name": "b", "axes": axes}]}
        self.declared.write_text(yaml.safe_dump(study))

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.declared.parent / f"{command[0]}.log").open("ab")
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        arguments = [sys.executable, str(Path(__file__).resolve()), "--run", *command]
        environment = os.environ | {"PYTHONPATH": paths}
        return subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)

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
        checked=False,
    )
    try:
        if command[0] == "sweep":
            return run_sweep(load_study(command[1]), commands=commands)
        return join(Path(command[1]), [], None, commands)
    except UserError as error:
        print(f"limo-ablate: {error}")
        return 2


def disturb(study: Study, faults: int, rng: random.Random) -> Counter[str]:
    """Runs the study to its end, with `faults` faults on the way; returns how often each was done."""
    done: Counter[str] = Counter()
    sweep, join = study.sweep(), None
    while sweep.poll() != 0 or (join and join.poll() is None) or done.total() < faults:
        time.sleep(rng.random() * 0.3)
        if faults and sweep.poll() == 0 and done.total() < faults:  # it begins anew, on other data
            done["edited data"] += _do("edited data", study, sweep, join, rng)
            sweep = study.sweep()
        if sweep.poll() == 2 and not done:
            raise SystemExit((study.declared.parent / "sweep.log").read_text().splitlines()[-1])
        if sweep.poll() not in (None, 0):
            sweep = study.sweep()
        if done.total() >= faults and study.data.read_text() != DATA[0]:
            study.data.write_text(DATA[0])
        if (
            sweep.poll() is None
            and (study.folder / "study.yaml").exists()
            and (join is None or join.poll() is not None)
        ):
            join = study.join()
        if done.total() < faults and study.living():
            fault = rng.choices(list(FAULTS), list(FAULTS.values()))[0]
            done[fault] += _do(fault, study, sweep, join, rng)
    assert study.sweep().wait() == 0  # results on data that were edited at the end are stale
    return done


def _do(fault: str, study: Study, sweep: Any, join: Any, rng: random.Random) -> bool:
    """Does it; False where it can't be done now."""
    if fault == "edited data":
        study.data.write_text(DATA[study.data.read_text() == DATA[0]])
        return True
    if fault == "a jump of the file server's clock":
        at = time.time() + rng.choice([3600, -3600])
        for lease in (study.folder / "runners").glob("*.json"):
            with suppress(FileNotFoundError):
                os.utime(lease, (at, at))
        return True
    if fault == "a torn line of the ledger":  # only a kill in the middle of a write does this
        for runner in (sweep, join):
            if runner and runner.poll() is None:
                runner.kill()
                runner.wait()
        ledger = study.folder / "ledger.log"
        ledger.write_bytes(ledger.read_bytes()[:-7])
        return True
    if fault.startswith("disk full"):
        runner = sweep if "sweep" in fault else join
        if not runner or runner.poll() is not None:
            return False
        resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        runner.wait()
        return True
    return _signal(fault, study, sweep, join, rng)


def _signal(fault: str, study: Study, sweep: Any, join: Any, rng: random.Random) -> bool:
    number = signal.SIGKILL if "-9" in fault else getattr(signal, fault.split()[0], None)
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
    """Trial -> its score, of those with a result that is of the data as they are."""
    from limo_ablate.analysis.trials import load_trials

    found = [trial for trial in load_trials(study.folder) if trial.metrics and not trial.stale]
    return {trial.name: (trial.metrics or {})["scores"]["mini"]["accuracy"] for trial in found}


def repeated(rows: list[Any]) -> int:
    """Number of trials that were finished again although their result still counted."""
    since: Counter[str] = Counter()
    again = set()
    for row in rows:
        name = row.user_attrs["cell"]
        if "retry" in row.user_attrs:
            since[name] = 0
        if row.state.name == "COMPLETE":
            since[name] += 1
            again |= {name} if since[name] > 1 else set()
    return len(again)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/faults.md")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        calm, wild = (
            Study(Path(folder) / name, asked.trials) for name in _made(Path(folder), "calm", "wild")
        )
        began = time.monotonic()
        disturb(calm, 0, random.Random(0))
        quiet = time.monotonic() - began
        began = time.monotonic()
        done = disturb(wild, asked.faults, random.Random(asked.seed))
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
    from limo_ablate.sweep.ledger.ledger import histories

    rows, trials, mine = wild.rows(), len(results(calm)), results(wild)
    ends = Counter(words[1] for words in wild.events() if words[0] == "end")
    states = Counter(row.state.name for row in rows)
    known = sum(history.done for history in histories(rows).values())
    differing = sum(mine.get(name) != value for name, value in results(calm).items())
    command = f"python benchmarks/faults.py --faults {done.total()} --trials {trials} --seed {seed}"
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
        f"| trials | {trials} |",
        *(f"| {fault} | {count} |" for fault, count in done.most_common()),
        f"| faults in all | {done.total()} |",
        f"| trials with a result of the data as they are | {len(mine)} of {trials} |",
        f"| trials that the ledger has as finished | {known} of {trials} |",
        f"| trials finished again although their result counted | {repeated(rows)} |",
        f"| results that differ from the undisturbed run | {differing} |",
        f"| runs that came to their end, those on edited data included | {ends.total()} |",
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
