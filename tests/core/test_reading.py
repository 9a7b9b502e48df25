"""What others may have written is read within limits, and refused in one line that names the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NotRequired, TypedDict

import pytest

from limo_ablate.core import reading
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json, read_text, read_yaml


class Row(TypedDict):
    name: str
    steps: list[int]
    ratio: NotRequired[float]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b"[" * 200 + b"]" * 200, "nested too deeply"),
        (b"\xff{}", "not UTF-8"),
        (b'{"name": "a", "steps": [1', "not JSON"),
        (b"[]", "expected a mapping"),
        (b'{"name": "a"}', "steps: missing"),
        (b'{"name": ["a"], "steps": []}', r"name=\['a'\]: expected text"),
        (b'{"name": "a", "steps": [1, "2"]}', r"steps\[1\]='2': expected a whole number"),
        (b'{"name": "a", "steps": [], "ratio": 1' + b"0" * 400 + b"}", "ratio=10"),
        (b'{"name": "a", "steps": [' + b"9" * 5000 + b"]}", "not JSON"),
        (b'{"name": "\\ud800", "steps": []}', "not JSON"),
    ],
)
def test_json_of_any_kind_is_refused_in_one_line(tmp_path: Path, text: bytes, why: str) -> None:
    path = tmp_path / "row.json"
    path.write_bytes(text)
    with pytest.raises(
        UserError, match=rf"row\.json: can't be read: .*{why}.*; .*restore it, or remove it"
    ) as error:
        read_json(path, Row)
    assert len(str(error.value)) < 700
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ("a: &a [1]\nb: *a", "it has an alias"),
        ("a: !!python/object/apply:os.getpid []", "not YAML"),
        ("a: 2026-13-45", "not YAML"),
        ("- 1", "expected a mapping"),
        ("", "expected a mapping"),
    ],
)
def test_yaml_of_any_kind_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"config\.yaml: can't be read: .*{why}"):
        read_yaml(path)


def test_no_pipe_no_link_and_no_endless_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a pipe or a device, where a file belongs"):
        read_text(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="a link"):
        read_text(tmp_path / "link")
    with pytest.raises(UserError, match="a folder, a pipe or a device"):
        read_text(tmp_path)
    monkeypatch.setattr(reading, "LARGEST", 1 << 20)
    (tmp_path / "long").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(UserError, match="more than 1 MiB"):
        read_text(tmp_path / "long", 1 << 20)


def test_what_fits_is_read(tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text('{"name": "a", "steps": [1], "ratio": 2, "more": [[]]}')
    assert read_json(tmp_path / "row.json", Row) == {"name": "a", "steps": [1], "ratio": 2.0, "more": [[]]}
