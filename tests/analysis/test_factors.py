"""Main effects, interactions and variance components of arrays with known ones."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from limo_ablate.analysis.cube import Cube, contrast_weights
from limo_ablate.analysis.factors import complete_grid, factor_effects
from limo_ablate.analysis.variance_components import components
from limo_ablate.core.errors import UserError
from limo_ablate.study.contrast import Contrast

SIZES, TIERS = (4, 16, 64), ("L1", "L5")


def made(r: int = 3, n: int = 60, k: int = 4, trained: float = 0.02, missing: tuple[int, ...] = ()) -> Cube:
    """Accuracy 0.3 + 0.1 a size step, + 0.2 for L5 but only at 64."""
    rng = np.random.default_rng(5)
    cells = tuple((size, tier) for size in SIZES for tier in TIERS)
    mean = np.array([0.3 + 0.1 * SIZES.index(s) + 0.2 * (t == "L5" and s == 64) for s, t in cells])
    skill = rng.normal(0, 0.1, n)
    chance = mean[:, None, None] + rng.normal(0, trained, (len(cells), r, 1)) + skill
    accuracy = rng.binomial(k, np.clip(chance, 0, 1)) / k
    accuracy[list(missing)] = np.nan
    problems = tuple(f"p{j}" for j in range(n))
    return Cube(("size", "tier"), cells, tuple(range(r)), problems, accuracy, k)


def test_effects_are_those_of_a_linear_model() -> None:
    """Point estimates as least squares with sum-to-zero contrasts gives them."""
    block = made()
    found = factor_effects(block)
    rows = [
        {"size": str(size), "tier": tier, "y": block.accuracy[c, r].mean()}
        for c, (size, tier) in enumerate(block.cells)
        for r in range(3)
    ]
    model = smf.ols("y ~ C(size, Sum) * C(tier, Sum)", pd.DataFrame(rows)).fit()
    main = dict(found.filter(kind="main").select("level", "effect").iter_rows())
    assert main["L1"] == pytest.approx(model.params["C(tier, Sum)[S.L1]"])
    assert main["16"] == pytest.approx(model.params["C(size, Sum)[S.16]"])
    both = found.filter(kind="interaction", level="4", other_level="L1")["effect"][0]
    assert both == pytest.approx(model.params["C(size, Sum)[S.4]:C(tier, Sum)[S.L1]"])
    assert anova_lm(model)["PR(>F)"].iloc[0] < 0.01


def test_the_planted_interaction_is_seen() -> None:
    found = factor_effects(made(n=400, k=16, trained=0.005))
    seen = found.filter(kind="interaction", level="64", other_level="L5").row(0, named=True)
    assert seen["effect"] == pytest.approx(0.2 / 3, abs=0.02)
    assert seen["low"] > 0
    assert seen["p_adj"] < 0.05


def test_a_level_that_is_not_crossed_is_left_out() -> None:
    part = complete_grid(made(missing=(1,)))
    assert part.cells == ((16, "L1"), (16, "L5"), (64, "L1"), (64, "L5"))
    assert complete_grid(made()).cells == made().cells


def test_components_are_recovered() -> None:
    """Averaged over many cells: SDs of problems 0.15 and trainings 0.06, binomial samples."""
    rng = np.random.default_rng(2)
    chance = 0.5 + rng.normal(0, 0.06, (200, 4, 1)) + rng.normal(0, 0.15, (200, 1, 50))
    accuracy = rng.binomial(8, np.clip(chance, 0, 1)) / 8
    cells = tuple((number,) for number in range(200))
    block = Cube(("x",), cells, (0, 1, 2, 3), tuple(map(str, range(50))), accuracy, 8)
    found = {row["component"]: row for row in components(block).rows(named=True)}
    assert found["problem"]["sd"] == pytest.approx(0.15, rel=0.05)
    assert found["training"]["sd"] == pytest.approx(0.06, rel=0.1)
    assert found["rest"]["variance"] == pytest.approx(0, abs=0.002)
    assert found["sample"]["variance"] == pytest.approx((chance * (1 - chance)).mean(), rel=0.03)
    assert sum(row["share"] for row in found.values()) == pytest.approx(1)


def test_components_of_one_seed_or_sample_say_what_is_unknown() -> None:
    one = {row["component"]: row["variance"] for row in components(made(r=1)).rows(named=True)}
    assert one["training"] is None
    assert one["rest"] is None
    single = {row["component"]: row["variance"] for row in components(made(k=1)).rows(named=True)}
    assert single["rest"] is None
    assert single["sample"] is not None


def test_one_sample_of_one_training_is_all_in_samples() -> None:
    found = {row["component"]: row for row in components(made(r=1, k=1)).rows(named=True)}
    assert [name for name, row in found.items() if row["variance"] is None] == ["problem", "training", "rest"]
    accuracy = made(r=1, k=1).accuracy[:, 0]
    assert found["sample"]["variance"] == pytest.approx(accuracy.var(axis=1, ddof=1).mean())
    assert found["sample"]["of_mean"] == pytest.approx(found["sample"]["variance"] / 60)


def test_in_a_fraction_levels_are_compared_over_all_cells() -> None:
    """C = AB: no two cells differ in one factor only."""
    cells = ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1))
    accuracy = np.array([0.2, 0.4, 0.5, 0.9])[:, None, None] + np.zeros((4, 2, 6))
    block = Cube(("a", "b", "c"), cells, (0, 1), tuple("pqrstu"), accuracy, 1)
    a = Contrast(name="a", block="b", factor="a", a=0, b=1, score="mini")
    assert contrast_weights(block, a) == pytest.approx([-0.5, -0.5, 0.5, 0.5])
    assert block.weighted(contrast_weights(block, a)) == pytest.approx(np.full((2, 6), 0.4))
    part = Cube(block.axes, cells[:3], block.seeds, block.problems, accuracy[:3], 1)
    with pytest.raises(UserError, match="no finished trials yet that agree in all other factors"):
        contrast_weights(part, a)


def test_an_interaction_of_a_fraction_is_refused_where_a_main_effect_is_its_alias() -> None:
    """C = AB: where A and B are equal C is 1, so C's effect would be taken for that of both. D = ABC: all
    levels of C and D are in each of the four groups."""
    change = Contrast(name="a", block="b", factor="a", a=0, b=1, interaction={"b": (0, 1)}, score="mini")
    for axes, cells in (
        (("a", "b", "c"), [(a, b, int(a == b)) for a in (0, 1) for b in (0, 1)]),
        (("a", "b", "c", "d"), [(a, b, c, (a + b + c) % 2) for a in (0, 1) for b in (0, 1) for c in (0, 1)]),
    ):
        effects = [0.3 * (cell[0] and cell[1]) + 0.1 * cell[2] for cell in cells]
        accuracy = np.array(effects)[:, None, None] + np.zeros((len(cells), 2, 6))
        block = Cube(axes, tuple(cells), (0, 1), tuple("pqrstu"), accuracy, 1)
        if len(axes) == 3:
            with pytest.raises(UserError, match="no finished trials yet that agree in all other factors"):
                contrast_weights(block, change)
        else:
            assert block.weighted(contrast_weights(block, change)) == pytest.approx(np.full((2, 6), 0.3))
