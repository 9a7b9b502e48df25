"""A study as declared in `sweeps/NAME.yaml`: its blocks, seeds, contrasts and budget; changed by overrides.

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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_loader import ConfigLoader

from limo_ablate.core.credentials import refuse_credentials
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import Override, parse_overrides
from limo_ablate.core.project import study_file, study_names, sweep_folders
from limo_ablate.core.typed import from_dict, nearest
from limo_ablate.study.axes import Levels, alternatives, keys, narrowed
from limo_ablate.study.block import LONGEST_NAME, Block, check_fixed, check_seeds
from limo_ablate.study.budget import Budget
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.ledger_url import check_ledger
from limo_ablate.study.naming import slug
from limo_ablate.study.stop import Stop
from limo_ablate.study.yaml_file import read_yaml
from limo_ablate.trial.keys import groups, is_known
from limo_ablate.trial.keys import keys as all_keys

__all__ = ["ALL", "Block", "Figure", "Study", "load_study", "multirun_study"]


ALL = "all"
"""`line` of a figure with one line, of all its trials."""

LONGEST_BYTES = 200
"""Of a study's name: file systems allow 255 for a name, and letters of some alphabets have three each."""
NAME = re.compile(rf"\w[\w.-]{{0,{LONGEST_NAME - 1}}}")


def check_name(name: str) -> None:
    """Raises UserError for what can't be a study's name."""
    if not NAME.fullmatch(name) or len(name.encode()) > LONGEST_BYTES:
        raise UserError(
            f"name={name}: a study's name is a folder's name; use at most {LONGEST_NAME} letters, "
            "digits, - . and _, a letter or digit first"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Accuracy against `x`, one line for each level of `line`."""

    title: str
    block: str
    x: str
    line: str = ALL
    score: str
    """A benchmark or a group of it, as in metrics.json: `mini`, `mini/hard`. With `.finished`
    (`mini.finished`), the share of completions that end by themselves instead of the accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    name: str
    blocks: tuple[Block, ...]
    question: str = ""
    overrides: tuple[str, ...] = ()
    """Overrides of every trial."""
    seeds: tuple[int, ...] = (0,)
    """Each is a whole replicate: every cell is run with every seed."""
    figures: tuple[Figure, ...] = ()
    """Figures that the report draws."""
    contrasts: tuple[Contrast, ...] = ()
    """The comparisons that the study is made for, declared before it runs."""
    cluster: Literal["source", "subject"] | None = None
    """Column by which problems are clustered (those of a contest, say) for standard errors; null: not
    clustered."""
    stop: Stop | None = None
    """When to stop early; null: all seeds are run."""
    budget: Budget | None = None
    """What it may spend; null: no cap."""
    imported: bool = False
    """Whether its trials are logs of other tools (`limo-ablate import`), which writes this."""
    ledger: str | None = None
    """URL of an Optuna storage (sqlite:///..., postgresql://...), without a password; null: a file in the
    study's folder."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.ledger is not None:
            check_ledger(self.ledger)
        if not self.seeds or not self.blocks:
            raise UserError(f"study {self.name}: {'blocks' if self.seeds else 'seeds'} is empty")
        check_seeds(self.seeds, f"study {self.name}")
        self._check_once("blocks are named", [slug(block.name) for block in self.blocks])
        for given in parse_overrides(self.overrides):
            check_fixed(given.key, given.swept, f"study {self.name}")
        for figure in self.figures:
            self._block(figure.block, f"figure '{figure.title}'")
        pairs = tuple(pair for contrast in self.contrasts for pair in contrast.pairs())
        object.__setattr__(self, "contrasts", pairs)
        self._check_once("contrasts are named", [contrast.name for contrast in pairs])
        self._check_once("figures have the title", [figure.title for figure in self.figures])
        for contrast in self.contrasts:
            self._check_contrast(contrast)
        if self.stop:
            self._resolve_stop(self.stop)

    def _resolve_stop(self, stop: Stop) -> None:
        """Writes the looks out, and adds the seeds up to `max_seeds`. Raises UserError."""
        where = f"study {self.name}: stop"
        if not any(contrast.primary for contrast in self.contrasts):
            raise UserError(f"{where}: decides by the primary contrasts, and there are none")
        if named := [block.name for block in self.blocks if block.seeds or block.adaptive]:
            raise UserError(f"{where}: block '{named[0]}' searches, or has seeds of its own; not with stop")
        if len(self.seeds) > stop.max_seeds:
            raise UserError(
                f"{where}.max_seeds={stop.max_seeds}: the study has {len(self.seeds)} seeds already"
            )
        more = range(max(self.seeds) + 1, max(self.seeds) + 1 + stop.max_seeds - len(self.seeds))
        object.__setattr__(self, "stop", replace(stop, looks=stop.resolved(len(self.seeds))))
        object.__setattr__(self, "seeds", (*self.seeds, *more))

    def _check_once(self, what: str, names: Sequence[str]) -> None:
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"study {self.name}: two {what} '{twice[0]}'; each needs a name of its own")

    def _block(self, name: str, whose: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        names = [block.name for block in self.blocks]
        raise UserError(
            f"study {self.name}: {whose} names block {name}, which does not exist"
            f"{nearest(name, names)} Blocks: {', '.join(names)}"
        )

    def _check_contrast(self, contrast: Contrast) -> None:
        where = f"study {self.name}: contrast '{contrast.name}'"
        factors = self._block(contrast.block, f"contrast '{contrast.name}'").factors()
        named = [contrast.factor, *contrast.interaction, *contrast.at]
        if twice := [key for key in named if named.count(key) > 1]:
            raise UserError(f"{where}: {twice[0]} can be only one of factor, interaction and at")
        asked = {contrast.factor: (contrast.a, contrast.b)}
        for axis, levels in (asked | contrast.interaction | contrast.at).items():
            if axis not in factors:
                raise UserError(
                    f"{where}: {axis} is not an axis{nearest(axis, factors)} Axes: {', '.join(factors)}"
                )
            for level in alternatives(levels):
                if factors[axis] and level not in factors[axis]:
                    known = ", ".join(map(str, factors[axis]))
                    raise UserError(f"{where}: {level} is not a level of {axis}; levels: {known}")
        if contrast.trend and not has_line(contrast, factors[contrast.factor]):
            raise UserError(
                f"{where}: trend needs listed levels of {contrast.factor}, at least one of them between "
                f"{contrast.a} and {contrast.b}"
            )


def has_line(contrast: Contrast, levels: Sequence[Any]) -> bool:
    """Whether a trend has a level between its two ends: without one it is their difference."""
    return sum(map(contrast.compares, levels)) > 2


def load_study(name_or_path: str, extra: Sequence[str] = ()) -> Study:
    """The study of `sweeps/NAME.yaml`, or of a YAML file anywhere, changed by `extra`.

    An override in `extra` of an axis replaces its levels (`select.size=16,64`); of a key that varies together
    with others, it chooses among the levels; `seeds`, `name`, `ledger`, `budget.gpu_hours` and `budget.hours`
    change the study (`seeds` also that of every block); any other holds for every trial. Raises UserError,
    which names the key.
    """
    path = _find(name_or_path)
    declared = read_yaml(path)
    if isinstance(declared, dict) and isinstance(url := declared.get("ledger"), str):
        check_ledger(url, f"{path}: ")
    try:
        study = from_dict(Study, declared, path.name)
    except UserError as error:
        raise unknown_axis(declared) or error from error
    refuse_credentials(declared, path.name)
    _refuse_other_keys(study)
    for override in parse_overrides(extra):
        study = with_override(study, override)
        refuse_credentials(override.text, "")
    return study


def unknown_axis(declared: Any) -> UserError | None:
    """The error for an axis that is no key of a configuration, which is why a contrast, a condition or a base
    that names the right key does not fit."""
    blocks = declared.get("blocks") if isinstance(declared, dict) and not declared.get("imported") else ()
    for block in blocks if isinstance(blocks, list) else ():
        axes = block.get("axes") if isinstance(block, dict) else None
        for key in (key for axis in axes or () for key in keys(str(axis))):
            if not is_known(key.lstrip("+~")):
                near = nearest(key, [*groups(), *all_keys()])
                return UserError(f"block '{block.get('name')}': axes.{key}: unknown key{near}")
    return None


def _refuse_other_keys(study: Study) -> None:
    """Raises UserError for keys of the study among those of its trials, and for settings of Hydra itself: no
    sweep reads these, but a rerun of a trial would, and they may name code (hydra.callbacks)."""
    of_study = {field.name for field in fields(Study)}
    blocks = (
        (*(given.key for given in parse_overrides(block.overrides)), *block.factors())
        for block in study.blocks
    )
    for key in (
        *(given.key for given in parse_overrides(study.overrides)),
        *(key for found in blocks for key in found),
    ):
        bare = key.lstrip("+~")
        if re.split(r"[./@]", bare)[0] == "hydra" and bare != "hydra.searchpath":
            raise UserError(
                f"study {study.name}: {key}: settings of Hydra have no effect in a study; remove it"
            )
        if (name := bare.partition(".")[0]) in of_study:
            raise UserError(
                f"study {study.name}: {key}: {name} is a key of the study, not of its trials; in its file it "
                "stands beside `blocks`, not under `overrides` or `axes`"
            )


def with_override(study: Study, override: Override) -> Study:
    """The study, changed by an override from the command line. Raises UserError, which names it."""
    axes = sorted({key for block in study.blocks for axis in block.axes for key in keys(axis)})
    first = override.values[0]
    bare = override.key.lstrip("+~")
    if bare != override.key and bare in ("seeds", *axes):
        what = "the seeds are the study's" if bare == "seeds" else f"{bare} is an axis of {study.name}"
        raise UserError(f"{override.text}: {what}; {bare}=... without {override.key[0]} replaces its values")
    if isinstance(first, list) and override.key in ("seeds", *axes):
        override = replace(override, values=tuple(first), swept=True)
    if override.key == "seeds":
        return _with_seeds(study, override)
    if override.key == "name":
        if first is None or override.swept:
            raise UserError(f"{override.text}: a study has one name")
        return replace(study, name=str(first))
    if override.key == "ledger":
        return replace(study, ledger=None if first is None else str(first))
    if override.key.startswith("budget"):
        return _with_budget(study, override)
    if override.swept and override.key not in axes:
        raise UserError(
            f"{override.text}: several values, but not an axis of {study.name}; axes: {', '.join(axes)}"
        )
    return _with_levels(study, override)


def _with_seeds(study: Study, override: Override) -> Study:
    if not all(type(seed) is int for seed in override.values):
        raise UserError(f"{override.text}: seeds are whole numbers, as in seeds=[0,1,2]")
    blocks = tuple(replace(block, seeds=None) for block in study.blocks)
    return replace(study, seeds=override.values, blocks=blocks)


def _with_budget(study: Study, override: Override) -> Study:
    """`budget.gpu_hours=10` sets a cap; `budget=null` removes all."""
    if override.key == "budget" and override.values == (None,):
        return replace(study, budget=None)
    known = [f"budget.{field.name}" for field in fields(Budget)]
    if override.key not in known or override.swept:
        raise UserError(f"{override.text}: a budget is set by {'=NUMBER or '.join(known)}=NUMBER")
    key, value = override.key.removeprefix("budget."), override.values[0]
    caps = {field.name: getattr(study.budget, field.name, None) for field in fields(Budget)}
    return replace(study, budget=from_dict(Budget, caps | {key: value}, "budget"))


def _with_levels(study: Study, override: Override) -> Study:
    """Replaces an axis's levels, and drops contrasts of levels that are gone; else sets the key for all
    trials."""
    blocks = tuple(_block_with(block, override) for block in study.blocks)
    left = {block.name: block.factors() for block in blocks}
    kept = [
        _contrast_with(one, override.key, left[one.block].get(override.key, ())) for one in study.contrasts
    ]
    return replace(study, blocks=blocks, contrasts=tuple(contrast for contrast in kept if contrast))


def _contrast_with(contrast: Contrast, axis: str, levels: Sequence[Any]) -> Contrast | None:
    """The contrast at those of an axis's levels that are left; None if it compares nothing there."""
    ends = (contrast.a, contrast.b) if axis == contrast.factor else contrast.interaction.get(axis, ())
    if not all(level in levels for level in ends):
        return None
    if axis == contrast.factor and contrast.trend and not has_line(contrast, levels):
        return None
    if axis not in contrast.at:
        return contrast
    at = [level for level in alternatives(contrast.at[axis]) if level in levels]
    return replace(contrast, at={**contrast.at, axis: at}) if at else None


def _block_with(block: Block, override: Override) -> Block:
    if override.key in block.axes:
        return _with_axis(block, override.key, override.values)
    for axis in block.axes:
        if override.key in keys(axis):
            return _with_axis(block, axis, _levels_with(block, axis, override))
    if block.tune and any(override.key in keys(axis) for axis in block.tune.axes):
        raise UserError(
            f"{override.text}: {override.key} is tuned in block '{block.name}'; change it in the file"
        )
    return block if override.swept else replace(block, overrides=(*block.overrides, override.text))


def _with_axis(block: Block, axis: str, levels: tuple[Any, ...]) -> Block:
    """The block with other levels of an axis; conditions on levels that are gone are never met."""
    axes = block.axes | {axis: levels}
    return replace(
        block,
        axes=axes,
        when={on: narrowed(condition, axes) for on, condition in (block.when or {}).items()} or None,
        exclude=tuple(narrowed(left_out, axes) for left_out in block.exclude),
    )


def _levels_with(block: Block, axis: str, override: Override) -> tuple[Any, ...]:
    """The levels of keys that vary together in which one key has the values of the override."""
    index, levels = keys(axis).index(override.key), block.axes[axis]
    assert isinstance(levels, tuple)
    known = [level[index] for level in levels]
    if unknown := [value for value in override.values if value not in known]:
        raise UserError(
            f"{override.text}: in block '{block.name}', {override.key} varies together with others ({axis}); "
            f"{unknown[0]} is not among its levels; they are {', '.join(map(str, known))}"
        )
    return tuple(level for level in levels if level[index] in override.values)


def multirun_study(
    name: str, arguments: Sequence[str], loader: ConfigLoader | None = None, seed: int = 0
) -> Study:
    """A study from Hydra's `-m`: keys with several values are crossed, `seed=0,1` sets the seeds instead of
    the configuration's own `seed`."""
    for text in arguments:
        refuse_credentials(text, "")
    axes: dict[str, Levels] = {}
    overrides, seeds = [], (seed,)
    for given in parse_overrides(arguments, loader):
        if given.key == "seed":
            seeds = given.values
        elif given.swept:
            axes[given.key] = given.values
        else:
            overrides.append(given.text)
    block = Block(name="multirun", axes=axes, overrides=tuple(overrides))
    name = re.sub(r"[^\w.-]", "-", name).lstrip("-.")[:LONGEST_NAME] or block.name
    return Study(name=name, blocks=(block,), seeds=seeds)


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such file; a study is given by its name or by its YAML file's path")
        return Path(name)
    if (path := study_file(name)) is not None:
        return path
    known, places = study_names(), " or ".join(map(str, sweep_folders()))
    raise UserError(
        f"{name}: no such study in {places}{nearest(name, known)} Known: {', '.join(known)}; of one that has "
        "run under another name, its folder's study.yaml works too"
    )
