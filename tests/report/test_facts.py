"""The page's headline: what is said of the best cell, and of a seed that collapsed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.report.facts import Problem, collapsed, glance, problems
from limo_ablate.report.study_view import load
from tests.made_study import SIZE_QUALITY, Making


def flat(asked: dict[str, Any]) -> float:
    return 0.5


def test_the_best_of_equal_cells_is_said_to_be_chosen(tmp_path: Path) -> None:
    view = load(Making(tmp_path / "made", blocks=(SIZE_QUALITY,), figures=(), accuracy=flat).write())
    ((number, label),) = [tile for tile in glance(view) if "highest" in tile[1]]
    assert label.startswith("highest of 20 cells on mini (being chosen, likely ")
    assert float(label.partition("likely ")[2].partition(" ")[0]) == pytest.approx(
        float(number.removesuffix(" %")) - 50, abs=6
    )


def test_a_collapsed_seed_is_named(tmp_path: Path) -> None:
    scores = {0: 0.71, 1: 0.02, 2: 0.69}
    rows = [
        {
            "trial": f"size4-s{seed}",
            "size": 4,
            "seed": seed,
            "score": "mini",
            "accuracy": share,
            "stderr": 0.03,
        }
        for seed, share in scores.items()
    ]
    table = pl.DataFrame(rows)
    assert collapsed(table, ["size"]) == ["size4-s1 has 2.0 % on mini, its cell's other seeds 69.0 to 71.0 %"]
    assert collapsed(table.filter(pl.col("seed") != 1), ["size"]) == []
    assert collapsed(table.with_columns(stderr=0.2), ["size"]) == []
    view = load(Making(tmp_path / "made", blocks=(SIZE_QUALITY,), figures=()).write())
    assert [problem.section for problem in problems(view)] == ["lengths"]


def test_cells_with_many_cut_completions_are_a_problem(tmp_path: Path) -> None:
    view = load(Making(tmp_path, blocks=(SIZE_QUALITY,), figures=()).write())
    cut = pl.when(pl.int_range(pl.len()) == 1).then(0.2).otherwise(0.05)
    cells = view.cells.filter(pl.col("score") == "mini")
    view.__dict__["cells"] = cells.with_columns(truncated=cut)
    assert problems(view)[0] == Problem(
        f"1 of {len(cells)} cells has more than 5 % completions cut at the token limit; most: 20.0 % "
        f"({', '.join(view.levels(cells.row(1, named=True)))})",
        "lengths",
    )
