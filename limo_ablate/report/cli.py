"""`limo-ablate report STUDY [key=value ...]`: draws a study's report again, while it runs too.

STUDY is a study's name under `paths.studies`, or its folder; overrides (`paths.studies=DIR`) say where names
are looked up. Writes STUDY/report/: index.html, one page that needs no network, and each picture as PNG, SVG
and PDF. Prints the page's path and, in a second line, what it has.
"""

from __future__ import annotations

from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import study_file
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import study_folder
from limo_ablate.trial.compose import compose

SHOWN = ("question", "contrasts", "figures", "cluster")
"""What the report reads of a study beside its trials."""


def main(argv: list[str]) -> int:
    """Draws the report, prints where it is and what it has. Raises UserError."""
    if not argv or {"-h", "--help"} & {*argv}:
        print(__doc__)
        return 0
    if unknown := [argument for argument in argv if argument.startswith("-")]:
        raise UserError(f"report: unknown option {unknown[0]}; there are none but --help")
    name, *overrides = argv
    if wrong := [argument for argument in overrides if "=" not in argument]:
        raise UserError(f"report: {wrong[0]}: one study at a time, and overrides as key=value")
    folder = study_folder(name, Path(compose(overrides).paths.studies))
    from limo_ablate.report.page import write_report  # Altair and vl-convert take a second to import

    page = write_report(folder)
    print(page)
    print(_contents(page))
    if outdated := _outdated(name, folder, overrides):
        print(outdated)
    return 0


def _contents(page: Path) -> str:
    pictures = len(list(page.parent.glob("*.png")))
    size = page.stat().st_size / 1e6
    return f"{size:.1f} MB; {pictures} picture{'s' * (pictures != 1)}, each as PNG, SVG and PDF beside it"


def _outdated(name: str, folder: Path, overrides: list[str]) -> str | None:
    """What the study's file says by now and the study that was run does not; null where they are alike."""
    if (file := study_file(name)) is None:
        return None
    was, now = load_study(str(folder / "study.yaml")), load_study(str(file), overrides)
    parts = [part for part in SHOWN if getattr(was, part) != getattr(now, part)]
    axes = [[(block.name, block.axes) for block in study.blocks] for study in (was, now)]
    if not parts or axes[0] != axes[1]:  # levels changed on the command line take contrasts with them
        return None
    said = f"{file.name} has other {' and '.join(parts)} by now than the study that was run"
    return f"{said}: `limo-ablate sweep {name}` takes them up"
