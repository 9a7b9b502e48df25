"""What a study file of others names is listed, and runs only once its reader has said so."""

import hashlib
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.model_config import CODE_VARIABLE, may_allow_code
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.study.search.search import searches
from limo_ablate.sweep import trust
from limo_ablate.sweep.trust import check_trust, named

MINIATURE = ["data=miniature", "train=mini", "eval=miniature", "track=none"]
NODES = ["hardware=fsdp2_nodes", "hardware.nodes=2", "hardware.processes=16"]
SEARCH = {"name": "s", "design": "optuna", "n": 2, "objectives": [{"score": "mini"}]}
KEPT = ("+eval/decoding@eval.benchmarks.kept=greedy", "eval.benchmarks.kept.task=mmlu")
Named = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def unknown_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(trust.VARIABLE, "")
    monkeypatch.setenv(CODE_VARIABLE, "")  # put back afterwards
    monkeypatch.delenv(CODE_VARIABLE)
    monkeypatch.chdir(tmp_path)


def declare(*overrides: str, block: dict[str, Any] | None = None) -> Path:
    block = block or {"name": "b", "axes": {"select.size": [0]}}
    declared = {"name": "lent", "overrides": [*MINIATURE, *overrides], "blocks": [block]}
    Path("lent.yaml").write_text(yaml.safe_dump(declared))
    return Path("lent.yaml")


def lines(*overrides: str, typed: tuple[str, ...] = (), block: dict[str, Any] | None = None) -> list[str]:
    study = load_study(str(declare(*overrides, block=block)), typed)
    return named(planned_trials(study), searches(study), typed)


@pytest.mark.parametrize(
    ("overrides", "listed"),
    [
        ((), []),
        (("launch=slurm",), []),
        (("model=local", "model.path=here", "model.trust_remote_code=false"), []),
        (
            ("model=local", "model.path=here", "model.trust_remote_code=true"),
            ["model.trust_remote_code=true for here, revision None"],
        ),
        (("+eval/set@eval.benchmarks.kept=lm_eval", *KEPT), []),
        (
            ("+eval/set@eval.benchmarks.kept=lm_eval", *KEPT, "eval.benchmarks.kept.path=theirs"),
            [f"eval.benchmarks.kept.path=theirs, tasks {sha256().hexdigest()[:16]}"],
        ),
        (("hardware=fsdp2_nodes", "hardware.nodes=2", "hardware.processes=16"), []),
        (("launch.notify='touch here'",), ["launch.notify=touch here"]),
        (("eval.python=/a/python",), ["eval.python=/a/python"]),
        (
            ("data/difficulty=mini_reference", "data.difficulty.reference.python=/a/python"),
            ["data.difficulty.reference.python=/a/python"],
        ),
        (("launch={notify: 'touch here'}",), ["launch.notify=touch here"]),
        (
            ("eval.system_prompt=here", "launch.notify='touch ${eval.system_prompt}'"),
            ["launch.notify=touch here"],
        ),
        (("launch.notify='touch a\x1b[2Kb'",), ['launch.notify="touch a\\u001b[2Kb"']),
        (
            (*NODES, "hardware.hosts=[a1,a2]", "hardware.remote='sh -c'"),
            ['hardware.hosts=["a1", "a2"]', "hardware.remote=sh -c"],
        ),
        (
            ("launch=slurm", "launch.slurm.workers=99", "launch.slurm.extra={account: lab}"),
            ["launch.slurm.extra.account=lab", "launch.slurm.workers=99"],
        ),
    ],
)  # fmt: skip
def test_what_a_study_names_is_listed(overrides: tuple[str, ...], listed: list[str]) -> None:
    assert lines(*overrides) == listed


def test_code_of_a_model_is_trusted_with_the_model_it_comes_with(tmp_path: Path) -> None:
    """The files are in the line, so others are asked about; so is a path that the study sets beside a choice
    of the user's conf/ that lets code run."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "own.py").write_text("x = 1\n")
    theirs = ("model=local", f"model.path={folder}", "model.trust_remote_code=true")
    (first,) = lines(*theirs)
    assert first.startswith(f"model.trust_remote_code=true for {folder}, code ")
    (folder / "own.py").write_text("x = 2\n")
    assert lines(*theirs) != [first]
    own = tmp_path / "conf/model/mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [local, _self_]\npath: /checked\ntrust_remote_code: true\n")
    assert lines("model=mine") == []
    assert lines("model=mine", f"model.path={folder}") == lines(*theirs)


def test_what_the_user_types_or_has_in_conf_is_his_own(tmp_path: Path) -> None:
    assert lines("launch.notify=evil", typed=("launch.notify='my tool'",)) == []
    assert lines(typed=("launch=slurm", "launch.slurm.extra={account: lab}")) == []
    assert lines("launch.slurm.extra={account: lab}", typed=("launch=slurm",)) == [
        "launch.slurm.extra.account=lab"
    ]
    own = tmp_path / "conf" / "launch" / "cluster.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [slurm, _self_]\nnotify: my tool\nslurm: {extra: {account: lab}}\n")
    assert lines("launch=cluster") == []
    assert lines("launch=cluster", "launch.slurm.extra={account: theirs}") == [
        "launch.slurm.extra.account=theirs"
    ]
    theirs = tmp_path / "theirs" / "launch" / "local2.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("defaults: [local, _self_]\nnotify: evil\n")
    assert lines(f"hydra.searchpath=['file://{tmp_path}/theirs']", "launch=local2") == ["launch.notify=evil"]


def test_what_a_search_may_choose_is_listed_too(tmp_path: Path) -> None:
    axes = {"select.size": [0, 1], "launch.notify": ["one", "two"]}
    assert lines(block=SEARCH | {"axes": axes}) == ["launch.notify=one", "launch.notify=two"]
    assert lines("launch.notify=one", block=SEARCH | {"axes": {"select.size": [0, 1]}}) == [
        "launch.notify=one"
    ]
    assert lines(block=SEARCH | {"axes": {"select.size": [0, 1]}}) == []
    wide = {"select.size": [0, 1], "launch.slurm.workers": {"low": 1, "high": 90}}
    assert lines("launch=slurm", block=SEARCH | {"axes": wide}) == [
        "launch.slurm.workers=1",
        "launch.slurm.workers=90",
    ]
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "theirs.yaml").write_text("defaults: [local, _self_]\nnotify: evil\n")
    theirs = (f"hydra.searchpath=['file://{tmp_path}']", "launch=theirs")
    assert lines(*theirs, block=SEARCH | {"axes": {"select.size": [0, 1]}}) == ["launch.notify=evil"]
    refers = ("launch.notify=${eval.system_prompt}",)
    with pytest.raises(UserError, match="refers to another key"):
        lines(*refers, block=SEARCH | {"axes": {"eval.system_prompt": ["one", "two"]}})


@pytest.mark.parametrize(
    "overrides",
    [
        ("++launch.notify=evil",),
        ("++launch={notify: evil}",),
        ("track.project=evil", "launch.notify=${track.project}"),
        ("--config-path={theirs}",),
        ("--config-dir={theirs}", "--config-name=begin"),
    ],
)
def test_no_way_of_composing_leads_around_it(overrides: tuple[str, ...], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "launch").mkdir(parents=True)
    (theirs / "begin.yaml").write_text("defaults: [config, _self_]\nlaunch: {notify: evil}\n")
    (theirs / "launch" / "local.yaml").write_text(
        "{executor: local, slots: 1, attempts: 1, backoff_seconds: 1, hang_seconds: 1, grace_seconds: 1, "
        "notify: evil}"
    )
    own = [text.replace("{theirs}", str(theirs)) for text in overrides]
    block = {"name": "b", "axes": {"select.size": [0]}, "overrides": own}
    assert lines(block=block) == ["launch.notify=evil"]


@pytest.mark.parametrize("name", ["miniature", "miniature_tuned", "limo_rq4"])
def test_studies_that_ship_name_nothing(name: str) -> None:
    study = load_study(name)
    assert named(planned_trials(study), searches(study), ()) == []


def test_without_trust_nothing_starts_and_once_trusted_nothing_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = declare("launch.notify='touch here'")
    for argv in (["sweep", str(path)], ["sweep", str(path), "launch.slots=1"]):
        assert main(argv) == 2
        said = capsys.readouterr().err
        assert "launch.notify=touch here; if you trust that, run the same command once with --trust" in said
        assert said.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} == {"lent.yaml"}
    study = load_study(str(path))
    trials = planned_trials(study)
    check_trust("lent", trials, (), (), trust=True)
    check_trust("lent", trials, (), (), trust=False)
    file = tmp_path / "home" / "limo-ablate" / "trusted"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    changed = planned_trials(load_study(str(declare("launch.notify='touch there'"))))
    with pytest.raises(UserError, match="touch there"):
        check_trust("lent", changed, (), (), trust=False)


def test_jobs_on_machines_without_the_home_folder_know_what_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = planned_trials(load_study(str(declare("launch.notify='touch here'"))))
    check_trust("lent", trials, (), (), trust=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    check_trust("lent", trials, (), (), trust=False)
    monkeypatch.setenv(trust.VARIABLE, "")
    with pytest.raises(UserError, match="touch here"):
        check_trust("lent", trials, (), (), trust=False)


def test_a_home_folder_that_can_t_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    trust.remember(["launch.notify=x"])
    assert "Not a directory: --trust will be asked for again" in capsys.readouterr().err


def test_a_folder_of_the_current_one_is_not_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    trials = planned_trials(load_study(str(declare("launch.notify='touch here'"))))
    check_trust("lent", trials, (), (), trust=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "home").rename(tmp_path / "here" / "config")
    monkeypatch.setenv(trust.VARIABLE, "")
    monkeypatch.setenv("XDG_CONFIG_HOME", "here/config")
    with pytest.raises(UserError, match="--trust"):
        check_trust("lent", trials, (), (), trust=False)


def test_at_a_terminal_the_user_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    trials = planned_trials(load_study(str(declare("launch.notify='touch here'"))))
    for answer in (False, True):
        monkeypatch.setattr(trust.click, "confirm", lambda *_, answer=answer, **__: answer)
        if answer:
            check_trust("lent", trials, (), (), trust=False)
        else:
            with pytest.raises(UserError, match="--trust"):
                check_trust("lent", trials, (), (), trust=False)


@pytest.mark.parametrize("verb", ["retry", "repair"])
def test_whoever_writes_to_a_study_of_others_is_asked(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "outputs" / "studies" / "lent"
    folder.mkdir(parents=True)
    declare("paths.umask='002'").rename(folder / "study.yaml")
    before = os.umask(0o077)
    try:
        assert main([verb, "lent"]) == 2
        assert "paths.umask=002; if you trust that" in capsys.readouterr().err
        assert [file.name for file in folder.iterdir()] == ["study.yaml"]
        assert main([verb, "lent", "--trust"]) == main([verb, "lent"]) == 0
    finally:
        os.umask(before)


def test_a_store_at_a_url_is_asked_for_and_a_folder_is_not(tmp_path: Path) -> None:
    """Weights and checkpoints are loaded from it, and data go there."""
    for place, asked in (("s3://theirs/x", ["paths.artifacts=s3://theirs/x"]), ("theirs", [])):
        trials = planned_trials(load_study(str(declare(f"paths.artifacts={place}"))))
        assert named(trials, (), ()) == asked
        assert named(trials, (), [f"paths.artifacts={place}"]) == []


def test_plan_runs_a_model_s_code_only_once_it_is_trusted(tmp_path: Path) -> None:
    folder, marker = tmp_path / "theirs", tmp_path / "ran"
    folder.mkdir()
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    model = ("model=local", f"model.path={folder}", "model.trust_remote_code=true")
    file = declare(*model, block={"name": "b", "axes": {"select.size": [4]}})
    may_allow_code()  # of an earlier study in this process
    main(["plan", str(file)])
    assert not marker.exists()
    study = load_study(str(file))
    trust.remember(named(planned_trials(study), searches(study), ()))
    main(["plan", str(file)])
    assert marker.exists()


def test_plan_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    path = declare("launch.notify='touch here'")
    main(["plan", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["named_by_study"] == ["launch.notify=touch here"]
    main(["plan", str(path)])
    assert "--trust`, once)\n  launch.notify=touch here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('launch.slurm.extra={account: "lab\nrm -r x"}', r"launch\.slurm\.extra\.account=.*on one line"),
        ("launch.slurm.extra={Account: x}", "a name in small letters"),
        ('launch.slurm.partition="a\nb"', r"launch\.slurm\.partition=.*on one line"),
        ('paths.studies="a\nb"', r"paths\.studies='a\\nb': has a line break"),
        ("hydra.callbacks.x._target_=os.system", "settings of Hydra have no effect in a study"),
        ("+hydra={callbacks: {x: {_target_: os.system}}}", "settings of Hydra have no effect in a study"),
        ("hydra/launcher=basic", "settings of Hydra have no effect in a study"),
    ],
)
def test_what_could_only_be_an_attack_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lines("launch=slurm", override)


def test_a_grader_in_a_file_is_listed_with_the_file_s_digest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(one): return True\n")
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()[:16]
    name = "python:mine.py:f"
    of_benchmark, of_pool = (
        f"eval.benchmarks.mini.grader={name}, file {digest}", f"data.grader={name}, file {digest}"
    )  # fmt: skip
    own = ("data=jsonl", "data.path=x.jsonl", "model=mini_s")
    overrides = (*own, f"eval.benchmarks.mini.grader={name}", f"data.grader={name}")
    assert lines(*overrides) == [of_pool, of_benchmark]
    assert lines(*overrides, typed=overrides) == []
    assert lines("eval.benchmarks.mini.grader=exact") == []
    (tmp_path / "mine.py").write_text("def f(one): return False\n")
    assert lines(*overrides) != [of_pool, of_benchmark]
    block = {**SEARCH, "axes": {"eval.benchmarks.mini.grader": ["verifier", name]}}
    assert [line.partition(",")[0] for line in lines(block=block)] == [f"eval.benchmarks.mini.grader={name}"]
