"""Optuna's gRPC proxy in front of a database.

    python -m limo_ablate.sweep.ledger.serve URL [--host HOST] [--port PORT]

For machines that can reach a host but not the database, and for many runners on one database, as only the
proxy holds connections. Runners then use `ledger=grpc://HOST:PORT`. It asks for no password, so by default it
listens on this machine only (--host).
"""

from __future__ import annotations

import argparse
import sys
import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.storages import run_grpc_proxy_server

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from limo_ablate.sweep.ledger.storage import Storage


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("limo_ablate.sweep.ledger.serve", description=__doc__)
    parser.add_argument("url", help="sqlite:///..., postgresql+psycopg://...")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=13000)
    asked = parser.parse_args(argv)
    try:
        serve(asked.url, asked.host, asked.port)
    except UserError as error:
        print(f"limo-ablate: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def serve(url: str, host: str, port: int) -> None:
    """Serves the database until it is interrupted. Raises UserError."""
    if "://" not in url or url.startswith("grpc:"):
        raise UserError(f"{url}: the proxy serves a database, sqlite:///... or postgresql+psycopg://...")
    storage = Storage(url).optuna
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            run_grpc_proxy_server(storage, host=host, port=port)
        except RuntimeError as error:
            raise UserError(f"{host}:{port}: can't be listened on: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
