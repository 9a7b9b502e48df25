"""`limo-ablate wandb-sync`: offline runs reach the server once, also of a trial that was killed midway."""

import os
from pathlib import Path

from tests.trial.track.made_trial import limo_ablate, make_trial, track
from tests.trial.track.test_online import LOSSES, folder, logged_in, losses  # noqa: F401
from tests.wandb_standin import serve


def test_a_trial_that_was_killed_and_went_on_is_one_whole_run(
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    offline = os.environ | {"HOME": str(tmp_path)}
    track(folder, offline, until=60)
    assert (folder / "wandb" / "steps.jsonl").exists()
    track(folder, offline, first=40)  # from the last checkpoint
    assert not (folder / "wandb" / "steps.jsonl").exists()
    with serve() as server:
        environment = logged_in(server, tmp_path)
        where = f"paths.studies={tmp_path}/studies"
        first = limo_ablate("wandb-sync", "made", where, environment=environment)
        assert (first.returncode, first.stdout) == (0, f"[1/1] {folder.name}: sent\n"), first
        assert losses(server) == LOSSES
        asked = len(server.operations)
        again = limo_ablate("wandb-sync", "made", where, environment=environment)
        assert "nothing to send" in again.stdout
        assert len(server.operations) == asked


def test_a_run_that_cannot_be_sent_is_named_and_the_others_are_sent(tmp_path: Path) -> None:
    folders = [make_trial(tmp_path / "studies" / name) for name in ("one", "two")]
    for folder in folders:  # noqa: F402
        track(folder, os.environ | {"HOME": str(tmp_path)})
    (torn,) = (folders[0] / "wandb").glob("offline-run-*/*.wandb")
    torn.write_bytes(torn.read_bytes()[:7])
    with serve() as server:
        environment = logged_in(server, tmp_path)
        done = limo_ablate("wandb-sync", f"paths.studies={tmp_path}/studies", environment=environment)
    assert done.returncode == 3
    first, second = done.stdout.splitlines()
    assert first.startswith("[1/2]")
    assert "not sent: " in first
    assert second == f"[2/2] {folders[1].name}: sent"
    assert losses(server) == LOSSES


def test_what_is_missing_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    (folder / "wandb" / "offline-run-20260101_000000-x").mkdir(parents=True)
    with serve() as server:
        away = logged_in(server, tmp_path) | {"WANDB_BASE_URL": "http://127.0.0.1:9"}
        bare = logged_in(server, tmp_path) | {"WANDB_API_KEY": ""}
        for name, environment, said in (
            ("made", bare, "no key for W&B: `wandb login`, or set WANDB_API_KEY"),
            ("made", away, "http://127.0.0.1:9 does not answer"),
            ("other", bare, "other: no study with trials in"),
        ):
            where = f"paths.studies={tmp_path}/studies"
            done = limo_ablate("wandb-sync", name, where, environment=environment)
            assert done.returncode == 2
            assert said in done.stderr
            assert len(done.stderr.splitlines()) == 1
