"""Files as people have them: how each of ../shared/data/round2 is recognised, and how many rows can be used.

    python benchmarks/round2.py [--out benchmarks/results/round2.md]

Its README says what is right for each file; the tests that need that folder hold the numbers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT.parent / "shared" / "data" / "round2"
sys.path.insert(0, str(ROOT))

from limo_ablate.core.errors import UserError  # noqa: E402
from limo_ablate.data.pool.config import ProblemsConfig  # noqa: E402
from limo_ablate.data.pool.inspection import inspect  # noqa: E402


def row(file: Path) -> str:
    name = file.relative_to(FOLDER).as_posix()
    try:
        found = inspect(ProblemsConfig(source="file", path=str(file)), 0)
    except UserError as error:
        said = str(error).replace(str(FOLDER), "...").replace("|", "\\|").replace("\n", " ")
        return f"| {name} | refused | | | {said} |"
    usable = found.rows - found.rejected.total()
    reasons = "; ".join(f"{count}: {reason}" for reason, count in found.rejected.most_common(4))
    notes = "; ".join([reasons, *found.reading.notes]).strip("; ").replace("|", "\\|").replace("\n", " ")
    return f"| {name} | {found.name} | {found.rows} | {usable} | {notes} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    files = sorted(file for file in FOLDER.rglob("*") if file.is_file() and file.name != "README.md")
    if not files:
        sys.exit(f"no files in {FOLDER}")
    head = [
        "# Files as people have them",
        "",
        "    python benchmarks/round2.py",
        "",
        "Read by `data inspect FILE`, without any field named.",
        "",
        "| file | schema | rows | can be used | rows refused, and what is said |",
        "|---|---|---|---|---|",
    ]
    text = "\n".join([*head, *map(row, files)]) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
