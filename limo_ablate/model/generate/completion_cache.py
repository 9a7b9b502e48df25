"""A cache of completions: for each model and sampling, a file that gains a line for each completion.

Asking for more samples or more problems generates only what is missing. A completion's line is on disk as
soon as it is finished; a line that a kill cut short is removed when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Generic, Literal, TypeVar

from limo_ablate.core.artifacts import Artifact, SharedLines, Store, content_key, hold_lock, stage_version
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.typed import installed
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.other_python import versions

FOLDER = "drawn"


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion of a request."""

    completion: str
    """Text without special tokens."""
    tokens: int
    """Number of generated tokens, including the one it stopped at."""
    finish: Literal["stop", "length"]


Kind = TypeVar("Kind")
"""The dataclass of what a cache holds."""


class CompletionCache(Generic[Kind]):
    """The completions of one file, looked up by prompt, problem and sample."""

    def __init__(
        self, file: IO[bytes], scratch_dir: Path, kind: type[Kind], elsewhere: SharedLines | None = None
    ) -> None:
        """`elsewhere`: where other machines put theirs, if the store is at a URL."""
        self._file, self._elsewhere = file, elsewhere
        self.scratch_dir = scratch_dir
        """Folder for the engine's files; no other process uses it while the cache is open."""
        self._completions: dict[tuple[str, str, int], Kind] = {}
        end, own = 0, set[bytes]()
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                break
            end += len(line)
            self._read(line, kind)
            if elsewhere:
                own.add(line)
        if elsewhere:
            self._exchange(elsewhere, own, kind)

    def _read(self, line: bytes, kind: type[Kind]) -> None:
        row = json.loads(line)
        key = row.pop("prompt"), row.pop("problem"), row.pop("sample")
        self._completions[key] = kind(**row)

    def _exchange(self, elsewhere: SharedLines, own: set[bytes], kind: type[Kind]) -> None:
        """Adds the lines of other machines, and puts there those of `own` that are only here."""
        there = elsewhere.read()
        for line in there:
            if line not in own:
                self._file.write(line)
                self._read(line, kind)
        self._file.flush()
        for line in own.difference(there):
            elsewhere.add(line)

    def __contains__(self, request: Request) -> bool:
        return _key(request) in self._completions

    def __getitem__(self, request: Request) -> Kind:
        return self._completions[_key(request)]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._completions.values())

    def add(self, request: Request, completion: Kind) -> None:
        """Stores `completion`; it is on disk when this returns."""
        prompt, problem, sample = _key(request)
        fields = asdict(completion)  # type: ignore[call-overload]
        row = {"prompt": prompt, "problem": problem, "sample": sample, **fields}
        line = json.dumps(row).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        if self._elsewhere:
            self._elsewhere.add(line)
        self._completions[prompt, problem, sample] = completion


@contextmanager
def open_cache(
    store: Store, model: Artifact, sampling: Sampling, settings: EngineConfig, hardware: HardwareConfig
) -> Iterator[CompletionCache[Completion]]:
    """The cache of the model's completions under `sampling`, locked for this process until it leaves."""
    inputs = {"sampling": sampling, **generation_key(model, settings, hardware)}
    with open_file(store, inputs, Completion) as cache:
        yield cache


@contextmanager
def open_file(store: Store, inputs: dict[str, Any], kind: type[Kind]) -> Iterator[CompletionCache[Kind]]:
    """The cache for these inputs, as above; its lines are of `kind`."""
    path = cache_path(store, inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch_dir = path.with_suffix(".scratch")
    with hold_lock(f"{path}.lock"), path.open("a+b") as file, _closing(store.lines(path)) as elsewhere:
        shutil.rmtree(scratch_dir, ignore_errors=True)  # left by an interrupted pass
        yield CompletionCache(file, scratch_dir, kind, elsewhere)


@contextmanager
def _closing(lines: SharedLines | None) -> Iterator[SharedLines | None]:
    """Sends what waits at the end; after an error without waiting for a store that is away."""
    try:
        yield lines
    except BaseException:
        if lines:
            lines.close(patiently=False)
        raise
    if lines:
        lines.close(patiently=True)


def cache_path(store: Store, inputs: dict[str, Any]) -> Path:
    return store.root / FOLDER / f"{content_key(FOLDER, stage_version(FOLDER), inputs)}.jsonl"


def generation_key(model: Artifact, settings: EngineConfig, hardware: HardwareConfig) -> dict[str, object]:
    """What decides the completion of a prompt, apart from the sampling."""
    return {
        "model": model,
        "engine": settings.engine,
        "hardware": {"device": hardware.device, "precision": hardware.precision},
        "threads": hardware.threads_in_key,
        **({"environment": versions(settings.python)} if settings.python else {}),
        **installed(EngineConfig(engine=settings.engine, batch_size=1)),
    }


def _key(request: Request) -> tuple[str, str, int]:
    prompt = request.prompt + "\0as text" * request.escaped
    return hashlib.sha256(prompt.encode()).hexdigest(), request.problem, request.sample
