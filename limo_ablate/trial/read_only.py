"""Stores that can't be written to: a trial runs there if everything that it needs is in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from limo_ablate.core.artifacts import NotInStore, find_only
from limo_ablate.core.errors import UserError
from limo_ablate.core.permissions import check_writable
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.track.tracker import NoTracker


def denied_in(store: Path, key: str) -> UserError | None:
    """Why artifacts of some stage can't be added to the store, the value of `key`; None where they can."""
    try:
        for folder in (store, *(path for path in store.glob("*") if path.is_dir())):
            check_writable(folder, key)
    except UserError as error:
        return error
    return None


def first_missing(config: TrialConfig) -> str | None:
    """The first stage of the trial whose artifact is not in the store. Raises UserError where a trial would.

    Runs the trial's own stages, with a store that only finds artifacts.
    """
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.scores import evaluate, load_benchmarks
    from limo_ablate.trial.stages import Stages

    stages = Stages()
    with find_only(), TemporaryDirectory() as folder:
        try:
            problems = load_benchmarks(config, stages)
            model = trained_model(config, stages, NoTracker())
            evaluate(config, stages, model, problems, Path(folder))
        except NotInStore as gap:
            return gap.stage
    return None
