"""The verbs for W&B: `dashboard`, `wandb-sync`, `wandb-sweep`."""

from __future__ import annotations

import click

from limo_ablate.core.command import Verb, words


@click.command(
    "dashboard",
    cls=Verb,
    examples=[
        "WANDB_MODE=online limo-ablate dashboard miniature",
        "limo-ablate dashboard miniature --offline track.entity=lab track.project=limo",
    ],
)
@words("study")
@click.option("--offline", is_flag=True, help="Write the specifications; publish nothing.")
def dashboard(study: str, overrides: list[str], offline: bool) -> int:
    """A workspace (curves, heatmap, parallel coordinates, contrasts, tables, training) and a report, over the
    runs of the study's trials and a summary run. Their specifications are always written to STUDY/dashboard;
    online (WANDB_MODE=online or track.mode=online, and a key) they are published, or updated.
    """
    from limo_ablate.report.wandb.dashboard import dashboard_of

    return dashboard_of(study, overrides, offline=offline)


@click.command(
    "wandb-sync",
    cls=Verb,
    examples=["limo-ablate wandb-sync", "limo-ablate wandb-sync miniature track.project=limo"],
)
@words("study", optional=True)
@click.option("--trust", is_flag=True, help="Send the runs of a study that is not in paths.studies.")
def wandb_sync(study: str | None, overrides: list[str], trust: bool) -> int:
    """Runs of STUDY (a name or a folder), else of all trials; `paths.studies=`, `track.project=` and
    `track.entity=` set source and target. Exit codes: 0 everything is sent, 2 no key or no server, 3 some
    runs could not be sent.
    """
    from limo_ablate.report.wandb.sync import sync

    return sync(study, overrides, trust=trust)


@click.command(
    "wandb-sweep",
    cls=Verb,
    examples=["limo-ablate wandb-sweep miniature", "limo-ablate wandb-sweep lr_search --write"],
)
@words("study")
@click.option("--write", is_flag=True, help="Write files to outputs/wandb-sweeps/ instead of printing them.")
def wandb_sweep(study: str, overrides: list[str], write: bool) -> int:
    """One W&B sweep for each block of STUDY. `wandb sweep FILE` creates it, `wandb agent ID` runs its
    trials; docs/wandb.md lists the differences from `limo-ablate sweep`.
    """
    from limo_ablate.report.wandb.sweep_file import export

    export(study, overrides, write=write)
    return 0
