"""Studies over a real Ray of two nodes that share no folder (CI_RAY=1): faults, GPUs, what is refused."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limo_ablate.sweep.launchers.ray.node import TRIALS
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.usage import usage
from tests.postgres import Postgres
from tests.ray_cluster import HOSTS, RayCluster, ray_cluster
from tests.sweep.launchers.places import OnRay, all_gone, marked
from tests.sweep.sweeping import ended
from tests.waiting import gone, until

__all__ = ["ray_cluster"]


@pytest.fixture
def sweep(ray_cluster: RayCluster, tmp_path: Path) -> Iterator[OnRay]:
    place = OnRay(tmp_path, cluster=ray_cluster)
    yield place
    place.close()


def log(sweep: OnRay, name: str) -> str:
    return (sweep.trial(name) / "trial.log").read_text()


def test_a_sweep_that_is_killed_takes_its_trials_with_it_and_the_next_goes_on(sweep: OnRay) -> None:
    sweep.declare("launch.attempts=1", quality=("L1", "any"), size=(1, 5))
    runner = sweep.start()
    sweep.until(lambda: "L1-size1-s0" in sweep.steps())
    marks, pids = sweep.marks(), [int(pid) for _, name, _, pid in sweep.events("start") if "L1" in name]
    runner.kill()
    runner.wait()
    all_gone(marks)
    assert gone(*pids)
    again = sweep.start()
    sweep.until(lambda: len(sweep.finished()) == 2 and sweep.starts()["L1-size1-s0"] == 2)
    sweep.interrupt(again)
    assert ended(again)[0] == 130
    assert sweep.finished() == {"any-size1-s0": 1, "any-size5-s0": 1}


def test_a_ray_worker_that_is_killed_is_no_failure_and_leaves_nothing(sweep: OnRay) -> None:
    """As the kernel does that wants its memory: the trial's own child, in a session of its own, ends too."""
    sweep.declare("launch.attempts=1", quality=("L1",), size=(1,))
    runner = sweep.start()
    sweep.until(lambda: bool(sweep.steps()))
    before = set(marked(sweep.marks()))
    worker = parent(parent(last_pid(sweep)))
    os.kill(worker, signal.SIGKILL)
    sweep.until(lambda: sweep.starts()["L1-size1-s0"] == 2)
    assert gone(*before)
    sweep.interrupt(runner)
    code, said = ended(runner)
    assert code == 130, said
    assert "L1-size1-s0  waits again: its Ray worker was killed" in said


def test_a_database_that_restarts_loses_nothing(sweep: OnRay) -> None:
    """It is away for a while in which trials end on the nodes."""
    if (server := Postgres.start_new()) is None:
        pytest.skip("PostgreSQL is not installed")
    try:
        url = server.database()
        sweep.declare("launch.attempts=1", quality=("L2",), size=(2000, 2020, 2040, 2060, 2080, 2100))
        runner = sweep.start(f"ledger='{url}'")
        sweep.until(lambda: len(sweep.steps()) >= 2)
        server.stop()
        until(lambda: len(sweep.events("trained")) >= 2)
        server.start()
        code, said = ended(runner)
        assert code == 0, said
        states = Counter((row.user_attrs["cell"], row.state.name) for row in Ledger(url, "small").rows())
    finally:
        server.remove()
    assert states == {(cell["name"], "COMPLETE"): 1 for cell in sweep.cells()}
    assert set(sweep.starts().values()) == {1}


def test_each_trial_has_the_gpus_that_ray_gives_it_and_no_other(sweep: OnRay) -> None:
    sweep.declare(hardware=("gpu1", "cpu"), size=(300, 310, 320))
    code, said = sweep.run("launch.ray.cpus=1")
    assert code == 0, said
    assert len(sweep.finished()) == 6
    logs = {cell["name"]: log(sweep, cell["name"]) for cell in sweep.cells()}
    machines = usage(sweep.rows(), {}, 0.0)
    assert {machine.name for machine in machines} <= set(HOSTS), "nothing ran on the sweep's own machine"
    assert sum(machine.attempts["done"] for machine in machines) == 6
    on_gpus = {text.split("on GPUs ")[1] for name, text in logs.items() if "gpu1" in name}
    assert on_gpus <= {"[0]\n", "[1]\n"}
    assert all("on GPUs []\n" in text for name, text in logs.items() if "gpu1" not in name)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (
            ("hardware=gpu1", "hardware.processes=3", "hardware.strategy=ddp", "launch.ray.cpus=1"),
            "needs 1 CPU, 3 GPU on one node; the nodes of the Ray cluster have 2 CPU, 2 GPU",
        ),
        (("hardware=fsdp2_nodes",), "launch=ray runs a trial on one node, not on hardware.nodes=2"),
        (("launch.ray.folder=/nowhere",), "has no folder /nowhere; make it there, or set launch.ray.folder"),
    ],
)
def test_what_no_node_could_run_is_one_line(sweep: OnRay, overrides: tuple[str, ...], complaint: str) -> None:
    sweep.declare(size=(5,))
    code, said = sweep.run(*overrides)
    assert code == 2, said
    assert complaint in said
    assert "Traceback" not in said


def no_folder(cluster: RayCluster) -> None:
    shutil.rmtree(cluster.directory(HOSTS[1]))


def no_room_for_trials(cluster: RayCluster) -> None:
    no_folder(cluster)
    cluster.directory(HOSTS[1]).mkdir()
    (cluster.directory(HOSTS[1]) / TRIALS).touch()


def not_installed(cluster: RayCluster) -> None:
    package = cluster.directory(HOSTS[1]) / "limo_ablate"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError('limo_ablate')")
    cluster.kill_node(HOSTS[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "modules", f"{package.parent}{os.pathsep}{cluster.modules}")
        cluster.start_node(HOSTS[1])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_folder, "node 127.0.0.3 has no folder "),
        (no_room_for_trials, "node 127.0.0.3 can't run a trial in "),
        (not_installed, "node 127.0.0.3 can't run a trial in "),
    ],
)
def test_a_node_that_can_run_nothing_is_left_out(
    sweep: OnRay, spoil: Callable[[RayCluster], None], reason: str
) -> None:
    """Its trials, of which no attempt counts, run on the other."""
    assert sweep.cluster is not None
    spoil(sweep.cluster)
    try:
        sweep.declare("launch.attempts=1", size=(300, 310, 320, 330, 340, 350))
        code, said = sweep.run()
    finally:
        sweep.lose(sweep.runners[-1])
        shutil.rmtree(sweep.cluster.directory(HOSTS[1]), ignore_errors=True)
    assert code == 0, said
    assert f"waits again: node 127.0.0.3 gets no more trials: {reason}" in said, said
    assert len(sweep.finished()) == 6
    assert set(sweep.finished().values()) == {1}


def test_no_cluster_at_the_address_is_one_line(sweep: OnRay) -> None:
    sweep.declare(size=(5,))
    code, said = sweep.run("launch.ray.address=127.0.0.2:9")
    assert code == 2, said
    assert "launch.ray.address=127.0.0.2:9: no Ray cluster answers" in said
    assert "Traceback" not in said
    assert not sweep.folder.exists()


def last_pid(sweep: OnRay) -> int:
    return int(sweep.events("start")[-1][3])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
