"""Online runs of the real client, against a stand-in of W&B's server that works, is away, or fails midway."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.made_study import curve
from tests.trial.track.made_trial import limo_ablate, make_trial, start, track
from tests.wandb_standin import KEY, Fault, Standin, serve

LOSSES = curve(64, 3)["loss"].to_list()
"""Of the made trial: what its folder's curve.parquet has too."""
FAULTS: tuple[Fault, ...] = ("500", "close", "hang")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_trial(tmp_path / "studies" / "made")


@pytest.fixture
def server() -> Iterator[Standin]:
    with serve() as server:
        yield server


@pytest.fixture
def online(server: Standin, tmp_path: Path) -> Mapping[str, str]:
    return logged_in(server, tmp_path)


def logged_in(server: Standin, home: Path) -> dict[str, str]:
    """The environment of someone who has a key."""
    return os.environ | {
        "HOME": str(home), "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"
    }  # fmt: skip


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("limo_ablate.trial.track")]


def has_finished(output: str) -> bool:
    return output.endswith("finished\n")


def losses(server: Standin) -> list[float]:
    (run,) = server.runs.values()
    return [row["train/loss"] for row in run.history.values() if "train/loss" in row]


def test_online_is_only_an_environment_variable(
    folder: Path, server: Standin, online: Mapping[str, str]
) -> None:
    assert not warnings(track(folder, online))
    (first, *_) = server.variables("UpsertBucket")
    assert (first["groupName"], first["displayName"]) == ("made", "size64-s3")
    (run,) = server.runs.values()
    assert run.state == "finished"
    assert losses(server) == LOSSES
    created = [variables["input"] for variables in server.variables("CreateArtifact")]
    assert {"pool", "weights"} <= {sent["artifactCollectionName"] for sent in created}


def test_a_server_that_is_away_leaves_a_whole_offline_run(
    folder: Path, server: Standin, online: Mapping[str, str], tmp_path: Path
) -> None:
    (warning,) = warnings(track(folder, {**online, "WANDB_BASE_URL": "http://127.0.0.1:9"}))
    assert "the run is recorded offline" in warning
    assert "http://127.0.0.1:9 does not answer" in warning
    sent = limo_ablate("wandb-sync", "made", f"paths.studies={tmp_path}/studies", environment=online)
    assert sent.returncode == 0, sent
    assert losses(server) == LOSSES


def test_a_server_that_fails_midway_is_waited_for_as_long_as_stated(tmp_path: Path) -> None:
    """Three trials at once, each with a server that fails in its own way; then the servers are well again."""
    with ExitStack() as stack:
        trials = {}
        for fault in FAULTS:
            server = stack.enter_context(serve())
            server.fault = lambda what, fault=fault, server=server: (  # type: ignore[misc]
                fault if server.variables("UpsertBucket") else None
            )
            folder = make_trial(tmp_path / fault / "made")
            trials[fault] = (server, start(folder, logged_in(server, tmp_path), "track.patience_seconds=5"))
        for fault, (server, process) in trials.items():
            output = process.communicate()[0]  # W&B's own patience has no end
            assert server.failures, fault
            assert has_finished(output), fault
            assert len(warnings(output)) == 1, fault
            server.fault = lambda what: None
            where = f"paths.studies={tmp_path}/{fault}"
            sent = limo_ablate("wandb-sync", "made", where, environment=logged_in(server, tmp_path))
            assert sent.returncode == 0, (fault, sent)
            assert losses(server) == LOSSES, fault


def test_an_empty_reply_that_crashes_the_client_costs_only_the_run(
    folder: Path, server: Standin, online: Mapping[str, str]
) -> None:
    server.fault = lambda what: "empty" if what == "CreateArtifact" else None
    output = track(folder, online, "track.patience_seconds=1e6")  # which it does not wait
    assert has_finished(output)
    assert len(warnings(output)) == 1
