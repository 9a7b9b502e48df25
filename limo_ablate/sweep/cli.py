"""The verbs that run a study and show its state: `sweep`, `join`, `retry`, `repair`, `status`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from limo_ablate.core.command import Verb, announce, json_option, json_result, words
from limo_ablate.core.errors import EXIT_USER_ERROR, UserError

Result: TypeAlias = tuple[int, Callable[[], Any]]
"""Exit code, and what makes the result for `--json`."""
QUIET = click.option("-q", "--quiet", is_flag=True, help="No table and no line of a trial that is finished.")


@click.command(
    "sweep",
    cls=Verb,
    examples=[
        "limo-ablate sweep miniature",
        "limo-ablate sweep miniature 'seeds=[0]' select.size=16,64 track=none launch.slots=2",
        "limo-ablate sweep limo_rq5 budget.gpu_hours=100",
    ],
)
@words("study")
@click.option("--extend", is_flag=True, help="Go on although the study no longer has some of its trials.")
@click.option(
    "--keep-stale", is_flag=True, help="Don't run trials again whose data or verifier has changed since."
)
@click.option("--trust", is_flag=True, help="Let run what the study's file itself names; asked for once.")
@QUIET
@json_result
def sweep(
    study: str, overrides: list[str], extend: bool, keep_stale: bool, trust: bool, quiet: bool
) -> Result:
    """STUDY is a name (a file of sweeps/) or a YAML file. The same command again runs what is missing, and
    nothing twice.

    An override of an axis replaces its levels, `seeds=[0,1]` the seeds, `budget.gpu_hours=10` the spending
    budget; any other override holds for every trial.
    """
    if not quiet:
        announce(f"reading the study {study} and checking its trials")
    from limo_ablate.analysis.register.freeze import folder_of
    from limo_ablate.study.design import load_study
    from limo_ablate.sweep.coordinate import run
    from limo_ablate.sweep.status import study_facts

    declared = load_study(study, overrides)
    code = run(declared, extend=extend, keep_stale=keep_stale, typed=overrides, trust=trust, quiet=quiet)
    return code, lambda: study_facts(folder_of(declared))


@click.command(
    "join",
    cls=Verb,
    examples=["limo-ablate join miniature", "limo-ablate join miniature --trials 10 launch.slots=2"],
)
@words("study")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Leave after N attempts.")
@click.option("--trust", is_flag=True, help="Let run what the study itself names; asked for once.")
@QUIET
@json_result
def join(study: str, overrides: list[str], trials: int | None, trust: bool, quiet: bool) -> Result:
    """STUDY, which `sweep` has started, is a name or a folder. The runner may be on another machine that
    shares the study's folder, started in the same directory. It takes what waits, and leaves when nothing
    waits. Overrides are those of `launch`, for this runner only.
    """
    if wrong := [override for override in overrides if not override.startswith("launch.")]:
        raise UserError(f"{wrong[0]}: only launch.* can differ from the overrides of `sweep`")
    if not quiet:
        announce(f"reading the study {study}")
    from limo_ablate.study.folder import study_folder
    from limo_ablate.sweep.join import join as join_study
    from limo_ablate.sweep.status import study_facts

    folder = study_folder(study)
    code = join_study(folder, overrides, trials, trust=trust, quiet=quiet)
    return code, lambda: study_facts(folder)


@click.command(
    "retry",
    cls=Verb,
    examples=["limo-ablate retry miniature", "limo-ablate retry miniature size64-L5-s0"],
)
@click.argument("study")
@click.argument("trials", nargs=-1, metavar="[TRIAL]...")
@click.option("--trust", is_flag=True, help="Let hold what the study itself names; asked for once.")
@json_result
def retry(study: str, trials: tuple[str, ...], trust: bool) -> Result:
    """STUDY is a name or a folder, TRIAL a trial's name (`size64-L5-s0`); without one, all that failed. A
    running sweep picks them up within seconds; else the next one does.
    """
    from limo_ablate.sweep.retry import retry_trials

    waits = retry_trials(study, trials, trust=trust)
    return 0, lambda: {"study": study, "waits": waits}


@click.command("repair", cls=Verb, examples=["limo-ablate repair miniature"])
@click.argument("study")
@click.option("--trust", is_flag=True, help="Let hold what the study itself names; asked for once.")
def repair(study: str, trust: bool) -> int:
    """STUDY, whose ledger.log can't be read, is a name or a folder. Keeps the file under another name, and
    makes a new one of the lines before the first that is damaged and of the results on disk. Counts of
    failures and device-hours of later attempts are lost, results are not.
    """
    from limo_ablate.sweep.repair import repair_study

    repair_study(study, trust=trust)
    return 0


@click.command(
    "status",
    cls=Verb,
    examples=["limo-ablate status", "limo-ablate status miniature --json"],
)
@words("study", optional=True)
@json_option
def status(study: str | None, overrides: list[str], as_json: bool) -> int:
    """Without STUDY, a line for each study under `paths.studies`. Reads the ledger and the study's folder
    alone, so it works beside runners on any machine, and changes nothing.
    """
    import gc

    from limo_ablate.sweep.status import print_status

    gc.disable()  # it would go through 10,000 trials again and again, none of which is garbage

    return print_status(study, overrides, as_json=as_json)


@click.command(
    "gc",
    cls=Verb,
    examples=["limo-ablate gc", "limo-ablate gc --outputs outputs --outputs /data/others --delete"],
)
@words()
@click.option(
    "--outputs", multiple=True, metavar="DIR", help="Folder with trials and studies.  [default: outputs]"
)
@click.option(
    "--older-than", type=click.FloatRange(min=0), default=7.0, metavar="DAYS", show_default=True,
    help="Keep what was written since.",
)  # fmt: skip
@click.option("--delete", is_flag=True, help="Remove it; without this, it is only listed.")
@json_result
def gc(overrides: list[str], outputs: tuple[str, ...], older_than: float, delete: bool) -> Result:
    """Lists by kind the artifacts of `paths.artifacts` that no trial in the outputs folders needs: none that
    is finished, and none that a study which was declared or registered would still run. Name all folders
    whose studies share the store. What other folders need is made again when it is missing.

    Of a store at a URL, what other machines need is not known here: only what makers that were killed have
    left is listed, and no artifact.
    """
    from limo_ablate.core.remote.leftovers import collect as collect_leftovers
    from limo_ablate.core.remote.object_store import ObjectStore, is_url
    from limo_ablate.sweep.gc import collect
    from limo_ablate.trial.compose import compose

    paths = compose(overrides).paths
    folders = [Path(name) for name in outputs or ("outputs",)]
    if not outputs and not Path(paths.studies).is_relative_to("outputs"):
        folders = [Path(paths.studies)]
    if is_url(paths.artifacts):
        left = collect_leftovers(ObjectStore(paths.artifacts), older_than, delete=delete)
        print(left)
        return 0, left.facts
    found = collect(folders, Path(paths.artifacts), older_than, delete=delete)
    print(found)
    return 0, found.facts


@click.command(
    "fetch",
    cls=Verb,
    examples=["limo-ablate fetch model smollm2", "limo-ablate fetch all limo_rq5 --offline"],
)
@words("what", "study")
@click.option("--offline", is_flag=True, help="Download nothing; say what is missing (exit code 2).")
@json_result
def fetch(what: str, study: str, overrides: list[str], offline: bool) -> Result:
    """Brings what STUDY needs from the hub into the hub's cache (`HF_HOME`), for machines that have no
    network when they run it. WHAT is model, data, benchmarks or all. Overrides are those of `sweep`.
    """
    from limo_ablate.study.design import load_study
    from limo_ablate.study.planned import planned_trials
    from limo_ablate.sweep.fetch import fetch as bring

    configs = [trial.config for trial in planned_trials(load_study(study, overrides))]
    found = bring(what, configs, offline=offline)
    missing = any(one["missing"] for one in found)
    return EXIT_USER_ERROR if missing else 0, lambda: found
