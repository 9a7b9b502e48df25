"""Hydra's DictConfig becomes a typed `TrialConfig` here, and nowhere else.

    compose(["model=mini_m", "select.size=64"]) -> TrialConfig
    compose_cells([[...], [...]])               -> one TrialConfig a cell, all checked before anything runs

Composing costs about 0.1 s, so cells that share their group choices are composed once and their
`key=value` overrides applied to a copy, before interpolations are resolved.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from limo_ablate.config import TrialConfig
from limo_ablate.errors import UserError
from limo_ablate.typed import from_dict, nearest

CONF = Path(__file__).resolve().parent.parent / "conf"


def to_trial(cfg: DictConfig) -> TrialConfig:
    """The typed form of a composed configuration. Raises UserError for anything the schema does not allow."""
    try:
        data = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {_first_line(error)}") from error
    assert isinstance(data, dict)
    return from_dict(TrialConfig, {str(key): value for key, value in data.items() if key != "hydra"})


def compose(overrides: Sequence[str]) -> TrialConfig:
    return compose_cells([overrides])[0]


def compose_cells(cells: Sequence[Sequence[str]]) -> list[TrialConfig]:
    """The typed configuration of each list of overrides; UserError names the first override that is wrong."""
    composed: dict[tuple[str, ...], DictConfig] = {}
    typed: dict[tuple[str, ...], TrialConfig] = {}
    with _hydra():
        for cell in cells:
            if tuple(cell) in typed:
                continue
            groups, values = _split(cell)
            if groups not in composed:
                composed[groups] = _compose(groups)
            typed[tuple(cell)] = to_trial(_updated(composed[groups], values))
    return [typed[tuple(cell)] for cell in cells]


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra's global state, ours for a while; what was there (a running multirun) comes back."""
    instance = GlobalHydra.instance()
    saved, instance.hydra = instance.hydra, None
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        instance.hydra = saved


def _split(overrides: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[str, Any]]]:
    """Overrides that need Hydra (group choices, additions, deletions) and plain `key=value` ones."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise UserError(f"can't read these overrides: {_first_line(error)}") from error
    groups, values = [], []
    for override in parsed:
        key = override.get_key_element()
        if _is_value(key) and not override.is_sweep_override():
            values.append((key, override.value()))
        else:
            groups.append(str(override.input_line))
    return tuple(groups), values


def _is_value(key: str) -> bool:
    """Whether a key names one of our values; groups, `+new`, `~gone`, `a@b` and hydra's own are Hydra's."""
    return not (
        key[0] in "+~" or "/" in key or "@" in key or key.startswith("hydra.") or (CONF / key).is_dir()
    )


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return hydra_compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error


def _updated(cfg: DictConfig, values: list[tuple[str, Any]]) -> DictConfig:
    cfg = copy.deepcopy(cfg)
    for key, value in values:
        if problem := unknown_key(cfg, key):
            raise problem
        with open_dict(cfg):
            OmegaConf.update(cfg, key, value)
    return cfg


def unknown_key(cfg: DictConfig, key: str) -> UserError | None:
    """The error for a dotted key that the configuration does not have, with what it has instead."""
    node: Any = cfg
    path = ""
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return UserError(f"{key}: {path} has no keys, it is {node!r}")
        if node._is_none() or node._is_interpolation():
            return None  # what it may hold is for the schema to say
        name = f"{path}.{part}" if path else part
        if part not in node:
            allowed = [str(k) for k in node if k != "hydra"]
            return UserError(f"{name}: unknown key{nearest(part, allowed)} Allowed: {', '.join(allowed)}")
        path, node = name, node._get_node(part)
    return None


def explain(error: Exception, overrides: Sequence[str]) -> UserError:
    """Hydra's error in one line: the key, the value, what is allowed, the nearest match."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        options = error.options or []
        return UserError(
            f"{group}={choice}: not a choice{nearest(choice, options)} Allowed: {', '.join(options)}"
        )
    with _hydra():
        default = hydra_compose("config")
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        if _is_value(key) and (problem := unknown_key(default, key)):
            return problem
    return UserError(_first_line(error))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
