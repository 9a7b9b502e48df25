"""The command line `limo-ablate`: the table of verbs, and what a line without a verb means.

A verb's module is imported when that verb runs or is asked for help; no other module of the package imports
this one. Words that begin with an override or an option are a trial: `limo-ablate select.size=64 seed=1`.

Exit codes: 0 done, 2 a user's error, 3 some trials, or parts of a report, failed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from limo_ablate.core.command import Verb, is_override, override_completions, project_option, run
from limo_ablate.core.errors import UserError
from limo_ablate.core.python import SAFE_PATH
from limo_ablate.core.typed import nearest


class Target(NamedTuple):
    command: str
    """`module:name` of a verb's click command."""
    summary: str


SECTIONS: dict[str, dict[str, Target]] = {
    "Run": {
        "trial": Target("limo_ablate.trial.cli:trial", "Run one trial, or several with -m."),
        "sweep": Target("limo_ablate.sweep.cli:sweep", "Run or resume a study of sweeps/."),
        "join": Target("limo_ablate.sweep.cli:join", "Add one more runner to a study, on any machine."),
        "retry": Target("limo_ablate.sweep.cli:retry", "Give failed trials new attempts."),
        "repair": Target("limo_ablate.sweep.cli:repair", "Make a study's damaged ledger readable again."),
        "ledger": Target("limo_ablate.sweep.ledger.serve:ledger", "Serve a ledger to many machines."),
    },
    "Look": {
        "plan": Target(
            "limo_ablate.sweep.plan.cli:plan", "Show what a study would run, cost and be able to detect."
        ),
        "status": Target(
            "limo_ablate.sweep.cli:status", "Show what is finished, running, waiting and failed."
        ),
        "report": Target("limo_ablate.report.cli:report", "Draw a study's report again."),
        "export": Target(
            "limo_ablate.report.cli:export", "Print a study's results as tables for a paper or a model card."
        ),
        "view": Target("limo_ablate.report.serve.cli:view", "Show studies and reports in a browser, live."),
        "compare": Target(
            "limo_ablate.report.compare.cli:compare", "Show how two trials or cells differ, and their scores."
        ),
        "why": Target(
            "limo_ablate.report.compare.cli:why", "Show which input changed, so that a trial would run again."
        ),
    },
    "Files": {
        "fetch": Target("limo_ablate.sweep.cli:fetch", "Bring what a study needs from the hub."),
        "gc": Target("limo_ablate.sweep.cli:gc", "Show artifacts that no study needs, and free them."),
    },
    "Register": {
        "freeze": Target(
            "limo_ablate.analysis.register.cli:freeze",
            "Register what a study will test, before its results are known.",
        ),
    },
    "Data and verifier": {
        "data": Target("limo_ablate.data.pool.cli:data", "Show what a file of rows is, and how it is read."),
        "select": Target(
            "limo_ablate.report.preview.cli:select", "Show which rows a trial would train on, and why."
        ),
        "score": Target(
            "limo_ablate.data.grade.cli:score", "Score a file of completions against gold answers."
        ),
        "verify": Target(
            "limo_ablate.verify.cli:verify", "Grade each completion of a file, with the reason."
        ),
    },
    "Logs of other tools": {
        "import": Target(
            "limo_ablate.study.imported.cli:import_logs", "Make a study of evaluation logs of other tools."
        ),
    },
    "W&B": {
        "dashboard": Target(
            "limo_ablate.report.wandb.cli:dashboard", "Make a study's W&B workspace, report and summary run."
        ),
        "wandb-sync": Target(
            "limo_ablate.report.wandb.cli:wandb_sync", "Upload offline W&B runs, each once."
        ),
        "wandb-sweep": Target("limo_ablate.report.wandb.cli:wandb_sweep", "Export a study as W&B sweeps."),
    },
    "Set up": {
        "init": Target("limo_ablate.study.cli:init", "Write a small project to start from."),
        "completion": Target(
            "limo_ablate.completion:completion", "Print a completion script for bash, zsh or fish."
        ),
        "help": Target("limo_ablate.cli:help_verb", "Show help, or the help of a verb."),
    },
}
VERBS = {name: target for section in SECTIONS.values() for name, target in section.items()}
HIDDEN = {"complete": Target("limo_ablate.completion:complete", "Print completions of a command line.")}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line, this process's own by default; returns the exit code."""
    if argv is None:
        os.environ.update(SAFE_PATH)  # also for what others start in this process
        argv = sys.argv[1:]
    return run(limo_ablate, argv)


class Verbs(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (target := (VERBS | HIDDEN).get(cmd_name)) is None:
            return None
        module, _, name = target.command.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, Verb)
        command.summary = target.summary
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; `trial` where the line begins with an override or one of Hydra's flags."""
        word, rest = args[0], args[1:]
        command = self.get_command(ctx, word)
        if command is None:
            if not (is_override(word) or word.startswith("-")):
                raise UserError(
                    f"{word}: neither a verb nor an override (key=value){nearest(word, VERBS)} "
                    f"Verbs: {', '.join(VERBS)}"
                )
            word, rest, command = "trial", args, self.get_command(ctx, "trial")
        return word, command, ["--help"] if ctx.params.get("show_help") else rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Verbs with their summaries; the options; overrides, which run a trial."""
        verbs = [
            CompletionItem(name, help=target.summary)
            for name, target in VERBS.items()
            if name.startswith(incomplete)
        ]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*verbs, *options, *override_completions(incomplete)]


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},  # Hydra's flags, which are the trial's
    params=[project_option()],
)
@click.option("-h", "--help", "show_help", is_flag=True, help="Show help.")
@click.option("--all", "everything", is_flag=True, help="With --help: every key and group.")
@click.option("--version", "show_version", is_flag=True, help="Show the version.")
@click.pass_context
def limo_ablate(ctx: click.Context, show_help: bool, everything: bool, show_version: bool) -> int:
    if ctx.invoked_subcommand is not None:
        return 0
    if show_version:
        from limo_ablate import __version__

        print(f"limo-ablate {__version__}")
        return 0
    from limo_ablate.help import full_help, short_help, usual_help

    shown = full_help if everything else usual_help if show_help else short_help
    print(shown(SECTIONS))
    return 0


@click.command(
    "help",
    cls=Verb,
    examples=["limo-ablate help", "limo-ablate help sweep", "limo-ablate help --all"],
)
@click.argument("verb", required=False)
@click.option("--all", "everything", is_flag=True, help="Every key and group.")
def help_verb(verb: str | None, everything: bool) -> int:
    """Without VERB, the verbs and the keys that are used most; with --all, all keys."""
    if verb is not None:
        return run(limo_ablate, [verb, "--help"])
    return run(limo_ablate, ["--help", *(["--all"] if everything else [])])
