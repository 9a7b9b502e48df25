"""Against the designs of Montgomery's Design and Analysis of Experiments, table 8.14."""

import itertools
import math

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.block import Block
from limo_ablate.study.fractional import Fractional
from limo_ablate.study.points import alias_table, points

TEXTBOOK = [  # factors, resolution asked for, runs, resolution, number of words of each length from 3 on
    (3, 3, 4, 3, (1,)),
    (4, 4, 8, 4, (0, 1)),
    (5, 3, 8, 3, (2, 1, 0)),
    (5, 5, 16, 5, (0, 0, 1)),
    (6, 3, 8, 3, (4, 3, 0, 0)),
    (6, 4, 16, 4, (0, 3, 0, 0)),
    (7, 3, 8, 3, (7, 7, 0, 0, 1)),
    (7, 4, 16, 4, (0, 7, 0, 0, 0)),
    (8, 4, 16, 4, (0, 14, 0, 0, 0, 1)),
    (8, 5, 64, 5, (0, 0, 2, 1, 0, 0)),
    (9, 3, 16, 3, (4, 14, 8, 0, 4, 1, 0)),
    (9, 4, 32, 4, (0, 6, 8, 0, 0, 1, 0)),
    (10, 5, 128, 5, (0, 0, 3, 3, 1, 0, 0, 0)),
]


@pytest.mark.parametrize(("factors", "asked", "runs", "resolution", "words"), TEXTBOOK)
def test_a_design_has_the_runs_and_words_of_the_textbook(
    factors: int, asked: int, runs: int, resolution: int, words: tuple[int, ...]
) -> None:
    design = Fractional.of(factors, asked)
    lengths = [word.bit_count() for word in design.words]
    assert (len(design.runs()), design.resolution) == (runs, resolution)
    assert tuple(lengths.count(length) for length in range(3, factors + 1)) == words


@pytest.mark.parametrize(("factors", "asked"), [case[:2] for case in TEXTBOOK])
def test_the_alias_table_is_what_the_columns_say(factors: int, asked: int) -> None:
    """Effects are aliased exactly where the products of their columns are the same."""
    design = Fractional.of(factors, asked)
    columns = list(zip(*(tuple(2 * level - 1 for level in run) for run in design.runs()), strict=True))

    def contrast(effect: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(math.prod(row) for row in zip(*(columns[factor] for factor in effect), strict=True))

    table = design.aliases()
    effects = [effect for row in table for effect in row]
    assert len(effects) == len(set(effects)) == factors + math.comb(factors, 2)
    for row, other in itertools.combinations(table, 2):
        assert contrast(row[0]) != contrast(other[0])
    for row in table:
        assert len({contrast(effect) for effect in row}) == 1
    assert all(sum(column) == 0 for column in columns)


def aliases_of(block: Block) -> list[set[str]]:
    return [set(row) for row in alias_table(block)]


def block(factors: str, resolution: int) -> Block:
    axes = {f"x.{name}": (0, 1) for name in factors}
    return Block(name="b", design="fractional", resolution=resolution, axes=axes)


def test_the_alias_tables_of_the_textbook() -> None:
    assert aliases_of(block("abc", 3)) == [{"a", "b × c"}, {"b", "a × c"}, {"c", "a × b"}]
    four = aliases_of(block("abcd", 4))
    assert four[:4] == [{"a"}, {"b"}, {"c"}, {"d"}]
    assert {"a × b", "c × d"} in four
    five = aliases_of(block("abcde", 3))  # D = AB, E = AC
    assert {"a", "b × d", "c × e"} in five
    assert {"b × c", "d × e"} in five
    assert {"a", "b × d", "c × e", "f × g"} in aliases_of(block("abcdefg", 3))


def test_points_of_a_fractional_block_are_balanced() -> None:
    found = points(block("abcde", 5))
    assert len(found) == 16
    for one, other in itertools.combinations(found[0], 2):
        pairs = [(point[one], point[other]) for point in found]
        assert {pairs.count(pair) for pair in itertools.product((0, 1), (0, 1))} == {4}


@pytest.mark.parametrize(
    ("factors", "resolution", "said"),
    [
        ("abc", 4, "resolution=4 of 3 axes: from 3 to 3"),
        ("abcd", 2, "resolution=2"),
        ("abcdefghijkl", 3, "of 12 axes: at most 11"),
    ],
)
def test_a_design_that_there_is_not_is_refused(factors: str, resolution: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        points(block(factors, resolution))
