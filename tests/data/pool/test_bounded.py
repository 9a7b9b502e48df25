"""Files that hold more than they seem to, or rows that never end: one line, in little memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limo_ablate.core import lines
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool import parquet_rows, sources
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.schema import read_row
from limo_ablate.data.pool.sources import file_rows, hub_rows
from limo_ablate.data.pool.values import BadRow
from limo_ablate.verify.score import grade_file

LONG = 2**16


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a few kilobytes, so that the tests need no gigabytes."""
    for module in (lines, parquet_rows, sources):
        monkeypatch.setattr(module, "LONGEST", LONG)
    monkeypatch.setattr(parquet_rows, "LARGE", 2**20)
    monkeypatch.setattr(sources, "LONGEST_FILE", 2 * LONG)


def endless(path: Path, start: str) -> Path:
    """A file of a gigabyte, most of it a hole that takes no room."""
    path.write_text(start)
    with path.open("r+b") as file:
        file.truncate(2**30)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json"])
def test_a_row_of_gigabytes_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    file = endless(tmp_path / name, "a,b\n" if name.endswith("csv") else "{")
    tracemalloc.start()
    with pytest.raises(
        UserError, match=r"(a line has more than|bytes; a \.json file is read whole)"
    ) as error:
        list(file_rows(str(file)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 * LONG
    assert str(file) in str(error.value)
    with pytest.raises(UserError, match="a line has more than"):
        grade_file(endless(tmp_path / "answers.jsonl", "{"))


def test_a_field_of_a_csv_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('a,b\n"' + "x\n" * LONG + '",1\n')
    with pytest.raises(UserError, match="field larger than field limit"):
        list(file_rows(str(tmp_path / "rows.csv")))


@pytest.mark.parametrize("content", ["[" * 60_000, '{"gold": ' + "9" * 5000 + "}"])
def test_a_row_that_json_can_not_read_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"answers\.jsonl:1: not JSON"):
        grade_file(tmp_path / "answers.jsonl")


def bomb(path: Path, column: pa.Array, **settings: object) -> Path:
    pq.write_table(pa.table({"problem": column}), path, compression="zstd", **settings)
    return path


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text])).cast(
        pa.string()
    )


def test_one_long_text_for_many_rows_is_refused(tmp_path: Path) -> None:
    file = bomb(tmp_path / "rows.parquet", repeated("x" * 2 * LONG, 3000))
    assert file.stat().st_size < 2000
    with pytest.raises(UserError, match=r"rows\.parquet: a text has more than"):
        list(file_rows(str(file)))


def test_long_texts_in_lists_are_refused(tmp_path: Path) -> None:
    turns = [[{"role": "user", "content": "x" * 2 * LONG}]] * 500
    file = bomb(tmp_path / "rows.parquet", pa.array(turns))
    with pytest.raises(UserError, match="a text has more than"):
        list(file_rows(str(file)))


def test_pages_of_zeros_are_refused(tmp_path: Path) -> None:
    texts = pa.array([chr(97 + n % 26) * 2 * LONG for n in range(100)])
    file = bomb(tmp_path / "rows.parquet", texts, use_dictionary=False)
    with pytest.raises(UserError, match="a text has more than"):
        list(file_rows(str(file)))


def test_more_rows_than_can_be_meant_are_refused(tmp_path: Path) -> None:
    file = bomb(tmp_path / "rows.parquet", repeated("2+2?", 3_000_000))
    with pytest.raises(UserError, match=r"3000000 rows in \d+ bytes can't be examples"):
        list(file_rows(str(file)))


def test_a_snapshot_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    bomb(tmp_path / "train.parquet", repeated("x" * 2 * LONG, 3000))
    with pytest.raises(UserError, match=r"train\.parquet: a text has more than"):
        list(hub_rows(str(tmp_path), None, "train", None))
    (tmp_path / "train.parquet").unlink()
    with ZipFile(tmp_path / "train.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("train.jsonl", bytes(2**21))
    with pytest.raises(UserError, match=r"train\.zip: it unpacks to 2097152 bytes, over 100 times"):
        list(hub_rows(str(tmp_path), None, "train", None))


def test_packed_rows_that_are_short_enough_are_read(tmp_path: Path) -> None:
    """A long system prompt in every row, a null, and turns of a conversation."""
    rows = [
        {"problem": f"{n}+1?", "system": "x" * (LONG // 2), "turns": [{"role": "user", "content": str(n)}]}
        for n in range(200)
    ]
    rows[7] |= {"problem": None, "turns": None}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", compression="zstd")
    with pq.ParquetFile(tmp_path / "rows.parquet") as table:
        assert parquet_rows._is_packed(table.metadata)
    assert [row for _, row in file_rows(str(tmp_path / "rows.parquet"))] == rows
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row for _, row in file_rows(str(tmp_path / "rows.jsonl"))] == rows


def test_values_that_are_nested_too_deep_are_rejected_rows() -> None:
    deep = json.loads("[" * 900 + "1" + "]" * 900)
    with pytest.raises(BadRow, match="answer: lists or objects nested more than 32 deep"):
        read_row({"q": "x", "a": deep}, FieldsConfig(problem="q", answer="a"), "made")
    with pytest.raises(BadRow, match="answer: lists or objects nested more than 32 deep"):
        read_row({"q": "x", "a": f'["a", {json.dumps(deep)}]'}, FieldsConfig(problem="q", answer="a"), "made")
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    with pytest.raises(BadRow, match="tools or calls nested more than 32 deep"):
        read_row({"m": turns, "tools": deep}, FieldsConfig(problem="m", answer=None, solution="m"), "made")
