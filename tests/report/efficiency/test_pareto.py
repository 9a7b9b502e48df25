"""The front of accuracy and cost."""

from pathlib import Path

import polars as pl

from limo_ablate.report.efficiency.pareto import amount, front, section
from limo_ablate.report.study_view import load
from tests.made_study import FIGURES, SIZE_QUALITY, Making


def test_the_front_is_higher_than_all_cheaper_ones_and_the_base() -> None:
    cells = pl.DataFrame(
        {"cell": ["base", "a", "b", "c", "d", "e"], "tokens": [None, 10, 20, 30, 30, 40], "mean": [0.2, 0.1, 0.5, 0.4, 0.6, 0.6]}  # noqa: E501
    )  # fmt: skip
    shown = front(cells, "tokens")
    assert shown["cell"].to_list() == ["a", "b", "d", "c", "e"]
    assert dict(shown.select("cell", "place").iter_rows()) == {
        "a": None,
        "b": 1,
        "c": None,
        "d": 2,
        "e": None,
    }


def test_costs_that_all_cells_share_are_not_drawn(tmp_path: Path) -> None:
    assert (
        section(load(Making(tmp_path, blocks=[SIZE_QUALITY], figures=[FIGURES[0]], seeds=[0]).write()))
        is None
    )


def test_time_counts_devices_and_only_counted_costs_are_named(tmp_path: Path) -> None:
    import json

    folder = Making(tmp_path, blocks=[SIZE_QUALITY], figures=[FIGURES[0]], seeds=[0, 1]).write()
    for trial in folder.glob("trials/*"):
        metrics = json.loads((trial / "metrics.json").read_text())
        size = metrics["cell"]["select.size"]
        metrics["train"] |= {"tokens": 100 * size, "seconds": 1.0 * size}
        (trial / "metrics.json").write_text(json.dumps(metrics))
    found = section(load(folder))
    assert found
    assert [picture.id for picture in found.charts] == ["pareto-tokens", "pareto-time"]
    assert "core-seconds" in found.charts[1].title
    table = found.charts[0].table
    assert table
    assert {row[2] for row in table.rows} == {"400", "1,600", "6,400", "25,600"}


def test_amounts_have_three_digits() -> None:
    assert [amount(x) for x in (0.01234, 4.5678, 34100.0, 32.76e6, 7e9)] == [
        "0.0123",
        "4.57",
        "34,100",
        "32.8 M",
        "7 G",
    ]
