"""Completions that were drawn before: a file of lines for each way of drawing them, which only grows.

More samples, or more problems, ask for what is not there yet. Every line is on disk as soon as its completion
is finished; a line that a kill tore off is cut away by the next one to open the file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from limo_ablate.core.artifacts import Artifact, Store, content_key, hold_lock
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.typed import installed
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Request, Sampling

VERSION = 1
FOLDER = "drawn"


@dataclass(frozen=True, slots=True)
class Text:
    """What came out for a request."""

    completion: str
    """Without special tokens."""
    tokens: int
    """Generated ones, the one it stopped at included."""
    finish: Literal["stop", "length"]


class Drawn:
    """The completions of one file, found by prompt, problem and sample."""

    def __init__(self, file: IO[bytes], desk: Path) -> None:
        self._file, self.desk = file, desk
        """Folder for what generates them; nobody else's while the file is open."""
        self._texts: dict[tuple[str, str, int], Text] = {}
        end = 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                break
            end += len(line)
            row = json.loads(line)
            key = row.pop("prompt"), row.pop("problem"), row.pop("sample")
            self._texts[key] = Text(**row)

    def __contains__(self, request: Request) -> bool:
        return _key(request) in self._texts

    def __getitem__(self, request: Request) -> Text:
        return self._texts[_key(request)]

    def add(self, request: Request, text: Text) -> None:
        """Keeps `text`; it is on disk when this returns."""
        prompt, problem, sample = _key(request)
        row = {"prompt": prompt, "problem": problem, "sample": sample, **asdict(text)}
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        self._texts[prompt, problem, sample] = text


@contextmanager
def opened(
    store: Store, model: Artifact, sampling: Sampling, settings: EngineConfig, hardware: HardwareConfig
) -> Iterator[Drawn]:
    """The model's completions under `sampling`, this process's alone until it leaves."""
    key = content_key("drawn", VERSION, {"sampling": sampling, **drawn_by(model, settings, hardware)})
    path = store.root / FOLDER / f"{key}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    desk = path.with_suffix(".desk")
    with hold_lock(f"{path}.lock"), path.open("a+b") as file:
        shutil.rmtree(desk, ignore_errors=True)  # of a pass that was interrupted
        yield Drawn(file, desk)


def drawn_by(model: Artifact, settings: EngineConfig, hardware: HardwareConfig) -> dict[str, object]:
    """What decides a prompt's completion, beside the sampling."""
    return {
        "model": model,
        "engine": settings.engine,
        "hardware": {"device": hardware.device, "precision": hardware.precision},
        "threads": hardware.threads if hardware.device == "cpu" else None,
        **installed(EngineConfig(engine=settings.engine, batch_size=1)),
    }


def _key(request: Request) -> tuple[str, str, int]:
    return hashlib.sha256(request.prompt.encode()).hexdigest(), request.problem, request.sample
