"""Funnels: what selections share is drawn once; a store that is gone is told of."""

import json
from pathlib import Path

import yaml

from limo_ablate.report.health.funnel import flattened, section, tree
from limo_ablate.report.study_view import load
from tests.made_study import SIZE_QUALITY, Making

SMALL = {**SIZE_QUALITY, "axes": {"select.size": [4, 16], "select.quality": ["L4"]}}


def test_levels_that_are_followed_by_the_same_are_one_rule() -> None:
    found = [
        [("pool", 100, 800), (f"quality={tier}", 100, 100), (f"size={size}", size, size)]
        for tier in ("L1", "L2")
        for size in (4, 64)
        for _ in range(3)
    ]
    found.append([("pool", 100, 800), ("difficulty=hard", 30, 240), ("size=4", 4, 4)])
    rules = flattened(tree(found))
    assert [(rule.depth, rule.label, rule.trials) for rule in rules] == [
        (0, "pool", 13),
        (1, "difficulty=hard", 1),
        (2, "size=4", 1),
        (1, "quality=L1, L2", 12),
        (2, "size=4, 64", 12),
    ]
    assert rules[-1].problems == [4, 64]


def test_levels_that_are_followed_by_something_else_stay_apart() -> None:
    found = [[("pool", 9, 9), (f"quality=L{i}", 9, 9), ("size=4", i, i)] for i in (1, 2)]
    assert [rule.label for rule in flattened(tree(found))] == [
        "pool",
        "quality=L1",
        "size=4",
        "quality=L2",
        "size=4",
    ]


def test_the_store_may_be_gone(tmp_path: Path) -> None:
    folder = Making(tmp_path / "study", blocks=[SMALL], figures=[], seeds=[0]).write()
    assert section(load(folder)) is None  # nothing was selected
    for trial in load(folder).done:
        metrics = json.loads((trial.folder / "metrics.json").read_text())
        metrics["artifacts"]["selection"] = {"key": "abc", "digest": "d"}
        (trial.folder / "metrics.json").write_text(json.dumps(metrics))
        config = yaml.safe_load((trial.folder / "config.yaml").read_text())
        config["paths"]["artifacts"] = str(tmp_path / "store")
        (trial.folder / "config.yaml").write_text(yaml.safe_dump(config))
    made = section(load(folder))
    assert made
    assert not made.charts
    assert "not in the store" in made.text[0]
    place = tmp_path / "store" / "selection" / "abc"
    place.mkdir(parents=True)
    steps = [{"name": "pool", "problems": 90, "rows": 180}, {"name": "size=4", "problems": 4, "rows": 4}]
    (place / "funnel.json").write_text(json.dumps(steps))
    made = section(load(folder))
    assert made
    assert made.charts[0].finding == "1 funnel: 90 problems in the pool, 4 chosen."
    assert not made.text
    for trial in load(folder).done:
        metrics = json.loads((trial.folder / "metrics.json").read_text())
        metrics["pool"] = {"rows": 92, "rejected": 2, "problems": 90, "without_gold": 1}
        (trial.folder / "metrics.json").write_text(json.dumps(metrics))
    made = section(load(folder))
    assert made
    assert made.text == (
        "2 rows of the source's 92 can't be used (rejected.parquet has the reasons).",
        "1 row of the source's 92 without a gold answer: can be trained on, but not graded.",
    )
