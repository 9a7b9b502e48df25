import pytest

from limo_ablate.analysis.sequential import chance, decision, expected_seeds, levels
from limo_ablate.study.stop import Stop


def test_levels_of_students_t() -> None:
    """Nominal levels found by others' simulation of the same spending."""
    assert levels((3, 5), "obrien_fleming", 0.05) == pytest.approx((0.0116, 0.0417), rel=0.06)
    assert levels((3, 4, 5), "obrien_fleming", 0.05) == pytest.approx((0.0116, 0.0208, 0.0326), rel=0.06)


def test_expected_seeds_and_the_fixed_design_of_equal_power() -> None:
    expected, fixed = expected_seeds(Stop(looks=(3, 5), max_seeds=5), 0.05)
    assert 5 >= expected[0] > expected[1] > expected[2] >= 3
    assert fixed == 5


def test_a_look_is_futile_where_more_seeds_can_not_decide() -> None:
    row = {"effect": 0.0, "stderr": 0.02, "seed_error": 0.002}  # the error is the problems'
    assert chance(row, (5, 10), 0, (0.04, 0.04), None) < 0.05
    assert chance({**row, "effect": 0.1}, (5, 10), 0, (0.04, 0.04), None) > 0.95
    assert chance({**row, "stderr": 0.002}, (5, 10), 0, (0.04, 0.04), 0.05) > 0.95, "equivalence is near"


def test_an_arm_without_a_result_is_not_called_futile() -> None:
    stop = Stop(looks=(3, 5), max_seeds=5)
    nothing = {"effect": None, "p": None, "p_equivalent": None}
    assert decision(nothing, stop, [], 0, None) == "no result"
    assert decision(nothing | {"effect": 0.0}, stop, [], 0, None) == "futile", "no information"
