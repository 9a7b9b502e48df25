"""The parts of `launch=ray` that need no cluster: what a node sends, what is taken, where there is room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.launchers.ray import node as ray_node
from limo_ablate.sweep.launchers.ray.call import RayCall, write_part
from limo_ablate.sweep.launchers.ray.launcher import RayLauncher
from limo_ablate.sweep.launchers.ray.machines import Node, RayMachines
from limo_ablate.sweep.launchers.ray.mail import Ended, Item, Part, Started
from limo_ablate.sweep.launchers.ray.node import Order, Sent
from limo_ablate.sweep.worker import BROKEN, PREEMPTED, Call
from limo_ablate.trial.compose import compose
from limo_ablate.trial.launch_config import LaunchConfig
from tests.sweep.test_slots import CPU, DDP, GPU

LAUNCH = compose(["launch=ray"]).launch


class Nodes(RayMachines):
    """Two nodes of four CPUs, one of them with two GPUs."""

    def nodes(self) -> list[Node]:
        return [Node("a", "10.0.0.1", {"CPU": 4.0, "GPU": 2.0}), Node("b", "10.0.0.2", {"CPU": 4.0})]


def machines(folder: Path, launch: LaunchConfig = LAUNCH) -> Nodes:
    return Nodes(launch, folder, "study-1")


def call(where: Nodes, folder: Path, name: str = "one") -> RayCall:
    made = RayCall(f"runner/{name}/1", folder / name, GPU, where)
    where._calls[made.attempt] = made
    return made


def sent(folder: Path) -> list[Item]:
    items: list[Item] = []
    parts = Sent(folder, items.append)
    parts.what_changed()
    parts.rest()
    return items


def test_a_folder_arrives_as_it_was_with_the_metrics_last(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "one"
    (there / "deep").mkdir(parents=True)
    large = bytes(range(256)) * 10_000
    files = {"trial.log": b"one\ntwo\n", "progress.json": b"{}", "metrics.json": b"{1}", "deep/large": large}
    for name, data in files.items():
        (there / name).write_bytes(data)
    (there / "link").symlink_to("/etc/passwd")
    items = sent(there)
    assert [item.path for item in items if isinstance(item, Part)][-1] == "metrics.json"
    running = call(machines(tmp_path), tmp_path)
    for item in items:
        running.receive(item)
    assert not (here / "metrics.json").exists(), "only whole, when all has arrived"
    running.receive(Ended(0, None))
    assert {path.relative_to(here).as_posix(): path.read_bytes() for path in here.rglob("*.*")} | {
        "deep/large": (here / "deep/large").read_bytes()
    } == files
    assert not running.running


def test_metrics_arrive_of_a_trial_that_has_written_nothing_else(tmp_path: Path) -> None:
    running = call(machines(tmp_path), tmp_path)
    for item in (Started("a", "10.0.0.1"), Part("metrics.json", b"{}", appended=False), Ended(0, None)):
        running.receive(item)
    assert (tmp_path / "one" / "metrics.json").read_bytes() == b"{}"


def test_a_log_is_sent_as_it_grows(tmp_path: Path) -> None:
    items: list[Item] = []
    parts, log = Sent(tmp_path, items.append), tmp_path / "trial.log"
    log.write_text("one\n")
    parts.what_changed()
    parts.what_changed()
    with log.open("a") as file:
        file.write("two\n")
    parts.what_changed()
    assert items == [Part("trial.log", b"one\n", appended=True), Part("trial.log", b"two\n", appended=True)]


@pytest.mark.parametrize("path", ["../other/metrics.json", "/etc/passwd", "out/x", "deep/../../x"])
def test_a_node_writes_nothing_outside_the_trials_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    for appended in (False, True):
        with pytest.raises(UserError, match="no file of a trial's folder"):
            write_part(folder, Part(path, b"x", appended=appended))
    assert [entry.name for entry in tmp_path.iterdir()] == ["trial"]


def test_trials_are_started_where_there_is_room_for_them_on_one_node(tmp_path: Path) -> None:
    where = machines(tmp_path)
    assert where.side_by_side(CPU) == 8
    assert where.side_by_side(GPU) == 2
    assert where.choose([("wide", replace(CPU, threads=5)), ("narrow", CPU)]) == 1
    call(where, tmp_path, "one").receive(Started("a", "10.0.0.1"))
    call(where, tmp_path, "two")  # waits for a node: it has room on the first one
    assert where.choose([("three", GPU)]) is None
    assert where.choose([("three", replace(CPU, threads=4))]) == 0
    assert machines(tmp_path, replace(LAUNCH, slots=3)).side_by_side(CPU) == 3
    assert where.acquire(DDP).devices == 2


def test_a_request_has_the_names_of_ray(tmp_path: Path) -> None:
    assert LAUNCH.ray is not None
    assert machines(tmp_path).wanted(DDP) == {"CPU": 8, "GPU": 2}
    more = replace(LAUNCH.ray, cpus=1, memory_gb=2, resources={"H100": 1.0})
    wanted = machines(tmp_path, replace(LAUNCH, ray=more)).wanted(GPU)
    assert wanted == {"CPU": 1, "GPU": 1, "memory": 2e9, "H100": 1.0}


def test_a_node_with_other_code_or_no_folder_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_OF_NODE", str(tmp_path))
    own = {"directory": "$SCRATCH_OF_NODE", "code": ray_node.code_version()}
    order = Order(
        attempt="a", call=Call("m:f", ()), folder=tmp_path, files={}, hardware=CPU, modules=(), study="s",
        runner="r", threads=1, environment={}, **own,
    )  # fmt: skip
    assert ray_node.why_not(order, "10.0.0.1") == (0, None)
    code, reason = ray_node.why_not(replace(order, code=(order.code[0], "0" * 64)), "10.0.0.1")
    assert code == BROKEN
    assert reason is not None
    assert reason.startswith("node 10.0.0.1 has other code of limo-ablate (")
    code, reason = ray_node.why_not(replace(order, directory="$SCRATCH_OF_NODE/no"), "10.0.0.1")
    assert (code, reason) == (
        BROKEN,
        f"node 10.0.0.1 has no folder {tmp_path}/no; make it there, or set launch.ray.folder",
    )


def test_a_node_that_can_run_nothing_gets_nothing_while_another_could(tmp_path: Path) -> None:
    """Of two nodes, one alone has GPUs."""
    where = machines(tmp_path)
    where._nodes = where.nodes()
    one, other = call(where, tmp_path, "one"), call(where, tmp_path, "other")
    one.receive(Started("b", "10.0.0.2"))
    broken = Ended(BROKEN, "node 10.0.0.2 has no folder /x")
    where._deliver(one, broken)
    reason = "node 10.0.0.2 gets no more trials: node 10.0.0.2 has no folder /x"
    assert one._ended == Ended(PREEMPTED, reason)
    assert where.side_by_side(CPU) == 4
    assert list(where._free()) == ["a"]
    other.receive(Started("a", "10.0.0.1"))
    where._deliver(other, broken)
    assert other._ended == broken, "no node is left"


def test_an_attempt_ends_once(tmp_path: Path) -> None:
    running = call(machines(tmp_path), tmp_path)
    running.end(Ended(PREEMPTED, "its node is gone"))
    running.receive(Ended(0, None))
    assert running._ended == Ended(PREEMPTED, "its node is gone")


@pytest.mark.parametrize(
    "override",
    [
        "launch.ray.address='ray://head:10001'",
        "launch.ray.cpus=0",
        "launch.ray.memory_gb=0",
        "launch.ray.resources={GPU: 1}",
        "launch.ray.resources={a: nan}",
    ],
)
def test_a_request_that_can_not_be_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=r"launch\.ray\."):
        compose(["launch=ray", override])


def test_a_study_that_does_not_run_has_no_nodes(tmp_path: Path) -> None:
    assert RayLauncher.lines(tmp_path) == []
