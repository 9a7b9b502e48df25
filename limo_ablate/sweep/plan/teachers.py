"""What the teachers of a study (`data.teacher`) have yet to write, and what it costs. Asks none of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import polars as pl

from limo_ablate.core.artifacts import Artifact, NotInStore, Store, find_only
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.pool.load import load_pool
from limo_ablate.model.generate.endpoint.config import EndpointConfig
from limo_ablate.model.generate.endpoint.draw import Outlook, describe, outlook
from limo_ablate.trial.config import TeacherConfig, TrialConfig
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import teacher_request, trial_pool


def teacher_lines(configs: Iterable[TrialConfig]) -> list[str]:
    """A line for each teacher and sampling; trials that need the same samples are counted once."""
    lines: dict[str, None] = {}
    asked: dict[tuple[str, str], list[Outlook]] = defaultdict(list)
    endpoints: dict[str, EndpointConfig] = {}
    distinct = {repr((c.data, c.paths.artifacts)): c for c in configs if c.data.teacher and c.needs_pool}
    for config in distinct.values():
        teacher, store = config.data.teacher, config.paths.store()
        assert teacher
        if (given := _pool_to_solve(config, store)) is None:
            continue
        if isinstance(given, str):
            lines[f"{teacher.name}: {given}"] = None
        elif teacher.endpoint:
            ahead = outlook(store, teacher.endpoint, teacher_request(teacher, given))
            endpoints[name := repr(teacher.endpoint)] = teacher.endpoint
            if ahead.missing:
                asked[name, ahead.file].append(ahead)
        else:
            lines[_local(teacher, given)] = None
    return [*lines, *(describe(endpoints[name], ahead) for (name, _), ahead in asked.items())]


def _pool_to_solve(config: TrialConfig, store: Store) -> Artifact | str | None:
    """The pool with the problems; None where all solutions are there; why the pool is not known yet."""
    with find_only():
        try:
            trial_pool(config, Stages(), trained_model)
        except NotInStore:
            pass
        except UserError as error:
            return str(error)
        else:
            return None
        try:
            return load_pool(store, config.data)
        except NotInStore:
            return f"the problems of data={config.data.name} are not read yet, so that nothing can be counted"


def _local(teacher: TeacherConfig, given: Artifact) -> str:
    problems = pl.scan_parquet(given.path / "problems.parquet").select(pl.len()).collect().item()
    samples = problems * teacher.samples
    return (
        f"{teacher.name}, on the trial's hardware: {counted(problems, 'problem')} x {teacher.samples}, at "
        f"most {samples * teacher.max_tokens:,} tokens; not in the forecast"
    )
