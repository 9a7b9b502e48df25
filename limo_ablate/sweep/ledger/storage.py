"""Where a ledger can be (a journal file, a database, Optuna's gRPC proxy), and waiting for it.

studies/NAME/ledger.log                 the default, on any file system that all runners share
sqlite:////shared/ledger.db             one machine
postgresql+psycopg://user@host/lab      many machines
grpc://host:port                        the same, through `limo-ablate ledger serve`; grpcs:// with TLS
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.attributes import check_attributes
from limo_ablate.sweep.ledger.journal import PATIENCE, Journal, journal_storage

T = TypeVar("T")
FIRST_PATIENCE = 20.0
"""Seconds to wait for a server at first: it may be starting, but the URL may also be wrong."""
_BUSY = 1.0
"""Seconds that SQLite itself waits for a lock, during which signals have no effect."""
_PAUSES = (0.1, 0.3, 1.0)
"""Seconds before each further try; the last value also for all that follow."""

OURS = {"cell", "key"}
"""Attributes of our rows; other tools may add further rows."""
REFUSED = ("no password supplied", "password authentication failed")
"""What PostgreSQL says of a missing or a wrong password."""
NO_TABLES = ("no such table", "does not exist")
"""What databases say where there is no ledger yet."""


class Storage:
    """An Optuna storage that is waited for while it is unreachable. `url`: a Path is a journal. Raises
    UserError."""

    def __init__(
        self,
        url: str | Path,
        patience: float = PATIENCE,
        pause: Callable[[float], None] = time.sleep,
        *,
        creates: bool = True,
    ) -> None:
        """`creates`: whether a database without tables gets them.

        `pause` waits for the given seconds, and may raise to end the waiting.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url, self._patience, self._pause, self._journal = str(url), patience, pause, None
        self._checked = set[tuple[int, int]]()
        """Study and number of finished rows, which Optuna keeps as they were read first."""
        self.optuna: BaseStorage
        if isinstance(url, Path):
            self._journal = Journal(url.resolve(), patience, pause)
            self.optuna = journal_storage(self._journal)
        else:
            self.optuna = _open(url, min(patience, FIRST_PATIENCE), pause, creates)

    @property
    def grows(self) -> bool:
        """Whether a categorical parameter may get new levels later; databases don't allow that."""
        return self._journal is not None

    def rows(self, study: int) -> list[FrozenTrial]:
        """All rows of the study's trials, oldest first; not to be changed. Raises UserError."""
        found = self.patiently(lambda: self.optuna.get_all_trials(study, deepcopy=False))
        rows = [row for row in found if row.user_attrs.keys() >= OURS]
        for row in rows if self._journal is None else ():  # a journal's were checked line by line
            if (study, row.number) not in self._checked:
                check_attributes(row.user_attrs, f"ledger {self.url}: row {row.number}")
                if row.state.is_finished():
                    self._checked.add((study, row.number))
        return rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is on disk at the end, with one fsync; a database does that at each
        write."""
        if self._journal is None:
            yield
            return
        try:
            with self._journal.transaction():
                yield
        except TimeoutError as error:
            raise UserError(f"ledger {self.url}: {error}; is a sweep suspended?") from error

    def patiently(self, action: Callable[[], T]) -> T:
        """The action's result; retried while the database is unreachable.

        A try that seemed to fail may have done its work, so the action must be safe to repeat.
        """
        deadline, tries = time.monotonic() + self._patience, 0
        while True:
            try:
                return action()
            except Exception as error:
                if not _is_transient(error):
                    raise
                if time.monotonic() > deadline:
                    raise UserError(
                        f"ledger {self.url}: unreachable for {self._patience:g} s: {_line(error)}"
                    ) from error
            self._pause(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1


def _open(url: str, patience: float, pause: Callable[[float], None], creates: bool) -> BaseStorage:
    try:
        if url.startswith(("grpc://", "grpcs://")):
            return _proxy(url, patience)
        return _database(url, patience, pause, creates)
    except Exception as error:
        raise UserError(f"ledger={url}: can't be opened: {_line(error)}{_advice(error)}") from error


def _proxy(url: str, patience: float) -> BaseStorage:
    from limo_ablate.sweep.ledger.secured import SecuredProxy

    proxy = SecuredProxy(url)
    proxy.wait_server_ready(patience)
    return proxy


def _database(url: str, patience: float, pause: Callable[[float], None], creates: bool) -> BaseStorage:
    if url.startswith("sqlite"):
        storage = _started(url, {"connect_args": {"timeout": _BUSY}}, patience, pause, creates)
        _serialise(storage)
    else:
        # a ledger does one thing at a time: 64 runners hold 64 connections, not hundreds
        storage = _started(url, {"pool_size": 1, "pool_pre_ping": True}, patience, pause, creates)
    return get_storage(storage)


def _started(
    url: str, settings: dict[str, Any], patience: float, pause: Callable[[float], None], creates: bool
) -> RDBStorage:
    """The database, waited for while it starts, and while others create the same tables."""
    from sqlalchemy.exc import DatabaseError

    from limo_ablate.sweep.ledger.database import Database

    deadline = time.monotonic() + patience
    while True:
        try:
            return Database(url, engine_kwargs=dict(settings), skip_table_creation=not creates)
        except DatabaseError as error:
            # SQLite has no such folder; PostgreSQL refuses the password, or misses one
            if any(
                lasting in str(error)
                for lasting in ("unable to open", *REFUSED, *(() if creates else NO_TABLES))
            ):
                raise
            if time.monotonic() > deadline:
                raise
        pause(_PAUSES[1])


def _serialise(storage: RDBStorage) -> None:
    """Optuna claims by SELECT ... FOR UPDATE, which SQLite ignores: two runners would get the same row.

    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    """
    from sqlalchemy import event

    storage.engine.dispose()
    event.listen(storage.engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(storage.engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN IMMEDIATE"))


def _is_transient(error: BaseException) -> bool:
    """Whether the error may be gone soon: the database is locked, restarts, or can't be reached."""
    if isinstance(error, StorageInternalError):
        return error.__cause__ is not None and _is_transient(error.__cause__)
    code = getattr(error, "code", None)
    if type(error).__module__.startswith("grpc") and callable(code):
        # UNKNOWN: the proxy runs, but can't reach its own database
        return code().name in ("UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL")
    return type(error).__module__ == "sqlalchemy.exc" and (
        type(error).__name__ in ("OperationalError", "InterfaceError", "InternalError", "TimeoutError")
        or bool(getattr(error, "connection_invalidated", False))
    )


def _advice(error: BaseException) -> str:
    if not any(refused in str(error) for refused in REFUSED):
        return ""
    return "; set PGPASSWORD, or add a line to ~/.pgpass (mode 600), on each machine that runs trials"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
