"""The balanced part of a block, from which main effects and interactions are estimated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from limo_ablate.analysis.cube import Cube, cube
from limo_ablate.analysis.factors import complete_grid, levels
from limo_ablate.core.errors import UserError
from limo_ablate.report.labels import axis
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.axes import keys
from limo_ablate.study.block import Block
from limo_ablate.study.contrast import SIZE
from limo_ablate.study.fractional import Fractional
from limo_ablate.study.points import points

Effect = tuple[str, ...]
"""One factor or two."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A full grid of cells, all runs of a fractional design, or what has been run around a base (`ofat`)."""

    block: Block
    score: str
    word: str
    """What its means are called: `accuracy` or `score`."""
    cube: Cube

    @property
    def factors(self) -> list[str]:
        return [key for key in self.cube.axes if len(levels(self.cube, key)) > 1]

    @property
    def two_level(self) -> bool:
        return all(len(levels(self.cube, key)) == 2 for key in self.factors)

    def levels(self, key: str) -> list[Any]:
        """Levels of a factor, in the block's order."""
        present = levels(self.cube, key)
        declared = [value for value in self.block.factors().get(key, ()) if value in present]
        return [*declared, *(value for value in present if value not in declared)]

    def effects(self) -> list[tuple[str, Effect]]:
        """(name, factors) of each effect of one or two factors; aliased effects are listed once."""
        if self.block.design == "fractional":
            groups = aliases(self.block)
        else:
            groups = [[effect] for size in (1, 2) for effect in combinations(self.factors, size)]
        return [(" = ".join(effect_label(effect) for effect in row), row[0]) for row in groups]


def effect_label(effect: Effect) -> str:
    return " × ".join(map(axis, effect))


def aliases(block: Block) -> list[list[Effect]]:
    """Effects of one or two factors of a fractional design, each with those it is aliased with."""
    order = [keys(effect_label)[0] for effect_label in block.axes]
    groups = Fractional.of(len(order), block.resolution or 3).aliases()
    return [[tuple(order[place] for place in effect) for effect in row] for row in groups]


def balanced_grid(view: StudyView, block: Block) -> Grid | None:
    """The largest full grid of the block's finished cells, or all of its fraction, or all around its base,
    for the score that its first figure shows. Null with fewer than two factors, and for a fraction of which a
    run is missing: there effects would be mixed; nor where all problems are of one cluster. Of axes that vary
    together the first stands for all. Untrained bases, which have no tier, are left out of grids."""
    if not view.done or block.design not in ("factorial", "fractional", "ofat"):
        return None
    score = view.score_of(block)
    axes = [keys(effect_label)[0] for effect_label in block.axes if effect_label not in (block.when or {})]
    own = [trial for trial in view.counted if block.name in trial.blocks]
    if SIZE in axes and block.design != "ofat":
        own = [trial for trial in own if trial.level(SIZE) != 0]
    try:
        run = cube(own, view.answers, axes, score)
    except UserError:  # no finished trial yet, or none with that score: the figure says so
        return None
    block_cube = complete_grid(run) if block.design == "factorial" else run
    grid = Grid(block, score, view.word(score), block_cube)
    missing = block.design == "fractional" and len(block_cube.cells) < len(points(block))
    seeds = block_cube.complete(np.ones(len(block_cube.cells)))
    few = len(grid.factors) < 2 or block_cube.units < 2
    return None if missing or few or not seeds.any() else grid
