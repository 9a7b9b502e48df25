"""Several copies of a model that generate in parallel, each in a process of its own.

Requests are distributed by how long they may take. If a replica fails, all are killed and its traceback is
the trial's failure; they also die with this process.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from limo_ablate.core.errors import EXIT_USER_ERROR, TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.python import environment, python
from limo_ablate.core.typed import from_dict
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.generate.engine import Completed, Request, Sampling, longest_first
from limo_ablate.model.generate.other_python import environment_of
from limo_ablate.model.train.failure import OutOfMemory, names_out_of_memory
from limo_ablate.model.train.managed_process import (
    POLL_SECONDS,
    ManagedProcess,
    ProcessSpec,
    die_with,
    kill,
    process_failure,
    start,
)
from limo_ablate.model.train.model_config import ADAPTER


class Replicas:
    """An engine of `count` processes, each with an engine of its own for its share of the requests."""

    def __init__(
        self, path: str, settings: EngineConfig, hardware: HardwareConfig, count: int, scratch_dir: Path
    ) -> None:
        """`scratch_dir` is emptied first; no other process may use it."""
        self.path, self.settings, self.hardware, self.count, self.scratch_dir = (
            path,
            settings,
            hardware,
            count,
            scratch_dir,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Raises TrialFailure if a replica fails, whose log is kept, OutOfMemory if for lack of memory, and
        UserError if a replica raised it."""
        shutil.rmtree(self.scratch_dir, ignore_errors=True)
        self.scratch_dir.mkdir(parents=True)
        path = self._loadable_path()  # not kept: what is merged is removed with the scratch directory
        ordered = longest_first(requests)
        replicas: list[ManagedProcess] = []
        try:
            for number in range(min(self.count, len(ordered))):
                replicas.append(self._start(number, path, ordered[number :: self.count]))
            for number, index, ids, finish in _finished(replicas, self.scratch_dir):
                yield Completed(ordered[index * self.count + number], ids, finish)
        finally:
            for replica in replicas:
                kill(replica)
        shutil.rmtree(self.scratch_dir)

    def _loadable_path(self) -> str:
        """A folder that the engine can load: an adapter is merged into its base, once for all, if need be."""
        if ENGINES.load(self.settings.engine).reads_adapters or not (Path(self.path) / ADAPTER).exists():
            return self.path
        from limo_ablate.model.generate.vllm import save_merged

        return str(save_merged(self.path, self.scratch_dir / "merged", self.hardware))

    def _start(self, number: int, path: str, requests: list[Request]) -> ManagedProcess:
        job = {
            "path": path,
            "settings": {field.name: getattr(self.settings, field.name) for field in fields(EngineConfig)},
            "hardware": asdict(self.hardware),
            "requests": [asdict(request) for request in requests],
        }
        (self.scratch_dir / f"job{number}.json").write_text(json.dumps(job))
        (self.scratch_dir / f"done{number}.jsonl").touch()
        own = {"OMP_NUM_THREADS": str(self.hardware.threads), **self._devices(number)}
        command = python("-m", "limo_ablate.model.generate.replicas", str(self.scratch_dir), str(number))
        command.append(str(os.getpid()))
        if other := self.settings.python:
            (code := self.scratch_dir / "code").mkdir(exist_ok=True)
            command[0], variables = other, environment_of(code, **own)
        else:
            variables = environment(**own)
        log = self.scratch_dir / f"replica{number}.log"
        return start(ProcessSpec(f"replica {number} of {self.count}", command, variables, log))

    def _devices(self, number: int) -> dict[str, str]:
        """Restricts a replica to its own `tensor_parallel` GPUs."""
        if self.hardware.device == "cpu":
            return {}
        width = self.settings.tensor_parallel
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.count * width)))
        own = visible.split(",")[number * width : (number + 1) * width]
        return {"CUDA_VISIBLE_DEVICES": ",".join(own)}


def _finished(replicas: list[ManagedProcess], scratch_dir: Path) -> Iterator[tuple[int, int, list[int], Any]]:
    """Yields (replica, index among its requests, new tokens, finish) until all replicas have exited."""
    with ExitStack() as files:
        lines = [files.enter_context((scratch_dir / f"done{n}.jsonl").open()) for n in range(len(replicas))]
        while True:
            states = [replica.process.poll() for replica in replicas]
            for number, file in enumerate(lines):
                yield from ((number, *row) for row in _new_rows(file))
            if EXIT_USER_ERROR in states:
                log = replicas[states.index(EXIT_USER_ERROR)].spec.log
                raise UserError(log.read_text().splitlines()[-1])
            if any(states):
                raise _failure(replicas)
            if all(state == 0 for state in states):
                return
            time.sleep(POLL_SECONDS)


def _failure(replicas: list[ManagedProcess]) -> TrialFailure:
    """OutOfMemory where a replica's log says so; vLLM's own processes write there why they died."""
    for number, replica in enumerate(replicas):
        if replica.process.poll() and names_out_of_memory(replica.spec.log.read_text(errors="replace")):
            return OutOfMemory(f"out of memory in replica {number} of {len(replicas)}")
    return process_failure(replicas)


def _new_rows(file: TextIO) -> Iterator[tuple[int, list[int], str]]:
    while True:
        place, line = file.tell(), file.readline()
        if not line.endswith("\n"):
            file.seek(place)  # the replica is still writing the line
            return
        yield json.loads(line)


def main(scratch_dir: Path, number: int, parent: int) -> None:
    """One replica: `python -m limo_ablate.model.generate.replicas SCRATCH_DIR NUMBER PARENT`."""
    die_with(parent)
    from limo_ablate.model.generate.engines import load_engine

    job = json.loads((scratch_dir / f"job{number}.json").read_text())
    requests = [Request(**row | {"sampling": Sampling(**row["sampling"])}) for row in job["requests"]]
    settings = from_dict(EngineConfig, job["settings"])
    engine = load_engine(job["path"], settings, from_dict(HardwareConfig, job["hardware"]))
    index = {id(request): place for place, request in enumerate(requests)}
    with (scratch_dir / f"done{number}.jsonl").open("a", buffering=1) as lines:
        for done in engine.generate(requests):
            lines.write(json.dumps([index[id(done.request)], done.ids, done.finish]) + "\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
