"""The verb `select`: which rows a trial would train on, and why not the others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limo_ablate.core.command import Verb, announce, json_result, words
from limo_ablate.core.errors import UserError
from limo_ablate.core.permissions import use_umask

if TYPE_CHECKING:
    from limo_ablate.trial.config import TrialConfig


@click.command(
    "select",
    cls=Verb,
    examples=[
        "limo-ablate select select.size=64 select.quality=L5",
        "limo-ablate select data=jsonl data.path=rows.jsonl select.size=100 --rows 3",
        "limo-ablate select --diff outputs/selections/A outputs/selections/B",
    ],
)
@words()
@click.option("--rows", type=click.IntRange(min=0), default=10, show_default=True, help="Rows to print.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write; an earlier selection in it is replaced.  [default: under paths.selections]",
)
@click.option(
    "--diff",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="A B",
    help="Show how two such folders differ, and select nothing.",
)
@json_result
def select(
    overrides: list[str], rows: int, out: Path | None, diff: tuple[Path, Path] | None
) -> tuple[int, Callable[[], Any]]:
    """Trains nothing. Prints the path of a folder with rows.jsonl (a pool that data=jsonl reads),
    manifest.parquet (whether each row of the pool was chosen, and why not), the flagged pairs and two charts.
    """
    if diff:
        from limo_ablate.report.preview.manifest import print_difference

        print_difference(*diff)
        return 0, lambda: None
    announce("choosing the rows")
    from limo_ablate.trial.compose import compose

    facts = _show(compose(overrides), out, rows)
    return 0, lambda: facts


def _show(config: TrialConfig, folder: Path | None, shown: int) -> dict[str, Any]:
    """Writes and prints the selection; returns its facts as JSON."""
    from limo_ablate.report.preview.build import build_preview
    from limo_ablate.report.preview.pictures import draw
    from limo_ablate.report.preview.show import print_selection

    use_umask(config.paths.umask)
    preview = build_preview(config)
    folder = folder or Path(config.paths.selections) / f"{config.data.name}-{preview.key}"
    try:
        with _held(folder):
            preview.write(folder)
            draw(preview, folder)
    except OSError as error:
        raise UserError(f"--out={folder}: can't be written: {error.strerror}") from error
    print_selection(preview, folder, shown)
    return {
        "folder": folder,
        "rows": preview.selected.rows.height,
        "funnel": [asdict(step) for step in preview.selected.funnel.steps],
        "pool": preview.counts,
        "rejected": preview.rejected.height,
    }


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it, so that two selections that are written to it at once don't mix."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
