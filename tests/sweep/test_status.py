"""What `status` says of trials that wait for a base model."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from limo_ablate.core.progress import PROGRESS, Progress
from limo_ablate.study.budget import Use
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.attempts import BASES, Bases
from limo_ablate.sweep.status import LiveRunner, TrialStatus, base_lines, bases_in_making, summary

STUDY = "name: s\noverrides: [data=miniature]\nblocks: [{name: b, axes: {model: [mini_s, mini_m]}}]"


def test_what_waits_for_a_base_model_is_counted_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    trials = planned_trials(load_study(str(tmp_path / "study.yaml"), ["seeds=[0,1]"]))
    found = [TrialStatus(trial, "waiting", None, 0, Use(), None, tmp_path) for trial in trials]
    base = Bases().find(trials[0].id, trials[0].config)
    assert base
    place, now = tmp_path / BASES / base.name, time.time()
    place.mkdir(parents=True)
    progress = Progress("base", 120, 400, 0, now - 60, now, None)
    (place / PROGRESS).write_text(json.dumps(asdict(progress)))
    assert not bases_in_making(tmp_path, found), "its runner has died"
    monkeypatch.setattr("limo_ablate.sweep.status.live_runners", lambda _: [LiveRunner("r", 0.0)])
    assert summary(tmp_path, found).startswith(
        f"{tmp_path.name}: 4 trials (2 cells): 4 waiting (2 for a base model)"
    )
    first, log = base_lines(tmp_path, found)
    assert (
        first
        == f"  base model {base.name}: base at 120 of 400 tokens, 2 min left of it; waiting for it: 2 trials"
    )
    assert log.endswith(f"{base.name}/trial.log")
