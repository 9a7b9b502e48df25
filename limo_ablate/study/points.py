"""The points of a block that are known before anything runs: what its design unfolds to."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.study.axes import Point, Range, keys, meets, settings
from limo_ablate.study.block import Block
from limo_ablate.study.choices import DESIGNS, SAMPLERS
from limo_ablate.study.fractional import Fractional

MOST_POINTS = 100_000
"""Points of a block: more than a study could run."""
TRIES = 200
"""Draws for each point of a `random` design, before it is an error that there are no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """An entry of `DESIGNS`."""

    unfold: Callable[[Block], Iterator[Point]] | None
    """Yields the points of a block, some of them repeatedly; null: a search proposes them."""
    words: Callable[[Block], str]
    """Words for the report's methods section, before the names of the factors."""
    reads: tuple[str, ...] = ()
    """Keys of a block that this design reads."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Key that must be set -> what it says."""
    ranges: bool = False
    """Whether an axis may be a range instead of a list of levels."""


def points(block: Block) -> list[Point]:
    """The distinct points of a block, each with a level for every key; none for a search. Raises
    UserError."""
    design: Design = DESIGNS.load(block.design)
    if design.unfold is None:
        return []
    _check_size(block)
    found = list(_distinct(block, design.unfold(block)))
    if not found:
        raise UserError(f"block '{block.name}': exclude leaves no point")
    return found


def _check_size(block: Block) -> None:
    """Raises UserError for more combinations than could be gone through, before any is made."""
    sizes = [len(levels) for levels in block.axes.values() if not isinstance(levels, Range)]
    count = math.prod(sizes) if block.design == "factorial" else max(block.n or 0, *sizes, 0)
    if count > MOST_POINTS:
        raise UserError(
            f"block '{block.name}': {count:,} points; at most {MOST_POINTS:,}: give its axes fewer "
            "levels, or use design: random"
        )


def alias_table(block: Block) -> list[list[str]]:
    """Main effects and two-factor interactions of a fractional block; those in one list are aliased."""
    names = [" and ".join(key.rpartition(".")[2] for key in keys(axis)) for axis in block.axes]
    design = Fractional.of(len(block.axes), block.resolution or 3)
    return [[" × ".join(names[factor] for factor in effect) for effect in row] for row in design.aliases()]


def applicable(point: Mapping[str, Any], block: Block) -> Point:
    """The point without the axes whose condition it does not meet."""
    kept = dict(point)
    for axis, condition in (block.when or {}).items():
        if not meets(kept, condition):
            for key in keys(axis):
                kept.pop(key, None)
    return kept


def _distinct(block: Block, found: Iterator[Point]) -> Iterator[Point]:
    """Each point once, without axes that don't apply and without what is excluded."""
    seen = set()
    for point in found:
        kept = applicable(point, block)
        known = repr(kept)
        if known in seen or any(meets(kept, left_out) for left_out in block.exclude):
            continue
        seen.add(known)
        yield kept
        if block.design == "random" and len(seen) == block.n:
            return
    if block.design == "random":
        raise UserError(f"block '{block.name}': n={block.n}, but its axes have only {len(seen)} points")


def _factorial(block: Block) -> Iterator[Point]:
    options = [settings(axis, levels) for axis, levels in block.axes.items() if not isinstance(levels, Range)]
    for chosen in itertools.product(*options):
        yield {key: level for setting in chosen for key, level in setting.items()}


def _ofat(block: Block) -> Iterator[Point]:
    base = block.base or {}
    yield base
    for axis, levels in block.axes.items():
        if not isinstance(levels, Range):
            yield from (base | setting for setting in settings(axis, levels))


def _fractional(block: Block) -> Iterator[Point]:
    options = [settings(axis, levels) for axis, levels in block.axes.items() if not isinstance(levels, Range)]
    for run in Fractional.of(len(options), block.resolution or 3).runs():
        yield {
            key: level
            for low_high, bit in zip(options, run, strict=True)
            for key, level in low_high[bit].items()
        }


def _random(block: Block) -> Iterator[Point]:
    """A larger n yields the same points first, then others."""
    rng = random.Random(f"{block.name} {block.draw or 0}")
    for _ in range(TRIES * (block.n or 0)):
        point: Point = {}
        for axis, levels in block.axes.items():
            chosen = levels.draw(rng) if isinstance(levels, Range) else rng.choice(levels)
            point |= settings(axis, [chosen])[0]
        yield point


def _combinations(block: Block) -> str:
    return "all combinations of" if len(block.factors()) > 1 else "all levels of"


def _proposed(block: Block) -> str:
    return f"{counted(block.n or 0, 'trial')}, proposed by {SAMPLERS.words(block.sampler or 'tpe')}, over"


FACTORIAL = Design(unfold=_factorial, words=_combinations)
OFAT = Design(unfold=_ofat, words=lambda block: "one factor at a time around a base, of", reads=("base",))
FRACTIONAL = Design(
    unfold=_fractional,
    words=lambda block: f"a fraction (resolution {block.resolution}) of all combinations of",
    reads=("resolution",),
    needs={"resolution": "3, 4 or 5: which effects can be told apart (docs/studies.md)"},
)
RANDOM = Design(
    unfold=_random,
    words=lambda block: f"{block.n} random points of",
    reads=("n", "draw"),
    needs={"n": "the number of points"},
    ranges=True,
)
OPTUNA = Design(
    unfold=None,
    words=_proposed,
    reads=("n", "sampler", "population", "objectives", "pruner"),
    needs={"n": "the number of trials", "objectives": "[{score: mini, direction: maximize}]"},
    ranges=True,
)
