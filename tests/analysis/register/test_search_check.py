"""Blocks whose cells a search proposes: what is registered of them, and what makes claims exploratory."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.analysis.register.freeze import freeze
from limo_ablate.analysis.register.registration import read, with_hash, write
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.study_view import load
from limo_ablate.study.design import Study, load_study
from limo_ablate.study.search.propose import propose
from limo_ablate.study.search.search import searches
from tests.made_study import Making
from tests.small_study import QUALITY, SIZE, change

LATER = "2100-01-01T00:00:00+00:00"
RATE = {"low": 1e-4, "high": 1e-2, "log": True}
TUNE = {"axes": {"train.learning_rate": RATE}, "n": 2, "score": "train.loss", "direction": "minimize"}
TIERS = QUALITY | {"block": "tiers"}


class Searching(Making):
    """Its cells are those that the study's searches would propose first."""

    def _cells(self, study: Study) -> list[dict[str, Any]]:
        return [
            {
                "name": cell.name, "folder": cell.folder, "key": cell.key, "seed": cell.seed,
                "overrides": cell.labels("made").cell, "blocks": list(cell.blocks),
            }
            for search in searches(study)
            for cell in propose(search, [], search.n)
        ]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned study of eight trials, registered before it ran as registered."""
    root = tmp_path_factory.mktemp("searched")
    fixed = ["model=mini_m", "select.difficulty=any", "select.size=64", "data.miniature.per_level=30"]
    tiers = {
        "name": "tiers",
        "axes": {"select.quality": ["L1", "L4"]},
        "tune": TUNE,
        "overrides": [*fixed, f"paths.artifacts={root / 'store'}"],
    }
    folder = Searching(root / "made", blocks=[tiers], figures=(), contrasts=[TIERS], seeds=(0, 1)).write()
    register(folder)
    registration = read(folder)
    assert registration is not None
    made = {
        "benchmark/mini": {"key": "none", "digest": registration.last.benchmarks["mini"][0]},
        "pool": {"key": "none", "digest": registration.last.pools["tiers"]},
    }
    for trial in trials(folder):
        change(trial / "metrics.json", lambda found: found["artifacts"].update(made))
        change(trial / "metrics.json", lambda found: found.update(finished=LATER))
        versions = {"code": registration.last.code, "versions": registration.last.versions}
        change(trial / "provenance.json", lambda found, versions=versions: found.update(versions))
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "made"))


def register(folder: Path) -> None:
    """As if nothing had finished yet."""
    declared = load_study(str(folder / "study.yaml"))
    write(folder, with_hash(replace(freeze(declared, folder, read(folder)), finished={})))


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "trials").iterdir())


def told(folder: Path) -> Claims:
    found = claims(load(folder))
    assert found is not None
    return found


def why(folder: Path) -> list[str | None]:
    return told(folder).rows["why"].to_list()


def declare(study: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Changes the declaration of its block."""
    change(study / "study.yaml", lambda found: how(found["blocks"][0]))


def test_what_is_declared_and_run_as_registered_is_confirmatory(study: Path) -> None:
    assert why(study) == [None]
    assert told(study).deviations == []


def test_where_it_runs_and_is_followed_is_no_deviation(study: Path) -> None:
    declare(study, lambda block: block["overrides"].extend(["track=none", "launch.slots=2"]))
    assert why(study) == [None]
    assert told(study).deviations == []


@pytest.mark.parametrize(
    ("how", "key", "change_"),
    [
        (lambda block: block["tune"].update(n=1), "tune.n", "2 → 1"),
        (lambda block: block["tune"].update(score="mini"), "tune.score", "train.loss → mini"),
        (lambda block: block["tune"].update(sampler="random"), "tune.sampler", "tpe → random"),
        (lambda block: block["overrides"].append("select.size=8"), "overrides.select.size", "64 → 8"),
        (lambda block: block["overrides"].append("train.epochs=3"), "overrides.train.epochs", "none → 3"),
        (lambda block: block.update(seeds=[0]), "seeds", "[0, 1] → [0]"),
        (
            lambda block: block["tune"].update(direction="maximize"),
            "tune.direction",
            "minimize → maximize",
        ),
        (
            lambda block: block["axes"].update({"select.quality": ["L1", "L4", "L5"]}),
            "axes.select.quality",
            '["L1", "L4"] → ["L1", "L4", "L5"]',
        ),
        (
            lambda block: block["tune"]["axes"]["train.learning_rate"].update(high=1e-3),
            "tune.axes.train.learning_rate.high",
            "0.01 → 0.001",
        ),
    ],
)  # fmt: skip
def test_another_declaration_makes_it_exploratory(
    study: Path, how: Callable[[dict[str, Any]], object], key: str, change_: str
) -> None:
    declare(study, how)
    found = told(study)
    assert found.rows["why"].to_list() == [f"its search differs from the registered one in {key}"]
    assert f"block changed: tiers: {key} {change_}" in found.deviations


def test_overrides_and_seeds_of_the_study_count_as_the_blocks_own(study: Path) -> None:
    change(study / "study.yaml", lambda found: found.update(seeds=[0, 1, 2]))
    change(study / "study.yaml", lambda found: found["overrides"].append("eval.seed=5"))
    found = told(study)
    assert found.rows["why"].to_list() == [
        "its search differs from the registered one in seeds, overrides.eval.seed"
    ]
    assert "block changed: tiers: seeds [0, 1] → [0, 1, 2], overrides.eval.seed none → 5" in found.deviations


def test_other_seeds_are_told_where_no_cells_were_registered(study: Path) -> None:
    change(study / "study.yaml", lambda found: found.update(seeds=[7, 8]))
    register(study)
    assert "seeds: registered 7, 8, run 0, 1" in told(study).deviations


def test_a_search_that_is_none_any_more_is_exploratory(study: Path) -> None:
    declare(study, lambda block: block.pop("tune"))
    assert str(why(study)[0]).startswith("its search differs from the registered one in tune")


Rows = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda rows: rows.pop(), "1 of the 8 trials of its searches missing from the study"),
        (
            lambda rows: rows.append(rows[0] | {"name": "more"}),
            "1 trial in excess of the 8 of its searches",
        ),
        (
            lambda rows: rows[0]["overrides"].update({"train.epochs": 3}),
            "1 of its 8 trials not run as declared",
        ),
        (
            lambda rows: rows[0]["overrides"].update({"select.size": 8}),
            "1 of its 8 trials not run as declared",
        ),
        (
            lambda rows: rows[0]["overrides"].update({"train.learning_rate": 1}),
            "1 of its 8 trials not run as declared",
        ),
    ],
)
def test_trials_other_than_declared_make_it_exploratory(study: Path, how: Rows, reason: str) -> None:
    change(study / "cells.json", how)
    found = told(study)
    assert found.rows["why"].to_list() == [reason]
    assert found.deviations == [f"block tiers: {reason}"]


def test_another_pool_makes_it_exploratory(study: Path) -> None:
    change(trials(study)[0] / "metrics.json", lambda found: found["artifacts"]["pool"].update(digest="other"))
    reason = "1 of its 8 trials selected from another pool than registered"
    assert why(study) == [reason]
    assert told(study).deviations == [f"block tiers: {reason}"]


def test_known_blocks_may_be_added_beside_it(study: Path) -> None:
    more = {"name": "grid", "axes": {"select.size": [4, 64]}}
    change(study / "study.yaml", lambda found: found["blocks"].append(more))
    change(study / "study.yaml", lambda found: found["contrasts"].append(SIZE))
    found = told(study)
    assert found.rows["why"].to_list() == [None, "added since the registration"]
    assert found.deviations == ["contrast added: size", "block added: grid"]


@pytest.mark.parametrize(
    "first",
    [
        lambda study: study["overrides"].append("eval.seed=5"),
        lambda study: study.update(seeds=[7, 8]),
        lambda study: study["blocks"][0]["tune"].update(n=1),
        lambda study: study["blocks"][0]["overrides"].append("data.miniature.per_level=40"),
    ],
)
def test_registered_again_as_it_ran_it_is_late(
    study: Path, first: Callable[[dict[str, Any]], object]
) -> None:
    """`first` is what was registered before it ran otherwise."""
    ran = (study / "study.yaml").read_text()
    (study / "registration.json").unlink()
    change(study / "study.yaml", first)
    register(study)
    (study / "study.yaml").write_text(ran)
    registration = freeze(load_study(str(study / "study.yaml")), study, read(study))
    assert registration.finished == {"tiers": 8}
    write(study, registration)
    assert why(study) == ["8 trials of its block had finished when it was registered"]


def test_a_pool_that_is_registered_again_is_late(study: Path) -> None:
    chain = read(study)
    assert chain is not None
    write(study, with_hash(replace(chain.last, pools={"tiers": "other"})))  # before the file changed
    write(study, freeze(load_study(str(study / "study.yaml")), study, read(study)))
    assert why(study) == ["8 trials of its block had finished when it was registered"]


def test_benchmarks_of_searches_beside_known_cells_are_registered(study: Path) -> None:
    more = {"name": "grid", "axes": {"select.size": [4, 64]}, "overrides": ["data.miniature.per_level=30"]}
    declare(study, lambda block: block["overrides"].append("eval.benchmarks.mini.miniature.per_level=10"))
    change(study / "study.yaml", lambda found: found["blocks"].append(more))
    registration = freeze(load_study(str(study / "study.yaml")), study, None)
    assert len(registration.benchmarks["mini"]) == 2
