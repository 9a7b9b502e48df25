"""The nodes of a Ray cluster, as a runner uses them: a task for each attempt, on whichever node Ray chooses.

Ray retries nothing, for the ledger does. What an attempt writes arrives by the mailbox (`mail`) in the
study's folder: its log and its progress while it runs, the rest when it has ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError, is_disk_full
from limo_ablate.core.files import write_atomically
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import PROGRESS
from limo_ablate.sweep.launchers.ray import node as ray_node
from limo_ablate.sweep.launchers.ray.call import RayCall, outcome, said
from limo_ablate.sweep.launchers.ray.mail import TAKE_SECONDS, Ended, Item, Mailbox, Started
from limo_ablate.sweep.slots import Slot, Slots, width
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, FAILED, LOG, PREEMPTED, Call
from limo_ablate.trial.launch_config import LaunchConfig, RayConfig

CONNECT_SECONDS = 10.0
"""How long an address may take to answer at all."""
NODES_SECONDS = 2.0
"""How old the list of nodes may be."""
CLEANUP_SECONDS = 10.0
"""How long the end of what an attempt has left on its node is waited for."""
FORCE_SECONDS = 10.0
"""Time after which a task that should have ended its trial is ended itself."""
FORWARDED = ("HF_TOKEN", "HF_HUB_", "WANDB_")
"""Beginnings of the names of the sweep's environment variables that trials get on all nodes."""
OURS = (LOG, PROGRESS)
"""Files of a trial's folder that no next attempt needs."""
RAY = "ray.json"
"""File in the study's folder: the nodes and what runs on them, for `limo-ablate status`."""


def connect(address: str) -> None:
    """Connects this process with the cluster, once. Raises UserError where there is none."""
    try:
        import ray
    except ImportError as error:
        raise UserError("launch=ray needs Ray: pip install 'limo-ablate[ray]'") from error
    if ray.is_initialized():
        return
    if (host := re.fullmatch(r"\[?([^/]+?)\]?:(\d+)", address)) is not None:
        try:  # Ray itself asks on and on
            socket.create_connection((host[1], int(host[2])), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise UserError(f"launch.ray.address={address}: no Ray cluster answers: {error}") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise UserError(
            f"launch.ray.address={address}: no Ray cluster answers: {text}; `ray start --head` starts one"
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray installs its own, which end the process
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    host: str
    resources: Mapping[str, float]


@dataclass
class RayMachines(Slots):
    """A `limo_ablate.sweep.machines.Machines`."""

    launch: LaunchConfig
    folder: Path
    """The study's."""
    study: str
    """Its name among all that use the cluster."""
    _calls: dict[str, RayCall] = field(default_factory=dict, init=False)
    """By attempt; those whose end is not settled yet."""
    _count: int = field(default=0, init=False)
    _nodes: list[Node] = field(default_factory=list, init=False)
    _nodes_at: float = field(default=float("-inf"), init=False)
    _excluded: dict[str, str] = field(default_factory=dict, init=False)
    """Id of each node that could not run a trial -> why; it gets no more while another could."""
    _timers: list[threading.Timer] = field(default_factory=list, init=False)
    """Of the ends of tasks."""
    _gone: bool = field(default=False, init=False)
    """Whether the cluster no longer answers."""
    _closing: bool = field(default=False, init=False)

    @property
    def config(self) -> RayConfig:
        assert self.launch.ray is not None
        return self.launch.ray

    def check(self, hardware: Iterable[HardwareConfig]) -> None:
        connect(self.config.address)
        for one in hardware:
            if one.nodes > 1:
                raise UserError(
                    f"hardware={one.name}: launch=ray runs a trial on one node, not on hardware.nodes="
                    f"{one.nodes}; launch=slurm runs it on several"
                )
            if not any(_has(node.resources, self.wanted(one)) for node in self.nodes()):
                there = "; ".join(sorted({_text(node.resources, self.wanted(one)) for node in self.nodes()}))
                raise UserError(
                    f"hardware={one.name} needs {_text(self.wanted(one), self.wanted(one))} on one node; "
                    f"the nodes of the Ray cluster have {there}"
                )

    def side_by_side(self, hardware: HardwareConfig) -> int:
        """As many as the nodes that there are now hold."""
        if self.launch.slots:
            return self.launch.slots
        wanted = self.wanted(hardware)
        return max(
            1,
            sum(
                min(int(node.resources.get(name, 0) // need) for name, need in wanted.items())
                for node in self._usable()
            ),
        )

    @contextmanager
    def opened(self, modules: Sequence[str], runner: str, threads: int) -> Iterator[None]:
        import ray

        connect(self.config.address)
        self._modules, self._runner, self._threads = tuple(modules), runner, threads
        self._code = ray_node.code_version()
        here = _on(ray.get_runtime_context().get_node_id())  # it shall live as long as this process
        self._mailbox = ray.remote(Mailbox).options(**here, max_concurrency=100_000).remote()
        # workers are used again, for their fork servers have the imports
        self._task = ray.remote(max_retries=0, max_calls=0)(ray_node.run)
        self._cleanup = ray.remote(ray_node.end_leftovers)
        receiver = threading.Thread(target=self._receive, name="ray mail", daemon=True)
        receiver.start()
        try:
            yield
        finally:
            self._closing = True
            for timer in self._timers:
                timer.cancel()
            # wakes the receiver: a thread that asks Ray for something after its end ends the process
            self._mailbox.put.remote("", Ended(0, None))
            receiver.join(timeout=2 * TAKE_SECONDS)
            (self.folder / RAY).unlink(missing_ok=True)
            ray.shutdown()  # ends what is left of the actor and of tasks

    def fits(self, hardware: HardwareConfig) -> bool:
        return super().fits(hardware) and any(
            _has(free, self.wanted(hardware)) for free in self._free().values()
        )

    def acquire(self, hardware: HardwareConfig) -> Slot:
        if hardware.device == "cuda":
            return self.use(gpus=("",) * width(hardware))  # Ray says which, on the node
        return self.use(cores=width(hardware))

    def start(self, call: Call, hardware: HardwareConfig, slot: Slot, folder: Path, mark: str) -> RayCall:
        self._count += 1
        running = RayCall(f"{mark}/{self._count}", folder, hardware, self)
        order = ray_node.Order(
            attempt=running.attempt,
            call=call,
            folder=folder,
            files=_left_files(folder),
            hardware=hardware,
            directory=self._directory,
            modules=self._modules,
            study=self.study,
            runner=self._runner,
            threads=self._threads,
            environment={k: v for k, v in os.environ.items() if k.startswith(FORWARDED)},
            code=self._code,
        )
        self._calls[running.attempt] = running
        wanted = self.wanted(hardware)
        options: dict[str, Any] = {
            "num_cpus": wanted["CPU"],
            "num_gpus": wanted.get("GPU", 0),
            "memory": wanted.get("memory"),
            "resources": self.config.resources,
            "name": f"{folder.parent.name}/{folder.name}",
        }
        if self._excluded:
            options["label_selector"] = {"ray.io/node-id": f"!in({', '.join(self._excluded)})"}
        running.task = self._task.options(**options).remote(order, self._mailbox)
        running.task.future().add_done_callback(lambda future: self._task_ended(running, future.exception()))
        return running

    def end_leftovers(self, runner: str) -> None:
        """On all nodes, with the folders of trials there."""
        if self._gone:
            return
        directory = f"{self._directory}/{ray_node.TRIALS}/{self.study}"
        cleanups = [
            self._cleanup.options(**_on(node.id), max_retries=0).remote(runner, directory)
            for node in self.nodes()
        ]
        import ray

        ray.wait(cleanups, num_returns=len(cleanups), timeout=CLEANUP_SECONDS)

    def signal(self, call: RayCall, number: signal.Signals) -> None:
        """Has the task signal its trial, and ends the task where that has no effect."""
        import ray

        if call.started is None:
            ray.cancel(call.task)
            return
        self._mailbox.order.remote(call.attempt, int(number))
        if number == signal.SIGKILL:
            timer = threading.Timer(FORCE_SECONDS, lambda: call.running and ray.cancel(call.task, force=True))
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    def settled(self, call: RayCall) -> None:
        """Forgets a call that has ended."""
        del self._calls[call.attempt]
        self._mailbox.forget.remote(call.attempt)
        self._write_nodes()

    def wanted(self, hardware: HardwareConfig) -> dict[str, float]:
        """Resources of one node that a trial on `hardware` gets, by Ray's names."""
        ranks = hardware.processes // hardware.nodes
        wanted: dict[str, float] = {"CPU": self.config.cpus or ranks * hardware.threads}
        if hardware.device == "cuda":
            wanted["GPU"] = width(hardware)
        if self.config.memory_gb:
            wanted["memory"] = self.config.memory_gb * 1e9
        return wanted | self.config.resources

    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        import ray

        if time.monotonic() - self._nodes_at > NODES_SECONDS:
            self._nodes = [
                Node(row["NodeID"], row["NodeManagerAddress"], row["Resources"])
                for row in ray.nodes()
                if row["Alive"]
            ]
            self._nodes_at = time.monotonic()
        return self._nodes

    def _usable(self) -> list[Node]:
        return [node for node in self.nodes() if node.id not in self._excluded]

    def _exclude(self, place: str, ended: Ended, hardware: HardwareConfig) -> Ended:
        """How an attempt has ended that its node, of this id or host, could not run, as it could no other."""
        assert ended.reason is not None
        nodes = [node for node in self._nodes if place in (node.id, node.host)]
        self._excluded |= {node.id: ended.reason for node in nodes}
        left = [node for node in self._nodes if node.id not in self._excluded]
        if not nodes or not any(_has(node.resources, self.wanted(hardware)) for node in left):
            return ended
        return Ended(PREEMPTED, f"node {nodes[0].host} gets no more trials: {ended.reason}")

    @property
    def _directory(self) -> str:
        return self.config.folder or str(Path.cwd())

    def _free(self) -> dict[str, dict[str, float]]:
        """Id of each node -> its resources but for what this sweep's attempts use, or wait for."""
        free = {node.id: dict(node.resources) for node in self._usable()}
        for call in sorted(self._calls.values(), key=lambda call: call.node is None):
            wanted = self.wanted(call.hardware)
            room = (id for id, left in free.items() if _has(left, wanted))
            where = call.node.node if call.node else next(room, "")
            for name, need in wanted.items() if where in free else ():
                free[where][name] = free[where].get(name, 0) - need
        return free

    def _receive(self) -> None:
        """Distributes what arrives, until the mailbox is closed."""
        import ray

        while not self._closing:
            try:
                arrived = ray.get(self._mailbox.take.remote())
            except Exception as error:
                if not self._closing:
                    self._end_all(f"the Ray cluster is gone: {said(error)}")
                return
            for attempt, item in arrived:
                if (call := self._calls.get(attempt)) and call.running:
                    self._deliver(call, item)

    def _deliver(self, call: RayCall, item: Item) -> None:
        if isinstance(item, Ended) and item.code in (BROKEN, DISK_FULL) and call.node:
            item = self._exclude(call.node.node, item, call.hardware)
        try:
            call.receive(item)
        except (OSError, UserError) as error:
            call.end(Ended(DISK_FULL if is_disk_full(error) else FAILED, f"{call.folder}: {error}"))
            self.signal(call, signal.SIGKILL)
        if isinstance(item, Started):
            self._write_nodes()

    def _end_all(self, reason: str) -> None:
        self._gone = True
        for call in list(self._calls.values()):
            call.end(Ended(BROKEN, reason))

    def _task_ended(self, call: RayCall, error: BaseException | None) -> None:
        if error is None:
            return
        ended = outcome(error, call.node.host if call.node else None)
        if ended.code == BROKEN and call.running:
            ended = self._exclude(getattr(error, "ip", ""), ended, call.hardware)
        call.end(ended)

    def _write_nodes(self) -> None:
        with suppress(OSError):  # only for people
            rows = [
                {
                    "node": node.id,
                    "host": node.host,
                    "resources": {name: node.resources.get(name, 0) for name in ("CPU", "GPU")},
                    "excluded": self._excluded.get(node.id),
                    "running": [
                        call.folder.name
                        for call in list(self._calls.values())
                        if call.node and call.node.node == node.id
                    ],
                }
                for node in self._nodes
            ]
            write_atomically(self.folder / RAY, json.dumps({"runner": self._runner, "nodes": rows}, indent=1))


def _on(node: str) -> dict[str, Any]:
    """Options of something small that runs on this node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _has(resources: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= need for name, need in wanted.items())


def _text(resources: Mapping[str, float], wanted: Mapping[str, float]) -> str:
    """`4 CPU, 2 GPU`: of what is wanted."""
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in wanted)


def _left_files(folder: Path) -> dict[str, bytes]:
    """What an earlier attempt has left in its folder that a next one may go on from."""
    if not folder.is_dir():
        return {}
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name not in OURS}
