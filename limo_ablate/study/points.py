"""The points of a block that are known before anything runs: its design, unfolded."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.study.axes import Point, Range, keys, meets, settings
from limo_ablate.study.choices import DESIGNS, SAMPLERS
from limo_ablate.study.fractional import Fractional

if TYPE_CHECKING:
    from limo_ablate.study.block import Block

TRIES = 200
"""Draws for each point that `random` wants, before it is said that there are no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What an entry of `DESIGNS` is."""

    unfold: Callable[[Block], Iterator[Point]] | None
    """The points of a block, some of them repeatedly; null: a search proposes them."""
    words: Callable[[Block], str]
    """What the report's methods say, before the names of the factors."""
    reads: tuple[str, ...] = ()
    """Keys of a block that belong to this design, and to others that read them."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Keys that must be set -> what they say."""
    ranges: bool = False
    """Whether an axis may be a range instead of a list of levels."""


def points(block: Block) -> list[Point]:
    """Each point once: a level for each key (for ofat also of the base). Raises UserError."""
    unfold = DESIGNS.load(block.design).unfold
    if unfold is None:
        return []
    found = list(_distinct(block, unfold(block)))
    if not found:
        raise UserError(f"block '{block.name}': exclude leaves no point")
    return found


def alias_table(block: Block) -> list[list[str]]:
    """Effects of one and two axes of a fractional block; those in one list can't be told apart."""
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
    """Without conditional axes where they are not, without what is excluded, each point once."""
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
    """More of them are the same ones and others after them."""
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
    return f"{block.n} trials, proposed by {SAMPLERS.words(block.sampler or 'tpe')}, over"


FACTORIAL = Design(unfold=_factorial, words=_combinations)
OFAT = Design(unfold=_ofat, words=lambda block: "one factor at a time around a base, of", reads=("base",))
FRACTIONAL = Design(
    unfold=_fractional,
    words=lambda block: f"a fraction (resolution {block.resolution}) of all combinations of",
    reads=("resolution",),
    needs={"resolution": "3, 4 or 5: main effects apart from each other, from pairs, and pairs too"},
)
RANDOM = Design(
    unfold=_random,
    words=lambda block: f"{block.n} random points of",
    reads=("n", "draw"),
    needs={"n": "how many points are drawn"},
    ranges=True,
)
OPTUNA = Design(
    unfold=None,
    words=_proposed,
    reads=("n", "sampler", "population", "objectives", "pruner"),
    needs={"n": "how many trials it may have", "objectives": "[{score: mini, direction: maximize}]"},
    ranges=True,
)
