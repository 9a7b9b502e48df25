"""What a running trial's card shows: its losses, its score so far and the end of its log."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from limo_ablate.report.serve.study_reader import CURVE_POINTS, TAIL_LINES, _running
from limo_ablate.sweep.status import TrialStatus


def running(folder: Path) -> dict[str, Any]:
    trial = cast("Any", SimpleNamespace(name="size16-s0"))
    return _running(TrialStatus(trial, "running", None, 0, 0.0, "runner", folder), 3.0)


def test_the_losses_of_a_training_come_from_its_log(tmp_path: Path) -> None:
    assert running(tmp_path)["losses"] == []
    lines = [
        "trial size16-s0 of small",
        *(f"step {n}  loss {10 / n:.3f}  100 trained tokens/s" for n in (1, 2)),
    ]
    lines += ["resumed at step 1", "step 2  loss 4.500  90 trained tokens/s", "step x  loss nan  0"]
    (tmp_path / "trial.log").write_text("\n".join(lines) + "\n")
    told = running(tmp_path)
    assert told["losses"] == [(1, 10.0), (2, 4.5)], "a step that was done again counts once"
    assert told["tail"].splitlines() == lines
    many = "".join(f"step {n}  loss 1.000  1 trained tokens/s\n" for n in range(1, 1001))
    (tmp_path / "trial.log").write_text(many)
    told = running(tmp_path)
    assert told["losses"][-1] == (1000, 1.0)
    assert len(told["losses"]) <= CURVE_POINTS
    assert len(told["tail"].splitlines()) == TAIL_LINES


def test_a_score_comes_problem_by_problem(tmp_path: Path) -> None:
    (tmp_path / "reports.jsonl").write_text("[1, 1.0]\n[2, 0.0]\n[3, 0.5]\n[4, 0.")
    told = running(tmp_path)
    assert (told["scored"], told["score"]) == (3, 0.5)
