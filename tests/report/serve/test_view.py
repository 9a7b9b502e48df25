"""`limo-ablate view` beside a real sweep of small jobs, asked over HTTP and by a real browser."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.cli import main
from limo_ablate.report.serve import report_process
from limo_ablate.report.serve.report_process import ReportProcess
from tests import waiting
from tests.planted import plant
from tests.small_study import small
from tests.sweep.sweeping import Sweeping, ended
from tests.waiting import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
TOKEN = "a-token-of-some-length"  # noqa: S105


@contextmanager
def viewing(studies: Path, *arguments: str) -> Iterator[str]:
    """The address (host:port and path) of a server of its own process."""
    command = [sys.executable, "-m", "limo_ablate", "view", "--port", "0", f"paths.studies={studies}"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip().removeprefix("http://")
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=PATIENCE) == 0


def get(where: str, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(where.partition("/")[0], timeout=PATIENCE)
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    return connection.getresponse()


def facts(where: str, path: str = "/api/study/small") -> Any:
    answer = get(where, path)
    assert answer.status == 200
    return json.loads(answer.read())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sweeping, str]]:
    """A sweep in which two trials have finished, one has failed, and two run for long."""
    sweep = Sweeping(tmp_path_factory.mktemp("view"))
    sweep.declare("launch.attempts=1", "launch.slots=3", size=(1, 600_000), quality=("L2", "L5", "skipped"))
    process = sweep.start()
    with viewing(sweep.root / "studies") as where:
        sweep.until(lambda: get(where, "/api/study/small").status == 200)
        sweep.until(lambda: len(sweep.starts()) >= 5 and len(sweep.ends()) >= 2)
        yield sweep, where
    process.send_signal(signal.SIGINT)
    ended(process)


def test_what_runs_and_how_far_it_is_can_be_seen_while_it_runs(running: tuple[Sweeping, str]) -> None:
    _, where = running
    first = until(where, lambda told: told["finished_trials"] == 2 and told["failed_trials"] >= 1)
    (trial,) = [one for one in first["running"] if one["trial"].startswith("L2")]
    assert (trial["stage"], trial["total"]) == ("weights", 30_000)
    later = until(where, lambda told: told["running"][0]["done"] != first["running"][0]["done"])
    assert next(one for one in later["running"] if one["trial"] == trial["trial"])["done"] > trial["done"]
    assert {"small"} == {study["study"] for study in facts(where, "/api/studies")}
    assert trial["losses"] == []
    assert (trial["scored"], trial["score"]) == (0, None)
    assert first["runners"][0]["id"]
    assert first["results"][0]["scores"]["mini"] == {"accuracy": 0.5, "stderr": 0.1}


def until(where: str, condition: Any) -> Any:
    def found() -> Any:
        told = facts(where)
        return told if "error" not in told and condition(told) else None

    return waiting.until(found, every=0.2)


def test_a_failure_is_told_with_its_reason_and_the_end_of_its_log(running: tuple[Sweeping, str]) -> None:
    _, where = running
    (failed, *_) = until(where, lambda told: told["failed"])["failed"]
    assert failed["reason"] == "RuntimeError: the loss is not a number"
    assert "Traceback" in failed["tail"]
    assert failed["command"].startswith("limo-ablate ")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_a_browser_the_page_is_alive_and_texts_of_logs_are_texts(running: tuple[Sweeping, str]) -> None:
    _, where = running
    assert CHROMIUM is not None
    (failed, *_) = until(where, lambda told: told["failed"])["failed"]
    with Path(failed["log"]).open("a") as log:
        log.write(f"\n{HOSTILE}\n")
    until(where, lambda told: HOSTILE in told["failed"][0]["tail"])
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=6000", "--dump-dom"]
    address = f"http://{where}study/small"
    page = subprocess.run(
        [CHROMIUM, *flags, address], capture_output=True, text=True, timeout=PATIENCE
    ).stdout
    assert "<title>2/6 small · limo-ablate</title>" in page
    assert "weights " in page
    assert "L2-size600000-s0" in page
    assert "&lt;img src=x onerror=" in page
    assert "<img" not in page


def test_only_what_is_there_can_be_asked_for(running: tuple[Sweeping, str]) -> None:
    _, where = running
    for path in ("/../../etc/passwd", "/study/../report", "/%2e%2e/%2e%2e/etc/passwd", "/api/study/other",
                 "/study/small/report/x", "/api/study/..", "/view.py", "//page.css/../x"):  # fmt: skip
        assert get(where, path).status == 404, path
    assert get(where, "http://[bad/", Host="localhost").status == 400
    assert get(where, "/page.css").status == get(where, "/").status == 200


def test_only_get_only_by_our_names_and_not_for_other_sites(running: tuple[Sweeping, str]) -> None:
    _, where = running
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        assert get(where, "/", method).status == 405
    assert get(where, "/api/studies", Host="evil.example").status == 421
    assert get(where, "/api/studies", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    answer = get(where, "/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_token_is_asked_for_once_and_then_a_cookie(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    with viewing(tmp_path, "--token-file", str(file)) as where:
        assert where.endswith(f"/?token={TOKEN}")
        assert get(where, "/").status == get(where, "/api/studies").status == 401
        assert get(where, "/?token=wrong").status == 401
        entered = get(where, f"/study/small?token={TOKEN}")
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert b'content="0;url=/study/small"' in entered.read()
        assert get(where, "/api/studies", Cookie=cookie.partition(";")[0]).status == 200


def test_what_can_not_be_served_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", "--host", "0.0.0.0", f"paths.studies={tmp_path}"]) == 2  # noqa: S104
    assert "add --token" in capsys.readouterr().err
    open_to_all = tmp_path / "token"
    open_to_all.write_text(TOKEN)
    open_to_all.chmod(0o644)
    for file, why in (("token", "chmod 600"), ("nowhere", "No such file")):
        assert main(["view", "--token-file", str(tmp_path / file), f"paths.studies={tmp_path}"]) == 2
        assert why in capsys.readouterr().err
    for wrong in (["--prot", "1"], ["--port", "many"], ["--port", "99999"], ["a", "b"], ["nowhere"]):
        assert main(["view", *wrong, f"paths.studies={tmp_path}"]) == 2, wrong


def test_a_report_is_drawn_beside_the_study_which_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_process, "NICE", 0)
    folder = small(tmp_path / "made", tmp_path / "store")
    for file in folder.glob("trials/*/completions.parquet"):
        file.unlink()  # so that a part of it can't be drawn
    before = sorted(folder.rglob("*"))
    report = ReportProcess(folder, tmp_path / "scratch", every=0)
    planted = plant(tmp_path / "current")
    monkeypatch.chdir(tmp_path / "current")  # whose modules are not imported
    report.poll(finished=8)
    assert report.drawing

    def drawn() -> bool:
        report.poll(finished=8)
        return not report.drawing

    waiting.until(drawn, every=0.1)
    assert report.error is None
    assert not planted.exists()
    assert report.page is not None
    assert report.page.is_relative_to(tmp_path / "scratch")
    assert "This part of the report could not be drawn: FileNotFoundError" in report.page.read_text()
    assert sorted(folder.rglob("*")) == before
    report.poll(finished=8)
    assert not report.drawing


def test_a_report_that_can_not_be_drawn_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = ReportProcess(tmp_path / "empty", tmp_path / "scratch", every=0)
    report.poll(finished=1)
    os.waitid(os.P_PID, report._process.pid, os.WEXITED | os.WNOWAIT)  # type: ignore[union-attr]
    report.poll(finished=1)
    assert report.error is not None
    assert report.error.startswith("the report could not be drawn: limo-ablate: ")
