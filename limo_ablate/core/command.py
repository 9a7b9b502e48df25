"""What all verbs of the command line share. Each verb's own click command stands beside the code it runs.

    @click.command("plan", cls=Verb, examples=["limo-ablate plan miniature 'seeds=[0]'"])
    @words("study")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def plan(study: str, overrides: list[str], as_json: bool) -> int: ...

Only click is imported here, so that `--help` and usage errors take no time.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from click.shell_completion import CompletionItem

from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_TRIALS_FAILED,
    EXIT_USER_ERROR,
    UNUSABLE_PATH_ERRNOS,
    TrialFailure,
    UserError,
)
from limo_ablate.core.project import study_names, use_project
from limo_ablate.core.text import printable
from limo_ablate.core.typed import nearest

F = TypeVar("F", bound=Callable[..., Any])
PROGRAM = "limo-ablate"
WIDTH = 110
EXIT_CODES = (
    "0 done, 2 a mistake in what was asked, 3 some trials, or parts of a report, failed, 130 interrupted"
)
OVERRIDE = "key=value, +key=value, ~key, group@package=option"


def run(command: click.Command, argv: Sequence[str]) -> int:
    """Runs `command` on the words `argv`; returns the exit code. Expected errors are one line on stderr."""
    try:
        shown: Any = _Printable(sys.stdout)
        with redirect_stdout(shown), command.make_context(PROGRAM, list(argv)) as context:
            return int(command.invoke(context) or 0)
    except click.exceptions.Exit as end:  # after --help
        return end.exit_code
    except click.ClickException as error:
        return _failed(" ".join(error.format_message().split()), EXIT_USER_ERROR)
    except UserError as error:
        return _failed(str(error), EXIT_USER_ERROR)
    except TrialFailure as error:
        return _failed(f"the trial failed: {error}", EXIT_TRIALS_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in UNUSABLE_PATH_ERRNOS or error.filename is None:
            raise
        return _failed(_unusable(Path(str(error.filename)), str(error.strerror)), EXIT_USER_ERROR)


def announce(text: str) -> None:
    """Says on a terminal, before anything heavy is imported, what is being done; elsewhere nothing."""
    if sys.stderr.isatty():
        print(f"{PROGRAM}: {printable(text)}", file=sys.stderr, flush=True)


class _Printable:
    """Standard output, on which names, reasons and texts of others can't move a terminal's cursor."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def write(self, text: str) -> int:
        return self.unguarded.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


def _unusable(path: Path, reason: str) -> str:
    """Why a file or folder can't be used; whose it is where that is the reason."""
    from limo_ablate.core.permissions import denied, is_of_others

    others = reason == os.strerror(errno.EACCES) and is_of_others(path)
    return str(denied(path, reason)) if others else f"{path}: {reason}"


def _failed(message: str, code: int) -> int:
    print(f"{PROGRAM}: {printable(masked(message))}", file=sys.stderr)
    return code


class Verb(click.Command):
    """A verb: its help has a summary, a description, examples and options; `--project` among them, unless
    the verb reads no configuration."""

    def __init__(
        self, *args: Any, examples: Sequence[str], reads_project: bool = True, **kwargs: Any
    ) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
        super().__init__(
            *args, **kwargs | {"context_settings": settings | kwargs.get("context_settings", {})}
        )
        if reads_project:
            self.params.append(project_option())
        self.examples = examples
        self.summary = ""
        """One line, given by the table of verbs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            known = [name for option in options for name in option.opts if name.startswith("--")]
            near = nearest(error.option_name, known)
            raise UserError(
                f"{error.option_name}: no option of {self.name}{near} It has {', '.join(known)}"
            ) from error

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.indent()
        formatter.write_text(self.summary)
        formatter.dedent()
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_options(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_text(EXIT_CODES)


def project_option() -> click.Option:
    """`--project DIR`, which holds from the moment it is read, for this process and those it starts."""

    def use(_ctx: click.Context, _param: click.Parameter, folder: Path | None) -> None:
        if folder is not None:
            use_project(folder)

    return click.Option(
        ["--project"],
        type=click.Path(path_type=Path),
        metavar="DIR",
        is_eager=True,
        expose_value=False,
        callback=use,
        help="Folder with conf/ and sweeps/ of your own.  [default: the current one]",
    )


def words(*names: str, optional: bool = False) -> Callable[[F], F]:
    """Passes the command these names (None where one is optional and left out) and a list `overrides`.

    Overrides may stand before, between and after the names.
    """

    def decorate(function: F) -> F:
        decorated: F = click.argument("words", cls=Words, names=names, optional=optional)(function)
        return decorated

    return decorate


class Words(click.Argument):
    """The words of a command line that are no options, see `words`."""

    def __init__(self, *args: Any, names: Sequence[str], optional: bool, **kwargs: Any) -> None:
        shown = [f"[{name.upper()}]" if optional else name.upper() for name in names]
        metavar = " ".join([*shown, "[KEY=VALUE]..."])
        super().__init__(*args, nargs=-1, metavar=metavar, expose_value=False, callback=self.split, **kwargs)
        self.names, self.optional = names, optional

    def split(self, ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> None:
        """Puts names and overrides into the context's parameters. Raises UserError."""
        plain = [word for word in given if not is_override(word)]
        usage = f"{ctx.command_path} {self.metavar}"
        if not ctx.resilient_parsing and (extra := plain[len(self.names) :]):
            raise UserError(f"{extra[0]}: not an override ({OVERRIDE}); usage: {usage}")
        if not ctx.resilient_parsing and not self.optional and len(plain) < len(self.names):
            raise UserError(f"{self.names[len(plain)].upper()} is missing; usage: {usage}")
        padded = [*plain, *[None] * len(self.names)]
        ctx.params |= dict(zip(self.names, padded, strict=False))
        ctx.params["overrides"] = [word for word in given if is_override(word)]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        studies = "study" in self.names and ctx.params.get("study") is None
        found = _items(study_names() if studies else (), incomplete)
        return [*found, *override_completions(incomplete)]


def is_override(word: str) -> bool:
    """Whether a word has the form of an override."""
    return "=" in word or word.startswith(("+", "~"))


def json_option(function: F) -> F:
    """`--json`, passed as `as_json`; what is printed goes through `print_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
    decorated: F = option(function)
    return decorated


def json_result(function: Callable[..., tuple[int, Callable[[], Any]]]) -> Callable[..., int]:
    """`--json` for a verb that prints lines as it goes: with it they go to standard error, and the result is
    printed as JSON at the end. The verb's function returns its exit code and what makes the result."""

    @wraps(function)
    def called(*args: Any, as_json: bool, **kwargs: Any) -> int:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            code, result = function(*args, **kwargs)
            made = result() if as_json else None
        if as_json:
            print_json(made)
        return code

    return json_option(called)


def print_json(value: Any) -> None:
    """Prints plain data as JSON that any reader takes: what is not a number is null."""
    print(json.dumps(_finite(value), indent=1, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


class StudyName(click.ParamType[str]):
    """A study's name or folder, as the value of an option."""

    name = "study"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The studies of sweeps/."""
        return _items(study_names(), incomplete)


def override_completions(incomplete: str) -> list[CompletionItem[str]]:
    """How an override may go on, by the completer that `limo_ablate.completion` has put in."""
    return [item for completer in OVERRIDE_COMPLETERS for item in completer(incomplete)]


OVERRIDE_COMPLETERS: list[Callable[[str], list[CompletionItem[str]]]] = []
"""Filled by `limo_ablate.completion`: the schema, which knows the keys, stands above this package."""


def _items(values: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]
