"""`limo-ablate report STUDY [key=value ...]`: draws a study's report again; STUDY is its name or folder."""

from __future__ import annotations

from pathlib import Path

from limo_ablate.errors import UserError
from limo_ablate.report import report_study
from limo_ablate.typed import nearest


def main(argv: list[str]) -> int:
    """Draws the report and prints where it is. Raises UserError."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    print(report_study(find_study(argv[0], argv[1:])))
    return 0


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
