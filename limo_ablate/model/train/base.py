"""The base model as an artifact: built here (`miniature`, `scratch`), or a reference to a model of the hub.

Every model artifact, base or fine-tuned, has a `reference.json` that says how to load it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import LARGEST, read_json
from limo_ablate.model.config import ModelConfig, PositionsConfig
from limo_ablate.model.train.model_config import ADAPTER, allow_code, check_adapter, read_model_json
from limo_ablate.model.train.positions import changed, check_positions, with_positions
from limo_ablate.model.train.shapes import check_shape

REFERENCE = "reference.json"
LINKS = "linked"
"""Folder in an artifact, beside its files, of links to a model whose config.json is another there."""
HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")
CODE_FILES = ("*.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where a model's files are and how they are loaded."""

    dtype: Literal["float32", "bfloat16"]
    """Type in which the weights are stored."""
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    hub: str | None = None
    """Hub id; null if the files are in `folder` or in the artifact itself."""
    commit: str | None = None
    folder: str | None = None
    digest: str | None = None
    """Digest of the bytes in `folder`."""
    code: bool = False
    """Whether the hub model came with Python files."""
    adapter: bool = False
    """Whether the artifact is a LoRA adapter of the model above; `folder` may be relative to it."""
    positions: PositionsConfig | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """What replaces that model's settings of its positions."""


def base_model(store: Store, model: ModelConfig, pool: Artifact | None) -> Artifact:
    """The base model of `model`; a `scratch` model trains its tokenizer on `pool`.

    Raises UserError if a hub model can't be downloaded or a local folder holds no model.
    """
    if model.source == "hub":
        return _hub_model(store, model)
    check_model(model)
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

    return store.build("base", inputs, make)


def write_reference(folder: Path, reference: Reference) -> None:
    (folder / REFERENCE).write_text(json.dumps(asdict(reference), indent=1) + "\n")


def read_reference(model: Artifact) -> Reference:
    return _reference(model.path)


def _reference(folder: Path) -> Reference:
    found: Reference = read_json(folder / REFERENCE, Reference)
    return found


def model_path(model: Artifact) -> str:
    """Folder to pass to `load_model`, for a base or fine-tuned model; for an adapter its own folder."""
    reference = read_reference(model)
    if reference.adapter or not (reference.hub or reference.folder):
        return str(model.path)
    source = str(reference.folder)
    if reference.hub:
        source = hub_snapshot(reference.hub, reference.commit, code=reference.code)
    if reference.positions is None:
        return source
    return str(with_positions(Path(source), reference.positions, model.path / LINKS))


def adapter_base(folder: Path) -> str:
    """Folder of the base model of the adapter in `folder`; raises UserError if it does not exist any more."""
    try:
        reference = _reference(folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: a LoRA adapter without {REFERENCE}, which names its base; merge it into that first"
        ) from error
    if reference.hub:
        base = Path(hub_snapshot(reference.hub, reference.commit, code=reference.code))
    else:
        base = (folder / str(reference.folder)).resolve()
    if not base.is_dir():
        raise UserError(f"{folder}: the adapter's base model {base} no longer exists; create it again")
    if (base / ADAPTER).exists():
        raise UserError(f"{folder}: the adapter's base model {base} is an adapter itself; merge that first")
    if reference.positions is not None:
        return str(with_positions(base, reference.positions, folder / LINKS))
    return str(base)


def adapter_dtype(folder: Path) -> Literal["float32", "bfloat16"]:
    """Type of the weights into which the adapter in `folder` is merged."""
    return _reference(folder).dtype


def parameter_count(model: Artifact) -> int:
    """Number of parameters of a base or fine-tuned model, tied ones counted once; reads no weights."""
    from limo_ablate.model.train.model_config import meta_model

    return sum(parameter.numel() for parameter in meta_model(model_path(model)).parameters())


def check_model(model: ModelConfig) -> Path | None:
    """The local folder of a model that has one, after a look into it; None for others, which are known once
    they are built or downloaded. Raises UserError."""
    if model.source != "hub":
        if model.architecture is None or (model.source == "miniature" and model.pretrain is None):
            missing = "pretrain" if model.architecture else "architecture"
            raise UserError(
                f"model.{missing} is missing: model={model.name} needs it, with source={model.source}"
            )
        return None
    if not model.path:
        raise UserError(f"model.path is missing: model={model.name} needs a hub id or a local folder")
    local = Path(model.path).expanduser().absolute()
    if local.is_dir():
        check_folder(local, model)
        return local
    if model.path.startswith((".", "/", "~")):
        raise UserError(f"model.path={model.path}: no such folder")
    if model.trust_remote_code and model.revision is None:
        raise UserError(
            f"model.trust_remote_code=true: code of {model.path} may change; set model.revision to a commit"
        )
    return None


def _hub_model(store: Store, model: ModelConfig) -> Artifact:
    local = check_model(model)
    inputs: dict[str, Any] = {"dtype": model.dtype, "attention": model.attention}
    if model.trust_remote_code:
        inputs["code"] = True
    if model.positions:
        inputs["positions"] = model.positions
    if local is not None:
        inputs |= {"folder": local, "digest": store.path_digest(local)}
    else:
        inputs |= {"hub": model.path, "revision": model.revision}

    def make(folder: Path) -> None:
        fields = {key: value for key, value in inputs.items() if key != "revision"}
        if local is not None:
            fields["folder"] = str(local)
            source = local
        else:
            source = Path(hub_snapshot(model.path or "", model.revision, code=model.trust_remote_code))
            check_folder(source, model)
            fields["commit"] = source.name
        if model.positions:
            check_positions(source, model.positions)
        write_reference(folder, Reference(**fields))

    made = store.build("base", inputs, make)
    if model.trust_remote_code and local is None:
        allow_code(Path(model_path(made)))
    return made


def check_folder(folder: Path, model: ModelConfig) -> None:
    for pattern in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            raise UserError(
                f"model.path: {folder} has no {pattern}; it must be a model in the hub's format, with "
                "weights as safetensors"
            )
    read_model_json(folder / "config.json")
    read_model_json(folder / "tokenizer.json", LARGEST)
    for path in folder.iterdir():
        if not (path.is_file() or path.is_dir()):
            raise UserError(f"model.path: {path}: a pipe, a device or a broken link; remove it")
    if (folder / ADAPTER).exists():
        check_adapter(folder)
        base = Path(adapter_base(folder))
    else:
        base = folder
    if model.trust_remote_code:
        allow_code(base)
    if model.positions:
        changed(folder, model.positions)
    check_shape(model, folder)


def hub_snapshot(hub: str, revision: str | None, *, code: bool = False) -> str:
    """The local folder of a hub model at `revision`; downloads it if needed, with Python files if `code`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        patterns = [*HUB_FILES, *(CODE_FILES if code else ())]
        return str(snapshot_download(hub, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"model.path={hub} (revision {revision or 'main'}) can't be downloaded from the hub: {reason}"
        ) from error
