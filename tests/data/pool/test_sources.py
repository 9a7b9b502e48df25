"""Every format is read row by row, and what can't be read is said in one line."""

import json
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.sources import file_rows, hub_rows


def test_invalid_lines(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + '{"a": "\u2028"}'.encode(),
        b"",
        b'{"a": "\\ud83d"}',
        b'{"a": "\\ud83d\\ude00"}',
    ]
    lines += [b"[1]", b'{"a": "\xff"}', b'{"a": ' + b"9" * 5000 + b"}", b"[" * 200_000]
    (tmp_path / "r.jsonl").write_bytes(b"\n".join(lines))
    rows = dict(file_rows(str(tmp_path / "r.jsonl")))
    assert rows.pop("r.jsonl:1") == {"a": "\u2028"}
    assert rows.pop("r.jsonl:4") == {"a": "\U0001f600"}
    assert "half a character" in rows.pop("r.jsonl:3")
    assert rows.pop("r.jsonl:5") == "not a JSON object"
    assert list(rows) == ["r.jsonl:6", "r.jsonl:7", "r.jsonl:8"]
    assert all(isinstance(reason, str) and "\n" not in reason for reason in rows.values())


def test_a_key_that_stands_twice_is_no_row(tmp_path: Path) -> None:
    """Which of two answers is meant can't be told; in lines and in a list."""
    twice = '{"q": "1+1?", "a": "3", "a": "2"}'
    (tmp_path / "r.jsonl").write_text(f'{twice}\n{{"q": {{"x": 1, "x": 1}}}}\n{{"q": {{"a": 1}}, "a": 2}}\n')
    rows = [row for _, row in file_rows(str(tmp_path / "r.jsonl"))]
    assert rows[0] == "can't be read: the key 'a' stands in one object twice"
    assert rows[1:] == ["can't be read: the key 'x' stands in one object twice", {"q": {"a": 1}, "a": 2}]
    (tmp_path / "r.json").write_text(f"[{twice}]")
    with pytest.raises(UserError, match="the key 'a' stands in one object twice"):
        list(file_rows(str(tmp_path / "r.json")))


def test_csv_with_long_and_multi_line_cells(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f'q,s\n"two\nlines\u2028",{"x" * 200_000}\n1,2,3\n', encoding="utf-8")
    (_, first), (where, reason) = file_rows(str(path))
    assert isinstance(first, dict)
    assert (first["q"], len(first["s"])) == ("two\nlines\u2028", 200_000)
    assert (where, reason) == ("r.csv:4", "more values than columns")


def test_parquet_and_json_hold_the_same(tmp_path: Path) -> None:
    rows = [{"q": f"q{n}", "turns": [{"text": "a"}, {"text": None}]} for n in range(2500)]
    pl.DataFrame(rows).write_parquet(tmp_path / "r.parquet", row_group_size=700)
    (tmp_path / "r.json").write_text(json.dumps(rows))
    assert [row for _, row in file_rows(str(tmp_path / "r.parquet"))] == rows
    assert [row for _, row in file_rows(str(tmp_path / "r.json"))] == rows


@pytest.mark.parametrize(("text", "message"), [("{}", "a list of objects, found dict"), ("[1,", "not JSON")])
def test_json_must_be_a_list(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=message):
        list(file_rows(str(tmp_path / "r.json")))


def test_a_hub_data_set_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="is a file; it is read with source=file"):
        list(hub_rows(str(tmp_path / "r.jsonl"), None, "train", None))
    with pytest.raises(UserError, match=r"data set .*nothing \(split train\) can't be loaded: ") as error:
        list(hub_rows(str(tmp_path / "nothing"), None, "train", None))
    assert "\n" not in str(error.value)
