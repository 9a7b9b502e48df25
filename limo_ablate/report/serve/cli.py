"""The verb `view`."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limo_ablate.core.command import Verb, words
from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from limo_ablate.report.serve.guard import Guard
    from limo_ablate.report.serve.hub import Hub
    from limo_ablate.report.serve.server import Server


@click.command(
    "view",
    cls=Verb,
    examples=[
        "limo-ablate view",
        "limo-ablate view miniature --port 0",
        "limo-ablate view --host 0.0.0.0 --token",
    ],
)
@words("study", optional=True)
@click.option("--port", type=int, default=8780, show_default=True, help="0 chooses a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs a token.")
@click.option("--token", is_flag=True, help="A browser must send a token, generated anew at each start.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The token is in FILE, which only you can read: at least 16 characters.",
)
def view(
    study: str | None, overrides: list[str], port: int, host: str, token: bool, token_file: Path | None
) -> int:
    """Shows each study's progress, failures and their reasons, and its report, redrawn as trials finish.
    With STUDY, a name or a folder, only that study. Only reads. Ctrl-C ends it.
    """
    from limo_ablate.report.serve.guard import Guard, read_token
    from limo_ablate.report.serve.hub import Hub
    from limo_ablate.sweep.interrupts import Interrupts

    chosen = read_token(token_file) if token_file else secrets.token_urlsafe(24) if token else None
    guard = Guard(host, chosen)
    only, folders = _studies(study, overrides)
    with Interrupts() as interrupts, Hub(folders) as hub, _server(guard, port, hub) as server:
        print(address(server, only), flush=True)
        try:
            with interrupts.window():
                server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
    return 0


def _studies(name: str | None, overrides: list[str]) -> tuple[Path | None, Callable[[], list[Path]]]:
    """The requested study, if any, and a function that lists the studies to show. Raises UserError."""
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    root = Path(compose(overrides).paths.studies)
    only = study_folder(name, root).absolute() if name else None

    def folders() -> list[Path]:
        return [only] if only else sorted(path.parent for path in root.glob("*/study.yaml"))

    return only, folders


def _server(guard: Guard, port: int, hub: Hub) -> Server:
    """The server. Raises UserError if it can't listen."""
    from limo_ablate.report.serve.server import Server

    where = f"--host {guard.host} --port {port}"
    try:
        return Server((guard.host, port), hub, guard)
    except OverflowError as error:
        raise UserError(f"{where}: a port is a number from 0 to 65535") from error
    except OSError as error:
        in_use = "in use; choose another port, or --port 0 for a free one"
        raise UserError(
            f"{where}: {in_use if error.errno == errno.EADDRINUSE else error.strerror}"
        ) from error


def address(server: Server, only: Path | None) -> str:
    """The address to open in a browser."""
    host, port = server.guard.host, server.server_address[1]
    shown = f"[{host}]" if ":" in host else host
    path = f"/study/{only.name}" if only else "/"
    token = f"?token={server.guard.token}" if server.guard.token else ""
    return f"http://{shown}:{port}{path}{token}"
