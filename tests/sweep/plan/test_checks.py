"""What a study shows, compares and tunes by is checked before any of its trials runs."""

from __future__ import annotations

from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import package_folder
from limo_ablate.study.block import Block, Tune
from limo_ablate.study.design import Figure, Study, load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.plan.checks import check_study
from limo_ablate.sweep.plan.plan import plan

FIGURE = {"title": "Sizes", "block": "grid", "x": "select.size", "line": "model", "score": "mini/hard"}
OVERRIDES = ("data=miniature", "eval=miniature", "train=mini", "hardware=cpu", "track=none")


def made(figure: dict[str, Any], **block: Any) -> Study:
    grid = Block(name="grid", axes={"select.size": (4, 16)}, **block)
    return Study(name="s", blocks=(grid,), overrides=OVERRIDES, figures=(Figure(**FIGURE | figure),))


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"score": "mini/hrad"}, "score=mini/hrad is not a score of its trials; did you mean mini/hard?"),
        ({"x": "select.sise"}, "x=select.sise: not a key of its trials; did you mean select.size?"),
        ({"line": "select.nothing.at.all"}, "line=select.nothing.at.all: not a key"),
        ({"score": "mini/clean"}, "score=mini/clean is not a score"),  # the gate is off
    ],
)
def test_a_figure_of_what_is_not_there_is_refused(figure: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"study s: figure 'Sizes': {said}".replace("?", r"\?")):
        plan(made(figure))


def test_keys_that_no_axis_has_may_stand_in_the_configuration() -> None:
    study = made({"line": "select.quality", "score": "mini"})
    check_study(study, planned_trials(study))


def test_clean_items_are_a_score_where_the_gate_reports() -> None:
    study = made({"score": "mini/clean"}, overrides=("select/contamination=report",))
    with pytest.raises(UserError, match="score=mini/clean"):
        check_study(made({"score": "mini/clean"}), planned_trials(made({})))
    check_study(study, planned_trials(study))


def test_what_a_tuning_goes_by_is_checked() -> None:
    def tuned(score: str) -> Study:
        return made({}, tune=Tune(axes={"train.learning_rate": (1e-3, 1e-2)}, n=2, score=score))

    plan(tuned("mini/easy"))
    with pytest.raises(UserError, match=r"block 'grid': tune: score=mini/esay .*did you mean mini/easy"):
        plan(tuned("mini/esay"))
    with pytest.raises(UserError, match=r"tune: train\.dev_loss needs rows held out from training"):
        plan(tuned("train.dev_loss"))


@pytest.mark.parametrize("name", sorted(file.stem for file in package_folder("sweeps").glob("*.yaml")))
def test_studies_that_ship_show_what_they_have(name: str) -> None:
    study = load_study(name)
    check_study(study, planned_trials(study))
