"""The cells of a study: every point of every block under every seed, composed and named.

Two blocks that ask for the same trial share one cell: a cell is known by the hash of its resolved
configuration, not by how it was asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from limo_ablate.compose import compose_cells
from limo_ablate.config import TrialConfig
from limo_ablate.identity import TrialLabels, trial_key
from limo_ablate.overrides import override, parse
from limo_ablate.sweep.design import Block, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One trial of a study."""

    name: str
    """`size64-L5-s0`: its levels and its seed; unique within the study."""
    key: str
    """Hash of all that decides its result."""
    overrides: tuple[str, ...]
    """Everything asked for, in order; `limo-ablate OVERRIDES` runs it alone."""
    levels: dict[str, Any]
    """Axis -> level."""
    seed: int
    blocks: tuple[str, ...]
    config: TrialConfig

    @property
    def folder(self) -> str:
        """Its folder under `trials/`."""
        return f"{self.name}-{self.key[:6]}"

    def labels(self, study: str) -> TrialLabels:
        """With every override, so that the trial's record says all that was asked for; the last one holds."""
        asked = {given.key: given.values[0] for given in parse(self.overrides)}
        return TrialLabels(study=study, cell=asked, name=self.name)


@dataclass(frozen=True, slots=True)
class _Wanted:
    block: str
    overrides: tuple[str, ...]
    levels: dict[str, Any]
    seed: int


def cells(study: Study) -> list[Cell]:
    """All cells, the first seed's first, so that an interrupted study has whole grids. Raises UserError."""
    wanted = [w for seed in study.seeds for block in study.blocks for w in _wanted(study, block, seed)]
    configs = compose_cells([w.overrides for w in wanted])
    found: dict[str, tuple[_Wanted, TrialConfig, list[str]]] = {}
    for w, config in zip(wanted, configs, strict=True):
        blocks = found.setdefault(trial_key(config), (w, config, []))[2]
        if w.block not in blocks:
            blocks.append(w.block)
    names = _names([w for w, _, _ in found.values()])
    return [
        Cell(
            name=name,
            key=key,
            overrides=w.overrides,
            levels=w.levels,
            seed=w.seed,
            blocks=tuple(blocks),
            config=config,
        )
        for name, (key, (w, config, blocks)) in zip(names, found.items(), strict=True)
    ]


def _wanted(study: Study, block: Block, seed: int) -> list[_Wanted]:
    shared = (*study.overrides, *block.overrides)
    return [
        _Wanted(
            block.name,
            (*shared, *(override(key, level) for key, level in point.items()), f"seed={seed}"),
            point,
            seed,
        )
        for point in block.points()
    ]


def _names(wanted: list[_Wanted]) -> list[str]:
    """Levels and seed; where that is not unique, the block's name comes before it."""
    short = ["-".join([*(_level(k, v) for k, v in w.levels.items()), f"s{w.seed}"]) for w in wanted]
    counts = Counter(short)
    return [
        f"{_slug(w.block)}-{name}" if counts[name] > 1 else name
        for w, name in zip(wanted, short, strict=True)
    ]


def _level(key: str, level: Any) -> str:
    """`L5`, `mini_m`, but `size64`: a bare number would not say what it is of."""
    if isinstance(level, str) and level[:1] == "-" and level[1:2].isalpha():
        level = f"minus_{level[1:]}"  # a rule turned round
    named = isinstance(level, str) and level[:1].isalpha()
    return _slug(str(level) if named else f"{key.rpartition('.')[2]}{level}")


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "_", text).strip("_")
