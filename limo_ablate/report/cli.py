"""The verb `report`."""

from __future__ import annotations

from pathlib import Path

import click

from limo_ablate.core.command import Verb, words
from limo_ablate.core.project import command, study_file

SHOWN = ("question", "contrasts", "figures", "cluster")
"""Parts of a study's declaration that the report reads."""


@click.command(
    "report",
    cls=Verb,
    examples=["limo-ablate report miniature", "limo-ablate report miniature paths.studies=/data/studies"],
)
@words("study")
def report(study: str, overrides: list[str]) -> int:
    """STUDY is a name under `paths.studies`, or a folder; it may still be running. Writes STUDY/report/:
    index.html, one page that needs no network, and each chart as PNG, SVG and PDF. Prints the page's path,
    its size and the number of charts.
    """
    from limo_ablate.report.facts import warnings
    from limo_ablate.report.page import report_parts, write_page  # Altair and vl-convert take a second
    from limo_ablate.report.study_view import load
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    folder = study_folder(study, Path(compose(overrides).paths.studies))
    view = load(folder)
    page = write_page(view, *report_parts(view))
    print(page)
    print(_contents(page))
    print("".join(f"{line}\n" for line in warnings(view)), end="")
    if outdated := _outdated(study, folder, overrides):
        print(outdated)
    return 0


def _contents(page: Path) -> str:
    charts = len(list(page.parent.glob("*.png")))
    size = page.stat().st_size / 1e6
    return f"{size:.1f} MB; {charts} chart{'s' * (charts != 1)}, each as PNG, SVG and PDF beside it"


def _outdated(name: str, folder: Path, overrides: list[str]) -> str | None:
    """Note on changes of the study's file since the study was run; None if there are none."""
    from limo_ablate.study.design import load_study

    if (file := study_file(name)) is None:
        return None
    was, now = load_study(str(folder / "study.yaml")), load_study(str(file), overrides)
    parts = [part for part in SHOWN if getattr(was, part) != getattr(now, part)]
    axes = [[(block.name, block.axes) for block in study.blocks] for study in (was, now)]
    if not parts or axes[0] != axes[1]:  # levels changed on the command line take contrasts with them
        return None
    changed = f"{' and '.join(parts)} of {file.name} changed since the study was run"
    return f"{changed}: `{command('sweep', name)}` applies the changes"
