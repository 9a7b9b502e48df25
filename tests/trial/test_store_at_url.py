"""A trial whose store is at a URL: another machine, with folders of its own, finds all of it there."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core import remote_store
from limo_ablate.core.errors import UserError
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.known import Known
from limo_ablate.trial.run import run_trial
from tests.trial.test_trial import TINY


def on_a_machine(place: Path, url: str, *overrides: str) -> dict[str, Any]:
    """Runs the trial as a machine whose files are in `place`."""
    remote_store.remote_store.cache_clear()  # a process of its own
    config = compose([*TINY, f"paths.artifacts={url}", f"paths.cache={place}/cache", *overrides])
    assert Known().denied(config) is None
    return run_trial(config, place / "trial", TrialLabels(study="test", cell={}, name="cell"))


def check_found_on_another_machine(folder: Path, url: str) -> None:
    made = on_a_machine(folder / "a", url)
    found = on_a_machine(folder / "b", url)
    assert found["artifacts"] == made["artifacts"]
    assert found["verdicts"] == made["verdicts"]
    assert found["scores"] == made["scores"]
    assert not any(found["seconds"].values()), "nothing is made"
    tables = [pl.read_parquet(folder / name / "trial" / "completions.parquet") for name in ("a", "b")]
    assert tables[0].equals(tables[1])

    more = on_a_machine(folder / "c", url, "eval.benchmarks.mini.miniature.per_level=3")
    assert [stage for stage, seconds in more["seconds"].items() if seconds and "/" not in stage] == []
    (drawn,) = (folder / "c/cache").glob("*/drawn/*.jsonl")
    of_first = {
        json.loads(line)["problem"] for line in next((folder / "a/cache").glob("*/drawn/*.jsonl")).open()
    }
    assert of_first <= {json.loads(line)["problem"] for line in drawn.open()}


def test_another_machine_finds_all_of_it(tmp_path: Path) -> None:
    check_found_on_another_machine(tmp_path, f"file://{tmp_path}/there")


def test_a_url_with_a_key_in_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"paths\.artifacts: leave passwords and keys out"):
        compose(["paths.artifacts='s3://me:secret@bucket/x'"])
    with pytest.raises(UserError, match=r"paths\.cache_gb=0 must be positive"):
        compose(["paths.cache_gb=0"])
