"""The example package of docs/extending.md, built from the page, installed, used in a trial and a sweep."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import ROOT
from tests.extending.build_page import FILE, PAGE
from tests.forked import limo_ablate

pytestmark = pytest.mark.slow
DATA = [
    "data=jsonl", "data.name=sums", "data.source=sqlite", "data.path=sums.db", "data.subset=sums",
    "data.fields.problem=question", "eval=jsonl", "eval.benchmarks.own.source=sqlite",
    "eval.benchmarks.own.path=sums.db", "eval.benchmarks.own.subset=sums", "select/contamination=none",
    "eval.benchmarks.own.fields.problem=question", "eval.benchmarks.own.max_tokens=256",
]  # fmt: skip
OURS = [
    "select.order=equations", "eval.engine=guess", "eval.benchmarks.own.grader=last_box", "track.kind=jsonl",
    "model=mini_s", "model.pretrain.tokens=20000", "train=mini", "train.steps=2", "select.quality=any",
    "select.difficulty=any", "select.tokens=null",
]  # fmt: skip


def run(folder: Path, *arguments: str, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, filter(None, [packages, ROOT])))
    environment = os.environ | {"PYTHONPATH": path, "XDG_CONFIG_HOME": str(folder)}
    return limo_ablate(*arguments, cwd=folder, environment=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of sums; the solutions of even ones have more equations."""
    folder = tmp_path_factory.mktemp("own")
    with sqlite3.connect(folder / "sums.db") as database:
        database.execute("CREATE TABLE sums (question TEXT, answer TEXT, solution TEXT)")
        for n in range(20):
            steps = f"{n} + 2 = {n + 2}. " * (3 if n % 2 == 0 else 1)
            row = (f"What is {n} + 2?", str(n + 2), f"{steps}\\boxed{{{n + 2}}}")
            database.execute("INSERT INTO sums VALUES (?, ?, ?)", row)
    return folder


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, installed."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("packages")
    for _, name, text in FILE.findall(PAGE.read_text()):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    (source / "limo_ablate_example" / "__init__.py").touch()
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


def test_without_the_package_its_names_are_no_choices(folder: Path) -> None:
    done = run(folder, "eval.engine=guess")
    assert done.returncode == 2
    assert "eval.engine=guess: not a choice. Allowed: transformers, paged, vllm" in done.stderr


def test_a_trial_uses_all_of_it(folder: Path, packages: Path) -> None:
    done = run(folder, *DATA, *OURS, "select.size=6", "hydra.run.dir=one", packages=packages)
    assert done.returncode == 0, done.stdout + done.stderr
    trial = folder / "one"
    metrics = json.loads((trial / "metrics.json").read_text())
    assert metrics["scores"]["own"]["accuracy"] == 1 / 20, "2 + 2 alone is 4"
    verdicts = pl.read_parquet(trial / "verdicts.parquet")
    assert set(verdicts["rule"]) == {"last_box"}
    lines = [json.loads(line) for line in (trial / "steps.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [None, 1, 2, None]
    rows = folder / "outputs/artifacts/selection" / metrics["artifacts"]["selection"]["key"]
    chosen = pl.read_parquet(rows / "rows.parquet")["response"].to_list()
    assert len(chosen) == 6
    assert all(text.count("=") == 3 for text in chosen)
    used = json.loads((trial / "provenance.json").read_text())["installed"]
    assert {name.rpartition(":")[2] for name in used} == {"sqlite", "equations", "guess", "last_box", "jsonl"}
    assert {entry["package"] for entry in used.values()} == {"limo-ablate-example 0.1"}


def test_a_changed_source_is_another_trial(folder: Path, packages: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(packages, tmp_path / "packages")
    grader = changed / "limo_ablate_example" / "grader.py"
    grader.write_text(grader.read_text().replace("boxes[-1] == gold", "boxes[-1] != gold"))
    before = json.loads((folder / "one" / "metrics.json").read_text())
    done = run(folder, *DATA, *OURS, "select.size=6", "hydra.run.dir=two", packages=changed)
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads((folder / "two" / "metrics.json").read_text())
    assert after["trial"] != before["trial"]
    assert after["scores"]["own"]["accuracy"] == 19 / 20
    same = [stage for stage, made in after["artifacts"].items() if made == before["artifacts"][stage]]
    assert set(after["artifacts"]) - set(same) == {"verdicts/own"}, "only what the grader makes is made again"


def test_a_sweep_is_launched_and_reported_by_it(folder: Path, packages: Path) -> None:
    (folder / "sums.yaml").write_text(
        json.dumps(
            {
                "name": "sums",
                "overrides": [*DATA, *OURS, "launch.executor=runners", "launch.options={count: 1}"],
                "blocks": [{"name": "size", "axes": {"select.size": [4, 6]}}],
            }
        )
    )
    done = run(folder, "sweep", "sums.yaml", "--trust", packages=packages)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "joined as" in done.stdout
    study = folder / "outputs" / "studies" / "sums"
    assert len(list(study.glob("trials/*/metrics.json"))) == 2
    report = (study / "report" / "index.html").read_text()
    assert "Slowest trials" in report
    assert "guess (limo-ablate-example 0.1)" in report
