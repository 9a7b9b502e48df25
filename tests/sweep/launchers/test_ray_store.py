"""Real trials over a Ray of two nodes with folders of their own, and a store behind the S3 API that fails.

CI_RAY=1 CI_S3=1, after `make ray-env s3-env`.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from limo_ablate.core.progress import read_progress
from limo_ablate.core.remote.checkpoints import POINTER
from limo_ablate.core.remote.object_store import ObjectStore
from tests.ray_cluster import HOSTS, RayCluster, ray_cluster, started
from tests.s3 import BUCKET, MOTO, Line, Server, is_wanted
from tests.sweep.launchers.places import OnRay, Subprocess
from tests.sweep.sweeping import ended
from tests.trial.test_trial import TINY

__all__ = ["ray_cluster"]
URL = f"s3://{BUCKET}/limo"


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    if not is_wanted():
        pytest.skip("runs with CI_S3=1 too, after `make s3-env`")
    assert MOTO.exists(), "make s3-env"
    server = Server()
    opened = Line(server)
    for name, value in opened.environment.items():
        monkeypatch.setenv(name, value)
    yield opened
    opened.close()
    server.stop()


@pytest.fixture
def sweep(
    ray_cluster: RayCluster, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealTrials]:
    """A cluster of its own: the nodes have the store's keys in their environment, the sweep a folder."""
    monkeypatch.chdir(tmp_path)
    with started() as cluster:
        yield RealTrials(tmp_path, cluster=cluster)


class RealTrials(OnRay):
    def _drive(self, *arguments: str) -> Subprocess:
        command = [sys.executable, "-m", "limo_ablate", "sweep", "--trust", *arguments]
        self.runners.append(Subprocess(command, dict(os.environ), self.root / "output"))
        return self.runners[-1]

    def runs_on(self, host: str) -> str | None:
        """Folder of the trial that runs on a node."""
        if not (place := self.folder / "ray.json").exists():
            return None
        nodes = json.loads(place.read_text())["nodes"]
        return next((one for node in nodes if node["host"] == host for one in node["running"]), None)


def test_a_trial_of_a_lost_node_goes_on_from_its_checkpoint_while_the_store_is_away(
    sweep: RealTrials, line: Line
) -> None:
    longer = ("train.steps=600", "train.checkpoint_steps=10", "select.size=8")
    sweep.declare(*TINY, *longer, f"paths.artifacts={URL}", "launch.attempts=1", quality=("L1", "L2"))
    runner, store = sweep.start("launch.ray.cpus=2"), ObjectStore(URL)

    def trains() -> Path | None:
        """Folder of a trial on the second node that has uploaded a checkpoint."""
        if (name := sweep.runs_on(HOSTS[1])) is None:
            return None
        reached = read_progress(sweep.folder / "trials" / name)
        if not reached or reached.stage != "weights" or (reached.done or 0) < 40:
            return None
        pointers = [name for name in store.names("weights") if name.endswith(POINTER)]
        return sweep.folder / "trials" / name if pointers else None

    sweep.until(lambda: trains() is not None)
    folder = sweep.folder / "trials" / str(sweep.runs_on(HOSTS[1]))
    sweep.lose(runner)
    line.go_away(30)
    code, said = ended(runner)
    assert code == 0, said
    assert "waits again: its node is gone" in said
    assert set(sweep.finished().values()) == {1}
    assert len(sweep.finished()) == 2
    assert "going on from step-" in (folder / "trial.log").read_text()
    made = Counter(name.split("/")[0] for name in store.names("") if name.endswith("artifact.json"))
    assert made["base"] == 1, "once for all nodes"
    assert made["weights"] == 2
    assert not [name for name in store.names("weights") if name.endswith(POINTER)]
