"""Finding a study's folder by its name."""

from __future__ import annotations

from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import command
from limo_ablate.core.typed import nearest
from limo_ablate.trial.compose import compose

STUDY = "study.yaml"
REGISTRATION = "registration.json"


def study_folder(name: str, root: Path | None = None) -> Path:
    """The folder of the study `name` of `root` (`paths.studies`), or `name` where that is one.

    Raises UserError where it has not been run.
    """
    if (Path(name) / STUDY).is_file():
        return Path(name)
    root = root or Path(compose([]).paths.studies)
    if (root / name / STUDY).is_file():
        return root / name
    if (root / name / REGISTRATION).is_file():
        raise UserError(f"{name}: registered, and not run yet; `{command('sweep', name)}` runs it")
    known = sorted(path.parent.name for path in root.glob(f"*/{STUDY}"))
    raise UserError(
        f"{name}: no such study in {root}{nearest(name, known)} Known: {', '.join(known) or 'none'}; "
        "a folder works too"
    )
