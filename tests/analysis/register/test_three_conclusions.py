"""Three registered studies, from the plan to the sentence in the report: a difference, equivalence, and no
information."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.analysis.register.freeze import freeze
from limo_ablate.analysis.register.registration import read, with_hash, write
from limo_ablate.report.claims import claims
from limo_ablate.report.study_view import load
from limo_ablate.study.design import load_study
from tests.small_study import QUALITY, ran, small

LATER = "2100-01-01T00:00:00+00:00"
CONTRAST = QUALITY | {"margin": 0.2}


def by_tier(worse: float, better: float) -> Callable[[dict[str, Any]], float]:
    return lambda asked: better if asked["select.quality"] == "L4" else worse


@pytest.mark.parametrize(
    ("accuracy", "conclusion", "holds"),
    [
        (by_tier(0.2, 0.7), "different", lambda row: row["low"] > 0.2 and row["p_adj"] < 0.05),
        (by_tier(0.9, 0.9), "equivalent", lambda row: -0.2 < row["low"] < row["high"] < 0.2),
        (by_tier(-1.0, -1.0), "no information", lambda row: row["p"] is None and row["high"] > 0.02),
    ],
)
def test_a_registered_study_ends_in_a_sentence(
    tmp_path: Path, accuracy: Any, conclusion: str, holds: Callable[[dict[str, Any]], bool]
) -> None:
    folder = small(tmp_path / "made", tmp_path / "store", (CONTRAST,), accuracy, seeds=(0, 1, 2))
    registration = freeze(load_study(str(folder / "study.yaml")), folder, read(folder))
    write(folder, with_hash(replace(registration, finished={})))
    ran(folder, asdict(registration), LATER)
    found = claims(load(folder))
    assert found is not None
    row = found.rows.row(0, named=True)
    assert row["conclusion"] == conclusion
    assert holds(row)
    sentence = found.findings[0][1]
    assert f": {conclusion} (confirmatory). Compared: select.quality L4 against L1 on mini" in sentence
    assert sentence.endswith("; equivalent means within 20 points")
    assert (sentence[:12] == "0.0 points [") == (conclusion == "no information")
    assert found.deviations == []
