"""HTTP server of `limo-ablate view`: only GET, and a fixed set of addresses.

Requests never become file paths: a study's name is looked up among the known studies, a file among FILES.
Texts of models and logs are sent as JSON and become text nodes. The report, which contains such texts, is
sandboxed, so that nothing in it can read a page of this server.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.report.serve.guard import Guard
from limo_ablate.report.serve.hub import Hub

HERE = Path(__file__).parent
STYLE = HERE.parent / "page.css"
FILES = {
    "/page.css": (STYLE, "text/css"),
    "/view.css": (HERE / "view.css", "text/css"),
    "/view.js": (HERE / "view.js", "text/javascript"),
}
OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of this server's own pages."""
REPORT = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; img-src data: blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; connect-src data: blob:; "
    "frame-ancestors 'self'"
)
"""Content security policy of a report, which has a stricter one with a nonce; no requests are allowed."""
CONNECTIONS = 64
"""Connections at a time; a browser opens some six."""
LONGEST = 120.0
"""Seconds after which a connection is closed, whatever it does."""
TIMEOUT = 20.0
"""Seconds after which an idle connection is closed."""
RELOAD = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={path}">"""
"""A page that reloads itself: after a link from another site, only our own page makes the browser send
cookies."""


class Server(ThreadingHTTPServer):
    """Serves the hub's studies to clients that the guard admits."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: Hub, guard: Guard) -> None:
        self.hub, self.guard = hub, guard
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread; a connection beyond CONNECTIONS is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self._free.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        deadline = threading.Timer(LONGEST, _cut, (request,))
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._free.release()

    @property
    def cookie(self) -> str:
        """Name of the cookie: with the port, as cookies are shared by all ports of a host."""
        return f"limo_ablate_view_{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMEOUT
    server_version, sys_version = "limo-ablate", ""

    def do_GET(self) -> None:
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    def _only_get(self) -> None:
        self._send(405, "text/plain", b"only GET", {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _only_get

    def _answer(self) -> None:
        guard = self.server.guard
        if not guard.knows(self.headers.get("Host")):
            return self._send(421, "text/plain", b"unknown host")
        try:
            url = urlsplit(self.path)
        except ValueError:
            return self._send(400, "text/plain", b"invalid address")
        if (
            self.headers.get("Sec-Fetch-Site") == "cross-site"
            and self.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return self._send(403, "text/plain", b"requests from other sites are not allowed")
        token = parse_qs(url.query).get("token", [None])[0]
        if not guard.admits(token, self.headers.get("Cookie"), self.server.cookie):
            return self._send(
                401, "text/plain", b"a token is required: use the address that `limo-ablate view` printed"
            )
        if token is not None:
            return self._enter(url.path)
        return self._route(unquote(url.path))

    def _enter(self, requested: str) -> None:
        """Moves the token from the address into a cookie."""
        cookie = f"{self.server.cookie}={self.server.guard.session}; Path=/; HttpOnly; SameSite=Strict"
        path = requested if re.fullmatch(r"/[\w./-]*", requested) else "/"
        page = RELOAD.format(path="/" + path.lstrip("/")).encode()
        self._send(200, "text/html", page, {"Set-Cookie": cookie, "Content-Security-Policy": OWN})

    def _route(self, path: str) -> None:
        if path in FILES:
            file, kind = FILES[path]
            return self._send(200, kind, file.read_bytes())
        for pattern, answer in ROUTES.items():
            if match := re.fullmatch(pattern, path):
                return answer(self, *match.groups())
        return self._missing()

    def _missing(self) -> None:
        self._send(404, "text/plain", b"not found")

    def _shell(self, *_: str) -> None:
        page = (HERE / "view.html").read_bytes()
        self._send(200, "text/html", page, {"Content-Security-Policy": OWN})

    def _studies(self) -> None:
        try:
            self._json(self.server.hub.studies())
        except UserError as error:
            self._send(503, "text/plain", str(error).encode())

    def _study(self, name: str) -> None:
        facts = self.server.hub.study(name)
        return self._missing() if facts is None else self._json(facts)

    def _report(self, name: str) -> None:
        try:
            page = self.server.hub.page(name)
            text = _content(page) if page else None
        except (OSError, UserError):  # being replaced, or a link
            text = None
        if text is None:
            return self._send(
                404, "text/plain", b"no report has been drawn yet", {"Content-Security-Policy": REPORT}
            )
        return self._send(200, "text/html", text, {"Content-Security-Policy": REPORT})

    def _json(self, content: Any) -> None:
        self._send(200, "application/json", masked(json.dumps(content, allow_nan=False)).encode())

    def _send(self, code: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        own = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        for name, value in (own | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, as an address may contain the token."""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        connection.shutdown(socket.SHUT_RDWR)


def _content(page: Path) -> bytes:
    """Raises UserError for a link, also where the page's folder is one: it may lead to any file."""
    if page.parent.is_symlink():
        raise UserError(f"{page.parent}: a link")
    with open_plain(page) as file:
        content: bytes = file.read()
    return content


ROUTES: dict[str, Callable[..., None]] = {
    r"/": Handler._shell,
    r"/study/([\w.-]+)": Handler._shell,
    r"/study/([\w.-]+)/report": Handler._report,
    r"/api/studies": Handler._studies,
    r"/api/study/([\w.-]+)": Handler._study,
}
