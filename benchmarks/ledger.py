"""The ledger beside plain Optuna: an attempt's cost, a study of 10,000 cells, 64 processes on PostgreSQL.

    python benchmarks/ledger.py [--trials 200] [--cells 10000] [--workers 64] [--rows 1024]

Plain Optuna is what its documentation shows for a grid: enqueue_trial, then ask, suggest and tell, with the
same attributes set, over its own storages with their defaults. Both run in turn in the same process, or in as
many processes, on the same database server (tests/postgres.py starts one). Processor time where one process
works; wall time where several do. A duplicate is a row that two workers were given.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.ledger.database import Database
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.parameters import space
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.live import REFRESH_SECONDS
from limo_ablate.sweep.runner import QueuePolling
from tests.postgres import Postgres

SCORE = {"accuracy": 0.25, "stderr": 0.05, "boxed": 0.2, "lenient": 0.3, "tokens": 33.2, "no_answer": 0.1}
METRICS: dict[str, Any] = {
    "scores": {"mini": SCORE, "mini/easy": SCORE, "mini/hard": SCORE},
    "total_seconds": 12.5,
    "finished": "2026-01-01T00:00:00+00:00",
    "artifacts": {
        stage: {"key": "0123456789abcdef", "digest": ""} for stage in ("tokens", "weights", "completions")
    },
    "inputs": {"files": {}, "versions": {}},
}
TRIAL_SECONDS = 0.2
"""A trial of the concurrent part: none is as short, and each worker claims for a fifth of a second's work."""


def grid(n: int) -> list[PlannedTrial]:
    """n cells of four axes that need no composing."""
    block = Block(name="b", axes={"select.size": (4,)})
    (one,) = planned_trials(Study(name="s", blocks=(block,), overrides=("track=none",)))
    return [
        replace(
            one,
            name=f"cell{i}",
            key=f"{i:016x}",
            levels={"select.size": i % 50, "select.quality": f"L{i % 5}", "model": f"m{i % 7}"},
            seed=i % 10,
        )
        for i in range(n)
    ]


@contextmanager
def timed(name: str, per: int = 1, unit: str = "s") -> Iterator[None]:
    """Prints wall and processor time of what is inside, of this process."""
    wall, spent = time.perf_counter(), time.process_time()
    yield
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    factor = (1000 if unit == "ms" else 1) / per
    print(f"| {name} | {wall * factor:.2f} {unit} | {spent * factor:.2f} {unit} |", flush=True)


def ours(url: str | Path, found: list[PlannedTrial]) -> None:
    ledger = Ledger(url, "ours")
    levels = space([], found, grows=True)
    with ledger.transaction():
        trials = [ledger.add(trial, 1, levels) for trial in found]
    for trial in trials:
        assert ledger.claim(trial, "host-1-abcd")
        assert ledger.finish(trial, METRICS, Path("trials/x"), devices=1)


def plain(storage: BaseStorage, found: list[PlannedTrial]) -> None:
    study = optuna.create_study(storage=storage, study_name="plain", direction="maximize")
    for trial in found:
        study.enqueue_trial(
            {**trial.levels, "seed": trial.seed}, user_attrs={"cell": trial.name, "key": trial.key}
        )
    for _ in found:
        evaluate(study)


def evaluate(study: optuna.Study, pause: float = 0.0) -> int:
    """One attempt as Optuna's users write it; returns the trial's number."""
    trial = study.ask()
    trial.suggest_int("select.size", 0, 49)
    trial.suggest_categorical("select.quality", [f"L{i}" for i in range(5)])
    trial.suggest_categorical("model", [f"m{i}" for i in range(7)])
    trial.suggest_int("seed", 0, 9)
    time.sleep(pause)
    trial.set_user_attr("runner", "host-1-abcd")
    trial.set_user_attr("result", METRICS)
    study.tell(trial, 0.25)
    return trial.number


def attempts(n: int, folder: Path, postgres: Postgres | None) -> None:
    print(f"\n## An attempt, of {n} one after the other: add, claim, end\n")
    print("| | wall | processor |\n|---|---|---|")
    found = grid(n)
    urls: dict[str, Callable[[str], tuple[str | Path, Callable[[], BaseStorage]]]] = {
        "journal": lambda who: (
            folder / f"{who}.log",
            lambda: JournalStorage(JournalFileBackend(str(folder / f"{who}.log"))),
        ),
        "SQLite": lambda who: (
            url := f"sqlite:///{folder}/{who}.db",
            lambda: optuna.storages.get_storage(url),
        ),
    }
    if postgres:
        server = postgres
        urls["PostgreSQL"] = lambda who: (
            url := server.database(),
            lambda: optuna.storages.get_storage(url),
        )
    for kind, place in urls.items():
        url = place("ours")[0]
        Ledger(url, "warm")  # makes the tables
        with timed(f"{kind}, this ledger", n, "ms"):
            ours(url, found)
        storage = place("plain")[1]()
        with timed(f"{kind}, enqueue + ask + tell", n, "ms"):
            plain(storage, found)


def read(n: int, postgres: Postgres) -> None:
    """All finished, written as Optuna writes them but many at a time."""
    print(f"\n## {n} finished trials, read from PostgreSQL by a new process\n")
    print("| | wall | processor |\n|---|---|---|")
    url = postgres.database()
    ledger = Ledger(url, "ours")
    insert_finished(url, grid(n))
    for name, storage in (("Optuna", RDBStorage(url)), ("this ledger", Database(url))):
        with timed(name):
            found = storage.get_all_trials(storage.get_study_id_from_name("ours"))
        assert len(found) == n
    ledger.rows()
    with timed("this ledger, again"):
        ledger.rows()


def insert_finished(url: str, found: list[PlannedTrial]) -> None:
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models
    from sqlalchemy import insert

    levels, now = space([], found, grows=True), datetime.now(UTC).replace(tzinfo=None)
    result = {"scores": METRICS["scores"], "seconds": 12.5, "devices": 1, "folder": "trials/x"}
    numbered = list(enumerate(found, start=1))
    rows: dict[Any, list[dict[str, Any]]] = {
        models.TrialModel: [
            {"trial_id": i, "number": i - 1, "study_id": 1, "state": "COMPLETE",
             "_datetime_start_utc": now, "_datetime_complete_utc": now}
            for i, _ in numbered
        ],
        models.TrialValueModel: [
            {"trial_id": i, "objective": 0, "value": 0.25, "value_type": "FINITE"} for i, _ in numbered
        ],
        models.TrialParamModel: [
            {"trial_id": i, "param_name": key, "param_value": levels[key].to_internal_repr(level),
             "distribution_json": distribution_to_json(levels[key])}
            for i, trial in numbered
            for key, level in {**trial.levels, "seed": trial.seed}.items()
        ],
        models.TrialUserAttributeModel: [
            {"trial_id": i, "key": key, "value_json": json.dumps(value)}
            for i, trial in numbered
            for key, value in {"cell": trial.name, "key": trial.id, "attempt": 1, "blocks": ["b"],
                               "runner": "host-1-abcd", "result": result}.items()
        ],
    }  # fmt: skip
    with RDBStorage(url).engine.begin() as connection:
        for model, values in rows.items():
            connection.execute(insert(model), values)


def large(n: int, folder: Path) -> None:
    print(f"\n## A study of {n} cells on the default ledger\n")
    print("| | wall | processor |\n|---|---|---|")
    found, journal = grid(n), folder / "large.log"
    with timed("a new study: opened, first rows written"):
        queue = Queue(Ledger(journal, "s"), found, folder, "me", attempts=3)
        queue.refresh()
    fill(journal, found)
    with timed("all finished: opened and reconciled"):
        queue = Queue(Ledger(journal, "s"), found, folder, "me", attempts=3)
        queue.refresh()
    assert queue.done == n
    with timed("refreshed again"):
        queue.refresh()
    print(f"\nThe journal has {journal.stat().st_size / 1e6:.0f} MB.")


def fill(journal: Path, found: list[PlannedTrial]) -> None:
    """Finishes every trial."""
    ledger, levels = Ledger(journal, "s"), space([], found, grows=True)
    with ledger.transaction():
        known = ledger.histories()
        for trial in found:
            row_id = known[trial.id].waiting if trial.id in known else ledger.add(trial, 1, levels)
            assert row_id is not None
            ledger.claim(row_id, "host-1-abcd")
            ledger.finish(row_id, METRICS, Path(f"trials/{trial.folder}"), devices=1)


def our_worker(url: str, found: list[PlannedTrial], folder: Path, start: Barrier, said: Any) -> None:
    """A runner: its own connection and lease, and the queue that all share and fill as it empties."""
    got: list[str] = []
    tried, polling = 0, QueuePolling()
    start.wait()
    try:
        with Lease(folder) as lease:
            queue = Queue(Ledger(url, "ours"), found, folder, lease.id, attempts=3)
            while True:
                if polling.is_due(empty=not queue.waiting):
                    queue.refresh()
                    polling.polled(empty=not queue.waiting)
                if not (queue.waiting or queue.missing or queue.elsewhere):
                    break
                if not queue.waiting:
                    time.sleep(REFRESH_SECONDS)
                    continue
                queued = queue.waiting[0]
                tried += 1
                if queue.claim(queued):
                    time.sleep(TRIAL_SECONDS)
                    leave_result(folder, queued.trial)
                    assert queue.finish(queued, TRIAL_SECONDS, 1)
                    got.append(queued.trial.id)
        said.put((None, got, tried))
    except Exception as error:
        said.put((repr(error)[:200], got, tried))


def leave_result(folder: Path, trial: PlannedTrial) -> None:
    """As a trial does."""
    place = folder / "trials" / trial.folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "metrics.json").write_text(json.dumps(METRICS | {"trial": trial.key}))


def plain_worker(url: str, share: int, start: Barrier, said: Any) -> None:
    got: list[str] = []
    start.wait()
    try:
        study = optuna.load_study(study_name="plain", storage=url)
        for _ in range(share):
            got.append(str(evaluate(study, TRIAL_SECONDS)))
        said.put((None, got, len(got)))
    except Exception as error:
        said.put((repr(error)[:200], got, len(got)))


def concurrent(workers: int, rows: int, folder: Path, postgres: Postgres) -> None:
    print(f"\n## {workers} processes on PostgreSQL, {rows} trials of {TRIAL_SECONDS} s\n")
    print("| | wall | trials a second | errors | duplicates | finished | claims tried |")
    print("|---|---|---|---|---|---|---|")
    found = grid(rows)
    url = postgres.database()
    Ledger(url, "ours")  # makes the tables
    race("this ledger", our_worker, (url, found, folder), workers, lambda: _finished(url, "ours"))
    study = optuna.create_study(storage=url, study_name="plain", direction="maximize")
    for trial in found:
        study.enqueue_trial({**trial.levels, "seed": trial.seed}, user_attrs={"cell": trial.name})
    race("ask + tell", plain_worker, (url, rows // workers), workers, lambda: _finished(url, "plain"))


def _finished(url: str, name: str) -> int:
    trials = optuna.load_study(study_name=name, storage=RDBStorage(url)).trials
    return sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials)


def race(
    name: str, worker: Callable[..., None], given: tuple[Any, ...], workers: int, finished: Callable[[], int]
) -> None:
    forks = multiprocessing.get_context("fork")
    start, said = forks.Barrier(workers + 1), forks.Queue()
    processes = [forks.Process(target=worker, args=(*given, start, said)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    begun = time.perf_counter()
    told = [said.get() for _ in processes]
    seconds = time.perf_counter() - begun
    for process in processes:
        process.join()
    errors = [error for error, _, _ in told if error]
    rows = Counter(row for _, got, _ in told for row in got)
    twice, tried = sum(n > 1 for n in rows.values()), sum(tries for _, _, tries in told)
    figures = (
        f"{seconds:.1f} s | {rows.total() / seconds:.0f} | {len(errors)} | {twice} | {finished()} | {tried}"
    )
    print(f"| {name} | {figures} |", flush=True)
    for error, count in Counter(errors).items():
        print(f"  {count} x {error}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for option, default in (("trials", 200), ("cells", 10_000), ("workers", 64), ("rows", 1024)):
        parser.add_argument(f"--{option}", type=int, default=default)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    postgres = Postgres.start_new()
    try:
        with tempfile.TemporaryDirectory() as name:
            if postgres:
                concurrent(asked.workers, asked.rows, Path(name), postgres)
                read(asked.cells, postgres)
            attempts(asked.trials, Path(name), postgres)
            large(asked.cells, Path(name))
    finally:
        if postgres:
            postgres.remove()


if __name__ == "__main__":
    main()
