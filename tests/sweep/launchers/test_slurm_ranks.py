"""A training whose ranks srun started on two machines, and Slurm's SIGTERM to all that it started itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm_cluster import Cluster, started, until

pytestmark = pytest.mark.slurm
DRIVE = Path(__file__).parent / "slurm_ranks.py"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One in which only what Slurm itself has started is signalled, as proctrack/cgroup does."""
    with started("pgid") as cluster:
        yield cluster


def test_a_preempted_training_on_two_machines_leaves_a_checkpoint(cluster: Cluster, tmp_path: Path) -> None:
    """Not one of its regular ones: it was told to write none."""
    script, steps = tmp_path / "job", tmp_path / "steps"
    srun = "srun --nodes=1 --ntasks=1 --overlap"  # as the script of a sweep starts its runner
    script.write_text(f"#!/bin/sh\n{srun} {sys.executable} {DRIVE} {tmp_path}\n")
    options = ["--nodes=2", "--ntasks-per-node=1", "--parsable", f"--output={tmp_path / 'said'}"]
    job = cluster.run("sbatch", *options, str(script)).strip()
    until(lambda: steps.exists() and len(steps.read_text().split()) > 5)
    cluster.run("scancel", "--signal=TERM", job)
    until(lambda: "Preempted" in (tmp_path / "said").read_text())
    told = re.search(
        r"Preempted: (?:rank .: )?asked to end after step (\d+); its checkpoint is written",
        (tmp_path / "said").read_text(),
    )
    assert told, (tmp_path / "said").read_text()
    (checkpoint,) = tmp_path.glob("artifacts/weights/*/checkpoints/step-*")
    assert int(checkpoint.name.partition("-")[2]) == int(told[1]) > 5
    assert {path.name for path in (checkpoint / "state").glob("random_states_*")} == {
        "random_states_0.pkl", "random_states_1.pkl",
    }  # fmt: skip
