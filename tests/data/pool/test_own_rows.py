"""Rows as people have them: prompts cut off, new lines in templates, golds that are missing or equal."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store, json_default
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig, ProblemsConfig
from limo_ablate.data.pool.fields import check_fields, field_value
from limo_ablate.data.pool.load import load_benchmark, load_pool, pool_counts, unused_rows
from limo_ablate.data.pool.values import same_gold
from limo_ablate.data.select.correctness import grades
from limo_ablate.data.select.dedup import duplicates
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import DataConfig
from tests.data.select.sample_pool import SELECT, choose, sample_pool


@pytest.fixture
def data() -> DataConfig:
    return compose(["data=jsonl"]).data


def loaded(tmp_path: Path, data: DataConfig, rows: list[dict[str, Any]], **fields: Any) -> Artifact:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert data.fields
    return load_pool(
        Store(tmp_path / "store"), replace(data, path=str(path), fields=replace(data.fields, **fields))
    )


def texts(pool: Artifact) -> list[str]:
    return pl.read_parquet(pool.path / "problems.parquet")["text"].to_list()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strip_prefix": "Question:"}, ["2+2?  Think.", "3+3?"]),
        ({"strip_suffix": "re:Think\\."}, ["Question: 2+2?", "3+3?"]),
        ({"strip_prefix": "re:(Question|Task):", "strip_suffix": "Think."}, ["2+2?", "3+3?"]),
        ({"strip": "?"}, ["Question: 2+2  Think.", "3+3"]),
    ],
)
def test_what_stands_around_a_problem_is_cut_off(
    tmp_path: Path, data: DataConfig, fields: dict[str, str], expected: list[str]
) -> None:
    rows = [
        {"problem": "Question: 2+2?  Think.", "answer": 4, "solution": "4"},
        {"problem": "3+3?", "answer": 6, "solution": "6"},
    ]
    pool = loaded(tmp_path, data, rows, **fields)
    assert texts(pool) == expected
    unstripped = 0 if fields == {"strip": "?"} else 1
    assert pool_counts(pool)["unstripped"] == unstripped
    told = any("without what data.fields.strip" in line for line in unused_rows(pool_counts(pool)))
    assert told == bool(unstripped)


def test_an_expression_that_is_wrong_or_slow_is_refused(tmp_path: Path, data: DataConfig) -> None:
    with pytest.raises(UserError, match=r"fields.strip=re:\(: not a regular expression"):
        FieldsConfig(problem="problem", answer="answer", strip="re:(")
    rows = [{"problem": "a" * 60 + "b", "answer": 4, "solution": "4"}]
    with pytest.raises(UserError, match=r"fields.strip=re:\(a\|aa\)\+\$: takes over 1 s"):
        loaded(tmp_path, data, rows, strip="re:(a|aa)+$")


def test_keys_that_are_not_set_are_in_no_key() -> None:
    assert not {"strip", "strip_prefix"} & json_default(FieldsConfig(problem="p", answer="a")).keys()


def test_nothing_left_is_a_rejected_row(tmp_path: Path, data: DataConfig) -> None:
    rows = [{"problem": f"Solve:{end}", "answer": 1, "solution": "1"} for end in ("", " 1")]
    pool = loaded(tmp_path, data, rows, strip_prefix="Solve:")
    assert texts(pool) == ["1"]
    assert "nothing is left" in pl.read_parquet(pool.path / "rejected.parquet")["reason"][0]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{a}\n{b}", "x\ny"),
        ("{a}\\n{b}", "x\ny"),
        ("{a}\\t{b}", "x\ty"),
        ("{a}\\\\n{b}", "x\\ny"),
        ("{a}\\pi{b}", "x\\piy"),
    ],
)
def test_a_template_s_new_line_however_it_is_quoted(template: str, text: str) -> None:
    assert field_value({"a": "x", "b": "y"}, template) == text


def test_nested_keys_with_dots_and_columns_of_any_script() -> None:
    row = {"extra": {"rate": {"R1-1.5B": 3, "R1": {"5B": 4}}}, "a.b": 1, "问题": {"文.本": "二"}}
    fields = ("extra.rate.R1-1.5B", "extra.rate.R1.5B", "a.b", "问题.文.本", "{问题.文.本}!")
    assert [field_value(row, field) for field in fields] == [3, 4, 1, "二", "二!"]
    config = ProblemsConfig(
        source="file", path="f", fields=FieldsConfig(problem="问题.文.本", answer="extra.rate.R1-1.5B")
    )
    check_fields(config, row, "data")
    quoted = compose(["data=jsonl", "data.fields.problem='问题.文.本'"]).data.fields
    assert quoted
    assert quoted.problem == "问题.文.本"


def test_a_new_line_typed_on_the_command_line() -> None:
    fields = compose(["data=jsonl", r"data.fields.problem='{a}\n{b}'"]).data.fields
    assert fields
    assert field_value({"a": "x", "b": "y"}, fields.problem) == "x\ny"


def test_rows_without_gold_can_be_kept_and_are_not_graded(tmp_path: Path, data: DataConfig) -> None:
    rows = [
        {"problem": "Say hi", "solution": "Hi"},
        {"problem": "2+2?", "solution": "It is \\boxed{4}"},
        {"problem": "Say hi", "solution": "Hello"},
    ]
    with pytest.raises(UserError, match=r"data\.without_gold=keep trains on"):
        loaded(tmp_path, data, rows[:1], answer=None)
    pool = loaded(tmp_path, replace(data, without_gold="keep"), rows, answer=None)
    problems = pl.read_parquet(pool.path / "problems.parquet")
    assert problems["gold"].to_list() == [None, "4"]
    assert pool_counts(pool)["without_gold"] == 1
    assert pool_counts(pool)["solutions"] == 3
    store = Store(tmp_path / "store")
    config = replace(SELECT, size=None, quality="any", solutions=2)
    assert choose(store, pool, config, replace(data, without_gold="keep")).rows.height == 3
    with pytest.raises(UserError, match="1 problem of the pool without a gold answer: solutions can"):
        grades(store, pool)
    with pytest.raises(UserError, match="perturb=format_only: a chosen problem has no gold answer"):
        choose(store, pool, replace(config, perturb="format_only"), data)


def test_the_data_s_own_flags_choose_solutions(tmp_path: Path) -> None:
    solutions = [
        {"problem": "a", "text": "one", "correct": True},
        {"problem": "a", "text": "two", "correct": False},
        {"problem": "b", "text": "three", "correct": None},
    ]
    pool = sample_pool(Store(tmp_path), [{"id": "a", "gold": "1"}, {"id": "b", "gold": "2"}], solutions)
    config = replace(SELECT, size=None, quality="any", solutions=3)
    for wanted, expected in (("marked_correct", ["one"]), ("marked_wrong", ["two"])):
        rows = choose(Store(tmp_path), pool, replace(config, correctness=wanted)).rows  # type: ignore[arg-type]
        assert rows["response"].to_list() == expected
    unmarked = sample_pool(Store(tmp_path), [{"id": "a", "gold": "1"}], [{"problem": "a", "text": "one"}])
    with pytest.raises(UserError, match="the data marks no solution as right or wrong; set"):
        choose(Store(tmp_path), unmarked, replace(config, correctness="marked_correct"))


@pytest.mark.parametrize(
    "golds",
    [
        ("1/2", "\\frac12", "0.5", "\\frac{1}{2}", "$0.50$", "\\dfrac{2}{4}"),
        ("8", "8.0", " 8 "),
        ("1,000", "1000"),
    ],
)
def test_golds_that_are_one_number(tmp_path: Path, golds: tuple[str, ...], data: DataConfig) -> None:
    assert len({same_gold(gold) for gold in golds}) == 1
    rows = [{"problem": "Find it.", "answer": gold, "solution": f"s{i}"} for i, gold in enumerate(golds)]
    counts = pool_counts(loaded(tmp_path, data, rows))
    assert (counts["problems"], counts["solutions"], counts["rejected"]) == (1, len(golds), 0)


def test_duplicates_have_equal_answers(tmp_path: Path) -> None:
    golds = ["1/2", "\\frac12", "0.5", "x = \\frac{1}{2}", "2", None, None, "0.51"]
    problems = [{"id": str(i), "text": "Find half!"[: 10 - i % 2], "gold": g} for i, g in enumerate(golds)]
    store = Store(tmp_path)
    found = duplicates(store, "separate", sample_pool(store, problems, []))
    groups = pl.read_parquet(found.path / "duplicates.parquet")["group"].to_list()
    assert groups == ["0", "0", "0", "0", "4", "5", "5", "7"]


def test_distinct_problems_of_another_script_are_distinct(tmp_path: Path) -> None:
    problems = [
        {"id": f"{word}-{number}", "text": f"{word} будет {number} и {number}?", "gold": "1"}
        for word in ("Сколько", "Чему равно")
        for number in range(30)
    ]
    store = Store(tmp_path)
    found = duplicates(store, "separate", sample_pool(store, problems, []))
    assert pl.read_parquet(found.path / "duplicates.parquet")["group"].n_unique() == 60


def test_a_file_with_a_row_for_each_sample_is_its_problems(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"problem": f"What is {i} and {i}?", "answer": 2 * i} for i in range(5)]
    for name, many in (("samples", rows * 4), ("twice", [*rows, rows[0]])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in many))
        benchmark = BenchmarkSetConfig(
            source="file", path=str(path), fields=FieldsConfig(problem="problem", answer="answer")
        )
        made = load_benchmark(Store(tmp_path / "store"), name, benchmark)
        items = pl.read_parquet(made.path / "problems.parquet")
        assert items.height == (5 if name == "samples" else 6)
    assert "samples: its 20 rows are 5 different problems; repeats are left out" in caplog.text
    assert "twice: 1 of 6 rows repeat an earlier problem" in caplog.text


def test_golds_and_repeats_of_the_second_round(tmp_path: Path, shared: Path, data: DataConfig) -> None:
    folder = shared / "round2"
    if not folder.is_dir():
        pytest.skip("the second round's inputs are not in ../shared/data")
    store = Store(tmp_path)
    assert data.fields
    fields = replace(data.fields, solution=None)
    for name, problems in (("dup_gold_pool", 1), ("ru_pool", 60)):
        pool = load_pool(store, replace(data, path=str(folder / f"{name}.jsonl"), fields=fields))
        groups = duplicates(store, "separate", pool)
        assert pl.read_parquet(groups.path / "duplicates.parquet")["group"].n_unique() == problems
    exam = BenchmarkSetConfig(source="file", path=str(folder / "exam_x32.jsonl"), fields=fields)
    made = load_benchmark(store, "exam", exam)
    assert pl.read_parquet(made.path / "problems.parquet").height == 5
