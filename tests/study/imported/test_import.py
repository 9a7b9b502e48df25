"""Logs of other tools become a study: what is right counts, nothing is joined by its place alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import limo_ablate as la
from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.report.claims import claims
from limo_ablate.report.facts import problems
from limo_ablate.report.study_view import load
from limo_ablate.study.imported.config import ImportConfig, read_import
from limo_ablate.study.imported.eval_archive import ZSTANDARD, archive_members
from limo_ablate.study.imported.logs import FORMATS, Reading, digest, format_of
from limo_ablate.study.imported.write import import_study

PROBLEMS = 60
FILES = "logs/{arm}/seed{seed}/samples_gsm8k_*.jsonl"
CONTRAST = {"name": "b against a", "factor": "arm", "a": "a", "b": "b", "score": "gsm8k"}
NAME = "samples_gsm8k_2026-01-01T00-00-00.000000.jsonl"
LOGS = Path(__file__).parents[3].parent / "shared/data/logs"
Row = dict[str, Any]


def harness_row(number: int, right: bool, kept: str = "strict") -> Row:
    """A row of lm-evaluation-harness's samples."""
    return {
        "doc_id": number, "doc": {"question": f"{number}+1?"}, "target": str(number + 1),
        "arguments": {"gen_args_0": {"arg_0": f"Q: {number}+1?"}}, "resps": [[f"It is {number}"]],
        "filter": kept, "metrics": ["exact_match"], "exact_match": float(right),
        "doc_hash": hashlib.sha256(str(number).encode()).hexdigest(),
    }  # fmt: skip


def write_lines(file: Path, rows: list[Row]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two arms, two seeds; arm b is right more often, and its files have the items in another order."""
    monkeypatch.chdir(tmp_path)
    for arm, chance in (("a", 0.3), ("b", 0.7)):
        for seed in (0, 1):
            rng = random.Random(f"{arm}{seed}")
            rows = [harness_row(number, rng.random() < chance) for number in range(PROBLEMS)]
            rng.shuffle(rows)
            write_lines(tmp_path / f"logs/{arm}/seed{seed}/{NAME}", rows)
    return tmp_path


def imported(folder: Path, **keys: Any) -> la.Study:
    config = ImportConfig(**{"name": "arms", "files": FILES, "contrasts": (CONTRAST,), **keys})
    return la.Study(import_study(config, folder / "studies"))


def test_what_a_log_says_is_what_the_study_has(logs: Path) -> None:
    study = imported(logs)
    right = {
        (arm, seed): {digest(row["doc"]): row["exact_match"] for row in map(json.loads, file.open())}
        for arm in ("a", "b")
        for seed in (0, 1)
        for file in [logs / f"logs/{arm}/seed{seed}/{NAME}"]
    }
    trials = study.trials()
    assert {(row["arm"], row["seed"]): row["accuracy"] for row in trials.iter_rows(named=True)} == {
        key: pytest.approx(sum(items.values()) / PROBLEMS) for key, items in right.items()
    }
    items = study.items().join(trials.select("trial", "arm", "seed"), on="trial")
    for row in items.iter_rows(named=True):
        assert row["accuracy"] == right[row["arm"], row["seed"]][row["problem"]]
    (contrast,) = study.contrasts().iter_rows(named=True)
    assert contrast["problems"] == PROBLEMS
    assert contrast["effect"] > 0.3
    assert contrast["kind"] == "exploratory"
    assert study.figures == ["Accuracy on gsm8k"]


def test_its_report_and_comparison(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "logs.yaml").write_text(
        f"name: arms\nfiles: '{FILES}'\ncontrasts: [{json.dumps(CONTRAST)}]\n",
    )
    assert main(["import", "logs.yaml"]) == 0
    assert "outputs/studies/arms: 4 trials" in capsys.readouterr().out
    assert main(["report", "arms"]) == 0, capsys.readouterr().err
    page = (logs / "outputs/studies/arms/report/index.html").read_text()
    assert "Imported from logs that were there before" in page
    assert "<dd>4 logs of lm_eval" in page
    for absent in ("of machine time", "<h2>Methods", "Training curves", "<h2>Contamination"):
        assert absent not in page
    capsys.readouterr()
    assert main(["compare", "a", "b", "--study", "arms"]) == 0
    said = capsys.readouterr().out
    assert "accuracy" in said
    assert not any(word in said for word in ("maj", "no answer", "undecided", "tokens"))
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "arms: imported from logs; `limo-ablate report arms`\n"
    for line in ("status arms", "sweep outputs/studies/arms/study.yaml", "dashboard arms"):
        assert main(line.split()) == 2
        assert "imported from logs" in capsys.readouterr().err


def test_a_contrast_is_over_the_problems_that_its_own_arms_have(logs: Path) -> None:
    """Arm c has 10 of the 60 problems: b against a is over all of them."""
    rows = [harness_row(number, number % 2 == 0) for number in range(10)]
    for seed in (0, 1):
        write_lines(logs / f"logs/c/seed{seed}/{NAME}", rows)
    study = imported(logs, contrasts=(CONTRAST, CONTRAST | {"name": "c against a", "b": "c"}))
    (problem,) = problems(load(study.folder))
    assert problem.text.startswith(
        "gsm8k: 50 of 60 problems are not in all logs; a cell or a contrast is over"
    )
    found = study.contrasts()
    assert found.select("problems", "answered").rows() == [(60, 60), (10, 60)]
    means = dict(
        study.items().join(study.trials().select("trial", "arm"), on="trial")
        .filter(pl.col("problem").is_in([digest({"question": f"{number}+1?"}) for number in range(10)]))
        .group_by("arm").agg(pl.col("accuracy").mean()).iter_rows()
    )  # fmt: skip
    assert found["effect"][1] == pytest.approx(means["c"] - means["a"])
    claim = claims(load(study.folder))
    assert claim is not None
    assert claim.findings[0][1].endswith("b against a on gsm8k")
    assert claim.findings[1][1].endswith(
        "on gsm8k, on 10 of 60 problems (the others lack a result in some trials)"
    )


def test_a_changed_log_makes_its_results_stale(logs: Path) -> None:
    study = imported(logs)
    assert study.trials().height == 4
    write_lines(logs / f"logs/a/seed0/{NAME}", [harness_row(1, True)])
    study.refresh()
    assert study.trials().height == 3
    assert imported(logs).trials().height == 4, "the same command reads the logs anew"


def test_a_study_that_ran_is_not_overwritten(logs: Path) -> None:
    (logs / "studies/arms").mkdir(parents=True)
    with pytest.raises(UserError, match="a study that has run here has that name"):
        imported(logs)


def inspect_log(file: Path, status: str = "success", **samples: list[Any]) -> Path:
    """A log of Inspect: item -> the scores of its epochs. Packed by Zstandard, as the tool does."""
    header = {"status": status, "eval": {"task": "la/demo", "model": "m"}}
    members = {"header.json": header}
    for name, values in samples.items():
        for epoch, value in enumerate(values, 1):
            members[f"samples/{name}_epoch_{epoch}.json"] = {
                "id": name, "epoch": epoch, "input": f"What is {name}?", "target": "4",
                "output": {"completion": "4"}, "scores": {"match": {"value": value}},
            }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            _write_packed(archive, name, json.dumps(content).encode())
    return file


def _write_packed(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """`zipfile` can't pack by Zstandard: the packed bytes are stored, and the method is set afterwards."""
    packed = pa.compress(content, codec="zstd", asbytes=True)
    info = zipfile.ZipInfo(name)
    archive.writestr(info, packed)
    info.compress_type, info.file_size = ZSTANDARD, len(content)


def read(kind: str, file: Path, **keys: Any) -> dict[str, list[tuple[str, int, bool]]]:
    logs = FORMATS.load(kind)(file, Reading(**keys))
    return {log.benchmark: [(one.item, one.sample, one.score) for one in log.samples] for log in logs}


def test_epochs_of_inspect_are_samples(tmp_path: Path) -> None:
    file = inspect_log(tmp_path / "a.eval", q1=["C", "I"], q2=[0.0, 1.0])
    assert format_of(file) == "inspect"
    (found,) = read("inspect", file).values()
    assert [(sample, right) for _, sample, right in found] == [(0, True), (1, False), (0, False), (1, True)]
    assert found[0][0] == found[1][0] != found[2][0]
    with pytest.raises(UserError, match="its status is cancelled, not success"):
        read("inspect", inspect_log(tmp_path / "b.eval", "cancelled", q1=["C"]))
    with pytest.raises(UserError, match=r"epoch 1='P': not a number; a score is 0 \(wrong\) to 1"):
        read("inspect", inspect_log(tmp_path / "c.eval", q1=["P"]))
    with pytest.raises(UserError, match="none of those in it: match"):
        read("inspect", file, score="includes")


def test_a_member_that_unpacks_to_more_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limo_ablate.study.imported.eval_archive.LARGEST", 1000)
    file = inspect_log(tmp_path / "a.eval", **{"q" * 10: ["C"], "long": ["C" * 5000]})
    with pytest.raises(UserError, match="has more than 0 MiB"):
        list(archive_members(file, lambda name: True))
    (tmp_path / "no.eval").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="can't be read: File is not a zip file"):
        list(archive_members(tmp_path / "no.eval", lambda name: True))


def details(file: Path, shares: list[float], samples: int, metric: str = "pass@k") -> Path:
    """A file of lighteval's details."""
    rows = [
        {
            "doc": {"query": f"{n}+1?", "choices": [str(n + 1)], "task_name": "demo|0"},
            "metric": {metric: share}, "model_response": {"text": ["x"] * samples},
        }
        for n, share in enumerate(shares)
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(file)
    return file


def test_shares_of_lighteval_are_counts(tmp_path: Path) -> None:
    file = details(tmp_path / "details_demo.parquet", [0.5, 1.0, 0.0], 2)
    assert format_of(file) == "lighteval"
    (found,) = read("lighteval", file).values()
    assert [right for _, _, right in found] == [True, False, True, True, False, False]
    (single,) = read("lighteval", details(file, [1.0, 0.0], 2)).values()
    assert [right for _, _, right in single] == [True, False]
    (scored,) = read("lighteval", details(file, [0.3, 0.5], 2)).values()
    assert [score for _, _, score in scored] == [0.3, 0.5]
    with pytest.raises(UserError, match=r"pass@k=30: a score is 0 \(wrong\) to 1 \(right\)"):
        read("lighteval", details(file, [30.0], 2))


@pytest.mark.parametrize(
    ("metric", "count"),
    [("pass@k:k=1&n=4", 4), ("avg@n:n=4", 4), ("pass@1:4_samples", 4), ("extractive_match", 4),
     ("pass@k:k=2&n=4", 1), ("pass@k:n=4&k=16", 1), ("maj@n:n=4", 1), ("pass@4", 1)],
)  # fmt: skip
def test_a_metric_that_is_no_mean_over_samples_is_one_score(tmp_path: Path, metric: str, count: int) -> None:
    file = details(tmp_path / "details_demo.parquet", [0.5, 1.0], 4, metric)
    (found,) = read("lighteval", file).values()
    assert len(found) == 2 * count


def test_a_table_has_a_row_for_each_sample(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,ok,set\nq1,1,x\nq1,0,x\nq2,true,x\n")
    with pytest.raises(UserError, match=r"t\.csv:2: no item; columns: id, ok, set"):
        read("table", file, benchmark="set")
    with pytest.raises(UserError, match=r"t\.csv: set `benchmark` to its name"):
        read("table", file, item="id", score="ok")
    with pytest.raises(UserError, match="set='x': not a number"):
        read("table", file, item="id", score="set", benchmark="mine")
    file.write_text("id,ok,set\nq1,True,x\nq1,false,x\nq2,1,y\n")
    found = read("table", file, item="id", score="ok", benchmark="set")
    assert found == {"x": [("q1", 0, True), ("q1", 1, False)], "y": [("q2", 0, True)]}
    assert list(read("table", file, item="id", score="ok", benchmark="mine")) == ["mine"]


def repeated(column: str, values: Sequence[object], items: int = 4) -> list[dict[str, object]]:
    """Each item once for each value of the column."""
    return [
        {"item": item, column: value, "score": (item + place) % 3 // 2, "answer": item}
        for item in range(items)
        for place, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("run", [3, 4]), ("Seed_ID", [0, 1]), ("trial", ["a", "b"]), ("model", ["base", "tuned"]),
        ("k", [0, 1, 2]), ("system", ["x", "y"]),
    ],
)  # fmt: skip
def test_a_column_that_is_not_read_does_not_make_trainings_or_arms_samples(
    tmp_path: Path, column: str, values: list[object]
) -> None:
    rows = repeated(column, values)
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = rf"t\.jsonl.*: an item is there with several values in the column {column}, .*`seed: {column}`"
    with pytest.raises(UserError, match=asked):
        read("table", file, benchmark="exam")
    assert list(read("table", file, benchmark="exam", columns=(column,))) == ["exam"]
    if isinstance(values[0], int):
        read("table", file, benchmark="exam", seed=column)
        read("table", file, benchmark="exam", sample=column)


@pytest.mark.parametrize("column", ["sample_id", "correct", "completion"])
def test_samples_are_numbered_in_order_where_nothing_else_tells_them_apart(
    tmp_path: Path, column: str
) -> None:
    rows = repeated("sample_id", [0, 1])
    for place, row in enumerate(rows):
        row[column] = {"sample_id": place % 2, "correct": row["score"], "completion": f"text {place}"}[column]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read("table", file, benchmark="exam")["exam"]
    assert [sample for _, sample, _ in found] == [0, 1] * 4


def test_a_table_may_hold_all_arms_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        (arm, size, seed, item, (item + seed + (arm == "b")) % 4 / 4)
        for arm in "ab" for size in (4, 16) for seed in (0, 1, 2) for item in range(10)
    ]  # fmt: skip
    head = "arm,size,seed,id,score\n"
    Path("all.csv").write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    for arm, size, seed in {row[:3] for row in rows}:
        own = "".join(",".join(map(str, row)) + "\n" for row in rows if row[:3] == (arm, size, seed))
        Path(f"{arm}-{size}-{seed}.csv").write_text(head + own)
    keys: Row = {
        "item": "id",
        "benchmark": "exam",
        "contrasts": ({"name": "c", "factor": "arm", "a": "a", "b": "b", "score": "exam"},),
    }
    one = imported(tmp_path, files="all.csv", columns=("arm", "size"), seed="seed", **keys)
    many = imported(tmp_path, name="many", files="{arm}-{size}-{seed}.csv", **keys)
    assert one.contrasts().equals(many.contrasts())
    assert_frame_equal(one.cells(), many.cells(), check_row_order=False)
    assert set(one.cells()["size"]) == {4, 16}
    # a seed that is taken for a sample makes the interval too narrow
    with pytest.raises(UserError, match=r"set `seed: seed` where .*`columns: \[seed\]` .*`sample: seed`"):
        imported(tmp_path, files="all.csv", columns=("arm", "size"), **keys)
    with pytest.raises(UserError, match="arm=a: a seed is a whole number"):
        imported(tmp_path, files="a-4-0.csv", columns=("size",), **(keys | {"seed": "arm"}))
    with pytest.raises(UserError, match="arm is set twice"):
        imported(tmp_path, files="{arm}-*.csv", columns=("arm",), **keys)
    with pytest.raises(UserError, match=r"set `columns: \[NAME\]`"):
        imported(tmp_path, files="all.csv", **keys)


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        ([harness_row(1, True), harness_row(1, True, "loose")], {}, "set `filter` to one of those in it: st"),
        ([harness_row(1, True) | {"exact_match": 1.4}], {}, r"exact_match=1\.4: a score is 0 \(wrong\)"),
        ([harness_row(1, True) | {"exact_match": float("nan")}], {}, r"exact_match=nan: a score is 0"),
        ([harness_row(1, True) | {"metrics": ["a", "b"]}], {}, "set `score` to one of those in it: a, b"),
        ([harness_row(1, True)], {"score": "acc"}, "score=acc: none of those in it: exact_match"),
        ([harness_row(1, True) | {"metrics": [[1]]}], {}, "not as lm_eval writes logs"),
        ([{"metrics": 1}], {}, "not as lm_eval writes logs"),
        ([], {}, "set `filter` to one of those in it: there are none"),
    ],
)  # fmt: skip
def test_what_can_t_be_decided_is_asked(tmp_path: Path, rows: list[Row], keys: Row, message: str) -> None:
    file = write_lines(tmp_path / "logs" / "a" / "seed0" / NAME, rows)
    with pytest.raises(UserError, match=message):
        imported(tmp_path, files=str(tmp_path / FILES), contrasts=(), **keys)
    assert file.exists()


def test_a_question_that_is_there_twice_is_two_items(tmp_path: Path) -> None:
    file = write_lines(tmp_path / NAME, [harness_row(1, True), harness_row(1, False) | {"doc_id": 7}])
    (found,) = read("lm_eval", file).values()
    assert [item.partition("-")[2] for item, _, _ in found] == ["", "2"]
    write_lines(file, [harness_row(1, True), harness_row(1, False)])
    with pytest.raises(UserError, match="item 1 is there twice"):
        read("lm_eval", file)


def test_logs_of_older_versions_of_the_harness(tmp_path: Path) -> None:
    """No list of metrics, no filter, no hashes, arguments as a list; and packed."""
    rows = [
        {name: harness_row(n, n > 1)[name] for name in ("doc_id", "doc", "target", "resps", "exact_match")}
        | {"arguments": [[f"Q: {n}?", {}]]}
        for n in range(3)
    ]
    file = tmp_path / f"{NAME}.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert format_of(file) == "lm_eval"
    (log,) = FORMATS.load("lm_eval")(file, Reading())
    assert log.benchmark == "gsm8k"
    assert [(one.item, one.score, one.prompt) for one in log.samples] == [
        (digest(row["doc"]), n > 1, f"Q: {n}?") for n, row in enumerate(rows)
    ]
    with pytest.raises(UserError, match="score=acc: none of those in it: exact_match"):
        read("lm_eval", file, score="acc")


def test_levels_are_numbers_only_where_all_are_written_as_such(tmp_path: Path) -> None:
    for name in ("1.1", "1.10"):
        write_lines(tmp_path / name / "samples_x.jsonl", [harness_row(1, True)])
    config = ImportConfig(name="n", files=f"{tmp_path}/{{version}}/*.jsonl")
    assert [levels["version"] for _, levels, _ in config.found()] == ["1.1", "1.10"]
    for name in ("12e45678", "8", "64"):
        write_lines(tmp_path / "b" / name / "samples_x.jsonl", [harness_row(1, True)])
    config = ImportConfig(name="n", files=f"{tmp_path}/b/{{size}}/*.jsonl")
    assert {levels["size"] for _, levels, _ in config.found()} == {"12e45678", "8", "64"}
    (tmp_path / "b/12e45678/samples_x.jsonl").unlink()
    assert {levels["size"] for _, levels, _ in config.found()} == {8, 64}


def test_what_is_declared_wrongly_leaves_nothing_behind(logs: Path) -> None:
    with pytest.raises(UserError, match=r"score=gsm8; did you mean gsm8k\? In the logs: gsm8k"):
        imported(logs, contrasts=({**CONTRAST, "score": "gsm8"},))
    assert list((logs / "studies").iterdir()) == []
    study = imported(logs)
    (study.folder / "notes.md").write_text("mine")
    assert (imported(logs).folder / "notes.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files: x/{arm}\n", "name is missing"),
        ("name: n\nfiles: logs/*.jsonl\n", r"no \{factor\} in it"),
        ("name: n\nfiles: '{a}/{a}'\n", r"a is set twice"),
        ("name: n\nfiles: '{arm}/x'\nformat: helm\n", "format=helm: not a choice|helm"),
        ("name: n\nfiles: '{arm}/x'\nscores: 1\n", "scores: unknown key"),
        ("name: n\nfiles: '{tokens}/x'\n", "tokens is a column of the results"),
        ("- 1\n", "a YAML file that says where logs are is needed"),
        ("item,score\nq1,1\n", "a YAML file that says where logs are is needed, as `files: PATTERN`"),
        ("a: [\n", "not readable as YAML: "),
        ("name: ../n\nfiles: '{arm}/x'\n", "a study's name is a folder's name"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "logs.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_import(tmp_path / "logs.yaml")
    assert "\n" not in str(error.value)


def test_two_logs_of_one_trial_are_refused(logs: Path) -> None:
    write_lines(logs / "logs/a/seed0/samples_gsm8k_2026-02-02T00-00-00.000000.jsonl", [harness_row(1, True)])
    with pytest.raises(UserError, match="a second log of gsm8k for arm=a, seed 0"):
        imported(logs)


@pytest.mark.skipif(not LOGS.is_dir(), reason="real logs are not here")
@pytest.mark.parametrize(
    ("pattern", "keys", "count"),
    [
        ("lm_eval/{model}/samples_la_gen_*.jsonl", {"filter": "flexible"}, None),
        ("lm_eval/{model}/samples_la_mc_*.jsonl", {"score": "acc"}, None),
        ("{tool}/*.eval", {"score": "match"}, 6),
        ("{tool}/*.json", {"score": "match"}, 6),
        ("lighteval/details/{model}/*/*.parquet", {"score": "extractive_match"}, 3),
    ],
)
def test_real_logs(tmp_path: Path, pattern: str, keys: Row, count: int | None) -> None:
    study = imported(tmp_path, files=str(LOGS / pattern), contrasts=(), **keys)
    (row,) = study.trials().iter_rows(named=True)
    assert 0 <= row["accuracy"] <= 1
    assert count is None or row["problems"] * row["samples"] == count


def test_why_says_where_an_imported_trial_comes_from_and_what_it_lacks(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = logs / f"logs/b/seed1/{NAME}"
    short.write_text("".join(short.read_text().splitlines(keepends=True)[3:]))
    study = imported(logs).folder
    (logs / f"logs/a/seed0/{NAME}").unlink()
    changed = logs / f"logs/b/seed0/{NAME}"
    changed.write_text(changed.read_text() + "\n")
    assert main(["why", "b-s1", "--study", str(study)]) == 0
    said = capsys.readouterr().out
    assert "b-s1: imported from logs of lm_eval, so nothing of it would run" in said
    assert "  factors  arm=b, seed 1\n" in said
    assert f"  logs     logs/b/seed1/{NAME} (unchanged since)\n" in said
    assert "57 items × 1 sample" in said
    assert "  missing  3 of 60 items of gsm8k\n" in said
    states = []
    for name in ("a-s0", "b-s0"):
        assert main(["why", name, "--study", str(study), "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        states += found["logs"].values()
    assert states == ["not here", "has changed since"]
    assert main(["why", "nonsense", "--study", str(study)]) == 2
    assert "no trial or cell of arms" in capsys.readouterr().err
