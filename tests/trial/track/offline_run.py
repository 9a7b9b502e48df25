"""Reads an offline W&B run back from its .wandb file: LevelDB's log framing around protobuf records."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768
FULL, LAST = 1, 4


@dataclass
class OfflineRun:
    folder: Path
    group: str = ""
    name: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    """Name -> ArtifactRecord."""
    exit_code: int | None = None

    def table(self, key: str) -> dict[str, Any]:
        """Columns and data of a logged table."""
        path = next(row[f"{key}.path"] for row in self.history if f"{key}.path" in row)
        content: dict[str, Any] = json.loads((self.folder / "files" / path).read_text())
        return content


def records(path: Path) -> Iterator[Any]:
    data, position, buffer = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        buffer += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(buffer)
            buffer = b""
            yield record


def read_run(folder: Path) -> OfflineRun:
    """The only offline run in `folder`/wandb."""
    (place,) = folder.glob("wandb/offline-run-*")
    (path,) = place.glob("*.wandb")
    run = OfflineRun(place)
    for record in records(path):
        _add(run, record.WhichOneof("record_type"), record)
    return run


def _add(run: OfflineRun, kind: str, record: Any) -> None:
    if kind == "run":
        run.group, run.name, run.project = record.run.run_group, record.run.display_name, record.run.project
        run.tags = list(record.run.tags)
        run.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    elif kind == "config":
        run.config |= {item.key: json.loads(item.value_json) for item in record.config.update}
    elif kind == "history":
        run.history.append(_items(record.history.item))
    elif kind == "summary":
        run.summary |= _items(record.summary.update)
    elif kind == "artifact":
        run.artifacts[record.artifact.name] = record.artifact
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
