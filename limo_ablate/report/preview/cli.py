"""`limo-ablate select [key=value ...]` shows which rows a trial would train on, and why the others not.

    limo-ablate select data=jsonl data.path=rows.jsonl select.size=100 select.quality=L5
    limo-ablate select --diff A B          # two of the folders that it writes

Nothing trains. The folder that it prints the path of holds rows.jsonl (a pool again: data=jsonl reads it),
manifest.parquet (every row of the pool with what became of it and why), the flagged pairs and two pictures.
--rows N shows so many rows (10); --out DIR is the folder, whose earlier selection it replaces.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from limo_ablate.trial.config import TrialConfig


def main(argv: list[str]) -> int:
    """Shows a selection, or what differs between two. Raises UserError."""
    args, overrides = _parser().parse_known_args(argv)
    if unknown := [text for text in overrides if text.startswith("--")]:
        raise UserError(
            f"{unknown[0]}: no such option of `limo-ablate select`; there are --rows, --out, --diff"
        )
    if args.help:
        print(__doc__)
        return 0
    if args.diff:
        from limo_ablate.report.preview.manifest import print_difference

        print_difference(*map(Path, args.diff))
        return 0
    from limo_ablate.trial.compose import compose

    _show(compose(overrides), args.out, args.rows)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"limo-ablate select: {message}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="limo-ablate select", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, default=10)
    return parser


def _show(config: TrialConfig, folder: Path | None, shown: int) -> None:
    from limo_ablate.report.preview.build import build_preview
    from limo_ablate.report.preview.pictures import draw
    from limo_ablate.report.preview.show import print_selection

    preview = build_preview(config)
    folder = folder or Path(config.paths.selections) / f"{config.data.name}-{preview.key}"
    try:
        preview.write(folder)
        draw(preview, folder)
    except OSError as error:
        raise UserError(f"--out={folder}: can't be written: {error.strerror}") from error
    print_selection(preview, folder, shown)
