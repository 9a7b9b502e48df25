"""Read-only access to a ledger: creates nothing, and also reads a copy that can't be written."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial

from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.storage import Storage


class LedgerReader:
    """Opens the ledger when it is first used and keeps it open, so that only new rows are read again."""

    def __init__(self, place: str | Path, name: str, patience: float = PATIENCE) -> None:
        """`place`: as for Storage; `name`: the study's; `patience`: seconds to wait for an unreachable
        ledger."""
        self.file = place if isinstance(place, Path) else _sqlite_file(place)
        """The ledger's file; None where it is on a server."""
        self._place, self._name, self._patience = place, name, patience
        self._storage: Storage | None = None

    def rows(self) -> list[FrozenTrial]:
        """All rows of the study's trials, oldest first; not to be changed. Raises UserError when
        unreachable."""
        if self.file is not None and not self.file.exists():
            self._storage = None
            return []
        storage = self._storage = self._storage or Storage(self._place, self._patience, creates=False)
        try:
            study = storage.patiently(lambda: storage.optuna.get_study_id_from_name(self._name))
        except KeyError:  # the ledger has just been created
            return []
        return storage.rows(study)


def _sqlite_file(url: str) -> Path | None:
    """The file of `sqlite:///FILE`."""
    if not url.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    database = make_url(url).database
    return Path(database) if database and not database.startswith((":", "file:")) else None
