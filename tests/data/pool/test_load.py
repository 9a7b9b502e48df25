"""Any source becomes the same tables; what does not fit is listed with its reason."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig, ProblemsConfig
from limo_ablate.data.pool.load import load_benchmark, load_pool
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import DataConfig
from limo_ablate.trial.evaluate.config import BenchmarkConfig


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
    [
        ("missing.jsonl", "no such file"),
        (None, "no path given"),
        ("table.xlsx", "can't read .xlsx files; use one of .jsonl"),
        ("table.parquet", "can't be read"),
        ("", "has .json and .parquet files; name those meant"),
    ],
)
def test_a_source_that_does_not_exist(
    tmp_path: Path, data: DataConfig, path: str | None, message: str
) -> None:
    for name in ("table.xlsx", "table.parquet"):
        (tmp_path / name).write_text("a,b\n")
    with pytest.raises(UserError, match=message):
        load_pool(Store(tmp_path), replace(data, path=None if path is None else str(tmp_path / path)))


def test_an_unknown_column_names_the_nearest(tmp_path: Path, data: DataConfig) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"problems": "q", "answer": 1, "solution": "s"}])
    with pytest.raises(
        UserError, match=r"data\.fields\.problem=problem: not a column of .*p\.jsonl; did you"
    ):
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
    artifact = load_benchmark(Store(tmp_path / "store"), "b", benchmark)
    problems = pl.read_parquet(artifact.path / "problems.parquet")
    assert problems["id"].to_list() == ["0", "1"]
    assert problems["gold"].to_list() == ["0", "1"]


def test_a_benchmark_s_key_leaves_its_sampling_out(tmp_path: Path) -> None:
    fields = FieldsConfig(problem="problem", answer="answer")
    path = jsonl(tmp_path / "b.jsonl", [{"problem": "q", "answer": 1}])
    plain = BenchmarkSetConfig(source="file", split="test", path=path, fields=fields)
    sampled = BenchmarkConfig(
        source="file", path=path, fields=fields, samples=4, temperature=1, top_p=1, max_tokens=8
    )
    store = Store(tmp_path / "store")
    assert load_benchmark(store, "b", plain).key == load_benchmark(store, "b", sampled).key
    limited = load_benchmark(store, "b", replace(plain, limit=1))
    assert limited.key != load_benchmark(store, "b", plain).key


def loaded(tmp_path: Path, data: DataConfig, rows: list[Any], **fields: Any) -> SimpleNamespace:
    """The tables and counts of a pool of `rows`, `fields` set over those of data=jsonl."""
    assert data.fields
    data = replace(data, path=jsonl(tmp_path / "p.jsonl", rows), fields=replace(data.fields, **fields))
    return tables(load_pool(Store(tmp_path / "store"), data).path)


def tables(folder: Path) -> SimpleNamespace:
    names = ("problems", "solutions", "rejected")
    frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in names}
    return SimpleNamespace(**frames, counts=json.loads((folder / "pool.json").read_text()))


BESIDE = {"teacher": "by", "tier": "tier", "correct": "ok", "complete": "done", "tokens": "n", "score": "r"}


def test_lists_beside_a_list_of_solutions(tmp_path: Path, data: DataConfig) -> None:
    row = {"problem": "q", "answer": 1, "solution": ["a", " ", "b", "c"], "by": "r1"}
    row |= {"ok": [True, None, 0, "yes"], "done": [True, True, False, None], "n": [5, 0, 6, 7.0]}
    row |= {"tier": ["L1", "L2", "L3", "L5"], "r": [0.5, None, 1, None]}
    short = {**row, "problem": "q2", "n": [1, 2]}
    pool = loaded(tmp_path, data, [row, short], **BESIDE)
    assert pool.solutions.drop("digest").rows() == [
        (f"{pool.problems['id'][0]}-0", pool.problems["id"][0], "a", "L1", "r1", True, 5, 0.5),
        (f"{pool.problems['id'][0]}-1", pool.problems["id"][0], "c", "L5", "r1", True, 7, None),
    ]
    assert pool.solutions["digest"][0] == hashlib.sha256(b"a").hexdigest()[:16]
    assert pool.rejected.rows() == [
        ("p.jsonl:1", "solution 2: not complete"),
        ("p.jsonl:2", "tokens: 2 values beside 4 solutions"),
    ]
    assert pool.problems["pass_rate"].to_list() == pytest.approx([2 / 3])
    assert pool.counts == {
        "rows": 2, "left_out": 0, "over_limit": 0, "rejected": 1, "levels_unread": 0, "incomplete": 1,
        "problems": 1, "solutions": 2, "unstripped": 0, "without_gold": 0, "own_system": 0,
    }  # fmt: skip


def test_each_teacher_has_its_field(tmp_path: Path, data: DataConfig) -> None:
    rows = [
        {"problem": "q", "answer": 1, "t": "hmm", "a": "so 1", "g": ["x", "y"]},
        {"problem": "p", "answer": 1, "t": None, "a": None, "g": ["z"]},
    ]
    pool = loaded(tmp_path, data, rows, solution={"r1": "{t}\n\n{a}", "gemini": "g"})
    assert pool.solutions["text"].to_list() == ["hmm\n\nso 1", "x", "y", "z"]
    assert pool.solutions["teacher"].to_list() == ["r1", "gemini", "gemini", "gemini"]


def test_pass_rates_are_given_counted_or_refused(tmp_path: Path, data: DataConfig) -> None:
    rates: list[Any] = [0.25, "3/32", "", None, 1.5, "much", True, "4/3", "1/0"]
    rows = [{"problem": f"q{n}", "answer": 1, "rate": rate} for n, rate in enumerate(rates)]
    pool = loaded(tmp_path, data, rows, solution=None, pass_rate="rate")  # noqa: S106
    assert pool.problems["pass_rate"].to_list() == [0.25, 3 / 32, None, None]
    assert pool.rejected["where"].to_list() == [f"p.jsonl:{n}" for n in range(5, 10)]
    assert pool.solutions.height == 0


def test_rows_of_one_problem_pool_their_tries(tmp_path: Path, data: DataConfig) -> None:
    rows = [
        {"problem": "q", "answer": 1, "solution": ["a", "b"], "ok": [True, False], "done": [True, False]},
        {"problem": "p", "answer": 1, "solution": ["a"], "ok": [None], "done": [True]},
        {"problem": "q", "answer": 1, "solution": ["c"], "ok": [False], "done": [False]},
    ]
    pool = loaded(tmp_path, data, rows, correct="ok", complete="done")
    assert pool.problems["pass_rate"].to_list() == [round(1 / 3, 12), None]
    assert pool.counts["incomplete"] == 2


def test_a_stated_gold_answer_is_the_first_solution_s(tmp_path: Path, data: DataConfig) -> None:
    rows = [
        {"problem": "q", "solution": r"so \boxed{1}"},
        {"problem": "q", "solution": r"no, \boxed{2}"},
        {"problem": "q", "solution": "who knows"},
        {"problem": "p", "solution": "the answer is 5"},
    ]
    pool = loaded(tmp_path, data, rows, answer=None)
    assert pool.problems["gold"].to_list() == ["1"]
    assert pool.solutions.height == 3
    assert pool.rejected["where"].to_list() == ["p.jsonl:4"]


def test_where_and_limit(tmp_path: Path, data: DataConfig) -> None:
    kinds = ["math", "code", "logic", "math", "math"]
    rows = [{"problem": f"q{n % 4}", "answer": 1, "m": {"kind": kind}} for n, kind in enumerate(kinds)]
    data = replace(data, where={"m.kind": ["math", "logic"]}, limit=2)
    pool = loaded(tmp_path, data, rows, solution=None)
    assert pool.problems["text"].to_list() == ["q0", "q2"]
    assert (pool.counts["left_out"], pool.counts["over_limit"], pool.rejected.height) == (1, 1, 0)
    with pytest.raises(UserError, match=r"no usable problem among 5 rows \(5 left out by `where`\)"):
        loaded(tmp_path, replace(data, where={"m.kind": "Math"}), rows, solution=None)
    with pytest.raises(UserError, match=r"data.where=m.kin: column m of .* has no kin; did you mean kind\?"):
        loaded(tmp_path, replace(data, where={"m.kin": "math"}), rows, solution=None)


def test_parts_make_one_pool(tmp_path: Path, data: DataConfig) -> None:
    fields = FieldsConfig(problem="problem", answer="answer", solution="solution")
    ours = [
        {"problem": "both", "answer": 1, "solution": "a"},
        {"problem": "odds", "answer": 3, "solution": "b"},
    ]
    theirs = [
        {"q": "both", "a": 1.0, "from": "web"},
        {"q": "odds", "a": 4, "from": "web"},
        {"q": "new", "a": 5, "from": None},
        {"q": "over", "a": 6, "from": None},
    ]
    parts = {
        "ours": ProblemsConfig(source="file", path=jsonl(tmp_path / "a.jsonl", ours), fields=fields),
        "theirs": ProblemsConfig(
            source="file",
            path=jsonl(tmp_path / "b.jsonl", theirs),
            fields=FieldsConfig(problem="q", answer="a", solution="q", source="from"),
            limit=2,
        ),
    }
    both = replace(data, parts=parts, fields=None)
    pool = tables(load_pool(Store(tmp_path / "store"), both).path)
    assert pool.problems.select("text", "gold", "source").rows() == [
        ("both", "1", "ours"), ("odds", "3", "ours"), ("new", "5", "theirs"),
    ]  # fmt: skip
    assert pool.solutions["text"].to_list() == ["a", "b", "both", "new"]
    assert [id_.rpartition("-")[2] for id_ in pool.solutions["id"]] == ["0", "0", "1", "0"]
    assert pool.rejected["where"].to_list() == ["theirs: b.jsonl:2"]
    assert pool.rejected["reason"][0].endswith("is there already with another gold answer")
    turned = replace(both, parts=dict(reversed(parts.items())))
    assert tables(load_pool(Store(tmp_path / "store"), turned).path).problems["gold"].to_list() == ["1", "4"]
    with pytest.raises(UserError, match=r"has data.parts.* set data.path to null, or data.parts.NAME.path"):
        load_pool(Store(tmp_path), replace(both, path="rows.jsonl"))


def test_bad_rows_is_part_of_the_key(tmp_path: Path, data: DataConfig) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"problem": "q", "answer": 1, "solution": "s"}, "nonsense"])
    load_pool(Store(tmp_path), replace(data, path=path))
    with pytest.raises(UserError, match=r"data=jsonl: p.jsonl:2"):
        load_pool(Store(tmp_path), replace(data, path=path, bad_rows="error"))


def test_the_miniature_as_pool_and_benchmark(tmp_path: Path) -> None:
    config = compose(["data.miniature.per_level=2", "data.limit=3"])
    pool = tables(load_pool(Store(tmp_path), config.data).path)
    assert pool.problems.height == 3
    assert pool.solutions.group_by("problem").len()["len"].to_list() == [8, 8, 8]
    assert pool.solutions["id"][0] == f"{pool.problems['id'][0]}-L1"
    for name, benchmark in config.eval.benchmarks.items():
        assert pl.read_parquet(
            load_benchmark(Store(tmp_path), name, benchmark).path / "problems.parquet"
        ).height
    both = replace(config.data, path="rows.jsonl")
    with pytest.raises(UserError, match="neither `path` nor `fields`"):
        load_pool(Store(tmp_path), both)
