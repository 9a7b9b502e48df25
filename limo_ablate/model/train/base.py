"""The base model as an artifact: built here (`miniature`, `scratch`), or a reference to one of the hub.

Every model artifact, base or fine-tuned, holds a `reference.json` that says how to load it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.train.shapes import check_shape

VERSION = 1
REFERENCE = "reference.json"
HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where a model's files are and how they are loaded."""

    dtype: Literal["float32", "bfloat16"]
    """Type the weights are stored in."""
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    hub: str | None = None
    """Hub id; null when the files are in `folder` or in the artifact itself."""
    commit: str | None = None
    folder: str | None = None
    digest: str | None = None
    """Of the bytes in `folder`."""
    adapter: bool = False
    """The artifact holds a LoRA adapter, and the above is its base; `folder` may be relative to it."""


def base_model(store: Store, model: ModelConfig, pool: Artifact | None) -> Artifact:
    """The base model of `model`; `pool` (problems and solutions) is what `scratch` learns its tokens from.

    Raises UserError when a hub model can't be had or a local folder is not one.
    """
    if model.source == "hub":
        return _referenced(store, model)
    if model.architecture is None or (model.source == "miniature" and model.pretrain is None):
        missing = "pretrain" if model.architecture else "architecture"
        raise UserError(f"model.{missing}: model={model.name} is made here ({model.source}) and needs it")
    inputs = {
        "source": model.source,
        "architecture": model.architecture,
        "pretrain": model.pretrain,
        "reference": Reference(dtype=model.dtype, attention=model.attention),
        "pool": pool if model.source == "scratch" else None,
    }

    def make(folder: Path) -> None:
        if model.source == "scratch":
            from limo_ablate.model.train.scratch import build_scratch

            build_scratch(model, pool, folder)
        else:
            from limo_ablate.model.miniature.pretrain import build_base

            build_base(model, folder)
        write_reference(folder, Reference(dtype=model.dtype, attention=model.attention))

    return store.build("base", VERSION, inputs, make)


def write_reference(folder: Path, reference: Reference) -> None:
    (folder / REFERENCE).write_text(json.dumps(asdict(reference), indent=1) + "\n")


def read_reference(model: Artifact) -> Reference:
    return Reference(**json.loads((model.path / REFERENCE).read_text()))


def model_path(model: Artifact) -> str:
    """Folder that `load_model` takes, for a base or fine-tuned model; an adapter's own."""
    reference = read_reference(model)
    if reference.hub and not reference.adapter:
        return _snapshot(reference.hub, reference.commit)
    return reference.folder if reference.folder and not reference.adapter else str(model.path)


def adapter_base(folder: Path) -> str:
    """Folder of the base model of the adapter in `folder`; raises UserError when it is not there any more."""
    reference = Reference(**json.loads((folder / REFERENCE).read_text()))
    if reference.hub:
        return _snapshot(reference.hub, reference.commit)
    base = (folder / str(reference.folder)).resolve()
    if not base.is_dir():
        raise UserError(f"{folder}: its base model, {base}, is gone; make it again")
    return str(base)


def parameter_count(model: Artifact) -> int:
    """Parameters of a base or fine-tuned model, tied ones counted once; no weights are read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model_path(model)))
    return sum(parameter.numel() for parameter in empty.parameters())


def _referenced(store: Store, model: ModelConfig) -> Artifact:
    if not model.path:
        raise UserError(f"model.path: model={model.name} is of the hub, and needs a hub id or a local folder")
    local = Path(model.path).expanduser().absolute()
    inputs: dict[str, Any] = {"dtype": model.dtype, "attention": model.attention}
    if local.is_dir():
        _check_folder(local)
        check_shape(model, local)
        inputs |= {"folder": local, "digest": store.path_digest(local)}
    elif model.path.startswith((".", "/", "~")):
        raise UserError(f"model.path={model.path}: no such folder")
    else:
        inputs |= {"hub": model.path, "revision": model.revision}

    def make(folder: Path) -> None:
        facts = {key: value for key, value in inputs.items() if key != "revision"}
        if local.is_dir():
            facts["folder"] = str(local)
        else:
            snapshot = Path(_snapshot(model.path or "", model.revision))
            _check_folder(snapshot)
            check_shape(model, snapshot)
            facts["commit"] = snapshot.name
        write_reference(folder, Reference(**facts))

    return store.build("base", VERSION, inputs, make)


def _check_folder(folder: Path) -> None:
    for pattern in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            raise UserError(
                f"model.path: {folder} holds no {pattern}; a model in the hub's format, with its weights "
                "as safetensors, is needed"
            )


def _snapshot(hub: str, revision: str | None) -> str:
    """The local folder of a hub model at `revision`, downloaded if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(hub, revision=revision, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"model.path={hub} (revision {revision or 'main'}) can't be had from the hub: {reason}"
        ) from error
