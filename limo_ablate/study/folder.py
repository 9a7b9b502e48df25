"""A study's folder: finding it by the study's name, and where its sweep was started."""

from __future__ import annotations

from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import command, study_file
from limo_ablate.core.reading import read_text
from limo_ablate.core.typed import nearest
from limo_ablate.trial.compose import compose

STUDY = "study.yaml"
REGISTRATION = "registration.json"
SEEN_AS = "seen_as"
"""File in a study's folder: the folder's path from where `sweep` ran, as other relative paths are too."""
IMPORTED = "imported"
"""Key of config.yaml in a study that was made of logs of other tools: their `format` and `files`."""
LONGEST_PATH = 4096
"""Bytes of a path, as of Linux."""
LOOKS = "looks.json"
"""The looks that a sequential study has taken."""
REPORT = "report"
"""Folder of the report in a study's folder."""
REPORT_ERRORS = "errors.log"
"""File in `REPORT` with the tracebacks of parts that could not be drawn; absent if all could."""


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
    if study_file(name) is not None:
        raise UserError(f"{name}: not run yet in {root}; `{command('sweep', name)}` runs it")
    known = sorted(path.parent.name for path in root.glob(f"*/{STUDY}"))
    raise UserError(
        f"{name}: no such study in {root}{nearest(name, known)} Known: {', '.join(known) or 'none'}; "
        "a folder works too"
    )


def started_in(study: Path) -> list[Path]:
    """The folder in which the sweep of the study in this folder was started; empty where that is unknown."""
    here = study.resolve()
    if not (study / SEEN_AS).exists() or not (parts := seen_as(study).parts):
        return []
    return (
        [here.parents[len(parts) - 1]]
        if here.parts[-len(parts) :] == parts and len(parts) < len(here.parts)
        else []
    )


def seen_as(study: Path) -> Path:
    """The study's folder from where `sweep` ran. Raises FileNotFoundError and UserError."""
    return Path(read_text(study / SEEN_AS, LONGEST_PATH).strip().replace("\0", ""))
