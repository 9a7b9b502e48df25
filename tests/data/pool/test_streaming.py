"""Memory holds a few numbers for each problem, whatever the size of its solutions."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.data.pool import tables as tables_module
from limo_ablate.data.pool.pool_index import Source
from limo_ablate.data.pool.schema import ParsedRow
from limo_ablate.data.pool.tables import Tables

ROWS = 20_000


def entries(characters: int) -> Iterator[ParsedRow]:
    for number in range(ROWS):
        text = f"problem {number % (ROWS // 2)}"
        problem = {"id": None, "text": text, "gold": "1", "source": "s", "level": None, "subject": None}
        yield ParsedRow(
            problem, [{"text": f"{number} ".ljust(characters, "x")}], tries=(float(number % 2), 1.0)
        )


def peak(folder: Path, characters: int) -> int:
    folder.mkdir()
    tracemalloc.start()
    with Tables(folder, pool=True) as tables:
        for entry in entries(characters):
            tables.add(entry, "", Source(0, None))
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_solutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "BATCH_CHARACTERS", 200_000)
    monkeypatch.setattr(tables_module, "BATCH_ROWS", 500)
    peak(tmp_path / "first", 20)  # imports what is imported on first use
    short, long = peak(tmp_path / "short", 20), peak(tmp_path / "long", 2000)
    assert long - short < 5_000_000 < ROWS * 2000 / 5
    assert short < 400 * ROWS / 2 + 1_000_000


def test_batches_come_out_as_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "BATCH_ROWS", 300)
    peak(tmp_path / "p", 20)
    problems = pl.read_parquet(tmp_path / "p" / "problems.parquet")
    solutions = pl.read_parquet(tmp_path / "p" / "solutions.parquet")
    assert problems["text"].to_list() == [f"problem {n}" for n in range(ROWS // 2)]
    assert problems["pass_rate"].to_list() == [float(n % 2) for n in range(ROWS // 2)]
    assert solutions["id"].n_unique() == ROWS
    assert solutions["text"].str.split(" ").list[0].cast(pl.Int64).to_list() == list(range(ROWS))
    assert not (tmp_path / "p" / "problems.unrated").exists()
