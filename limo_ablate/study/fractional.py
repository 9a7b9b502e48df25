"""Two-level fractional factorial designs 2^(k-p): the fewest runs of a resolution, and what they confound.

    Fractional.of(factors=4, resolution=4)   ->  2^(4-1), D = ABC: eight runs

A factor is a bit. The first k-p factors form a full factorial; each other factor is the product of some of
them, its generator. The defining relation consists of all products of the words that the generators form; the
resolution is the length of its shortest word, and two effects are aliased when their product is a word of it.
Of the designs with the fewest runs, the one with minimum aberration is chosen: the fewest shortest words,
then the fewest next longer ones (Fries and Hunter 1980), as in the tables of Montgomery's Design and Analysis
of Experiments.

pyDOE3 can't be used: `fracfact_by_res` has no 2^(3-1) and gives words of length 4 for resolution 5, and
`fracfact_opt` has no 2^(7-4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from limo_ablate.core.errors import UserError

MAX_FACTORS = 11
"""The search for a design with more factors takes minutes."""


@dataclass(frozen=True, slots=True)
class Fractional:
    basic: int
    """Number of factors that are crossed in full: 2^basic runs."""
    generators: tuple[int, ...]
    """For each further factor, the set of basic factors, as bits, whose product it is."""

    @staticmethod
    def of(factors: int, resolution: int) -> Fractional:
        """The smallest design. Raises UserError when there is none."""
        if factors > MAX_FACTORS:
            raise UserError(f"a fractional design of {factors} axes: at most {MAX_FACTORS} are supported")
        if not 3 <= resolution <= factors:
            raise UserError(
                f"resolution={resolution} of {factors} axes: from 3 to {factors}; "
                "a resolution above all axes is design: factorial"
            )
        return _smallest(factors, resolution)

    @property
    def factors(self) -> int:
        return self.basic + len(self.generators)

    @property
    def words(self) -> list[int]:
        """The defining relation without I: sets of factors as bits, shortest first."""
        single = [generator | 1 << self.basic + i for i, generator in enumerate(self.generators)]
        return sorted(_products(single), key=lambda word: (word.bit_count(), word))

    @property
    def resolution(self) -> int:
        """Length of the shortest word; for a full factorial, one more than its number of factors."""
        return min((word.bit_count() for word in self.words), default=self.factors + 1)

    def runs(self) -> list[tuple[int, ...]]:
        """A row for each run: 0 or 1, the level of each factor; the last basic factor varies fastest."""
        runs = []
        for number in range(2**self.basic):
            basic = [number >> self.basic - 1 - i & 1 for i in range(self.basic)]
            runs.append((*basic, *(_product(generator, basic) for generator in self.generators)))
        return runs

    def aliases(self, order: int = 2) -> list[list[tuple[int, ...]]]:
        """Every effect of up to `order` factors once; effects in the same list are aliased.

        An effect is a tuple of factors, counted from 0; one that is aliased with none of that order is alone.
        """
        effects = [set_ for size in range(1, order + 1) for set_ in combinations(range(self.factors), size)]
        relation = [0, *self.words]
        rows: dict[int, list[tuple[int, ...]]] = {}
        for effect in effects:
            bits = sum(1 << factor for factor in effect)
            rows.setdefault(min(bits ^ word for word in relation), []).append(effect)
        return list(rows.values())


@cache
def _smallest(factors: int, resolution: int) -> Fractional:
    for basic in range(2, factors):
        designs = [
            Fractional(basic, chosen) for chosen in _generator_sets(basic, factors - basic, resolution)
        ]
        if designs:
            return min(designs, key=_aberration)
    return Fractional(factors, ())


def _generator_sets(basic: int, count: int, resolution: int) -> Iterator[tuple[int, ...]]:
    """All sets of `count` generators whose defining relation has no word shorter than the resolution."""
    candidates = [g for g in range(1, 2**basic) if g.bit_count() >= resolution - 1]

    def extend(chosen: tuple[int, ...], words: list[int], start: int) -> Iterator[tuple[int, ...]]:
        if len(chosen) == count:
            yield chosen
            return
        for place in range(start, len(candidates)):
            word = candidates[place] | 1 << basic + len(chosen)
            longer = [word, *(word ^ other for other in words)]
            if all(word.bit_count() >= resolution for word in longer):
                yield from extend((*chosen, candidates[place]), words + longer, place + 1)

    return extend((), [], 0)


def _aberration(design: Fractional) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The number of words of each length, shortest first; ties go to the generators that tables list."""
    lengths = [word.bit_count() for word in design.words]
    counts = tuple(lengths.count(length) for length in range(1, design.factors + 1))
    return counts, design.generators


def _products(words: list[int]) -> list[int]:
    products: list[int] = []
    for word in words:
        products += [word, *(word ^ other for other in products)]
    return products


def _product(generator: int, basic: list[int]) -> int:
    """1 where the product of the factors' signs is +, 0 where it is -."""
    low = sum(1 - level for factor, level in enumerate(basic) if generator >> factor & 1)
    return 1 - low % 2
