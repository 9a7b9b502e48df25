"""What a trial of a sweep costs beside its training and generation.

    python benchmarks/overhead.py

32 small trials of the miniature on one slot, untracked and with offline W&B, in forks of the warm server:
seconds from a trial's start to its record, less those of training and generation. The base model and the
problems are made before, in a sweep of their own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
STUDY = """
name: overhead
overrides: [model=mini_s, model.pretrain.tokens=20000, train.steps=3, data.miniature.per_level=20,
  eval.benchmarks.mini.miniature.per_level=2, launch.slots=1]
blocks:
  - name: b
    axes: {select.size: [4, 5, 6, 7, 8, 9, 10, 11], select.quality: [L1, L2, L4, L5]}
"""
WORK = ("weights", "completions")


def sweep(study: Path, root: Path, name: str, *more: str) -> Path:
    """Runs the study under a name; returns its folder."""
    paths = [f"paths.{part}={root / part}" for part in ("studies", "artifacts")]
    command = [sys.executable, "-m", "limo_ablate", "sweep", str(study), f"name={name}", *paths, *more]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return root / "studies" / name


def beside(folder: Path) -> list[float]:
    """Seconds of each trial beside its work, from the ledger."""
    from limo_ablate.sweep.ledger.ledger import Ledger

    found = []
    for row in Ledger(folder / "ledger.log", folder.name).rows():
        result = row.user_attrs["result"]
        metrics = json.loads((Path(result["folder"]) / "metrics.json").read_text())
        found.append(result["seconds"] - sum(metrics["seconds"].get(stage, 0.0) for stage in WORK))
    return sorted(found)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "overhead.yaml").write_text(STUDY)
        sweep(root / "overhead.yaml", root, "first", "track=none", "select.size=4", "select.quality=L4")
        print("| tracking | trials | median, s | nine of ten below, s |\n|---|---|---|---|")
        for number, (name, track) in enumerate((("none", "track=none"), ("W&B, offline", "track=wandb"))):
            folder = sweep(root / "overhead.yaml", root, f"run{number}", track, f"train.steps={3 + number}")
            found = beside(folder)
            middle, most = statistics.median(found), found[int(0.9 * len(found))]
            print(f"| {name} | {len(found)} | {middle:.3f} | {most:.3f} |")


if __name__ == "__main__":
    main()
