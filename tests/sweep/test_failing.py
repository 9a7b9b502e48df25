"""Failures that many trials share, or that one repeats; and what is told of them elsewhere."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.ledger.ledger import History
from limo_ablate.sweep.ledger.same_failures import (
    PrintedReasons,
    SameFailures,
    Stop,
    clear_stop,
    listed,
    reason_key,
)
from limo_ablate.sweep.notify import Notifier
from limo_ablate.sweep.retry import retry_trials
from limo_ablate.sweep.status import print_status
from limo_ablate.trial.compose import compose
from tests.sweep.sweeping import Sweeping, ended

REASON = "RuntimeError: the loss is not a number"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweeping:
    return Sweeping(tmp_path)


def test_equal_failures_are_printed_once_and_not_repeated(
    sweep: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.declare("launch.slots=1", quality=("skipped",), size=(1, 2, 3))
    code, said = sweep.run()
    assert code == 3
    assert set(sweep.starts().values()) == {2}, "the same error twice in a row is not tried a third time"
    while_running, _, at_the_end = said.partition("3 of 3 trials failed:")
    first = "skipped-size3-s0"  # the longest
    assert while_running.count(REASON) == while_running.count("    rerun: ") == 1
    assert while_running.count(f"retrying: same reason as {first}") == 2
    given_up = "FAILED, attempt 2 of 3, not retried by this sweep, but by the next: same reason as before"
    assert f"{first}  {given_up}" in said
    names = "skipped-size1-s0, skipped-size2-s0, skipped-size3-s0"
    grouped = f"  failed: 3 trials  {REASON}\n    trials: {names}\n    log: "
    assert at_the_end.lstrip().startswith(grouped.lstrip())
    assert at_the_end.count("    rerun: ") == 1
    print_status("small", [f"paths.studies={sweep.folder.parent}"], as_json=False)
    assert grouped in capsys.readouterr().out
    assert sweep.run()[0] == 3
    assert set(sweep.starts().values()) == {3}, "the next sweep tries what is left of launch.attempts"
    assert sweep.run()[0] == 3
    assert set(sweep.starts().values()) == {3}


def test_many_equal_failures_stop_the_study(sweep: Sweeping, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(range(1, 9))
    sweep.declare("launch.slots=1", "launch.max_same_failures=3", quality=("skipped",), size=names)
    code, said = sweep.run()
    assert code == 3
    covered = f"{REASON}\n    trials: skipped-size8-s0, skipped-size7-s0, skipped-size6-s0\n"
    stopped = (
        f"no more trials are started: 3 failed for the same reason (launch.max_same_failures): {covered}"
    )
    assert said.count(stopped) == 1
    assert len(sweep.events("start")) == 3
    print_status("small", [f"paths.studies={sweep.folder.parent}"], as_json=False)
    assert stopped in capsys.readouterr().out
    code, said = ended(sweep.join())
    assert code == 3
    assert stopped in said
    assert len(sweep.events("start")) == 3
    code, said = sweep.run("launch.max_same_failures=null", "launch.attempts=1")
    assert code == 3
    assert "no more trials" not in said
    assert len(sweep.starts()) == 8
    assert len(sweep.events("start")) == 3 + 8


def test_failures_are_counted_from_now_on_by_trials_without_a_result(tmp_path: Path) -> None:
    told: list[Any] = []
    counted = SameFailures(
        tmp_path, 2, on_first=lambda key, reason: told.append((key, reason)), on_stop=told.append
    )
    failed = {key: History(key, failures=["OOM at 7 of 9"]) for key in "abc"}
    counted.update(failed)
    assert not told, "failures of earlier sweeps"
    failed["a"].failures.append("OOM at 8 of 9")
    failed["b"].failures.append("not a number")
    counted.update(failed)
    failed["a"].done = True
    failed["c"].failures.append("OOM at 9 of 9")
    counted.update(failed)
    assert told == [("a", "OOM at 8 of 9"), ("b", "not a number")]
    failed["a"].done = False
    counted.update(failed)
    counted.update(failed)
    stop = Stop("OOM at 9 of 9", ("a", "c"))
    assert told[2:] == [str(stop)]
    other = SameFailures(tmp_path)
    other.update({})
    assert other.stop == stop, "every runner stops"
    clear_stop(tmp_path)
    again = SameFailures(tmp_path)
    again.update({})
    assert again.stop is None


def test_reasons_are_equal_up_to_paths_and_numbers() -> None:
    one = "TrialFailure: rank 1 failed; its log is in /a/b/c7\nRuntimeError: 1.5e-3 at 0x7f0a"
    assert reason_key(one) == reason_key(
        one.replace("/b/", "/x/").replace("1.5e-3", "12").replace("7f", "e0")
    )
    assert reason_key(one) != reason_key(one.replace("RuntimeError", "ValueError"))
    printed = PrintedReasons()
    assert [printed.earlier(name, "step 3") for name in "aab"] == [
        None,
        "same reason as before",
        "same reason as a",
    ]
    assert listed(str(n) for n in range(22)).endswith("18, 19 and 2 more")


def test_a_stopped_study_goes_on_after_retry(sweep: Sweeping) -> None:
    sweep.declare("launch.max_same_failures=1", "launch.attempts=1", quality=("skipped",))
    assert sweep.run()[0] == 3
    assert (sweep.folder / "stopped.json").exists()
    retry_trials(str(sweep.folder), [])
    assert not (sweep.folder / "stopped.json").exists()


def test_a_command_is_told_of_a_sweep(sweep: Sweeping) -> None:
    script = sweep.root / "tell.sh"
    script.write_text('#!/bin/sh\n(cat; echo; echo "$2") > "$1/$(date +%s%N).told"\n')
    script.chmod(0o755)
    sweep.declare(f"launch.notify='{script} {sweep.root}'", quality=("skipped", "L5"), size=(1, 2))
    assert sweep.run()[0] == 2, "a command that the study's file names is not trusted"
    code, said = sweep.run("--trust")
    assert code == 3
    assert "notification" not in said
    read = [path.read_text().splitlines() for path in sorted(sweep.root.glob("*.told"))]
    told = [json.loads(message) for message, _ in read]
    assert [line for _, line in read] == [message["text"] for message in told]
    start, failure, end = told
    assert start["text"] == "small: sweep starts: 4 trials, 0 finished, 4 to do"
    assert (failure["event"], failure["reason"]) == ("failure", REASON)
    assert failure["text"].startswith("small: skipped-size")
    assert failure["rerun"].startswith("limo-ablate track=none")
    assert end["text"] == "small: sweep ends with exit code 3: 2 finished, 2 failed, 0 not finished"
    assert (end["finished"], end["failed"], end["not_finished"], end["exit_code"]) == (2, 2, 0, 3)


def test_a_notification_that_fails_is_one_line(sweep: Sweeping) -> None:
    sweep.declare(quality=("L5",))
    code, said = sweep.run("launch.notify=[/nowhere/tell]")
    assert code == 0, said
    assert ended(sweep.join())[0] == 0, "what was typed is in study.yaml, and trusted there"
    assert said.count("launch.notify: the notification of the start failed: ") == 1
    assert said.count("launch.notify: the notification of the end failed: ") == 1
    assert "Traceback" not in said


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address of a server that keeps what is posted to /hook; it has nothing else."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/hook":
                assert self.headers["Content-Type"] == "application/json"
                bodies.append(json.loads(body))
            self.send_response(200 if self.path == "/hook" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


class FewTrials:
    """What a notifier uses of a queue."""

    def __init__(self) -> None:
        block = Block(name="b", axes={"select.size": (4,)})
        self.trials = planned_trials(Study(name="s", blocks=(block,)))
        self.total, self.done, self.given_up = 3, 1, [(self.trials[0], "why")]


def test_an_address_is_told_of_a_sweep(
    posted: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, bodies = posted
    said: list[str] = []
    monkeypatch.setenv("HOOK", f"{address}/hook")
    with pytest.raises(UserError):  # noqa: PT012, SIM117
        with Notifier("$HOOK", tmp_path / "s", said.append) as notifier:
            notifier.start(FewTrials())  # type: ignore[arg-type]
            raise UserError("no trial can run here")
    assert sorted(body["event"] for body in bodies) == ["end", "start"]
    (end,) = (body for body in bodies if body["event"] == "end")
    assert end["text"] == "s: sweep ends with exit code 2: 1 finished, 1 failed, 1 not finished"
    assert not said
    with Notifier(f"{address}/other", tmp_path / "s", said.append) as notifier:
        notifier.start(FewTrials())  # type: ignore[arg-type]
        notifier.exit_code = 130
    assert sorted(said) == [
        f"launch.notify: the notification of the {event} failed: HTTP Error 404: Not Found"
        for event in ("end", "start")
    ]
    with Notifier(f"{address}/other", tmp_path / "s", said.append):
        pass
    assert len(said) == 2, "a sweep with nothing to do is not told of"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("launch.max_same_failures=0", "launch.max_same_failures=0 must be at least 1, or null"),
        ("launch.notify=''", "launch.notify is empty"),
        ("launch.notify=[]", "launch.notify is empty"),
        ('launch.notify="say \'it"', "launch.notify=say 'it: No closing quotation; quote it as in a shell"),
    ],
)
def test_what_can_not_be_meant_is_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose([override])


def test_nohup_is_respected(sweep: Sweeping) -> None:
    sweep.nohup = True
    sweep.declare("launch.attempts=1", quality=("L4",))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    for pid in [*sweep.orphans(), runner.pid]:
        os.kill(pid, signal.SIGHUP)
    sweep.go()
    code, said = ended(runner)
    assert code == 0, said
    assert sweep.starts() == {"L4-s0": 1}


def test_an_ignored_sighup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts, interrupts.window():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
