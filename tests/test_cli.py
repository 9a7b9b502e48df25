"""The real command line in a process of its own."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

import limo_ablate.report.preview.cli as preview
from limo_ablate.cli import VERBS, limo_ablate, main
from limo_ablate.core.command import Verb, Words, announce
from limo_ablate.core.command import run as run_command
from limo_ablate.core.project import VARIABLE
from limo_ablate.study.design import Study
from limo_ablate.sweep.coordinate import write_study
from limo_ablate.trial.keys import keys
from tests.conftest import ROOT
from tests.forked import limo_ablate as run
from tests.waiting import PATIENCE

HEAVY = {
    "torch", "transformers", "wandb", "polars", "optuna", "hydra", "omegaconf", "sympy", "datasets", "altair",
    "scipy", "numpy", "rich", "yaml",
}  # fmt: skip


def heavy_modules(*argv: str, cwd: Path) -> tuple[str, set[str]]:
    """What a command line prints, and which modules that take long to import it has imported."""
    code = (
        "import sys; from limo_ablate.cli import main; code = main(sys.argv[1:]); "
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout, HEAVY & set(done.stderr.splitlines())


def test_a_bare_call_prints_the_short_help_and_starts_nothing(tmp_path: Path) -> None:
    said, heavy = heavy_modules(cwd=tmp_path)
    assert "limo-ablate sweep miniature" in said
    assert len(said.splitlines()) < 24, "it fits a screen"
    assert not heavy
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_verbs_and_the_usual_keys(tmp_path: Path) -> None:
    said, heavy = heavy_modules("--help", cwd=tmp_path)
    for text in ("limo-ablate sweep miniature", "mini_l, mini_m", "selection rule", *VERBS):
        assert text in said
    assert not heavy
    assert said == heavy_modules("help", cwd=tmp_path)[0]


def test_help_all_has_every_group_and_key_with_type_and_default(tmp_path: Path) -> None:
    done = run("--help", "--all", cwd=tmp_path)
    assert done.returncode == 0
    for text in ("  data/difficulty ", "  train.learning_rate  number  [default: 0.001]", "limo_v1, limo_v3"):
        assert text in done.stdout
    for name in keys():
        assert f"  {name}  " in done.stdout


@pytest.mark.parametrize("verb", [*VERBS])
def test_each_verb_has_help_with_an_example_anywhere_on_the_line(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "one", "key=value", "--help", "two"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: limo-ablate {verb} ")
    assert VERBS[verb].summary in " ".join(said.split())
    assert "limo-ablate" in said.split("Examples:\n")[1].split("\n\n")[0]
    reads_project = verb not in ("data", "verify", "init", "completion", "ledger")
    assert ("--project DIR" in said) == reads_project
    for other in (["help", verb], ["--help", verb], [verb, "-h"]):
        assert main(other) == 0
        assert capsys.readouterr().out == said


def test_no_verb_s_help_imports_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from limo_ablate.cli import VERBS, main; "
        "assert not any([main([verb, '--help']) for verb in VERBS]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    imported = set(done.stderr.split())
    assert "limo_ablate.sweep.cli" in imported
    assert not HEAVY & imported


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"trial", "help", "completion"}))
def test_the_readme_lists_each_verb(verb: str) -> None:
    assert f"| `limo-ablate {verb} " in (ROOT / "README.md").read_text()


def test_every_verb_is_a_click_command() -> None:
    for name in VERBS:
        command = limo_ablate.get_command(click.Context(limo_ablate), name)
        assert isinstance(command, Verb), name
        assert command.examples, name


@pytest.mark.parametrize(
    "argv",
    [
        ["select", "--rows=2", "select.size=4", "--out=made"],
        ["select", "select.size=4", "--rows", "2", "--out", "made"],
        ["--project", ".", "select", "select.size=4", "--out", "made", "--rows=2"],
        ["select", "--project=.", "--rows=2", "--out", "made", "select.size=4"],
    ],
)
def test_options_take_their_value_both_ways_before_and_after_overrides(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[Path | None, int]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, ".")  # put back afterwards
    monkeypatch.setattr(preview, "_show", lambda config, folder, rows: shown.append((folder, rows)))
    assert main(argv) == 0
    assert shown == [(Path("made"), 2)]


def test_an_override_may_stand_before_the_study() -> None:
    """And `+key=value`, `~key` and `group@package=option` are overrides."""
    given: dict[str, object] = {}
    command = click.Command("any", params=[Words(["words"], names=("study",), optional=False)])
    command.callback = lambda **values: given.update(values)
    assert run_command(command, ["a=1", "miniature", "~b", "+c=2", "d@e=f"]) == 0
    assert given == {"study": "miniature", "overrides": ["a=1", "~b", "+c=2", "d@e=f"]}


def test_a_trial_is_named_or_not(tmp_path: Path) -> None:
    wanted = run("--cfg", "job", "seed=3", "--package=select", cwd=tmp_path)
    assert wanted.returncode == 0, wanted.stderr
    assert "size: 64" in wanted.stdout
    for argv in (
        ["trial", "seed=3", "--cfg", "job", "-p", "select"],
        ["seed=3", "-c", "job", "-p", "select"],
    ):
        assert run(*argv, cwd=tmp_path).stdout == wanted.stdout


def test_cfg_job_prints_the_configuration(tmp_path: Path) -> None:
    done = run("--cfg", "job", "select.size=32", "track.name='s3://me:Secret@bucket'", cwd=tmp_path)
    assert "s3://me:***@bucket" in done.stdout
    assert "Secret" not in done.stdout + done.stderr
    assert done.returncode == 0
    assert "size: 32" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["selct.size=3"], "limo-ablate: selct: unknown key; did you mean select?"),
        (["select.quality=L9"], "limo-ablate: select.quality=L9: not a choice"),
        (
            ["data.path=[a"],
            """the value has [ without ]; if that is part of it, quote it: 'data.path="[a"'""",
        ),
        (["select.size=16,64"], "limo-ablate: select.size=16,64: several values for one trial; -m runs"),
        (["data=3"], "limo-ablate: data=3: Config group override must be"),
        (["model=mini_xl"], "limo-ablate: model=mini_xl: not a choice; did you mean mini_l?"),
        (
            ["swep", "miniature"],
            "swep: neither a verb nor an override (key=value); did you mean sweep?",
        ),
        (["wandb-snc"], "did you mean wandb-sync?"),
        (["help", "swep"], "did you mean sweep?"),
        (["plan", "miniature", "--jsn"], "--jsn: no option of plan; did you mean --json?"),
        (["select.size=4", "--multirn"], "--multirn: no option of trial; did you mean --multirun?"),
        (["trial", "miniature"], "miniature: not an override (key=value"),
        (["sweep"], "STUDY is missing; usage: limo-ablate sweep STUDY [KEY=VALUE]..."),
        (["select", "--rows"], "'--rows' requires an argument"),
        (["select", "--rows=many"], "'--rows': 'many' is not a valid"),
        (["join", "miniature", "--trials", "0"], "'--trials'"),
        (["--project", "nowhere", "plan", "miniature"], "--project nowhere: no such folder"),
        (["status", "--typo"], "limo-ablate: --typo: no option of status"),
        (["plan", "miniature", "--typo"], "limo-ablate: --typo: no option of plan"),
        (["-cn", "confg"], "limo-ablate: confg.yaml: no such configuration in "),
        (["-m", "-cn", "confg"], "did you mean config? There are: config, limo_ablate"),
        (["-m", "-cp", "nowhere"], "'-cp' / '--config-path': Directory 'nowhere' does not exist"),
        (["-m", "model=glob(x*)"], "limo-ablate: model=glob(x*): gives no values"),
        (["-m", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
        (["selct.size=3", "--cfg", "job"], "limo-ablate: selct: unknown key"),
        (["sweep", "minature"], "minature"),
        (["report", "nothing_here"], "nothing_here"),
        (["score", "missing.jsonl"], "missing.jsonl"),
    ],
)
def test_a_user_s_error_is_one_line_and_exit_code_2(tmp_path: Path, argv: list[str], message: str) -> None:
    done = run(*argv, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "argv", [["swep"], ["plan", "--typo"], ["sweep"], ["view", "--port", "many"], ["a", "b"]]
)
def test_usage_errors_load_nothing_heavy(argv: list[str], tmp_path: Path) -> None:
    assert heavy_modules(*argv, cwd=tmp_path) == ("", set())


def test_config_errors_load_nothing_but_hydra(tmp_path: Path) -> None:
    """What keeps errors under a second: torch, transformers, wandb, optuna stay out."""
    assert heavy_modules("select.quality=L9", cwd=tmp_path) == ("", {"hydra", "omegaconf", "yaml"})


def test_one_trial_from_the_command_line(tmp_path: Path) -> None:
    done = run(
        "model=mini_s", "model.pretrain.tokens=20000", "select.size=8", "select.difficulty=hard",
        "train.steps=3", "eval.benchmarks.mini.miniature.per_level=2", "hydra.run.dir=out/here",
        "seed=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mini/hard" in done.stdout
    assert "±" in done.stdout
    record = {p.name for p in (tmp_path / "out/here").iterdir()}
    assert {
        "config.yaml",
        "overrides.txt",
        "provenance.json",
        "metrics.json",
        "completions.parquet",
    } <= record
    assert "select.difficulty=hard" in (tmp_path / "out/here/overrides.txt").read_text()


def test_no_message_has_characters_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "a\x1b]0;title\x07\x9b2J"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b]0;title\\x07\\u009b2J" in said
    assert said.strip().isprintable()


def test_a_terminal_is_told_at_once_what_is_done_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        announce("reading the study a\x1b[2J")
        assert os.read(master, 1000) == b"limo-ablate: reading the study a\\x1b[2J\r\n"
    os.close(master)
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stderr", piped)
    announce("reading the study")
    assert piped.getvalue() == ""


def test_json_is_all_that_verbs_that_run_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say as they go stands on standard error."""
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text("model,item,score\na,q,1\nb,q,0\n")
    Path("logs.yaml").write_text("name: t\nfiles: scores.csv\ncolumns: [model]\nbenchmark: exam\n")
    assert main(["import", "logs.yaml", "--json"]) == 0
    printed, said = capsys.readouterr()
    assert json.loads(printed) == {"study": "t", "folder": "outputs/studies/t", "trials": ["a-s0", "b-s0"]}
    assert "outputs/studies/t: 2 trials" in said


def test_every_help_has_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("", "sweep", "export"):
        assert main([*verb.split(), "--help"]) == 0
        assert "130 interrupted" in " ".join(capsys.readouterr().out.split())


def test_a_sweep_s_json_is_the_state_of_its_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where overrides are of the study, which no trial has."""

    def run(study: Study, **_: object) -> int:
        folder = tmp_path / study.name
        write_study(study, (), folder)
        print("a line")
        return 3

    (tmp_path / "little").mkdir()
    monkeypatch.setattr("limo_ablate.sweep.coordinate.run", run)
    given = ["seeds=[0]", "select.size=4", "name=little", f"paths.studies={tmp_path}", "--json"]
    assert main(["sweep", "miniature", *given]) == 3
    printed, said = capsys.readouterr()
    assert json.loads(printed)["study"] == "little"
    assert json.loads(printed)["waiting"] == json.loads(printed)["trials"] > 0
    assert said == "a line\n"
