from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.axes import Range, factors
from limo_ablate.study.block import Block, Objective, Pruning, Tune
from limo_ablate.study.points import points

PAIR = {"select.size, train.epochs": ([100, 16], [800, 2])}


def block(**given: Any) -> Block:
    return Block(**{"name": "b", "axes": {"a": (1, 2), "b": ("x", "y")}, **given})


def test_keys_that_vary_together_are_one_axis() -> None:
    paired = block(axes={**PAIR, "model": ("s", "m")})
    assert points(paired) == [
        {"select.size": 100, "train.epochs": 16, "model": "s"},
        {"select.size": 100, "train.epochs": 16, "model": "m"},
        {"select.size": 800, "train.epochs": 2, "model": "s"},
        {"select.size": 800, "train.epochs": 2, "model": "m"},
    ]
    assert factors(paired.axes) == {"select.size": (100, 800), "train.epochs": (16, 2), "model": ("s", "m")}


def test_an_ofat_block_varies_a_pair_as_one() -> None:
    base = {"select.size": 400, "train.epochs": 4, "model": "s"}
    varied = points(block(design="ofat", base=base, axes={**PAIR, "model": ("m",)}))
    assert varied == [base, {**base, "select.size": 100, "train.epochs": 16},
                      {**base, "select.size": 800, "train.epochs": 2}, {**base, "model": "m"}]  # fmt: skip


def test_a_conditional_axis_is_there_only_where_its_condition_is_met() -> None:
    order = block(
        axes={"order": ("random", "score", "longest"), "weight": (0, 1), "deep": ("p", "q")},
        when={"weight": {"order": ["score", "longest"]}, "deep": {"weight": 1}},
    )
    assert points(order) == [
        {"order": "random"},
        {"order": "score", "weight": 0}, {"order": "score", "weight": 1, "deep": "p"},
        {"order": "score", "weight": 1, "deep": "q"},
        {"order": "longest", "weight": 0}, {"order": "longest", "weight": 1, "deep": "p"},
        {"order": "longest", "weight": 1, "deep": "q"},
    ]  # fmt: skip


def test_excluded_points_are_left_out() -> None:
    assert points(block(exclude=({"a": 1, "b": "x"},))) == [
        {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    assert points(block(exclude=({"b": ["x"]},))) == [{"a": 1, "b": "y"}, {"a": 2, "b": "y"}]


RATES = {
    "rate": Range(low=1e-5, high=1e-2, log=True),
    "size": Range(low=4, high=64, log=True),
    "b": ("x", "y"),
}


def test_random_points_are_seeded_and_more_of_them_go_on() -> None:
    few, many = (points(block(design="random", n=n, axes=RATES)) for n in (5, 200))
    assert many[:5] == few
    assert points(block(design="random", n=5, draw=1, axes=RATES)) != few
    assert all(1e-5 <= point["rate"] <= 1e-2 and 4 <= point["size"] <= 64 for point in many)
    assert {type(point["size"]) for point in many} == {int}
    below = sum(point["rate"] < 3.16e-4 for point in many)  # the middle of the range, by its logarithm
    assert 70 < below < 130


def test_random_points_are_different_ones() -> None:
    found = points(block(design="random", n=4))
    assert len({repr(point) for point in found}) == 4
    with pytest.raises(UserError, match="n=5, but its axes have only 4 points"):
        points(block(design="random", n=5))


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({"low": 1, "high": 9, "step": 4}, (1, 5, 9)),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
        ({"low": 2, "high": 4}, (2, 3, 4)),
        ({"low": 2.0, "high": 4}, None),
    ],
)
def test_a_range_knows_its_numbers(given: dict[str, Any], numbers: Any) -> None:
    assert Range(**given).numbers() == numbers


SEARCH: dict[str, Any] = {"design": "optuna", "n": 5, "objectives": (Objective(score="mini"),)}
BOTH = (Objective(score="mini"), Objective(score="mini.tokens", direction="minimize"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"axes": {"a, b": ([1, 2], [3])}}, r"axes.a, b: \[3\] must be a list of 2"),
        ({"axes": {"a, b": ([1, 2],), "b": (1,)}}, "b is in two axes"),
        ({"axes": {"a, seed": ([1, 2],)}}, "seed can't be a factor"),
        ({"axes": {"a": Range(low=1, high=2)}}, "axes.a is a range; ranges are for random"),
        ({**SEARCH, "axes": {"a, b": Range(low=1, high=2)}}, "a pair needs a list of levels"),
        ({"when": {"c": {"a": 1}}}, "when.c: no such axis; axes: a, b"),
        ({"when": {"a": {"b": "x"}}}, r"when.a \(of the axes before it\): b is not an axis"),
        ({"when": {"b": {"a": 7}}}, "a=7 is not a level of that axis; levels: 1, 2"),
        ({"exclude": ({"c": 1},)}, r"exclude\[0\]: c is not an axis"),
        ({"exclude": ({"b": "z"},)}, "b=z is not a level of that axis; levels: x, y"),
        ({"resolution": 3}, "resolution belongs to design: fractional; this block is factorial"),
        ({"n": 3}, "n belongs to design: random and optuna"),
        ({"design": "random"}, "design: random needs n"),
        ({"design": "fractional"}, "design: fractional needs resolution"),
        (
            {"design": "fractional", "resolution": 3, "axes": {"a": (1, 2, 3)}},
            "takes two levels of each axis",
        ),
        (
            {"design": "fractional", "resolution": 3, "exclude": ({"a": 1},)},
            "would unbalance a fractional design",
        ),
        ({"design": "optuna", "n": 5}, "design: optuna needs objectives"),
        ({**SEARCH, "axes": {}}, "needs axes to search"),
        ({**SEARCH, "objectives": BOTH, "pruner": Pruning(rule="median")}, "pruner compares answers"),
        ({**SEARCH, "objectives": BOTH[1:], "pruner": Pruning(rule="median")}, "pruner compares answers"),
        ({**SEARCH, "population": 5}, "population=5 belongs to sampler: nsga2"),
        ({**SEARCH, "n": -1}, "n=-1 must be 1 or more"),
        ({"seeds": ()}, "seeds is empty"),
        ({"tune": Tune(axes={"a": (1, 2)}, n=2, score="mini")}, "a is both an axis and tuned"),
        (
            {**SEARCH, "tune": Tune(axes={"c": (1, 2)}, n=2, score="mini")},
            "tune needs a block whose points are known",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        block(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 2, "high": 1}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 9, "step": -1}, "step=-1 must be positive"),
    ],
)
def test_a_range_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Range(**given)


def test_points_that_exclude_leaves_none_of_are_refused() -> None:
    with pytest.raises(UserError, match="exclude leaves no point"):
        points(block(exclude=({"a": [1, 2]},)))
