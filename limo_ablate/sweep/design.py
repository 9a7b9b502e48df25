"""A study as it is declared in `sweeps/NAME.yaml`: factors, how they are crossed, over which seeds.

name: miniature
question: How do size and quality trade off?
overrides: [data=miniature, train=mini]                         # of every cell
seeds: [0, 1, 2]
blocks:
  - name: size x quality
    design: factorial                                           # every combination
    axes: {select.size: [4, 64], select.quality: [L1, L5]}
  - name: around the base
    design: ofat                                                # one factor at a time around the base
    base: {select.size: 64, model: mini_m}
    axes: {select.size: [16, 256], model: [mini_s, mini_l]}
    overrides: [select.difficulty=any]                          # of this block
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_loader import ConfigLoader

from limo_ablate.errors import UserError
from limo_ablate.overrides import Given, parse
from limo_ablate.typed import from_dict, nearest

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Factors that are crossed with each other."""

    name: str
    axes: dict[str, tuple[Any, ...]]
    """Override key -> its levels."""
    design: Literal["factorial", "ofat"] = "factorial"
    base: dict[str, Any] | None = None
    """`ofat` only: the level of every axis while another one varies."""
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"block '{self.name}'"
        for key, levels in self.axes.items():
            if not levels:
                raise UserError(f"{where}: axes.{key} has no values; list them: {key}: [1, 2]")
            _no_seed(key, where)
        for given in parse(self.overrides):
            _fixed(given.key, given.swept, where)
        if self.design == "factorial" and self.base is not None:
            raise UserError(f"{where}: base belongs to design: ofat; this block is factorial")
        missing = (
            [] if self.design == "factorial" else [key for key in self.axes if key not in (self.base or {})]
        )
        if missing:
            raise UserError(
                f"{where}: design: ofat needs base.{', base.'.join(missing)}, the level it varies around"
            )

    def points(self) -> list[dict[str, Any]]:
        """The design's points: a level for each axis (and, for ofat, each key of the base)."""
        if self.design == "factorial":
            return [
                dict(zip(self.axes, levels, strict=True)) for levels in itertools.product(*self.axes.values())
            ]
        base = self.base or {}
        varied = [base | {key: level} for key, levels in self.axes.items() for level in levels]
        return [base, *(point for point in varied if point != base)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Accuracy against `x`, one line for each level of `line`."""

    title: str
    block: str
    x: str
    line: str
    score: str
    """A benchmark or a group of it, as in metrics.json: `mini`, `mini/hard`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    name: str
    blocks: tuple[Block, ...]
    question: str = ""
    overrides: tuple[str, ...] = ()
    """Of every cell."""
    seeds: tuple[int, ...] = (0,)
    """Each cell is run with every seed."""
    figures: tuple[Figure, ...] = ()
    """What the report draws."""
    ledger: str | None = None
    """URL of an Optuna storage (sqlite:///..., postgresql://...); null: a file in the study's folder."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise UserError(
                f"name={self.name}: a study's name is a folder's name; use letters, digits, - and _"
            )
        if not self.seeds or not self.blocks:
            raise UserError(f"study {self.name}: {'blocks' if self.seeds else 'seeds'} is empty")
        names = [block.name for block in self.blocks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"study {self.name}: two blocks are named '{twice.pop()}'")
        for given in parse(self.overrides):
            _fixed(given.key, given.swept, f"study {self.name}")
        for figure in self.figures:
            if figure.block not in names:
                raise UserError(
                    f"study {self.name}: figure '{figure.title}' is of block {figure.block}, which it has not"
                    f"{nearest(figure.block, names)} Blocks: {', '.join(names)}"
                )


def _no_seed(key: str, where: str) -> None:
    if key == "seed":
        raise UserError(f"{where}: seed is no factor; the study's `seeds: [0, 1, 2]` says which seeds run")


def _fixed(key: str, swept: bool, where: str) -> None:
    _no_seed(key, where)
    if swept:
        raise UserError(f"{where}: overrides.{key} has several values; what varies belongs into axes")


def load_study(name_or_path: str, extra: Sequence[str] = (), folder: Path = SWEEPS) -> Study:
    """The study of `folder/NAME.yaml`, or of a YAML file anywhere, changed by `extra`.

    An extra override of an axis replaces its levels (`select.size=16,64`), `seeds`, `name` and `ledger`
    those of the study; all others hold for every cell. Raises UserError, which names the key.
    """
    path = _find(name_or_path, folder)
    study = from_dict(Study, _read(path), path.name)
    for given in parse(extra):
        study = _changed(study, given)
    return study


def multirun_study(name: str, arguments: Sequence[str], loader: ConfigLoader | None = None) -> Study:
    """Hydra's `-m`: what sweeps is crossed, `seed=0,1` gives the seeds, everything else holds for all."""
    axes: dict[str, tuple[Any, ...]] = {}
    overrides, seeds = [], (0,)
    for given in parse(arguments, loader):
        if given.key == "seed":
            seeds = given.values
        elif given.swept:
            axes[given.key] = given.values
        else:
            overrides.append(given.text)
    block = Block(name="multirun", axes=axes, overrides=tuple(overrides))
    return Study(name=re.sub(r"[^\w.-]", "-", name), blocks=(block,), seeds=seeds)


def _find(name: str, folder: Path) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if path.is_file():
        return path
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    raise UserError(f"{name}: no such study ({path}){nearest(name, known)} Known: {', '.join(known)}")


def _read(path: Path) -> Any:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OSError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def _changed(study: Study, given: Given) -> Study:
    axes = sorted({key for block in study.blocks for key in block.axes})
    first = given.values[0]
    if isinstance(first, list) and given.key in ("seeds", *axes):
        given = replace(given, values=tuple(first), swept=True)
    if given.key == "seeds":
        if not all(type(seed) is int for seed in given.values):
            raise UserError(f"{given.text}: seeds are whole numbers, as in seeds=[0,1,2]")
        return replace(study, seeds=given.values)
    if given.key in ("name", "ledger"):
        value = None if first is None else str(first)
        return replace(study, ledger=value) if given.key == "ledger" else replace(study, name=str(value))
    if given.swept and given.key not in axes:
        raise UserError(f"{given.text}: several values, but no axis of {study.name}; axes: {', '.join(axes)}")
    return replace(study, blocks=tuple(_changed_block(block, given) for block in study.blocks))


def _changed_block(block: Block, given: Given) -> Block:
    if given.key in block.axes:
        return replace(block, axes=block.axes | {given.key: given.values})
    return block if given.swept else replace(block, overrides=(*block.overrides, given.text))
