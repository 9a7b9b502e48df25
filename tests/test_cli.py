"""The real command line in a subprocess."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE


def run(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "limo_ablate", *argv],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_help_lists_groups_and_verbs(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for text in ("limo-ablate sweep miniature", "model: local, mini_l", "experiment: limo_v1, limo_v3"):
        assert text in done.stdout


def test_cfg_job_prints_the_configuration(tmp_path: Path) -> None:
    done = run("--cfg", "job", "select.size=32", cwd=tmp_path)
    assert done.returncode == 0
    assert "size: 32" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["selct.size=3"], "limo-ablate: selct: unknown key; did you mean select?"),
        (["select.quality=L9"], "limo-ablate: select.quality=L9: not a choice"),
        (["model=mini_xl"], "limo-ablate: model=mini_xl: not a choice; did you mean mini_l?"),
        (
            ["swep", "miniature"],
            "swep: neither a verb nor an override (key=value); did you mean sweep?",
        ),
        (["wandb-snc"], "did you mean wandb-sync?"),
        (["status", "--typo"], "limo-ablate: --typo: no option of status"),
        (["plan", "miniature", "--typo"], "limo-ablate: --typo: no option of plan"),
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


def test_config_errors_load_nothing_heavy(tmp_path: Path) -> None:
    """What keeps `--help` and errors under a second: torch, transformers, wandb, optuna stay out."""
    code = (
        "import sys; from limo_ablate.__main__ import main; main(['select.quality=L9']); "
        "heavy = {'torch', 'transformers', 'wandb', 'optuna', 'sympy', 'datasets', 'altair'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True).returncode == 0


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


def test_a_multirun_goes_through_our_sweeper(tmp_path: Path) -> None:
    done = run(
        "-m", "select.size=4,8", "model=mini_s", "model.pretrain.tokens=20000", "train.steps=3",
        "track=none", "eval.benchmarks.mini.miniature.per_level=2", "hydra.sweep.dir=out/multi", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out/multi").glob("trials/*/metrics.json"))) == 2
