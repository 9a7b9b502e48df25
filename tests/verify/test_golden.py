"""The golden set: realistic completions with their labels, one file a category, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limo_ablate.verify import verify

FILES = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_labels(file: Path) -> None:
    wrong = []
    for row in rows(file):
        verdict = verify(str(row["completion"]), str(row["gold"]))
        if verdict.correct != row["expected"]:
            wrong.append((row, verdict))
    assert not wrong


def test_size() -> None:
    assert len(FILES) >= 40
    assert sum(len(rows(file)) for file in FILES) >= 600
