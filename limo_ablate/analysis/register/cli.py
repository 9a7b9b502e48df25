"""The verb `freeze`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limo_ablate.core.command import Verb, json_result, words
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import check_links
from limo_ablate.core.text import counted

if TYPE_CHECKING:
    from limo_ablate.analysis.register.registration import Chain, Registration


@click.command(
    "freeze",
    cls=Verb,
    examples=["limo-ablate freeze miniature", "limo-ablate freeze miniature 'seeds=[0,1]' --again"],
)
@words("study")
@click.option("--again", is_flag=True, help="Register the study again; the former registration is kept.")
@json_result
def freeze(study: str, overrides: list[str], again: bool) -> tuple[int, Callable[[], Any]]:
    """Writes registration.json into the study's folder: design, planned trials with the rows they train on,
    benchmarks, contrasts with their margins, alpha and versions, with a hash of the content. Use the same
    overrides for `sweep`. Trains nothing, but computes selections and benchmarks as a trial would. The report
    marks a contrast as confirmatory if it was registered before its results were known.
    """
    from limo_ablate.analysis.register.freeze import folder_of
    from limo_ablate.analysis.register.freeze import freeze as register
    from limo_ablate.analysis.register.registration import write
    from limo_ablate.study.design import load_study
    from limo_ablate.study.folder import REGISTRATION

    loaded = load_study(study, overrides)
    folder = folder_of(loaded)
    check_links(folder)
    registration = register(loaded, folder, _former(folder, again=again))
    write(folder, registration)
    print(text(registration, folder / REGISTRATION))
    return 0, lambda: {"file": folder / REGISTRATION, "time": registration.time, "hash": registration.hash}


def _former(folder: Path, *, again: bool) -> Chain | None:
    """The existing registrations, if any. Raises UserError if the study may not be registered (again)."""
    from limo_ablate.analysis.register.registration import read
    from limo_ablate.study.folder import REGISTRATION

    former = read(folder)
    if former and former.broken:
        raise UserError(f"{former.broken}; restore it, or move it away to register from scratch")
    if former and not again:
        last = former.last
        raise UserError(
            f"{folder / REGISTRATION}: already registered at {last.time}, hash {last.hash[:12]}; --again "
            "registers the study again and keeps this registration beside the new one"
        )
    return former


def text(registration: Registration, path: Path) -> str:
    """Summary of a registration in a few lines."""
    from limo_ablate.analysis.register.declaration import adaptive

    planned = registration.cells.values()
    selections = {trial.selection for trial in planned if trial.selection}
    searched = [block["name"] for block in registration.design["blocks"] if adaptive(block)]
    lines = [
        f"registered: {registration.study}, {counted(len(planned), 'trial')}, "
        f"{counted(len(selections), 'selection')}, "
        f"benchmarks {', '.join(registration.benchmarks)}; alpha {registration.alpha:g}, "
        f"analysis version {registration.analysis}",
        *(
            f"  block '{name}' is a search: its design is registered, its trials are not known"
            for name in searched
        ),
        *(f"  {line}" for line in _contrasts(registration)),
        *(f"  AFTER RESULTS: {line}" for line in _late(registration)),
    ]
    if registration.git["dirty"]:
        lines.append("  the code has uncommitted changes: commit them so that others can reproduce the study")
    return "\n".join([*lines, f"sha256 {registration.hash}", str(path)])


def _contrasts(registration: Registration) -> list[str]:
    if not registration.contrasts:
        return ["no contrasts, so nothing can be confirmatory; declare them in the study's `contrasts`"]
    return [
        f"{'primary' if contrast.primary else 'secondary'}: {contrast.name}: "
        f"{contrast.comparison} on {contrast.score_name}"
        + (f", expected {contrast.effect:g}" if contrast.effect is not None else "")
        + (f", equivalent within {contrast.margin:g}" if contrast.margin is not None else "")
        for contrast in registration.contrasts
    ]


def _late(registration: Registration) -> list[str]:
    late = [(block, count) for block, count in registration.finished.items() if count]
    return [
        f"{counted(count, 'trial')} of block '{block}' had already finished: its contrasts are exploratory"
        for block, count in late
    ]
