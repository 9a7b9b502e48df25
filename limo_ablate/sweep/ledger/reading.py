"""A ledger that is only read: where there is none, none is made; a copy that can't be written can be read."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial

from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.storage import Storage


class Reading:
    """Opened at the first use, then kept: only what is new is read again."""

    def __init__(self, place: str | Path, name: str, patience: float = PATIENCE) -> None:
        """Of the study `name`. `place`: as of Storage. `patience`: seconds that a ledger may be away."""
        self.file = place if isinstance(place, Path) else _sqlite(place)
        """Where the ledger is a file; None for a server."""
        self._place, self._name, self._patience = place, name, patience
        self._storage: Storage | None = None

    def rows(self) -> list[FrozenTrial]:
        """All rows that are trials', oldest first; not to be changed. Raises UserError while it is away."""
        if self.file is not None and not self.file.exists():
            self._storage = None
            return []
        storage = self._storage = self._storage or Storage(self._place, self._patience)
        try:
            study = storage.patiently(lambda: storage.optuna.get_study_id_from_name(self._name))
        except KeyError:  # it has just been made
            return []
        found = storage.patiently(lambda: storage.optuna.get_all_trials(study, deepcopy=False))
        return [row for row in found if "key" in row.user_attrs]  # others were added by other tools


def _sqlite(url: str) -> Path | None:
    """The file of `sqlite:///FILE`."""
    if not url.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    database = make_url(url).database
    return Path(database) if database and not database.startswith((":", "file:")) else None
