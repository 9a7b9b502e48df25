"""`limo-ablate select` on the real command line: what it prints, writes, draws and refuses."""

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.data.pool.load import load_pool
from limo_ablate.trial.compose import compose
from tests.forked import limo_ablate


def run(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return limo_ablate("select", *argv, cwd=cwd)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two selections of the miniature, a and b, and what the first one printed."""
    folder = tmp_path_factory.mktemp("select")
    overrides = ["data.miniature.per_level=20", "select.quality=L4", "select.difficulty=hard"]
    first = run(*overrides, "select.size=12", "--out", "a", "--rows", "3", cwd=folder)
    second = run(*overrides, "select.size=20", "select.difficulty=medium", "--out", "b", cwd=folder)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    return folder, first.stdout


def test_the_folder_holds_rows_manifest_and_pictures(made: tuple[Path, str]) -> None:
    folder = made[0] / "a"
    names = {"rows.jsonl", "manifest.parquet", "rejected.parquet", "selection.json", "funnel.png"}
    assert {*names, "length_by_tier.png"} == {path.name for path in folder.iterdir()}
    assert (folder / "funnel.png").read_bytes().startswith(b"\x89PNG")
    manifest = pl.read_parquet(folder / "manifest.parquet")
    assert manifest.height == manifest.select("problem", "solution").n_unique() == 20 * 9 * 8
    assert manifest["digest"].null_count() == 0
    assert manifest["place"].drop_nulls().to_list() == list(range(12))
    gone = manifest.filter(pl.col("place").is_null())
    assert gone.filter(pl.col("step").is_null() | pl.col("reason").is_null()).is_empty()
    facts = json.loads((folder / "selection.json").read_text())
    assert [step["rows"] for step in facts["funnel"]] == [1440, 480, 60, 12]
    assert facts["score"] == "ours_2"


def test_it_prints_rows_the_funnel_and_distributions(made: tuple[Path, str]) -> None:
    for text in (
        "Steps ",
        "difficulty=hard",
        "candidates (480)",
        "contamination: not checked",
        "written: a",
    ):
        assert text in made[1]
    assert made[1].count("gold: ") == 3


def test_chosen_rows_are_a_pool_again(made: tuple[Path, str], tmp_path: Path) -> None:
    rows = made[0] / "a" / "rows.jsonl"
    data = compose(["data=jsonl", f"data.path={rows}", "data.fields.id=id", "data.fields.tier=tier"]).data
    pool = load_pool(Store(tmp_path), data)
    assert pl.read_parquet(pool.path / "problems.parquet").height == 12
    assert set(pl.read_parquet(pool.path / "solutions.parquet")["tier"]) == {"L4"}


def test_two_selections_are_compared_with_the_reasons(made: tuple[Path, str]) -> None:
    done = run("--diff", "a", "b", cwd=made[0])
    assert done.returncode == 0
    for line in ("A a: 12 rows chosen of 1440", "in both: 0", "only in A; in B: 12", "difficulty=medium"):
        assert line in done.stdout
    assert "level 7.0 is not 4 to 6" in done.stdout or "level 8.0 is not 4 to 6" in done.stdout


def test_another_selection_in_the_same_folder_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"problem": "What is 1 + 1?", "answer": 2}\n{"problem": "2 + 2?", "answer": 4}\n')
    small = ["data.miniature.per_level=2", "select.size=4"]
    first = run(*small, "select/contamination=report", "--out", "s", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "compared with mini (180 items)" in first.stdout
    assert (tmp_path / "s/flags.parquet").exists()
    fields = "data.fields.solution=null"
    asked = ["data=jsonl", "data.path=q.jsonl", fields, "select.quality=any", "select.size=2"]
    second = run(*asked, "select/contamination=none", "--out", "s", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        "rows.jsonl", "manifest.parquet", "rejected.parquet", "selection.json", "funnel.png",
    }  # fmt: skip
    digests = pl.read_parquet(tmp_path / "s/manifest.parquet")["digest"]
    assert digests.null_count() == 0
    assert digests.n_unique() == 2


def test_a_selection_and_itself_do_not_differ(made: tuple[Path, str]) -> None:
    done = run("--diff", "a", "a", cwd=made[0])
    assert "in both: 12, of which 0 at a different place" in done.stdout
    assert "only in A; in B: 0" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--diff", "a", "nowhere"], "nowhere has no manifest.parquet"),
        (
            ["--out", "a/rows.jsonl", "data.miniature.per_level=2", "select.size=1"],
            "--out=a/rows.jsonl: can't be",
        ),
        (["--rows", "x"], "'--rows': 'x' is not a valid"),
        (["--diff", "a/rows.jsonl", "a"], "a/rows.jsonl is not a manifest"),
        (["--dif", "a"], "--dif: no option of select; did you mean --diff?"),
        (["select.quality=L9"], "select.quality=L9: not a choice"),
        (["select.size=0"], "select.size=0: nothing is selected"),
        (
            ["select.size=5000", "data.miniature.per_level=3"],
            "only 27 rows pass (pool: 216 -> quality=L5: 27)",
        ),
        (["data=jsonl", "data.path=none.jsonl"], "no such file: none.jsonl"),
    ],
)
def test_mistakes_are_one_line(made: tuple[Path, str], argv: list[str], message: str) -> None:
    done = run(*argv, cwd=made[0])
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_the_source_has_and_can_t_be_used_is_said(tmp_path: Path) -> None:
    rows = [
        {"problem": f"What is {n} + {n}?", "answer": 2 * n, "solution": str(2 * n), "level": level}
        for n, level in enumerate(("Level 5", "high", 3, None))
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"problem": ""}]))
    asked = ["data=jsonl", "data.path=p.jsonl", "data.fields.level=level", "select.quality=any"]
    done = run(*asked, "select.size=4", "select/contamination=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 row of the source's 5 can't be used, such as p.jsonl:5: problem: no text" in done.stdout
    assert "with a level that is not a number" in done.stdout
