"""Where configurations and studies are looked for: in the user's project first, then in the package.

A project is a folder that may have `conf/` and `sweeps/`: the current folder, or the one that `--project`
names. Only YAML is read from it; nothing in it is imported or executed.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from limo_ablate.core.errors import UserError

VARIABLE = "LIMO_ABLATE_PROJECT"
"""Environment variable that holds the project's folder, so that every process that we start has the same."""
PACKAGE = Path(__file__).resolve().parents[1]


def use_project(folder: Path) -> None:
    """Makes `folder` the project of this process and of all that it starts. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"--project {folder}: no such folder")
    os.environ[VARIABLE] = str(folder.resolve())


def project() -> Path:
    """The project's folder. Raises UserError where the environment names one that does not exist."""
    named = os.environ.get(VARIABLE)
    if not named:
        return Path.cwd()
    if not Path(named).is_dir():
        raise UserError(f"{VARIABLE}={named}: no such folder")
    return Path(named).resolve()


def command(*words: str) -> str:
    """`limo-ablate WORDS` to be printed: with the project where it was named, so that it can be pasted."""
    return shlex.join(["limo-ablate", *project_words(), *words])


def project_words() -> tuple[str, ...]:
    """`--project DIR` where the project was named."""
    return ("--project", str(project())) if os.environ.get(VARIABLE) else ()


def conf_folders() -> tuple[Path, ...]:
    """Folders of configuration files; a file in an earlier one hides its namesake in a later one."""
    return _folders("conf")


def sweep_folders() -> tuple[Path, ...]:
    """Folders of study files; a file in an earlier one hides its namesake in a later one."""
    return _folders("sweeps")


def study_names() -> list[str]:
    """The names of all studies that have a file."""
    return sorted({file.stem for folder in sweep_folders() for file in folder.glob("*.yaml")})


def study_file(name: str) -> Path | None:
    """The file of the study `name`, or None where no folder has one."""
    files = (folder / f"{name}.yaml" for folder in sweep_folders())
    return next((file for file in files if file.is_file()), None)


def package_folder(name: str) -> Path:
    """`conf` or `sweeps` of the package: inside it in a wheel, beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def _folders(name: str) -> tuple[Path, ...]:
    own, ours = project() / name, package_folder(name)
    if not own.is_dir() or own.samefile(ours):
        return (ours,)
    return own, ours
