"""Who may ask: by the Host header, and by a token wherever others than this machine can reach the port.

A page of another site can make a browser ask 127.0.0.1, and by a DNS name of its own that it points there
(rebinding) even read the answer. So a name in the Host header must be one of ours; an address can't be
pointed elsewhere. A token comes in the URL once, and then in a cookie that no other site's page makes a
browser send.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from limo_ablate.core.errors import UserError

SHORTEST = 16
"""Characters of a token."""


@dataclass(frozen=True, slots=True)
class Guard:
    host: str
    """What the server listens on: a name or an address."""
    token: str | None = None
    """Null: whoever reaches the port may read."""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the cookie holds: not the token itself, and another one each time the server starts."""

    def __post_init__(self) -> None:
        if self.token is None and not loopback(self.host):
            raise UserError(
                f"--host {self.host}: others can reach that address; give --token too (alone, it makes one)"
            )
        if self.token is not None and len(self.token) < SHORTEST:
            raise UserError(f"--token: {len(self.token)} characters are too few, {SHORTEST} it takes")

    def knows(self, host: str | None) -> bool:
        """Whether a Host header is one of ours."""
        name = _name(host or "")
        if _address(name) is not None:
            return True
        own = {"localhost", self.host, socket.gethostname(), socket.getfqdn()}
        return name.lower() in {known.lower() for known in own}

    def admits(self, given: str | None, cookie: str | None, name: str) -> bool:
        """Whether the token of the URL is right, or the cookie `name`."""
        if self.token is None:
            return True
        if given is not None and _same(given, self.token):
            return True
        held = _cookie(cookie or "", name)
        return held is not None and _same(held, self.session)


def loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


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
        found = SimpleCookie(header)
    except CookieError:
        return None
    return found[name].value if name in found else None
