"""Access control: by the Host header, and by a token if other machines can reach the port.

A page of another site can make a browser send requests to 127.0.0.1 and, with a DNS name that it points there
(DNS rebinding), even read the responses. So a name in the Host header must be one of this machine's; an
address can't be rebound. The token comes once in the URL, then in a cookie that other sites can't make a
browser send.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import stat
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from limo_ablate.core.errors import UserError

SHORTEST = 16
"""Minimum number of characters of a token."""


@dataclass(frozen=True, slots=True)
class Guard:
    host: str
    """Name or address that the server listens on."""
    token: str | None = None
    """None: whoever reaches the port may read."""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Content of the cookie: not the token itself, and new each time the server starts."""

    def __post_init__(self) -> None:
        if self.token is None and not loopback(self.host):
            raise UserError(
                f"--host {self.host}: other machines can reach that address; add --token or --token-file FILE"
            )
        if self.token is not None and len(self.token) < SHORTEST:
            raise UserError(
                f"--token-file: {len(self.token)} characters are too few, at least {SHORTEST} are needed"
            )

    def knows(self, host: str | None) -> bool:
        """Whether a Host header names this machine."""
        name = _name(host or "")
        if _address(name) is not None:
            return True
        own = {"localhost", self.host, socket.gethostname(), socket.getfqdn()}
        return name.lower() in {known.lower() for known in own}

    def admits(self, token: str | None, cookie: str | None, name: str) -> bool:
        """Whether the URL's token or the cookie `name` is valid."""
        if self.token is None:
            return True
        if token is not None and _same(token, self.token):
            return True
        session = _cookie(cookie or "", name)
        return session is not None and _same(session, self.session)


def read_token(file: Path) -> str:
    """The token in a file, which must be its owner's alone. Raises UserError."""
    try:
        others = stat.S_IMODE(file.stat().st_mode) & 0o077
        if not others:
            return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise UserError(f"--token-file {file}: {why}") from error
    raise UserError(f"--token-file {file}: other users can read or change it; chmod 600 {file}")


def loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _same(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode(errors="replace"), expected.encode())


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _name(host: str) -> str:
    """`[::1]:8780` -> `::1`, `localhost:8780` -> `localhost`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _cookie(header: str, name: str) -> str | None:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return None
    return cookies[name].value if name in cookies else None
