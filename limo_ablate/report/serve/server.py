"""The pages and answers of `limo-ablate view` over HTTP: only GET, from a fixed set of addresses.

No path is ever made from what is asked: names of studies are looked up among those that there are, files
among FILES. Texts of models and logs are sent as JSON and become text nodes; the report, which holds both
too, is sandboxed, so that nothing in it could read a page of this server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from limo_ablate.core.errors import UserError
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
"""Policy of this server's own pages."""
REPORT = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; img-src data: blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; connect-src data: blob:; "
    "frame-ancestors 'self'"
)
"""Policy of a report: its page has a stricter one of its own, with a nonce; no request may leave."""
TIMEOUT = 20.0
"""Seconds that a client may take."""
ENTER = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={path}">"""
"""A page that goes on to itself: after a link from elsewhere the cookie is only sent by a page of ours."""


class Server(ThreadingHTTPServer):
    """Serves what `hub` knows to whom `guard` admits."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: Hub, guard: Guard) -> None:
        self.hub, self.guard = hub, guard
        if ":" in address[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    @property
    def cookie(self) -> str:
        """Cookies are shared by all ports of a host, so the port is in its name."""
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
            return self._send(421, "text/plain", b"not a host of this server")
        try:
            asked = urlsplit(self.path)
        except ValueError:
            return self._send(400, "text/plain", b"not an address")
        if (
            self.headers.get("Sec-Fetch-Site") == "cross-site"
            and self.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return self._send(403, "text/plain", b"not for other sites")
        given = parse_qs(asked.query).get("token", [None])[0]
        if not guard.admits(given, self.headers.get("Cookie"), self.server.cookie):
            return self._send(
                401, "text/plain", b"a token is needed: the address that `limo-ablate view` printed"
            )
        if given is not None:
            return self._enter(asked.path)
        return self._route(unquote(asked.path))

    def _enter(self, asked: str) -> None:
        """The token goes into a cookie, and out of the address."""
        cookie = f"{self.server.cookie}={self.server.guard.session}; Path=/; HttpOnly; SameSite=Strict"
        path = asked if re.fullmatch(r"/[\w./-]*", asked) else "/"
        page = ENTER.format(path="/" + path.lstrip("/")).encode()
        self._send(200, "text/html", page, {"Set-Cookie": cookie, "Content-Security-Policy": OWN})

    def _route(self, path: str) -> None:
        if path in FILES:
            file, kind = FILES[path]
            return self._send(200, kind, file.read_bytes())
        for pattern, answer in ROUTES.items():
            if found := re.fullmatch(pattern, path):
                return answer(self, *found.groups())
        return self._missing()

    def _missing(self) -> None:
        self._send(404, "text/plain", b"nothing here")

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
            text = page.read_bytes() if page else None
        except OSError:  # being drawn anew
            text = None
        if text is None:
            return self._send(
                404, "text/plain", b"no report has been drawn yet", {"Content-Security-Policy": REPORT}
            )
        return self._send(200, "text/html", text, {"Content-Security-Policy": REPORT})

    def _json(self, content: Any) -> None:
        self._send(200, "application/json", json.dumps(content, allow_nan=False).encode())

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
        """Nothing: an address may hold the token."""


ROUTES: dict[str, Callable[..., None]] = {
    r"/": Handler._shell,
    r"/study/([\w.-]+)": Handler._shell,
    r"/study/([\w.-]+)/report": Handler._report,
    r"/api/studies": Handler._studies,
    r"/api/study/([\w.-]+)": Handler._study,
}
