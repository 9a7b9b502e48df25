"""`limo-ablate view [STUDY] [--port N] [--host H] [--token [T]] [key=value ...]` shows studies in a browser.

What each one runs, how far it is, what failed and why, and its report, drawn again as trials finish. STUDY, a
name or a folder, shows that one only. It listens on this machine alone (127.0.0.1, port 8780; 0 takes a free
one); --host with another address needs --token, a word of 16 characters or more, or alone, which makes one.
It only reads. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import errno
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from limo_ablate.core.errors import UserError
from limo_ablate.report.serve.guard import Guard

if TYPE_CHECKING:
    from limo_ablate.report.serve.hub import Hub
    from limo_ablate.report.serve.server import Server

PORT = 8780


def main(argv: list[str]) -> int:
    """Serves until Ctrl-C. Raises UserError."""
    args, rest = _parser().parse_known_args(argv)
    if args.help:
        print(__doc__)
        return 0
    if unknown := next((text for text in rest if text.startswith("-")), None):
        raise UserError(f"{unknown}: no option of view; there are --port, --host, --token")
    names = [text for text in rest if "=" not in text]
    if len(names) > 1:
        raise UserError(f"view {' '.join(names)}: one study, or none for all of them")
    guard = Guard(args.host, secrets.token_urlsafe(24) if args.token == "" else args.token)
    only, folders = _studies(names[0] if names else None, [text for text in rest if "=" in text])
    from limo_ablate.report.serve.hub import Hub
    from limo_ablate.sweep.interrupts import Interrupts

    with Interrupts() as interrupts, Hub(folders) as hub, _server(guard, args.port, hub) as server:
        print(address(server, only), flush=True)
        try:
            with interrupts.window():
                server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"limo-ablate view: {message}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="limo-ablate view", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--token", nargs="?", const="")
    return parser


def _studies(name: str | None, overrides: list[str]) -> tuple[Path | None, Callable[[], list[Path]]]:
    """The one study that is asked for, and what lists all that are shown. Raises UserError."""
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    root = Path(compose(overrides).paths.studies)
    only = study_folder(name, root).absolute() if name else None

    def folders() -> list[Path]:
        return [only] if only else sorted(path.parent for path in root.glob("*/study.yaml"))

    return only, folders


def _server(guard: Guard, port: int, hub: Hub) -> Server:
    """Raises UserError where it can't listen."""
    from limo_ablate.report.serve.server import Server

    where = f"--host {guard.host} --port {port}"
    try:
        return Server((guard.host, port), hub, guard)
    except OverflowError as error:
        raise UserError(f"{where}: a port is a number from 0 to 65535") from error
    except OSError as error:
        taken = "taken already; another one, or --port 0 for a free one"
        raise UserError(f"{where}: {taken if error.errno == errno.EADDRINUSE else error.strerror}") from error


def address(server: Server, only: Path | None) -> str:
    """Where a browser finds it."""
    host, port = server.guard.host, server.server_address[1]
    shown = f"[{host}]" if ":" in host else host
    path = f"/study/{only.name}" if only else "/"
    token = f"?token={server.guard.token}" if server.guard.token else ""
    return f"http://{shown}:{port}{path}{token}"
