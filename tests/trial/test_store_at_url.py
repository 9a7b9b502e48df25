"""A trial whose store is at a URL: another machine, with folders of its own, finds all of it there."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from obstore.store import MemoryStore

from limo_ablate.core.errors import UserError
from limo_ablate.core.remote import store as remote_store
from limo_ablate.core.remote.object_store import ObjectStore
from limo_ablate.core.remote.store import RemoteStore
from limo_ablate.model.generate.completion_cache import Completion, open_file
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.known import Known
from limo_ablate.trial.run import run_trial
from tests.trial.test_trial import TINY


def on_a_machine(place: Path, url: str) -> dict[str, Any]:
    """Runs the trial as a machine whose files are in `place`."""
    remote_store.remote_store.cache_clear()  # a process of its own
    config = compose([*TINY, f"paths.artifacts={url}", f"paths.cache={place}/cache"])
    assert Known().denied(config) is None
    return run_trial(config, place / "trial", TrialLabels(study="test", cell={}, name="cell"))


def check_found_on_another_machine(folder: Path, url: str) -> None:
    made = on_a_machine(folder / "a", url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemoteStore, "_publish", lambda *_: pytest.fail("an artifact was made again"))
        found = on_a_machine(folder / "b", url)
    assert found["artifacts"] == made["artifacts"]
    assert found["verdicts"] == made["verdicts"]
    assert found["scores"] == made["scores"]
    tables = [pl.read_parquet(folder / name / "trial" / "completions.parquet") for name in ("a", "b")]
    assert tables[0].equals(tables[1])


def test_another_machine_finds_all_of_it(tmp_path: Path) -> None:
    check_found_on_another_machine(tmp_path, f"file://{tmp_path}/there")


def test_completions_of_a_machine_that_died_are_not_generated_again(tmp_path: Path) -> None:
    client, inputs = MemoryStore(), {"model": "m"}
    requests = [Request(str(n), 0, "prompt", [], Sampling(0.0, 1.0, 8, 0)) for n in range(3)]

    def draw(name: str, request: Request, *, dies: bool = False) -> list[bool]:
        """Which of the requests a machine finds, before it draws one."""
        store = RemoteStore(ObjectStore("s3://bucket/x", client), tmp_path / name, 1.0)
        with open_file(store, inputs, Completion) as cache:
            found = [one in cache for one in requests]
            cache.add(request, Completion("text", 1, "stop"))
            if dies:
                raise KeyboardInterrupt
        return found

    with pytest.raises(KeyboardInterrupt):
        draw("a", requests[0], dies=True)
    assert draw("b", requests[1]) == [True, False, False]
    assert draw("a", requests[2]) == [True, True, False]
    assert draw("c", requests[2]) == [True, True, True]
    assert len(list((tmp_path / "c/drawn").glob("*.jsonl"))) == 1


def test_a_url_with_a_key_in_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"paths\.artifacts: holds what looks like a password"):
        compose(["paths.artifacts='s3://me:secret@bucket/x'"])
    for size in ("0", "nan", "inf"):
        with pytest.raises(UserError, match=rf"paths\.cache_gb={size} must be positive"):
            compose([f"paths.cache_gb={size}"])
