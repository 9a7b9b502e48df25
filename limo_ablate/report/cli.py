"""The verbs `report` and `export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from limo_ablate.core.command import Verb, announce, json_option, print_json, words
from limo_ablate.core.errors import EXIT_TRIALS_FAILED, UserError
from limo_ablate.core.permissions import use_umask
from limo_ablate.core.project import command, study_file

SHOWN = ("question", "contrasts", "figures", "cluster")
"""Parts of a study's declaration that the report reads."""


@click.command(
    "report",
    cls=Verb,
    examples=["limo-ablate report miniature", "limo-ablate report /data/studies/theirs --to theirs"],
)
@words("study")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write to, where the study's own can't or must not be written.  [default: STUDY/report]",
)
@json_option
def report(study: str, overrides: list[str], to: Path | None, as_json: bool) -> int:
    """STUDY is a name under `paths.studies`, or a folder; it may still be running. Writes STUDY/report/:
    index.html, one page that needs no network, each chart as PNG, SVG and PDF, and items.parquet, all answers
    by trial and problem. Prints the page's path,
    its size and the number of charts. Exit code 3: some parts could not be drawn; the page says which, and
    errors.log beside it has the tracebacks.
    """
    announce(f"drawing the report of {study}")
    from limo_ablate.report.page import write_report  # Altair and vl-convert take a second to import
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    paths = compose(overrides).paths
    use_umask(paths.umask)
    folder = study_folder(study, Path(paths.studies))
    page, failed, said = write_report(folder, to)
    outdated = _outdated(study, folder, overrides)
    if as_json:
        print_json({"page": page, "said": said, "outdated": outdated, "failed": failed})
        return EXIT_TRIALS_FAILED if failed else 0
    print(page)
    print(_contents(page))
    print("".join(f"{line}\n" for line in said), end="")
    if outdated:
        print(outdated)
    return print_failed(failed, page.parent)


@click.command(
    "export",
    cls=Verb,
    examples=[
        "limo-ablate export miniature",
        "limo-ablate export miniature --format latex > tables.tex",
    ],
)
@words("study")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["markdown", "latex", "model-card"]),
    default="markdown",
    show_default=True,
    help="Tables in Markdown or LaTeX (booktabs), or a section for a model's README.",
)
@json_option
def export(study: str, overrides: list[str], kind: str, as_json: bool) -> int:
    """STUDY is a name under `paths.studies`, or a folder; it may still be running. Prints a table of its
    contrasts and one of its cells; nothing is drawn.
    """
    from limo_ablate.report.export import FORMATS, facts
    from limo_ablate.report.study_view import load
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    view = load(study_folder(study, Path(compose(overrides).paths.studies)))
    if not view.done:
        raise UserError(f"{study}: no trial has finished yet, so there is nothing to export")
    if as_json:
        print_json(facts(view))
    else:
        print(FORMATS[kind](view))
    return 0


def print_failed(failed: Sequence[str], report: Path) -> int:
    """Prints a line for each part that could not be drawn; returns the exit code."""
    for line in failed:
        print(f"could not draw {line}", file=sys.stderr)
    if failed:
        from limo_ablate.study.folder import REPORT_ERRORS

        print(f"tracebacks: {report / REPORT_ERRORS}", file=sys.stderr)
    return EXIT_TRIALS_FAILED if failed else 0


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
