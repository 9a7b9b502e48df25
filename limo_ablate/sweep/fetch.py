"""`limo-ablate fetch`: brings what a study needs from the hub to this machine, or says what is missing.

Files come into the hub's own cache (`HF_HOME`), where the trials find them; a download that was interrupted
goes on where it ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import ProblemsConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.trial.config import TrialConfig

KINDS = ("model", "data", "benchmarks", "all")
Fetch = Callable[[], str]
"""Fetches something and says where it is. Raises UserError."""


def fetch(kind: str, configs: Sequence[TrialConfig], *, offline: bool) -> list[dict[str, Any]]:
    """Fetches what the trials need of this kind, and prints a line for each; returns for each what it is,
    whether it is missing, and where it is or why. `offline`: nothing is downloaded."""
    if kind not in KINDS:
        raise UserError(f"{kind}: not a kind of what is fetched; one of {', '.join(KINDS)}")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    found: list[dict[str, Any]] = []
    wanted = {label: get for config in configs for label, get in _wanted(kind, config)}
    for label, get in sorted(wanted.items()):
        try:
            place, missing = get(), False
        except UserError as error:
            place, missing = str(error), True
        print(f"{label}: {'MISSING: ' * missing}{place}", flush=True)
        found.append({"what": label, "missing": missing, "said": place})
    if not wanted:
        print("nothing to fetch: all of it is made here or read from files")
    return found


def _wanted(kind: str, config: TrialConfig) -> Iterator[tuple[str, Fetch]]:
    from limo_ablate.data.pool.load import sources_of
    from limo_ablate.trial.checks import models_of

    if kind in ("model", "all"):
        for model in models_of(config):
            if model.source == "hub":
                yield f"model {model.path}", partial(_model, model)
    if kind in ("data", "all") and config.select.size != 0:
        for name, source in sources_of(config.data).items():
            yield from _rows(f"data {name}", source)
    if kind in ("benchmarks", "all"):
        gate = config.select.contamination
        compared = gate.also if gate.policy != "none" and config.select.size != 0 else {}
        for name, benchmark in (config.eval.benchmarks | compared).items():
            yield from _rows(f"benchmark {name}", benchmark)


def _rows(label: str, source: ProblemsConfig) -> Iterator[tuple[str, Fetch]]:
    if source.source in ("hub", "file"):
        yield f"{label} {source.path}", partial(_source, source)


def _model(model: ModelConfig) -> str:
    from limo_ablate.model.train.base import check_folder, check_model, hub_snapshot

    folder = check_model(model)
    if folder is None:
        folder = Path(hub_snapshot(model.path or "", model.revision, code=model.trust_remote_code))
        check_folder(folder, model)
        _require_shards(folder)
        if model.revision is None:
            return f"{folder}; pin it: model.revision={folder.name}"
    return str(folder)


def _require_shards(folder: Path) -> None:
    """Raises UserError where a part of the weights is not there: an interrupted download."""
    from limo_ablate.model.train.model_config import read_model_json

    index = folder / "model.safetensors.index.json"
    names = set(read_model_json(index).get("weight_map", {}).values()) if index.exists() else ()
    if missing := sorted(name for name in names if not (folder / str(name)).exists()):
        raise UserError(
            f"{folder}: {len(missing)} of {len(names)} files of weights are missing: {missing[0]}"
        )


def _source(source: ProblemsConfig) -> str:
    from limo_ablate.data.pool.files import readable_files
    from limo_ablate.data.pool.remote import is_url, local_copy
    from limo_ablate.data.pool.sources import hub_rows

    path = source.path or ""
    if is_url(path):
        return str(local_copy(path, source.revision))
    if source.source == "file" or Path(path).exists():
        files = readable_files(path, source.split)
        return f"{len(files)} local file{'s' * (len(files) > 1)}"
    next(hub_rows(path, source.subset, source.split, source.revision), None)
    return f"split {source.split} at {source.revision or 'main; pin it by its revision'}"
