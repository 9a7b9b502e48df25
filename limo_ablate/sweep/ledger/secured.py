"""Optuna's gRPC proxy with a token and TLS, which it lacks: both sides of the line to a ledger.

The token is in LIMO_ABLATE_LEDGER_TOKEN as TOKEN@HOST:PORT, the same on all machines. A client sends it to
that host and port alone, as a study may name any. `grpcs://` is TLS; a certificate that no public authority
has signed is named in LIMO_ABLATE_LEDGER_CERTIFICATE.
"""

from __future__ import annotations

import hmac
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy
from optuna.storages._grpc import servicer
from optuna.storages._grpc.auto_generated import api_pb2_grpc as generated
from optuna.storages._grpc.client import GrpcClientCache

from limo_ablate.core.errors import UserError

TOKEN, CERTIFICATE = "LIMO_ABLATE_LEDGER_TOKEN", "LIMO_ABLATE_LEDGER_CERTIFICATE"
SHORTEST = 16
"""Characters of a token, which nothing else protects from being guessed."""
THREADS = 10
api_pb2_grpc: Any = generated
UNLIMITED = [("grpc.max_receive_message_length", -1)]


class LedgerToken(NamedTuple):
    token: str
    place: str
    """HOST:PORT that it is for."""


def own_token() -> LedgerToken | None:
    """The token of this process's environment. Raises UserError for one of another form."""
    if not (value := os.environ.get(TOKEN)):
        return None
    token, _, place = value.rpartition("@")
    if len(token) < SHORTEST or not place.rpartition(":")[2].isdigit() or not value.isascii():
        raise UserError(
            f"{TOKEN} is not TOKEN@HOST:PORT with a token of at least {SHORTEST} characters: "
            f'export {TOKEN}="$(openssl rand -hex 16)@HOST:PORT"'
        )
    return LedgerToken(token, place)


class SecuredProxy(GrpcStorageProxy):
    """A client of the proxy at `grpc://HOST:PORT` or `grpcs://HOST:PORT`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not (parts.hostname and parts.port):
            raise ValueError("needs host and port, as in grpc://head:13000")
        self._place, self._has_tls = f"{parts.hostname}:{parts.port}", parts.scheme == "grpcs"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(host=parts.hostname, port=parts.port)

    def _setup(self) -> None:
        own = own_token()
        self._line = self._open()
        headers = [("authorization", f"Bearer {own.token}")] if own and own.place == self._place else []
        self._channel = grpc.intercept_channel(self._line, _Sender(headers))
        self._stub = api_pb2_grpc.StorageServiceStub(self._channel)
        self._cache = GrpcClientCache(self._stub)

    def _open(self) -> grpc.Channel:
        if not self._has_tls:
            return grpc.insecure_channel(self._place, options=UNLIMITED)
        file = os.environ.get(CERTIFICATE)
        trusted = grpc.ssl_channel_credentials(Path(file).read_bytes() if file else None)
        return grpc.secure_channel(self._place, trusted, options=UNLIMITED)

    def wait_server_ready(self, timeout: float | None = None) -> None:
        """Waits for the server, and asks it something. Raises ConnectionError and UserError."""
        try:
            grpc.channel_ready_future(self._line).result(timeout=timeout)
            self.get_study_id_from_name("")
        except KeyError:
            return
        except grpc.FutureTimeoutError as error:
            hint = "" if self._has_tls else ", or it is there with TLS: grpcs://"
            raise ConnectionError(f"no server answers{hint}") from error
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
            own = own_token()
            why = "none is set" if own is None else f"the one that is set is for {own.place}"
            if own and own.place == self._place:
                why = "the one that is set is not the server's"
            raise ConnectionError(f"it asks for a token: {why} ({TOKEN}=TOKEN@{self._place})") from error

    def close(self) -> None:
        self._line.close()

    def __getstate__(self) -> dict[Any, Any]:
        state: dict[Any, Any] = super().__getstate__()
        del state["_line"]
        return state


class _Sender(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    """Adds headers to each request."""

    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self._headers = headers

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        headers = [*(details.metadata or ()), *self._headers]
        return continuation(details._replace(metadata=headers), request)


class _Guard(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Refuses requests without the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._refuse = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        sent = [value for key, value in details.invocation_metadata if key == "authorization"]
        is_known = len(sent) == 1 and hmac.compare_digest(str(sent[0]).encode(), self._expected)
        return continuation(details) if is_known else self._refuse


def _refuse(_: object, context: Any) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token, or another one")


def start_server(
    storage: BaseStorage, host: str, port: int, token: str | None, pair: tuple[bytes, bytes] | None
) -> grpc.Server:
    """Serves the storage. `pair`: private key and certificate, for TLS. Raises UserError."""
    guards = [_Guard(token)] if token else []
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=guards)
    api_pb2_grpc.add_StorageServiceServicer_to_server(servicer.OptunaStorageProxyService(storage), server)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if pair:
            server.add_secure_port(place, grpc.ssl_server_credentials([pair]))
        else:
            server.add_insecure_port(place)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{host}:{port}: can't be listened on: {error}") from error
    server.start()
    return server
