"""Any source becomes the same tables; what does not fit is listed with its reason."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.artifacts import Store
from limo_ablate.compose import compose
from limo_ablate.config import BenchmarkConfig, DataConfig, FieldsConfig
from limo_ablate.errors import UserError
from limo_ablate.pool import load_benchmark, load_pool


@pytest.fixture
def data() -> DataConfig:
    return compose(["data=jsonl"]).data


def jsonl(path: Path, rows: list[Any]) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_real_traps_survive_and_bad_rows_are_listed(tmp_path: Path, data: DataConfig) -> None:
    rows: list[Any] = [
        {"problem": "a line\u2028separator", "answer": 27.0, "solution": "s1"},
        {"problem": "several", "answer": [3568, 5880], "solution": ["first", "second", ""]},
        {"problem": "none", "answer": None, "solution": "s"},
        "{broken",
        {"problem": " ", "answer": 1, "solution": "s"},
        {"problem": "several", "answer": 1, "solution": "another gold"},
    ]
    pool = load_pool(Store(tmp_path / "store"), replace(data, path=jsonl(tmp_path / "p.jsonl", rows)))
    problems = pl.read_parquet(pool.path / "problems.parquet")
    solutions = pl.read_parquet(pool.path / "solutions.parquet")
    rejected = pl.read_parquet(pool.path / "rejected.parquet")
    assert problems["gold"].to_list() == ["27", "3568, 5880"]
    assert problems["text"][0] == "a line\u2028separator"
    assert solutions["text"].to_list() == ["s1", "first", "second"]
    assert solutions["problem"].to_list() == [problems["id"][0], *[problems["id"][1]] * 2]
    assert rejected["where"].to_list() == ["p.jsonl:3", "p.jsonl:4", "p.jsonl:5", "p.jsonl:6"]
    assert "no gold answer" in rejected["reason"][0]
    assert "another" in rejected["reason"][3]


def test_bad_rows_can_stop_it(tmp_path: Path, data: DataConfig) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"problem": "q", "answer": 1, "solution": "s"}, "nonsense"])
    with pytest.raises(UserError, match=r"p.jsonl:2: not JSON"):
        load_pool(Store(tmp_path), replace(data, path=path, bad_rows="error"))


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing.jsonl", "no such file"), (None, "no path given"), ("table.csv", "can't read .csv files")],
)
def test_a_source_that_is_not_there(tmp_path: Path, data: DataConfig, path: str | None, message: str) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=message):
        load_pool(Store(tmp_path), replace(data, path=path and str(tmp_path / path)))


def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path, data: DataConfig) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"problems": "q", "answer": 1, "solution": "s"}])
    with pytest.raises(UserError, match=r"fields.problem=problem is not a column; did you mean problems\?"):
        load_pool(Store(tmp_path), replace(data, path=path))


def test_the_key_follows_the_bytes_not_the_path(tmp_path: Path, data: DataConfig) -> None:
    store = Store(tmp_path / "store")
    rows = [{"problem": "q", "answer": 1, "solution": "s"}]
    one, two = (
        load_pool(store, replace(data, path=jsonl(tmp_path / n, rows))) for n in ("a.jsonl", "b.jsonl")
    )
    assert one.key == two.key
    rows[0]["answer"] = 2
    assert load_pool(store, replace(data, path=jsonl(tmp_path / "a.jsonl", rows))).key != one.key


def test_a_snapshot_folder_in_the_hub_s_schema(tmp_path: Path) -> None:
    """GAIR/LIMO's columns, as parquet in a folder, through `datasets`."""
    folder = tmp_path / "LIMO"
    folder.mkdir()
    rows = {"question": ["q1", "q2"], "solution": ["s1", "s2"], "answer": ["1", "2"]}
    pl.DataFrame(rows).write_parquet(folder / "train-00000-of-00001.parquet")
    limo = compose(["data=limo", f"data.path={folder}"]).data
    pool = load_pool(Store(tmp_path / "store"), limo)
    assert pl.read_parquet(pool.path / "problems.parquet")["gold"].to_list() == ["1", "2"]


def test_a_benchmark_without_ids_is_numbered_and_limited(tmp_path: Path) -> None:
    fields = FieldsConfig(problem="problem", answer=None, solution="solution")
    path = jsonl(tmp_path / "b.jsonl", [{"problem": "q", "solution": rf"so \boxed{{{n}}}"} for n in range(3)])
    benchmark = BenchmarkConfig(
        source="file", samples=1, temperature=0, top_p=1, max_tokens=8, path=path, fields=fields, limit=2
    )
    made = load_benchmark(Store(tmp_path / "store"), "b", benchmark)
    problems = pl.read_parquet(made.path / "problems.parquet")
    assert problems["id"].to_list() == ["0", "1"]
    assert problems["gold"].to_list() == ["0", "1"]


def test_limo_s_benchmarks_load_whole(tmp_path: Path, shared: Path) -> None:
    evaluation = compose(["eval=limo_v3", f"paths.benchmarks={shared / 'limo-eval'}"]).eval
    counts = {}
    for name, benchmark in evaluation.benchmarks.items():
        made = load_benchmark(Store(tmp_path), name, benchmark)
        counts[name] = pl.read_parquet(made.path / "problems.parquet").height
    assert counts == {
        "aime": 30, "amc": 40, "cn_math_2024": 30, "math": 500, "olympiadbench": 675, "gaokao": 79,
        "kaoyan": 199, "grade_school_math": 210, "minerva": 272,
    }  # fmt: skip


def test_past_aime_is_a_pool(tmp_path: Path, shared: Path) -> None:
    path = shared / "pools" / "aime_1983_2023.json"
    data = compose(["data=jsonl", f"data.path={path}", "data.fields.level=difficulty"]).data
    pool = load_pool(Store(tmp_path), data)
    assert pl.read_parquet(pool.path / "problems.parquet").height == 975
    assert pl.read_parquet(pool.path / "solutions.parquet").height == 975
