"""Short trials over eight nodes of a Ray cluster: what dispatching costs, and whether any is lost or doubled.

    make ray-env && .venv/bin/python -m pip install --no-deps --target TUNE tensorboardX     # for Ray Tune
    python benchmarks/dispatch.py [--trials 1000] [--nodes 8] [--seconds 1] --tune TUNE
    python benchmarks/dispatch.py --status 10000

The nodes are real raylets on this machine, with an address and a CPU each and no folder in common. A trial
sleeps, and writes down when it began and ended; ours is a process of its own, whose folder comes back. All
ways use the same cluster, in turn: ours with its ledger in PostgreSQL and in its own journal, Ray Tune as it
is and with reuse_actors (a trial in the process of the one before), and plain Ray tasks, which record
nothing. A node idles from one trial's end to the next one's start. Processor seconds are those of the
process that dispatches and of all that the nodes run (not PostgreSQL's), less what an idle cluster took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from tests.ray_cluster import RayCluster

SECONDS = "DISPATCH_SECONDS"
"""Environment variable: how long a trial sleeps."""
IDLE_SECONDS = 20.0
"""How long the idle cluster is watched before each way."""
WAYS = {
    "postgresql": "limo-ablate, ledger in PostgreSQL",
    "journal": "limo-ablate, ledger in its journal",
    "tune": "Ray Tune",
    "reuse": "Ray Tune, reuse_actors",
    "tasks": "plain Ray tasks",
}


def sleep(name: str) -> None:
    """What every way's trial does, on whichever node."""
    events = Path(os.environ["STUDY_FOLDER"]) / "events"
    begun = time.time()
    time.sleep(float(os.environ[SECONDS]))
    with events.open("a") as file:
        file.write(f"{name} {os.environ['RAY_TEST_NODE']} {begun} {time.time()}\n")


def trial(config: Any, folder: Path, labels: Any) -> None:
    from limo_ablate.trial.identity import trial_key

    sleep(labels.name)
    metrics = {
        "trial": trial_key(config),
        "scores": {"mini": {"accuracy": 0.5, "stderr": 0.1}},
        "total_seconds": float(os.environ[SECONDS]),
        "artifacts": {},
        "inputs": {"files": {}, "versions": {}},
        "finished": datetime.now(UTC).isoformat(),
    }
    (folder / "metrics.partial").write_text(json.dumps(metrics))
    (folder / "metrics.partial").rename(folder / "metrics.json")


def nothing(*_: Any) -> tuple[Path, list[str], list[str]]:
    """Makes no base model and no report."""
    return Path("none"), [], []


def declared(folder: Path, trials: int, ledger: str, *overrides: str) -> Any:
    from limo_ablate.study.design import Block, Study

    axes: dict[str, Any] = {"select.size": tuple(range(1, trials // 20 + 1)), "select.quality": ("L1", "L2")}
    return Study(
        name=folder.name,
        blocks=(Block(name="grid", axes=axes),),
        overrides=overrides,
        seeds=tuple(range(10)),
        ledger=ledger or None,
    )


def ours(folder: Path, trials: int, address: str, ledger: str) -> int:
    """A sweep; returns the number of finished rows in its ledger."""
    from limo_ablate.sweep.coordinate import run
    from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
    from limo_ablate.sweep.runner import Commands

    where = (f"launch.ray.address='{address}'", "launch.ray.folder='$RAY_TEST_NODE'")
    study = declared(folder, trials, ledger, "track=none", "launch=ray", *where)
    commands = Commands(
        trial="dispatch:trial", report="dispatch:nothing", prepare="dispatch:nothing", checked=False,
        preload=("dispatch", "limo_ablate.trial.identity"),
    )  # fmt: skip
    if code := run(study, folder, commands=commands, quiet=True):
        sys.exit(code)
    rows = Ledger(ledger or folder / LEDGER, study.name).rows()
    return sum(row.state.name == "COMPLETE" for row in rows)


def finished_study(folder: Path, cells: int, ledger: str) -> Path:
    """A study of so many cells, all of them finished in its ledger."""
    from limo_ablate.study.planned import planned_trials
    from limo_ablate.sweep.coordinate import write_study
    from limo_ablate.sweep.kept_plan import plan_digest, write_plan
    from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
    from limo_ablate.sweep.ledger.parameters import space

    study = declared(folder, cells, ledger, "track=none")
    found = planned_trials(study)
    folder.mkdir(parents=True)
    write_study(study, found, folder)
    write_plan(folder, plan_digest(study), found)
    rows = Ledger(ledger or folder / LEDGER, study.name)
    levels = space([], found, grows=True)
    result = {"scores": {"mini": {"accuracy": 0.5, "stderr": 0.1}}, "total_seconds": 1.0, "artifacts": {}}
    result |= {"finished": datetime.now(UTC).isoformat(), "inputs": {"files": {}, "versions": {}}}
    with rows.transaction():
        added = [rows.add(one, 1, levels) for one in found]
    with rows.transaction():
        for trial, row in zip(found, added, strict=True):
            place = folder / "trials" / trial.folder
            place.mkdir(parents=True)
            (place / "metrics.json").write_text(json.dumps({"trial": trial.key, **result}))
            assert rows.claim(row, "runner")
            assert rows.finish(row, result, place, devices=1)
    return folder


def status(cells: int, ledger: str) -> None:
    """What `limo-ablate status` takes of a study with so many finished trials: a command of its own, with the
    plan that the study's folder keeps, then without."""
    from limo_ablate.sweep.kept_plan import PLAN

    with tempfile.TemporaryDirectory() as scratch:
        folder = finished_study(Path(scratch) / "status", cells, ledger)
        command = [sys.executable, "-m", "limo_ablate", "status", str(folder)]
        for way in ("kept plan", "kept plan", "composed", "composed"):
            if way == "composed":
                (folder / PLAN).unlink(missing_ok=True)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"| {way} | {wall:.2f} s | {spent:.2f} s | {said.splitlines()[0]} |", flush=True)


def tune(folder: Path, trials: int, address: str, *, reuse: bool) -> int:
    import ray
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        sleep(str(config["trial"]))
        tune.report({"accuracy": 0.5})

    ray.init(address, logging_level="ERROR", log_to_driver=False)
    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"trial": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0),
    ).fit()
    return sum(not one.error for one in results)


def tasks(trials: int, address: str) -> int:
    import ray

    ray.init(address, logging_level="ERROR", log_to_driver=False)
    return len(ray.get([ray.remote(sleep).options(num_cpus=1).remote(str(i)) for i in range(trials)]))


@dataclass
class Measured:
    wall: float
    processor: float
    recorded: int
    begun: Counter[str]
    gaps: list[float]
    """Seconds of the nodes between two trials."""


def idle_rate(cluster: RayCluster) -> float:
    """Processor seconds a second of the nodes while nothing runs."""
    before = spent(cluster)
    time.sleep(IDLE_SECONDS)
    return (spent(cluster) - before) / IDLE_SECONDS


def spent(cluster: RayCluster) -> float:
    """Processor seconds of all that the nodes run, and of what has ended there."""
    total = 0.0
    for pid in {pid for host in cluster.nodes for pid in cluster.processes(host)}:
        with suppress(psutil.Error):
            total += sum(psutil.Process(pid).cpu_times()[:4])
    return total


def measure(way: str, trials: int, folder: Path, cluster: RayCluster, ledger: str) -> Measured:
    events = cluster.jobs / "events"
    events.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--way", way, "--trials", str(trials), "--folder", str(folder)]
    command += ["--address", cluster.address, "--ledger", ledger if way == "postgresql" else ""]
    idle, start = idle_rate(cluster), time.perf_counter()
    before = spent(cluster)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    there = spent(cluster) - before - idle * wall
    if done.returncode:
        sys.exit(f"{way}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    recorded, driver = done.stdout.split()[-2:]
    rows = [line.split() for line in events.read_text().splitlines()]
    nodes: dict[str, list[tuple[float, float]]] = {}
    for _, node, begun, ended in rows:
        nodes.setdefault(node, []).append((float(begun), float(ended)))
    gaps = [after[0] - ended for times in nodes.values() for (_, ended), after in pairwise(sorted(times))]
    return Measured(wall, there + float(driver), int(recorded), Counter(row[0] for row in rows), gaps)


@contextmanager
def cluster(nodes: int, tune: str | None) -> Iterator[RayCluster]:
    from tests.ray_cluster import ENVIRONMENT, started

    paths = [str(ROOT / "benchmarks"), str(ENVIRONMENT), *([tune] if tune else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *paths, os.environ.get("PYTHONPATH", "")])
    hosts = [f"127.0.0.{2 + number}" for number in range(nodes)]
    with started(hosts, cpus=1, gpus=0) as found:
        yield found


def row(name: str, trials: int, ideal: float, one: Measured) -> str:
    lost, doubled = trials - len(one.begun), sum(n - 1 for n in one.begun.values())
    tenth = statistics.quantiles(one.gaps, n=10)[-1]
    cells = [
        name, f"{one.wall:.0f}", f"{one.wall / ideal:.2f}", f"{statistics.median(one.gaps) * 1000:.0f} ms",
        f"{tenth * 1000:.0f} ms", f"{one.processor / trials * 1000:.0f} ms", one.recorded, lost, doubled,
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main(args: argparse.Namespace) -> None:
    from tests.postgres import Postgres

    os.environ[SECONDS] = str(args.seconds)
    ideal = args.trials * args.seconds / args.nodes
    server = Postgres.start_new()
    assert server is not None, "PostgreSQL is not installed"
    print(f"{args.trials} trials of {args.seconds:g} s, {args.nodes} nodes: {ideal:.0f} s without overhead\n")
    print(
        "| way | seconds | beside none | a node idles, median | nine of ten | processor, a trial | recorded "
        "| lost | doubled |\n|---|---|---|---|---|---|---|---|---|"
    )
    try:
        with tempfile.TemporaryDirectory() as scratch, cluster(args.nodes, args.tune) as found:
            for way in args.ways.split(","):
                measured = measure(way, args.trials, Path(scratch) / way, found, server.database())
                print(row(WAYS[way], args.trials, ideal, measured), flush=True)
    finally:
        server.remove()


def run_way(args: argparse.Namespace) -> int:
    """In a process of its own; returns how many trials it has recorded."""
    if args.way in ("postgresql", "journal"):
        return ours(Path(args.folder), args.trials, args.address, args.ledger)
    if args.way == "tasks":
        return tasks(args.trials, args.address)
    return tune(Path(args.folder), args.trials, args.address, reuse=args.way == "reuse")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in (("trials", 1000), ("nodes", 8)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tune", help="folder with tensorboardX, for Ray Tune")
    for name in ("way", "folder", "address", "ledger"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--ways", default=",".join(WAYS), help="in their order; default: all")
    parser.add_argument("--status", type=int, help="only: `status` of a study with so many cells")
    asked = parser.parse_args()
    if asked.status:
        status(asked.status, "")
    elif asked.way is None:
        main(asked)
    else:
        count = run_way(asked)
        print(f"\n{count} {time.process_time():.1f}")
