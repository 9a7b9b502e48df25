"""`limo-ablate compare A B [--study S] [--json] [key=value ...]`: what two trials or cells differ in.

A and B are trials (`size64-L5-s0`) or cells, which are all their seeds (`size64-L5`): names as `status` shows
them, a part that only one name has, STUDY/NAME, or folders. Told are keys of the resolved configurations,
commit, versions and hardware that differ, the scores with their paired difference (other seeds, other
problems), the problems that flipped, lengths and truncation. --study looks in one study only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from limo_ablate.core.errors import UserError


def main(argv: list[str]) -> int:
    """Prints the comparison. Raises UserError."""
    args, rest = parser("compare").parse_known_args(argv)
    if args.help or not rest:
        print(__doc__)
        return 0
    if unknown := next((text for text in rest if text.startswith("-")), None):
        raise UserError(f"{unknown}: no option of compare; there are --study, --json")
    names = [text for text in rest if "=" not in text]
    if len(names) != 2:
        raise UserError(f"compare {' '.join(names)}: two are needed, trials or cells")
    from limo_ablate.report.compare.arms import find_arm
    from limo_ablate.report.compare.text import as_json, as_text

    folders = study_folders(args.study, [text for text in rest if "=" in text])
    a, b = (find_arm(name, folders) for name in names)
    print(as_json(a, b) if args.json else as_text(a, b))
    return 0


def study_folders(study: str | None, overrides: list[str]) -> list[Path]:
    """The one that is asked for, or all there are. Raises UserError."""
    from limo_ablate.study.folder import STUDY, study_folder
    from limo_ablate.trial.compose import compose

    root = Path(compose(overrides).paths.studies)
    if study is not None:
        return [study_folder(study, root)]
    return sorted(path.parent for path in root.glob(f"*/{STUDY}"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}")


def parser(verb: str) -> argparse.ArgumentParser:
    """Of `compare` and of `why`."""
    made = _Parser(prog=f"limo-ablate {verb}", add_help=False, allow_abbrev=False)
    made.add_argument("-h", "--help", action="store_true")
    made.add_argument("--study")
    made.add_argument("--json", action="store_true")
    return made
