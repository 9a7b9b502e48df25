"""The verb `freeze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from limo_ablate.core.command import Verb, words
from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from limo_ablate.analysis.register.registration import Chain, Registration


@click.command(
    "freeze",
    cls=Verb,
    examples=["limo-ablate freeze miniature", "limo-ablate freeze miniature 'seeds=[0,1]' --again"],
)
@words("study")
@click.option("--again", is_flag=True, help="Register the study anew; the former registration is kept.")
def freeze(study: str, overrides: list[str], again: bool) -> int:
    """Writes registration.json into the study's folder: design, cells with the rows they train on,
    benchmarks, contrasts with their margins, alpha and versions, sealed by a hash. Overrides are those of
    `sweep`, which needs the same ones. Nothing trains; selections and benchmarks are made, as a trial would
    make them. The report marks as confirmatory what was registered before its results were known.
    """
    from limo_ablate.analysis.register.freeze import folder_of
    from limo_ablate.analysis.register.freeze import freeze as register
    from limo_ablate.analysis.register.registration import write
    from limo_ablate.study.design import load_study
    from limo_ablate.study.folder import REGISTRATION

    loaded = load_study(study, overrides)
    folder = folder_of(loaded)
    registration = register(loaded, folder, _former(folder, again=again))
    write(folder, registration)
    print(text(registration, folder / REGISTRATION))
    return 0


def _former(folder: Path, *, again: bool) -> Chain | None:
    """What is registered already. Raises UserError where it may not be registered, or not again."""
    from limo_ablate.analysis.register.registration import read
    from limo_ablate.study.folder import REGISTRATION

    former = read(folder)
    if former and former.broken:
        raise UserError(f"{former.broken}; put it back as it was, or move it away to register from scratch")
    if former and not again:
        last = former.last
        raise UserError(
            f"{folder / REGISTRATION}: registered at {last.time} already, as {last.hash[:12]}; --again "
            "registers the study anew, and keeps this one beside it"
        )
    return former


def text(registration: Registration, path: Path) -> str:
    """What was registered, in a few lines."""
    from limo_ablate.analysis.register.declaration import adaptive

    cells = registration.cells.values()
    selections = {cell.selection for cell in cells if cell.selection}
    searched = [block["name"] for block in registration.design["blocks"] if adaptive(block)]
    lines = [
        f"registered: {registration.study}, {len(cells)} cells, {len(selections)} selections, "
        f"benchmarks {', '.join(registration.benchmarks)}; alpha {registration.alpha:g}, "
        f"analysis version {registration.analysis}",
        *(
            f"  block '{name}' searches: its design is registered, its cells are not known"
            for name in searched
        ),
        *(f"  {line}" for line in _contrasts(registration)),
        *(f"  AFTER RESULTS: {line}" for line in _late(registration)),
    ]
    if registration.git["dirty"]:
        lines.append("  the code has uncommitted changes: commit them, so that others can have it")
    return "\n".join([*lines, f"sha256 {registration.hash}", str(path)])


def _contrasts(registration: Registration) -> list[str]:
    if not registration.contrasts:
        return ["no contrasts: nothing will be confirmatory; name them in the study's `contrasts`"]
    return [
        f"{'primary' if contrast.primary else 'secondary'}: {contrast.name}: {contrast.factor} {contrast.b} "
        f"against {contrast.a} on {contrast.score}"
        + (f", expected {contrast.effect:g}" if contrast.effect is not None else "")
        + (f", equivalent within {contrast.margin:g}" if contrast.margin is not None else "")
        for contrast in registration.contrasts
    ]


def _late(registration: Registration) -> list[str]:
    late = [(block, count) for block, count in registration.finished.items() if count]
    return [
        f"{count} trials of block '{block}' have finished already: its contrasts stay exploratory"
        for block, count in late
    ]
