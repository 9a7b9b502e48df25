"""Optuna's gRPC proxy in front of a database.

    python -m limo_ablate.sweep.ledger.serve URL [--host HOST] [--port PORT]

For machines that can reach a host but not the database, and for many runners on one database, as only the
proxy holds connections. Runners then use `ledger=grpc://HOST:PORT`. It asks for no password, so by default it
listens on this machine only (--host).
"""

from __future__ import annotations

import sys
import warnings

import click
from optuna.exceptions import ExperimentalWarning
from optuna.storages import run_grpc_proxy_server

from limo_ablate.core.command import Verb, run
from limo_ablate.core.errors import UserError
from limo_ablate.study.ledger_url import check_ledger
from limo_ablate.sweep.ledger.storage import Storage


@click.command(
    "serve",
    cls=Verb,
    examples=[
        "python -m limo_ablate.sweep.ledger.serve postgresql+psycopg://me@host/database --host 0.0.0.0"
    ],
)
@click.argument("url")
@click.option("--host", default="localhost", show_default=True)
@click.option("--port", type=int, default=13000, show_default=True)
def command(url: str, host: str, port: int) -> int:
    """Serves the database URL (sqlite:///..., postgresql+psycopg://...) to runners, until Ctrl-C."""
    serve(url, host, port)
    return 0


def serve(url: str, host: str, port: int) -> None:
    """Serves the database until it is interrupted. Raises UserError."""
    if "://" not in url or url.startswith("grpc:"):
        raise UserError(f"{url}: the proxy serves a database, sqlite:///... or postgresql+psycopg://...")
    check_ledger(url)
    storage = Storage(url).optuna
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            run_grpc_proxy_server(storage, host=host, port=port)
        except RuntimeError as error:
            raise UserError(f"{host}:{port}: can't be listened on: {error}") from error


if __name__ == "__main__":
    sys.exit(run(command, sys.argv[1:]))
