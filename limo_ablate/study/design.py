"""A study as it is declared in `sweeps/NAME.yaml`: factors, how they are crossed, over which seeds.

name: miniature
question: How do size and quality trade off?
overrides: [data=miniature, train=mini]                         # of every trial
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

docs/studies.md shows the other designs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_loader import ConfigLoader

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import parse_overrides
from limo_ablate.core.project import study_file, study_names, sweep_folders
from limo_ablate.core.typed import from_dict, nearest
from limo_ablate.study.axes import Levels
from limo_ablate.study.block import Block, fixed
from limo_ablate.study.budget import Budget
from limo_ablate.study.changes import changed
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.naming import slug

__all__ = ["Block", "Figure", "Study", "load_study", "multirun_study"]


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
    """Of every trial."""
    seeds: tuple[int, ...] = (0,)
    """Each is a whole replicate: every cell is run with every seed."""
    figures: tuple[Figure, ...] = ()
    """What the report draws."""
    contrasts: tuple[Contrast, ...] = ()
    """The comparisons the study is made for, named before it runs."""
    cluster: Literal["source", "subject"] | None = None
    """Which problems belong together (a contest's): errors are then over these; null: each stands alone."""
    budget: Budget | None = None
    """What it may spend; null: whatever it takes."""
    ledger: str | None = None
    """URL of an Optuna storage (sqlite:///..., postgresql://...); null: a file in the study's folder."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise UserError(
                f"name={self.name}: a study's name is a folder's name; use letters, digits, - and _"
            )
        if not self.seeds or not self.blocks:
            raise UserError(f"study {self.name}: {'blocks' if self.seeds else 'seeds'} is empty")
        names = [slug(block.name) for block in self.blocks]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"study {self.name}: two blocks are named '{twice[0]}'")
        for given in parse_overrides(self.overrides):
            fixed(given.key, given.swept, f"study {self.name}")
        for figure in self.figures:
            self._block(figure.block, f"figure '{figure.title}'")
        for contrast in self.contrasts:
            self._check_contrast(contrast)

    def _block(self, name: str, whose: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        names = [block.name for block in self.blocks]
        raise UserError(
            f"study {self.name}: {whose} is of block {name}, which it has not"
            f"{nearest(name, names)} Blocks: {', '.join(names)}"
        )

    def _check_contrast(self, contrast: Contrast) -> None:
        where = f"study {self.name}: contrast '{contrast.name}'"
        factors = self._block(contrast.block, f"contrast '{contrast.name}'").factors()
        if contrast.factor not in factors:
            near = nearest(contrast.factor, factors)
            raise UserError(f"{where}: {contrast.factor} is no axis{near} Axes: {', '.join(factors)}")
        levels = factors[contrast.factor]
        for level in (contrast.a, contrast.b):
            if levels and level not in levels:
                said = ", ".join(map(str, levels))
                raise UserError(f"{where}: {level} is no level of {contrast.factor}; levels: {said}")


def load_study(name_or_path: str, extra: Sequence[str] = ()) -> Study:
    """The study of `sweeps/NAME.yaml`, or of a YAML file anywhere, changed by `extra`.

    An extra override of an axis replaces its levels (`select.size=16,64`), of a key that varies together with
    others it chooses among them; `seeds`, `name`, `ledger`,
    `budget.gpu_hours` and `budget.hours` are the study's (`seeds` of every block too); all others hold for
    every trial. Raises UserError, which names the key.
    """
    path = _find(name_or_path)
    study = from_dict(Study, _read(path), path.name)
    for given in parse_overrides(extra):
        study = changed(study, given)
    return study


def multirun_study(name: str, arguments: Sequence[str], loader: ConfigLoader | None = None) -> Study:
    """Hydra's `-m`: what sweeps is crossed, `seed=0,1` gives the seeds, everything else holds for all."""
    axes: dict[str, Levels] = {}
    overrides, seeds = [], (0,)
    for given in parse_overrides(arguments, loader):
        if given.key == "seed":
            seeds = given.values
        elif given.swept:
            axes[given.key] = given.values
        else:
            overrides.append(given.text)
    block = Block(name="multirun", axes=axes, overrides=tuple(overrides))
    return Study(name=re.sub(r"[^\w.-]", "-", name), blocks=(block,), seeds=seeds)


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such file; a study is given by its name or by its YAML file's path")
        return Path(name)
    if (path := study_file(name)) is not None:
        return path
    known, places = study_names(), " or ".join(map(str, sweep_folders()))
    raise UserError(f"{name}: no such study in {places}{nearest(name, known)} Known: {', '.join(known)}")


def _read(path: Path) -> Any:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OSError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
