"""`limo-ablate ledger serve`: a ledger for runners on many machines.

A database behind Optuna's gRPC proxy, which alone holds connections to it. Runners use
`ledger=grpc://HOST:PORT`. Beyond this machine it asks for a token (`limo_ablate.sweep.ledger.secured`).
"""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import click

from limo_ablate.core.command import Verb
from limo_ablate.core.errors import UserError
from limo_ablate.study.ledger_url import check_ledger

DEFAULT = "sqlite:///outputs/ledger.db"


@click.command(
    "ledger",
    cls=Verb,
    reads_project=False,
    examples=[
        "limo-ablate ledger serve",
        "limo-ablate ledger serve postgresql+psycopg://me@host/database --host 0.0.0.0",
        "limo-ablate ledger serve --host 0.0.0.0 --certificate server.pem --key server.key",
    ],
)
@click.argument("action", type=click.Choice(["serve"]))
@click.argument("url", default=DEFAULT)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0: everywhere.")
@click.option("--port", type=click.IntRange(1, 65535), default=13000, show_default=True)
@click.option("--certificate", type=click.Path(path_type=Path), help="Certificates (PEM), for TLS.")
@click.option("--key", type=click.Path(path_type=Path), help="The certificate's private key (PEM).")
def ledger(action: str, url: str, host: str, port: int, certificate: Path | None, key: Path | None) -> int:
    """Serves the database URL (sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME; outputs/ledger.db if it
    is left out) as `ledger=grpc://HOST:PORT` of studies on many machines, until Ctrl-C. Beyond this machine
    it needs LIMO_ABLATE_LEDGER_TOKEN=TOKEN@HOST:PORT, here and on each of them.
    """
    serve(url, host, port, _pair(certificate, key))
    return 0


def _pair(certificate: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("--certificate and --key: TLS needs both")
    try:
        return key.read_bytes(), certificate.read_bytes()
    except OSError as error:
        raise UserError(f"{error.filename}: can't be read: {error.strerror}") from error


def serve(url: str, host: str, port: int, pair: tuple[bytes, bytes] | None = None) -> None:
    """Serves the database until it is interrupted. `pair`: private key and certificate. Raises UserError."""
    if "://" not in url or url.startswith("grpc"):
        raise UserError(f"{url}: what is served is a database, sqlite:///... or postgresql+psycopg://...")
    check_ledger(url)
    try:
        from limo_ablate.sweep.ledger.secured import TOKEN, own_token, start_server
    except ImportError as error:
        raise UserError(f"{error}; pip install 'limo-ablate[grpc]'") from error
    from limo_ablate.sweep.ledger.storage import Storage

    own = own_token()
    if own is None and not _is_loopback(host):
        raise UserError(
            f"--host {host}: beyond this machine the ledger needs a token, as who can write it can change "
            f'results: export {TOKEN}="$(openssl rand -hex 16)@NAME:{port}", where NAME is what the other '
            "machines call this one"
        )
    if url == DEFAULT:
        Path("outputs").mkdir(exist_ok=True)
    server = start_server(Storage(url).optuna, host, port, own.token if own else None, pair)
    scheme, name = "grpcs" if pair else "grpc", own.place if own else f"{host}:{port}"
    print(f"ledger={scheme}://{name} serves {url}; Ctrl-C ends it", flush=True)
    if not pair and not _is_loopback(host):
        print(
            "without TLS (--certificate, --key) the token can be read by who can listen to the network",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    server.wait_for_termination()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
