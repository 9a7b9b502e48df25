"""`limo-ablate report STUDY [key=value ...]`: draws a study's report again, while it runs too.

STUDY is a study's name under `paths.studies`, or its folder; overrides (`paths.studies=DIR`) say where names
are looked up. Writes STUDY/report/: index.html, one page that needs no network, and each picture as PNG, SVG
and PDF. Prints the page's path and, in a second line, what it has.
"""

from __future__ import annotations

from pathlib import Path

from limo_ablate.errors import UserError
from limo_ablate.report import report_study
from limo_ablate.typed import nearest


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
    page = report_study(find_study(name, overrides))
    print(page)
    print(_contents(page))
    return 0


def _contents(page: Path) -> str:
    pictures = len(list(page.parent.glob("*.png")))
    size = page.stat().st_size / 1e6
    return f"{size:.1f} MB; {pictures} picture{'s' * (pictures != 1)}, each as PNG, SVG and PDF beside it"


def find_study(name: str, overrides: list[str]) -> Path:
    """A study's folder: `name` itself, or of that name under `paths.studies`. Raises UserError."""
    from limo_ablate.compose import compose

    if (Path(name) / "study.yaml").is_file():
        return Path(name)
    root = Path(compose(overrides).paths.studies)
    known = sorted(path.parent.name for path in root.glob("*/study.yaml"))
    if name not in known:
        raise UserError(f"{name}: no such study in {root}{nearest(name, known)} Known: {', '.join(known)}")
    return root / name
