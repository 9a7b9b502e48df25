"""Sequential studies: the runner takes each look once, and adds seeds only while something is undecided."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.analysis.looks import Look, released_seeds
from limo_ablate.analysis.register.freeze import freeze
from limo_ablate.analysis.register.registration import write
from limo_ablate.core.errors import UserError
from limo_ablate.report.claims import claims
from limo_ablate.report.study_view import load
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Block, Study, load_study
from limo_ablate.study.stop import Stop
from tests.made_study import PROVENANCE
from tests.small_study import ran
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


SENTENCES = {
    "different": "stopped for a difference; p < ",
    "equivalent": "stopped for equivalence; p < ",
    "futile": "stopped as futile (less than a 5 % chance that the last look would show anything); p < ",
}


@pytest.mark.parametrize(
    ("b", "margin", "decision"), [(90, None, "different"), (31, 0.5, "equivalent"), (31, None, "futile")]
)
def test_a_registered_study_stops_early_and_its_report_says_why(
    sweeping: Sweeping, b: int, margin: float | None, decision: str
) -> None:
    declare(sweeping, b, "data.miniature.per_level=30", margin=margin)
    declared = load_study(str(sweeping.root / "small.yaml"))
    registration = freeze(declared, sweeping.folder, None)
    write(sweeping.folder, registration)
    code, output = sweeping.run()
    assert code == 0, output
    assert taken(sweeping)[-1][1] == decision
    number, seeds = len(taken(sweeping)) - 1, taken(sweeping)[-1][0]
    assert seeds < 6
    assert sum(sweeping.starts().values()) == 2 * seeds
    assert {row["seed"] for row in sweeping.cells()} == set(range(seeds))
    for row in sweeping.cells():
        (sweeping.folder / "trials" / row["folder"] / "provenance.json").write_text(json.dumps(PROVENANCE))
    ran(sweeping.folder, asdict(registration), "2100-01-01T00:00:00+00:00")
    found = claims(load(sweeping.folder))
    assert found is not None
    assert found.deviations == []
    row = found.rows.row(0, named=True)
    conclusion = "unclear" if decision == "futile" else decision
    sentence = found.findings[0][1]
    assert f"]: {conclusion} (confirmatory). Compared: {BATCH} {b} against 30 on mini" in sentence
    assert f". Look {number + 1} of 3, after {seeds} of at most 6 seeds: {SENTENCES[decision]}" in sentence
    look = looks(sweeping)[-1]["contrasts"][0]
    assert (row["effect"], row["low"], row["high"]) == (look["effect"], look["low"], look["high"])
    assert row["low"] < (b - 30) / 100 < row["high"], "what was planted"
    assert f"interval, of {100 * (1 - look['level']):.4g} %, accounts for all looks" in sentence
    assert (row["p_adj"] < 0.05) == (row["p"] < look["level"]) == (decision == "different")


def test_what_decides_the_looks_can_not_change_between_them(sweeping: Sweeping) -> None:
    declare(sweeping, 90)
    assert sweeping.run()[0] == 0
    count = sum(sweeping.starts().values())
    again, output = sweeping.run()
    assert (again, "nothing left to do" in output) == (0, True)
    declare(sweeping, 90, looks=(4, 5), margin=0.1, effect=0.2)
    code, output = sweeping.run()
    assert code == 2
    assert "looks have been taken, so what decides them can't change: " in output
    assert "stop.looks [3, 4, 6] → [4, 5, 6]; contrasts.batch.margin null → 0.1. Restore it" in output
    assert sum(sweeping.starts().values()) == count
    path = sweeping.root / "small.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"stop": None}))
    code, output = sweeping.run()
    assert (code, "stop.when decided → none" in output) == (2, True)


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
