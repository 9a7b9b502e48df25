"""The real files of ../shared/data: every trap they hold, and how many problems each gives."""

import json
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig
from limo_ablate.data.pool.load import load_benchmark, load_pool
from limo_ablate.trial.compose import compose


def problems(
    tmp_path: Path, path: Path, text: str, answer: str | None, id_: str | None = None
) -> pl.DataFrame:
    fields = FieldsConfig(
        problem=text, answer=answer, solution=None if answer else "solution", id=id_, answers="all"
    )
    config = BenchmarkSetConfig(source="file", path=str(path), fields=fields)
    return pl.read_parquet(load_benchmark(Store(tmp_path), path.stem, config).path / "problems.parquet")


@pytest.mark.parametrize(
    ("name", "text", "row", "gold"),
    [
        ("amc", "problem", 0, "27"),
        ("gaokao", "question", 0, r"C. {x \mid-3<x<4}"),
        ("gaokao", "question", 4, "必要不充分条件"),
        ("grade_school_math", "problem", 1, r"$\frac{89}{200}$"),
        ("grade_school_math", "problem", 44, "3568, 5880, 6512, 864"),
        ("grade_school_math", "problem", 91, "42, 84"),
        ("kaoyan", "problem", 99, r"\frac{1}{4}, \frac{1}{3}"),
        ("math", "problem", 459, r"\$18.90"),
        ("minerva", "question", 5, "np.arcsin(10/13)"),
    ],
)
def test_gold_answers_of_every_kind(
    tmp_path: Path, shared: Path, name: str, text: str, row: int, gold: str
) -> None:
    assert problems(tmp_path, shared / "limo-eval" / name / "test.jsonl", text, "answer")["gold"][row] == gold


def test_a_line_separator_inside_a_question_of_gpqa(tmp_path: Path, shared: Path) -> None:
    made = problems(tmp_path, shared / "limo-eval" / "gpqa" / "test.jsonl", "question", "answer", "id")
    assert made.height == 198
    assert made["text"].str.contains("\u2028").sum() == 1
    assert made["text"].str.contains("\nB. ").all()


def test_benchmarks_from_after_the_cutoff(tmp_path: Path, shared: Path) -> None:
    folder = shared / "benchmarks"
    aime = problems(tmp_path, folder / "aime25.json", "problem", "answer", "id")
    hmmt = problems(tmp_path, folder / "hmmt_feb_2025.jsonl", "problem", None)
    assert (aime.height, aime["gold"][0]) == (30, "70")
    assert (hmmt.height, hmmt["gold"][0]) == (30, "103")


def test_mathematics_and_past_aime_in_one_pool(tmp_path: Path, shared: Path) -> None:
    data = compose(["data=aime_math", f"paths.pools={shared / 'pools'}"]).data
    pool = load_pool(Store(tmp_path), data)
    made = pl.read_parquet(pool.path / "problems.parquet")
    assert dict(made.group_by("source").len().iter_rows()) == {"aime_past": 975, "math_train": 7452}
    counts = json.loads((pool.path / "pool.json").read_text())
    assert (counts["rows"], counts["rejected"], counts["solutions"]) == (8449, 4, 975)
    bands = data.difficulty.bands
    inside = {name: made["level"].is_between(*band).sum() for name, band in bands.items()}
    assert inside == {"simple": 1908, "complex": 5542, "advanced": 975}


def test_gsm8k_answers_follow_hashes(tmp_path: Path, shared: Path) -> None:
    path = shared / "pools" / "gsm8k_test.jsonl"
    data = compose(["data=gsm8k", "data.source=file", f"data.path={path}"]).data
    made = pl.read_parquet(load_pool(Store(tmp_path), data).path / "problems.parquet")
    assert made.height == 1319
    assert made["gold"][:2].to_list() == ["18", "3"]
    assert made["gold"].str.contains(r"^-?[\d,]+(\.\d+)?$").all()
