"""`limo-ablate dashboard` with W&B's real clients and a stand-in of its server; and how fast it says no."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wandb

from limo_ablate.cli import main
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.parts import ReportParts, report_parts
from limo_ablate.report.study_view import StudyView
from limo_ablate.report.wandb import summary_run
from tests.report.wandb.panel_keys import keys_of
from tests.report.wandb.test_dashboard import make_study
from tests.trial.track.made_trial import ROOT
from tests.trial.track.offline_run import read_run
from tests.waiting import PATIENCE
from tests.wandb_standin import KEY, Standin, serve

Dashboard = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Standin]:
    """Somebody is logged in there."""
    wandb.teardown()
    with serve() as server:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_MODE", "online")
        yield server
        wandb.teardown()


@pytest.fixture(scope="module", autouse=True)
def _drawn_once() -> Iterator[None]:
    """The studies are the same, and so are the parts of their reports."""
    drawn = list[tuple[ReportParts, dict[str, bytes]]]()

    def once(view: StudyView, errors: PartErrors) -> tuple[ReportParts, dict[str, bytes]]:
        if not drawn:
            drawn.append(report_parts(view, errors))
        return drawn[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary_run, "report_parts", once)
        yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "made")


@pytest.fixture
def dashboard(study: Path, capsys: pytest.CaptureFixture[str]) -> Dashboard:
    """A call with further arguments: exit code, lines printed, lines of what was wrong."""

    def call(*arguments: str) -> tuple[int, list[str], list[str]]:
        code = main(["dashboard", str(study), *arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return call


def test_published_twice_it_is_one_workspace_one_report_and_one_run(
    study: Path, server: Standin, dashboard: Dashboard
) -> None:
    first, second = dashboard("track.project=ablations"), dashboard("track.project=ablations")
    assert first == second
    code, (workspace_url, report_url), wrong = first
    assert (code, wrong) == (0, [])
    assert len(server.views) == 2
    workspace, report = (server.views[name] for name in ("v1", "v2"))
    assert len(server.variables("UpsertView2")) == len(server.variables("upsertView")) == 2
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    assert workspace["name"].removeprefix("nw-").removesuffix("-v") in workspace_url
    assert report_url.endswith(f"--{report['id']}")
    for view in (workspace, report):
        assert (view["entityName"], view["projectName"]) == ("me", "ablations")
        assert keys_of(json.loads(view["spec"])).groups == {"made"}
    ((name, run),) = server.runs.items()
    assert (run.group, run.job_type, run.state) == ("made", "summary", "finished")
    assert name == (study / "wandb" / "run_id").read_text()
    assert {"cells", "contrasts", "points/size_and_tier"} <= run.summary.keys()


def test_a_dashboard_made_offline_is_sent_later(
    study: Path, server: Standin, dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    code, (*written, said), _ = dashboard()
    assert code == 0
    assert "not published (no key for W&B" in said
    assert [Path(path).parent for path in written] == [study / "dashboard"] * 2
    assert read_run(study).group == "made"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    command = [sys.executable, "-m", "limo_ablate", "wandb-sync", "--trust", str(study)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE)
    ((name, run),) = server.runs.items()
    assert (name, run.state) == ((study / "wandb" / "run_id").read_text(), "finished")


def test_a_server_that_refuses_is_said_in_one_line(
    study: Path, server: Standin, dashboard: Dashboard
) -> None:
    for refused in ("UpsertBucket", "upsertView"):
        server.fault = lambda what, refused=refused: "refuse" if what == refused else None  # type: ignore[misc]
        code, printed, wrong = dashboard()
        assert (code, printed, len(wrong)) == (2, [], 1), refused
        assert wrong[0].startswith("limo-ablate: W&B's server rejected the dashboard (")
        assert "permission denied" in wrong[0]
    assert {"workspace.json", "report.json"} <= {path.name for path in (study / "dashboard").iterdir()}
    server.fault = lambda what: None
    assert dashboard()[0] == 0
    assert len(server.views) == 2  # the workspace that was taken before the report was refused is updated


def test_a_server_that_is_away_is_said_in_one_line(
    study: Path, server: Standin, dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    code, printed, wrong = dashboard()
    assert (code, printed, len(wrong)) == (2, [], 1)
    assert "http://127.0.0.1:9 does not answer" in wrong[0]
    assert f"the specifications are in {study / 'dashboard'}" in wrong[0]
    assert (study / "dashboard" / "report.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "Usage: limo-ablate dashboard [OPTIONS] STUDY"),
        (["minature"], 2, "minature: no such study in"),
        (["--ofline"], 2, "--ofline: no option of dashboard; did you mean --offline?"),
        (["--offline"], 2, "STUDY is missing"),
    ],
)
def test_a_mistake_is_told_at_once(arguments: list[str], code: int, said: str) -> None:
    check = (
        "import sys\n"
        "from limo_ablate.cli import main\n"
        f"code = main(['dashboard', *{arguments!r}])\n"
        "heavy = {'wandb', 'altair', 'torch', 'wandb_workspaces'} & {*sys.modules}\n"
        "print(code, heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said in done.stdout + done.stderr
    found, *heavy = done.stderr.splitlines()[-1].split()
    assert (int(found), heavy) == (code, ["set()"])
