"""Sequential studies: the runner takes each look once, and adds seeds only while something is undecided."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.analysis.looks import Look, released_seeds
from limo_ablate.core.errors import UserError
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Block, Study, load_study
from limo_ablate.study.stop import Stop
from tests.sweep.sweeping import Sweeping, ended

BATCH = "train.global_batch_size"
CONTRAST = {"name": "batch", "block": "b", "factor": BATCH, "a": 30, "b": 90, "score": "mini"}


@pytest.fixture
def sweeping(tmp_path: Path) -> Sweeping:
    return Sweeping(tmp_path)


def declare(sweeping: Sweeping, b: int, *overrides: str, looks: Any = (3, 4), **contrast: Any) -> None:
    """Arms that solve 30 and `b` per cent of the problems."""
    sweeping.declare("select.order=longest", "select.size=20", "model=mini_s", *overrides, seeds=(0, 1, 2))
    path = sweeping.root / "small.yaml"
    study = yaml.safe_load(path.read_text())
    study["blocks"][0]["axes"] = {"train.global_batch_size": [30, b]}
    study["contrasts"] = [CONTRAST | {"b": b} | contrast]
    study["stop"] = {"looks": list(looks) if isinstance(looks, tuple) else looks, "max_seeds": 6}
    path.write_text(yaml.safe_dump(study))


def looks(sweeping: Sweeping) -> list[Look]:
    path = sweeping.folder / "looks.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def taken(sweeping: Sweeping) -> list[tuple[int, str]]:
    return [(look["seeds"], look["contrasts"][0]["decision"]) for look in looks(sweeping)]


def test_a_clear_difference_ends_at_an_early_look(sweeping: Sweeping) -> None:
    declare(sweeping, 90)
    code, output = sweeping.run()
    assert code == 0, output
    assert taken(sweeping)[-1][1] == "different"
    seeds = taken(sweeping)[-1][0]
    assert seeds < 6
    assert sum(sweeping.starts().values()) == 2 * seeds
    assert {row["seed"] for row in sweeping.cells()} == set(range(seeds))
    again, output = sweeping.run()
    assert again == 0
    assert "nothing left to do" in output
    assert sum(sweeping.starts().values()) == 2 * seeds


def test_futility_and_equivalence_end_it_too(sweeping: Sweeping) -> None:
    declare(sweeping, 31)
    assert sweeping.run()[0] == 0
    assert taken(sweeping)[-1][1] in ("futile", "last look")
    assert sum(sweeping.starts().values()) == 2 * taken(sweeping)[-1][0]


def test_two_runners_and_a_kill_take_each_look_once(sweeping: Sweeping) -> None:
    declare(sweeping, 45, looks=(3, 4, 5))
    first = sweeping.start()
    sweeping.until(lambda: len(sweeping.ends()) >= 2)
    second = sweeping.join()
    first.kill()
    ended(second)
    code, output = sweeping.run()
    assert code == 0, output
    found = taken(sweeping)
    assert [seeds for seeds, _ in found] == [3, 4, 5, 6][: len(found)]
    assert [decision for _, decision in found[:-1]] == ["undecided"] * (len(found) - 1)
    assert found[-1][1] != "undecided"
    assert max(Counter(sweeping.finished()).values()) == 1
    assert len(sweeping.finished()) == 2 * found[-1][0]


def study(**stop: Any) -> Study:
    blocks = (
        Block(name="b", axes={"train.global_batch_size": (30, 90)}),
        Block(name="other", axes={"select.size": (4, 8)}),
    )
    contrast = Contrast(**CONTRAST)
    return Study(name="s", blocks=blocks, seeds=(0, 1, 2), contrasts=(contrast,), stop=Stop(**stop))


def test_looks_are_written_out_and_seeds_added() -> None:
    assert study(looks=3, max_seeds=9).stop == Stop(looks=(3, 6, 9), max_seeds=9)
    declared = study(looks=(3, 5), max_seeds=8)
    assert declared.seeds == tuple(range(8))
    assert declared.stop == Stop(looks=(3, 5, 8), max_seeds=8)


def test_blocks_without_an_undecided_contrast_get_no_more_seeds() -> None:
    declared = study(looks=(3, 5), max_seeds=8)
    assert released_seeds(declared, []) == {"b": (0, 1, 2), "other": (0, 1, 2)}
    look: Any = {"seeds": 3, "time": "", "contrasts": [{"contrast": "batch", "decision": "undecided"}]}
    assert released_seeds(declared, [look]) == {"b": (0, 1, 2, 3, 4), "other": (0, 1, 2)}
    look["contrasts"][0]["decision"] = "different"
    assert released_seeds(declared, [look]) == {"b": (0, 1, 2), "other": (0, 1, 2)}


def test_a_study_that_is_written_is_read_as_the_same(sweeping: Sweeping) -> None:
    declare(sweeping, 90, looks=2)
    declared = load_study(str(sweeping.root / "small.yaml"))
    path = Path(sweeping.root / "again.yaml")
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(declared)))))
    assert load_study(str(path)) == declared
    assert declared.stop == Stop(looks=(3, 6), max_seeds=6)


@pytest.mark.parametrize(
    ("stop", "error"),
    [
        ({"looks": (2, 4), "max_seeds": 6}, r"stop.looks=\[2, 4, 6\]: needs a look"),
        ({"looks": 9, "max_seeds": 6}, "stop.looks=9: from 3 to max_seeds=6 there can be 2 to 4"),
        ({"looks": (3,), "max_seeds": 2}, "max_seeds=2: the study has 3 seeds already"),
    ],
)
def test_a_stop_that_can_not_be_is_refused(stop: dict[str, Any], error: str) -> None:
    with pytest.raises(UserError, match=error):
        study(**stop)
