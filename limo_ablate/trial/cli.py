"""The verb `trial`, which also runs where no verb is given: one trial, or a multirun, composed by Hydra."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from limo_ablate.core.command import Verb, announce, json_option, print_json, words
from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import TrialFailure, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from limo_ablate.trial.config import TrialConfig

F = TypeVar("F", bound=Callable[..., Any])
LOG_ON_STDERR = "hydra.job_logging.handlers.console.stream=ext://sys.stderr"
QUIETLY = "++hydra.job_logging.handlers.console.level=WARNING"
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True)
"""Hydra would look for a relative one beside our own code."""


def _hydra_flags(function: F) -> F:
    """Hydra's own flags, which are passed on to it unchanged."""
    decorators = (
        click.option("-m", "--multirun", is_flag=True, help="Run every combination of `key=a,b` overrides."),
        click.option(
            "-c", "--cfg", type=click.Choice(["job", "hydra", "all"]), help="Print the configuration."
        ),
        click.option("-p", "--package", metavar="KEY", help="With --cfg: print this part only."),
        click.option("--resolve", is_flag=True, help="With --cfg: resolve interpolations."),
        click.option(
            "-i", "--info", is_flag=False, flag_value="all", type=click.Choice(INFO), metavar="[PART]",
            help=f"Print how it is composed. PART: {', '.join(INFO)}.",
        ),
        click.option("-cn", "--config-name", metavar="NAME", help="Start from NAME.yaml, not config.yaml."),
        click.option("-cp", "--config-path", type=DIRECTORY, metavar="DIR", help="Look in DIR before conf/."),
        click.option("-cd", "--config-dir", type=DIRECTORY, metavar="DIR", help="Look in DIR too."),
    )  # fmt: skip
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


@click.command(
    "trial",
    cls=Verb,
    examples=[
        "limo-ablate trial select.size=64 select.quality=L5 select.difficulty=hard model=mini_m seed=1",
        "limo-ablate experiment=limo_v3",
        "limo-ablate --cfg job select.size=64",
        "limo-ablate -m select.size=16,64,256",
    ],
)
@words()
@_hydra_flags
@click.option("-q", "--quiet", is_flag=True, help="Warnings and the result only; trial.log has all.")
@json_option
def trial(overrides: list[str], as_json: bool, quiet: bool, **flags: str | Path | bool | None) -> int:
    """`limo-ablate key=value ...` does the same. The trial's folder, which is printed at the end, is
    outputs/trials/DATE/TIME, or hydra.run.dir=DIR. With -m the trials are the study `multirun`, in
    outputs/studies/multirun, with a report. `limo-ablate --help --all` lists all keys.
    """
    if as_json and any(flags.values()):
        raise UserError("--json is for one trial, without Hydra's flags; of a study, `status` and `export`")
    if not (quiet or any(flags.values())):
        announce("composing the trial")
    return run_hydra([*overrides, *[QUIETLY] * quiet, *_passed_on(flags)], as_json=as_json)


def _passed_on(flags: dict[str, str | Path | bool | None]) -> list[str]:
    """The flags as Hydra reads them."""
    named = ((f"--{name.replace('_', '-')}", value) for name, value in flags.items() if value)
    return [flag if value is True else f"{flag}={value}" for flag, value in named]


def run_hydra(argv: Sequence[str], *, as_json: bool = False) -> int:
    """Runs what Hydra's command line `argv` asks for; with `as_json`, prints a trial's result as JSON, and
    its log on stderr. Raises UserError and TrialFailure."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from limo_ablate.trial.compose import PRIMARY, explain, search_path

    failures: list[Exception] = []

    def job(cfg: DictConfig) -> None:
        try:
            _one_trial(cfg, as_json=as_json)
        except (UserError, TrialFailure) as error:  # raised below, without Hydra's own report of it
            failures.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and the error is ours to print
    overrides = [word for word in argv if "=" in word]
    sys.argv = [sys.argv[0], *_with_ours([*argv, LOG_ON_STDERR] if as_json else argv)]
    try:
        with search_path() as folder, _masked() if _prints_configuration(argv) else nullcontext():
            hydra.main(version_base="1.3", config_path=folder, config_name=PRIMARY)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    except ValueError as error:
        if "Config group override" in str(error):  # a group that is neither a choice nor a list of them
            raise UserError(f"{' '.join(overrides)}: {error}") from error
        if "can be specified" not in str(error):
            raise
        raise UserError(str(error)) from error  # two of Hydra's flags that exclude each other
    if failures:
        raise failures[0]
    return 0


def _prints_configuration(argv: Sequence[str]) -> bool:
    return any(word.startswith(("--cfg", "--info")) for word in argv)


@contextmanager
def _masked() -> Iterator[None]:
    """Masks passwords and keys in what is printed on standard output inside."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        print(masked(printed.getvalue()), end="", flush=True)


def _with_ours(argv: Sequence[str]) -> list[str]:
    """`argv` with our callback and, for `-m`, our sweeper unless another one is chosen, whatever the primary
    configuration."""
    from limo_ablate.trial.new_folder import OVERRIDE

    chosen = any(argument.startswith("hydra/sweeper=") for argument in argv)
    ours = [OVERRIDE] if chosen else ["hydra/sweeper=limo", OVERRIDE]
    overrides = (place for place, text in enumerate(argv) if "=" in text and not text.startswith("-"))
    place = next(overrides, 0)  # Hydra reads overrides only where they stand together
    return [*argv[:place], *ours, *argv[place:]]


def _one_trial(cfg: DictConfig, *, as_json: bool) -> None:
    from hydra.core.hydra_config import HydraConfig

    from limo_ablate.model.train.model_config import may_allow_code
    from limo_ablate.trial.checks import check_alone
    from limo_ablate.trial.compose import to_trial

    may_allow_code()  # what the command line and conf/ say
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        config = to_trial(cfg)
        _check_folder(folder, config)
        check_alone(config)
    except UserError:
        with suppress(OSError):
            folder.rmdir()  # made by Hydra; kept if anything else is in it
        raise
    given = (override.partition("=") for override in hydra.overrides.task)
    cell: dict[str, object] = {key: value for key, _, value in given}
    from limo_ablate.trial.identity import TrialLabels
    from limo_ablate.trial.run import run_trial
    from limo_ablate.trial.show import print_trial

    metrics = run_trial(config, folder, TrialLabels(study=None, cell=cell, name=folder.name))
    if as_json:
        print_json({"folder": str(folder), **metrics})
    else:
        print_trial(metrics, folder)


def _check_folder(folder: Path, config: TrialConfig) -> None:
    """Raises UserError where the folder, which the user has chosen, holds another trial's results."""
    from limo_ablate.core.reading import read_json
    from limo_ablate.trial.identity import trial_key

    try:
        key = read_json(folder / "metrics.json").get("trial")
    except FileNotFoundError:
        return
    if key != trial_key(config):
        raise UserError(f"{folder} holds the results of another trial; choose another hydra.run.dir=DIR")
