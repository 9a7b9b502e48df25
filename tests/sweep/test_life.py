"""The life of a study: it grows, is reordered and renamed, its inputs change, its files are lost.

Whatever happens, a finished result is found by its key, and every table is of the inputs as they are now or
says otherwise.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from limo_ablate.analysis.trials import load_trials
from limo_ablate.cli import main
from limo_ablate.report.study_view import load
from limo_ablate.sweep.status import print_status, study_statuses
from tests.sweep.sweeping import Sweeping, ended


@pytest.fixture
def sweep(tmp_path: Path) -> Sweeping:
    return Sweeping(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The pool's file: the trials' score is the number in it."""
    path = tmp_path / "rows"
    path.write_text("0.25")
    return path


def on(data: Path) -> list[str]:
    """Overrides with which the trials read the file."""
    return ["data=jsonl", f"data.path={data}", f"paths.artifacts={data.parent / 'store'}"]


def states(sweep: Sweeping) -> Counter[str]:
    return Counter(status.state for status in study_statuses(sweep.folder))


def scores(sweep: Sweeping) -> list[float | None]:
    """What the report has of each trial."""
    return [
        trial.metrics["scores"]["mini"]["accuracy"] if trial.metrics else None
        for trial in load_trials(sweep.folder)
    ]


def nothing_left(sweep: Sweeping, trials: int, runs: int) -> None:
    """A sweep has nothing to do, and ledger, status and report agree on the number of finished trials."""
    code, said = sweep.run()
    assert code == 0, said
    assert "nothing left to do" in said
    assert len(sweep.events("end")) == runs
    assert states(sweep) == {"finished": trials}
    assert None not in scores(sweep)
    assert len(scores(sweep)) == trials


def test_an_axis_at_its_default_and_another_order_lose_nothing(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    names = [trial.name for trial in load_trials(sweep.folder)]
    sweep.declare(size=(1, 2), quality=("L5",))
    nothing_left(sweep, trials=2, runs=2)
    assert [trial.name for trial in load_trials(sweep.folder)] != names
    sweep.declare(quality=("L5",), size=(2, 1))
    nothing_left(sweep, trials=2, runs=2)
    sweep.declare(quality=("L5",), size=(2, 1, 3))
    assert sweep.run()[0] == 0
    nothing_left(sweep, trials=3, runs=3)


def test_a_block_before_one_that_shares_its_trials_loses_nothing(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    file = sweep.root / "small.yaml"
    study = yaml.safe_load(file.read_text())
    study["blocks"].insert(0, {"name": "a", "axes": {"select.quality": ["L5"], "select.size": [2, 1]}})
    file.write_text(yaml.safe_dump(study))
    nothing_left(sweep, trials=2, runs=2)
    assert {trial.blocks for trial in load_trials(sweep.folder)} == {("a", "b")}


def test_a_renamed_study_keeps_its_results(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    file = sweep.root / "small.yaml"
    file.write_text(file.read_text().replace("name: small", "name: other"))
    other = sweep.root / "studies" / "other"
    sweep.folder.rename(other)
    code, said = sweep.run()
    assert code == 0, said
    assert "other: 2 finished trials found on disk" in said
    assert "2 of 2 trials finished, nothing left to do" in said
    assert Counter(status.state for status in study_statuses(other)) == {"finished": 2}


def test_a_lost_ledger_is_filled_from_disk(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    (sweep.folder / "ledger.log").unlink()
    assert states(sweep) == {"finished": 2}
    nothing_left(sweep, trials=2, runs=2)
    assert len(sweep.finished()) == 2


def test_a_deleted_trial_runs_again(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    shutil.rmtree(sweep.trial("size2-s0"))
    assert states(sweep) == {"finished": 1, "stale": 1}
    assert scores(sweep) == [0.5, None]
    code, said = sweep.run()
    assert code == 0, said
    assert "1 finished trial (size2-s0) run again: no longer on disk" in said
    nothing_left(sweep, trials=2, runs=3)


def test_edited_data_are_noticed_and_not_mixed(
    sweep: Sweeping, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.declare(*on(data), size=(1, 2))
    assert sweep.run()[0] == 0
    data.write_text("0.75")
    assert states(sweep) == {"stale": 2}
    print_status(str(sweep.folder), [], as_json=False)
    assert f"stale: 2 trials: {data} has changed" in capsys.readouterr().out
    assert scores(sweep) == [0.25, 0.25], "the report shows them, and says so"
    assert {trial.stale for trial in load_trials(sweep.folder)} == {(f"{data} has changed",)}
    sweep.declare(*on(data), size=(1, 2, 3))
    code, said = sweep.run("--keep-stale")
    assert code == 0, said
    assert f"2 finished trials stale, kept by --keep-stale: {data} has changed" in said
    assert scores(sweep) == [None, None, 0.75], "one table has results of one file"
    assert len(load(sweep.folder).done) == 1
    code, said = sweep.run()
    assert f"2 finished trials run again: {data} has changed" in said
    nothing_left(sweep, trials=3, runs=5)
    assert scores(sweep) == [0.75, 0.75, 0.75]
    assert len(list((sweep.folder / "stale").iterdir())) == 2, "nothing is deleted"


def test_data_that_are_as_before_again_make_nothing_stale(sweep: Sweeping, data: Path) -> None:
    sweep.declare(*on(data), size=(1,))
    assert sweep.run()[0] == 0
    data.write_text("0.75")
    assert states(sweep) == {"stale": 1}
    data.write_text("0.25")
    nothing_left(sweep, trials=1, runs=1)


def test_results_of_an_earlier_verifier_are_stale(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    file = sweep.trial("size1-s0") / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["inputs"]["versions"]["verifier"] -= 1
    file.write_text(json.dumps(metrics))
    assert states(sweep) == {"stale": 1, "finished": 1}
    assert scores(sweep) == [None, 0.5]
    (why,) = load_trials(sweep.folder)[0].stale
    assert why.startswith("the verifier is of version ")
    assert sweep.run()[0] == 0
    nothing_left(sweep, trials=2, runs=3)


def test_a_result_that_can_not_be_read_runs_again(sweep: Sweeping) -> None:
    """As after a power cut; the others are shown meanwhile."""
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    file = sweep.trial("size1-s0") / "metrics.json"
    file.write_text(file.read_text()[:40])
    assert states(sweep) == {"stale": 1, "finished": 1}
    assert scores(sweep) == [None, 0.5]
    code, said = sweep.run()
    assert code == 0, said
    assert f"run again: {file}: can't be read: not JSON" in said
    nothing_left(sweep, trials=2, runs=3)


def test_inputs_that_are_not_here_are_not_mixed_either(sweep: Sweeping, data: Path) -> None:
    """A study on another machine: what its trials recorded is compared with each other."""
    sweep.declare(*on(data), size=(1,))
    assert sweep.run()[0] == 0
    data.write_text("0.75")
    sweep.declare(*on(data), size=(1, 2))
    assert sweep.run("--keep-stale")[0] == 0
    data.unlink()
    assert scores(sweep) == [None, 0.75]
    assert load_trials(sweep.folder)[0].stale == (f"{data} is not as for later results",)


def test_a_runner_that_joins_adopts_what_the_ledger_lost(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    (sweep.folder / "ledger.log").unlink()
    code, said = ended(sweep.join())
    assert code == 0, said
    nothing_left(sweep, trials=2, runs=2)
    assert not (sweep.folder / "stale").exists()


def test_a_damaged_ledger_is_repaired_and_no_result_is_lost(
    sweep: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.declare(size=(1, 2, 3))
    assert sweep.run()[0] == 0
    ledger = sweep.folder / "ledger.log"
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[7] = b"\0" * len(lines[7][:-1]) + b"\n"
    ledger.write_bytes(b"".join(lines))
    code, said = sweep.run()
    assert code == 2, said
    assert f"{ledger}: line 8 can't be read; `limo-ablate repair {sweep.folder}`" in said
    assert "Traceback" not in said
    assert main(["status", str(sweep.folder)]) == 2
    assert "line 8 can't be read" in capsys.readouterr().err
    assert main(["repair", str(sweep.folder)]) == 0
    told = capsys.readouterr().out
    assert f"line 8 of {len(lines)} can't be read: the 7 before it are kept" in told
    assert "found on disk" in told
    (aside,) = sweep.folder.glob("ledger.log.damaged-*")
    assert aside.read_bytes() == b"".join(lines)
    nothing_left(sweep, trials=3, runs=3)
    assert main(["repair", str(sweep.folder)]) == 0
    assert "ledger and results on disk agree" in capsys.readouterr().out


def test_nothing_is_written_after_a_damaged_last_line(sweep: Sweeping) -> None:
    """It would be in the middle then, where no one can read past it."""
    sweep.declare(size=(1,))
    assert sweep.run()[0] == 0
    ledger = sweep.folder / "ledger.log"
    ledger.write_bytes(ledger.read_bytes() + b"\0" * 40 + b"\n")
    sweep.declare(size=(1, 2))
    code, said = sweep.run()
    assert code == 2, said
    assert "can't be read" in said
    assert ledger.read_bytes().endswith(b"\0\n")
