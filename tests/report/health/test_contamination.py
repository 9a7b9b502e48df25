"""What the gate found, from artifacts of the real gate; that it was off is said."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import yaml

from limo_ablate.core.artifacts import Store
from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.contamination import flags
from limo_ablate.report.health.contamination import section
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from tests.data.select.sample_pool import SELECT, sample_pool
from tests.made_study import SIZE_QUALITY, Making

SMALL = {**SIZE_QUALITY, "axes": {"select.size": [4, 16], "select.quality": ["L4"]}}
GATE = replace(
    SELECT.contamination,
    policy="report", exact=True, ngrams=(4,), masked_ngrams=(),
    minhash=MinHashConfig(threshold=0.9, shingle=2, permutations=64, seed=0),
)  # fmt: skip
HOSTILE = "Tom has </script><b>twelve</b> red apples"


def study(folder: Path) -> Path:
    return Making(folder, blocks=[SMALL], figures=[], seeds=[0]).write()


def gated(tmp_path: Path, texts: list[str]) -> StudyView:
    """A study whose pool has `texts`, and whose benchmark has `HOSTILE` as its first item."""
    store, folder = Store(tmp_path / "store"), study(tmp_path / "study")
    pool = sample_pool(
        store, [{"id": f"q{i}", "text": text, "gold": "1"} for i, text in enumerate(texts)], []
    )
    items = pl.DataFrame({"id": ["p0", "p1"], "text": [HOSTILE, "Something else"]})
    bench = store.build("benchmark", {}, lambda place: items.write_parquet(place / "problems.parquet"))
    found = flags(store, GATE, pool, {"mini": bench})
    for trial in load(folder).done:
        metrics = json.loads((trial.folder / "metrics.json").read_text())
        metrics["artifacts"]["flags"] = {"key": found.key, "digest": found.digest}
        verdicts = pl.read_parquet(trial.folder / "verdicts.parquet")
        metrics["scores"] = benchmark_scores("mini", Results(verdicts=verdicts), None, {"p0"})
        (trial.folder / "metrics.json").write_text(json.dumps(metrics))
        config = yaml.safe_load((trial.folder / "config.yaml").read_text())
        config["paths"]["artifacts"], config["select"]["contamination"]["policy"] = str(store.root), "report"
        (trial.folder / "config.yaml").write_text(yaml.safe_dump(config))
    return load(folder)


def test_flagged_items_have_counts_evidence_and_clean_scores(tmp_path: Path) -> None:
    made = section(gated(tmp_path, [HOSTILE, "Ann has two pears"]))
    assert made
    assert "only reported" in made.text[0]
    found, clean = made.charts
    assert found.finding == "Flagged problems of the pool: 1. Benchmark items: 1 of mini."
    assert found.table
    assert {tuple(row[:4]) for row in found.table.rows} == {
        ("mini", by, "1", "1.7") for by in ("4 words", "same words", "MinHash", "any method")
    }
    assert made.table
    assert {row[0] for row in made.table.rows} == {"q0"}
    assert "On the 59 clean of 60 items" in clean.finding


def test_a_gate_that_found_nothing_says_so(tmp_path: Path) -> None:
    made = section(gated(tmp_path, ["Ann has two pears"]))
    assert made
    assert "It flagged nothing." in made.text
    assert made.table is None


def test_a_gate_that_was_off_says_so(tmp_path: Path) -> None:
    folder = study(tmp_path)
    for file in folder.glob("trials/*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        config["select"]["contamination"]["policy"] = "none"
        file.write_text(yaml.safe_dump(config))
    made = section(load(folder))
    assert made
    assert "was off" in made.text[0]
    assert not made.charts
