"""A model of the hub with other settings of its positions: a folder of links to its files, and a config.json.

Whatever reads a model (training, engines, vLLM in a process of its own) reads its folder, so nothing else has
to know of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.manifest import MANIFEST
from limo_ablate.model.config import PositionsConfig
from limo_ablate.model.train.model_config import ADAPTER, model_config, read_model_json

KEYS = "model.rope_theta, model.rope_scaling, model.max_position_embeddings"
CONFIG = "config.json"


def check_positions(source: Path, positions: PositionsConfig) -> None:
    """Raises UserError if the model in `source` has no rotary positions, or does not take the settings."""
    with tempfile.TemporaryDirectory() as folder:
        model_config(with_positions(source, positions, Path(folder)))


def with_positions(source: Path, positions: PositionsConfig, folder: Path) -> Path:
    """`folder`, with links to the files of `source` and its config.json with `positions`; made if need be.

    Raises UserError for an adapter, whose base has the positions, for a model without rotary positions, and
    for several kinds of angles.
    """
    text = json.dumps(changed(source, positions), indent=2, sort_keys=True) + "\n"
    folder.mkdir(exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name != CONFIG and not file.name.startswith(MANIFEST):
            _link(file.absolute(), folder / file.name)
    own = folder / CONFIG
    if not own.is_file() or own.read_text() != text:
        write_atomically(own, text)
    return folder


def changed(source: Path, positions: PositionsConfig) -> dict[str, Any]:
    """The content of config.json in `source` with `positions`."""
    content = read_model_json(source / CONFIG)
    if positions.max_position_embeddings is not None:
        content["max_position_embeddings"] = positions.max_position_embeddings
    if (source / ADAPTER).exists():
        raise UserError(f"{KEYS}: {source} is a LoRA adapter; set them where its base model is trained")
    old = dict(getattr(model_config(source), "rope_parameters", None) or {})  # with its class's defaults
    if not old:
        raise UserError(f"{KEYS}: {source} has no rotary positions; leave them out")
    if positions.rope_theta is None and positions.rope_scaling is None:
        return content
    if any(isinstance(value, dict) for value in old.values()) or "text_config" in content:
        raise UserError(f"{KEYS}: {source / CONFIG} has angles of several kinds; edit a copy of the model")
    for key in ("rope_parameters", "rope_theta", "rope_scaling"):
        content.pop(key, None)
    if positions.rope_scaling is not None:
        kept = ("rope_theta", "partial_rotary_factor")
        old = {key: old[key] for key in kept if key in old} | positions.rope_scaling.as_json()
    if positions.rope_theta is not None:
        old["rope_theta"] = positions.rope_theta
    return content | {"rope_parameters": old}


def _link(file: Path, link: Path) -> None:
    """Has `link` lead to `file`; other processes may do the same."""
    with suppress(OSError):
        if link.readlink() == file:
            return
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(file)
    partial.replace(link)
