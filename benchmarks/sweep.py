"""A sweep of trivial trials beside Hydra's multirun and its Optuna sweeper.

    python -m venv PEER      # an environment of its own, for the sweeper drags Optuna to 2.10
    PEER/bin/pip install hydra-core==1.3.8 hydra-optuna-sweeper==1.3.0.dev0 'sqlalchemy<2.1'
    python benchmarks/sweep.py --peer PEER/bin/python [--rounds 3]

96 cells (8 sizes, 4 tiers, 3 seeds) over the configuration tree in conf/; a trial writes its score into a
file of its own folder and ends. Whole commands, in turn; wall-clock and processor seconds, children
included. Ours runs each trial in a process of its own, in a ledger that survives kill -9, and then draws
nothing; Hydra runs them one after the other in its own process. Each way starts from an empty folder, and
its trials are counted.
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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES, TIERS, SEEDS = range(1, 9), ("L1", "L2", "L3", "L4"), (0, 1, 2)
PATH = {"PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"}
"""For our fork server, which imports this file by its name."""
CELLS = len(SIZES) * len(TIERS) * len(SEEDS)


def trial(config: Any, folder: Path, labels: Any) -> None:
    """Our trivial trial."""
    from limo_ablate.trial.identity import trial_key

    metrics = {
        "trial": trial_key(config),
        "scores": {"mini": {"accuracy": 0.5, "stderr": 0.1}},
        "total_seconds": 0.0,
        "artifacts": {},
        "inputs": {"files": {}, "versions": {}},
        "finished": datetime.now(UTC).isoformat(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.partial").write_text(json.dumps(metrics))
    (folder / "metrics.partial").rename(folder / "metrics.json")


def report(folder: Path) -> tuple[Path, list[str], list[str]]:
    return folder, [], []


def ours(folder: Path, slots: int) -> None:
    from limo_ablate.study.design import Block, Study
    from limo_ablate.sweep.coordinate import run
    from limo_ablate.sweep.runner import Commands

    axes: dict[str, Any] = {"select.size": tuple(SIZES), "select.quality": TIERS}
    study = Study(
        name="trivial",
        blocks=(Block(name="grid", axes=axes),),
        overrides=("track=none", f"launch.slots={slots}"),
        seeds=SEEDS,
    )
    module = Path(__file__).stem
    commands = Commands(
        trial=f"{module}:trial",
        report=f"{module}:report",
        prepare=f"{module}:report",
        preload=(module, "limo_ablate.trial.identity"),
    )
    if code := run(study, folder, commands=commands):
        sys.exit(code)


def hydra_app(conf: str) -> None:
    """The peers' application, run by their own environment: needs hydra alone."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    def job(cfg: Any) -> float:
        score = {"accuracy": 0.5, "size": cfg.select.size}
        (Path(HydraConfig.get().runtime.output_dir) / "metrics.json").write_text(json.dumps(score))
        return 0.5

    hydra.main(version_base="1.3", config_path=conf, config_name="config")(job)()


def commands(peer: str, folder: Path, slots: int) -> dict[str, list[str]]:
    me = str(Path(__file__))
    app = [peer, me, "--app", "-m", f"hydra.sweep.dir={folder}", "track=none"]
    listed = [f"select.size={','.join(map(str, SIZES))}", f"select.quality={','.join(TIERS)}"]
    choices = [
        f"select.size=choice({','.join(map(str, SIZES))})",
        f"select.quality=choice({','.join(TIERS)})",
        f"seed=choice({','.join(map(str, SEEDS))})",
    ]
    optuna = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", f"hydra.sweeper.n_trials={CELLS}"]
    return {
        "limo-ablate": [sys.executable, me, "--ours", str(folder), "--slots", str(slots)],
        "Hydra multirun": [*app, "hydra/sweeper=basic", *listed, f"seed={','.join(map(str, SEEDS))}"],
        "hydra-optuna-sweeper": [*app, *optuna, f"hydra.sweeper.n_jobs={slots}", *choices],
    }


def timed(command: list[str], folder: Path) -> tuple[float, float, int]:
    """(wall-clock seconds, processor seconds, trials that left a result)."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        code = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | PATH, check=False
        ).returncode
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        sys.exit(f"{' '.join(command)}: exit code {code}\n{log.read_text()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, len(list(folder.rglob("metrics.json")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="Python with Hydra 1.3.8 and hydra-optuna-sweeper")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float, int]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(args.rounds):
            for place, name in enumerate(commands(args.peer, Path(), args.slots)):
                folder = Path(scratch) / f"{turn}-{place}"
                command = commands(args.peer, folder, args.slots)[name]
                found.setdefault(name, []).append(timed(command, folder))
    print(f"Medians of {args.rounds} rounds, {args.slots} slots.\n")
    print("| way | results | seconds | processor seconds | beside ours |\n|---|---|---|---|---|")
    middle = {n: [statistics.median(column) for column in zip(*v, strict=True)] for n, v in found.items()}
    for name, (wall, cpu, results) in middle.items():
        ratio = f"{wall / middle['limo-ablate'][0]:.1f}"
        print(f"| {name} | {results:.0f} of {CELLS} | {wall:.2f} | {cpu:.2f} | {ratio} |")


if __name__ == "__main__":
    if "--app" in sys.argv:
        sys.argv.remove("--app")
        hydra_app(str(ROOT / "conf"))
    elif "--ours" in sys.argv:
        ours(Path(sys.argv[2]), int(sys.argv[4]))
    else:
        main()
