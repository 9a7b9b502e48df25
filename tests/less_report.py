"""`python -m limo_ablate`, but reports, which take most of a small study's time, have no pictures beside
the page, or with `none` as the first argument are not drawn at all."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from limo_ablate.cli import main
    from limo_ablate.report import page
    from tests.conftest import pictures_left_out

    def write_report(study: Path, folder: Path | None = None) -> page.WrittenReport:
        return page.WrittenReport((folder or study / "report") / "index.html", [], [])

    drawn, *words = sys.argv[1:]
    if drawn == "none":
        page.write_report = write_report
    with pictures_left_out():
        sys.exit(main(words))
