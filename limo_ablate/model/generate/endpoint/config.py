"""Configuration of an endpoint: where it is, what it may be asked for a minute, and what it may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from limo_ablate.core.artifacts import NOT_IN_KEY
from limo_ablate.core.credentials import NAME
from limo_ablate.core.errors import UserError

OURS = ("messages", "model", "n", "stream")
"""Fields of a request that `body` can't change."""
SAMPLING = ("temperature", "top_p", "max_tokens", "seed")
"""Those that it can only leave out: their values are keys of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """An endpoint with OpenAI's chat completions: a provider's, or a vLLM or SGLang server."""

    url: str
    """What `/chat/completions` is added to: https://api.openai.com/v1."""
    model: str
    """The endpoint's name of the model."""
    body: dict[str, Any] = field(default_factory=dict)
    """Further fields of each request ({reasoning_effort: high}); null leaves out one of temperature, top_p,
    max_tokens and seed, for endpoints that refuse it."""
    key_env: str | None = field(default=None, metadata=NOT_IN_KEY)
    """Name of the environment variable with the API key; null: none is sent."""
    requests_per_minute: float | None = field(default=None, metadata=NOT_IN_KEY)
    """Most requests in a minute; null: no limit."""
    tokens_per_minute: float | None = field(default=None, metadata=NOT_IN_KEY)
    """Of prompts and answers together; null for both: no limit but the endpoint's own (429)."""
    concurrency: int = field(default=8, metadata=NOT_IN_KEY)
    """Most requests at the same time."""
    retries: int = field(default=8, metadata=NOT_IN_KEY)
    """How often a request is repeated that was refused for now (429), failed or broke off."""
    timeout_seconds: float = field(default=1800, metadata=NOT_IN_KEY)
    """Longest time for one answer."""
    price_in: float | None = field(default=None, metadata=NOT_IN_KEY)
    """Price of a million tokens of prompts, in any currency."""
    price_out: float | None = field(default=None, metadata=NOT_IN_KEY)
    """Price of a million tokens of answers, hidden reasoning included."""
    budget: float | None = field(default=None, metadata=NOT_IN_KEY)
    """Most that the samples may cost which are drawn from this model with this sampling, earlier ones
    included; null: no limit."""

    def __post_init__(self) -> None:
        where = "data.teacher.endpoint"
        self._check_url(where)
        if self.key_env is not None and not (self.key_env.isidentifier() and NAME.search(self.key_env)):
            raise UserError(
                f"{where}.key_env={self.key_env}: must be the name of a variable that ends in _KEY, TOKEN or "
                "SECRET, whose value is then masked wherever it would be printed"
            )
        for key in ("requests_per_minute", "tokens_per_minute", "timeout_seconds", "budget"):
            if (value := getattr(self, key)) is not None and not 0 < value < float("inf"):
                raise UserError(f"{where}.{key}={value:g} must be positive")
        for key in ("price_in", "price_out"):
            if (value := getattr(self, key)) is not None and not 0 <= value < float("inf"):
                raise UserError(f"{where}.{key}={value:g} must be 0 or more")
        if self.budget is not None and None in (self.price_in, self.price_out):
            raise UserError(f"{where}.budget={self.budget:g} needs {where}.price_in and price_out")
        if not 1 <= self.concurrency <= 1000 or self.retries < 0:
            raise UserError(
                f"{where}: concurrency={self.concurrency} must be 1 to 1000, retries={self.retries} 0 or more"
            )
        if given := [key for key in SAMPLING if self.body.get(key) is not None]:
            raise UserError(
                f"{where}.body.{given[0]}={self.body[given[0]]}: set data.teacher.{given[0]}; here it can "
                "only be null, which leaves it out"
            )
        limit = self.body.get("max_completion_tokens", 1)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise UserError(f"{where}.body.max_completion_tokens={limit!r} must be a whole number above 0")
        if "max_tokens" in self.body and "max_completion_tokens" not in self.body:
            raise UserError(
                f"{where}.body.max_tokens=null: answers need a limit; set {where}.body.max_completion_tokens "
                "to ${data.teacher.max_tokens}"
            )
        if own := [key for key in OURS if key in self.body]:
            raise UserError(f"{where}.body.{own[0]}: is set by limo-ablate; leave it out")

    def _check_url(self, where: str) -> None:
        try:
            parts = urlsplit(self.url)
            wanted = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
        except ValueError:
            wanted = False
        if not wanted or {"?", "#", "@"} & set(self.url) or not self.url.isprintable():
            raise UserError(f"{where}.url={self.url}: must be as https://api.openai.com/v1, without ? # @")
        assert parts.hostname
        if parts.scheme == "http" and self.key_env and not _is_here(parts.hostname):
            raise UserError(f"{where}.url={self.url}: would send the key in the clear; use https")

    @property
    def in_the_clear(self) -> bool:
        """Whether it is asked without encryption, though with a key; `_check_url` sees that it is here."""
        return self.key_env is not None and urlsplit(self.url).scheme == "http"

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def most_tokens(self, max_tokens: int) -> int:
        """Most tokens of an answer, where `max_tokens` of them are asked for."""
        limit: int = self.body.get("max_completion_tokens", 0)
        return limit if "max_tokens" in self.body else max(limit, max_tokens)

    def key(self) -> str | None:
        """The API key. Raises UserError where its variable is not set."""
        if self.key_env is None:
            return None
        if not (key := os.environ.get(self.key_env, "").strip()):
            raise UserError(
                f"data.teacher.endpoint.key_env={self.key_env}: this environment variable is not set; "
                f"it holds the API key for {self.host}"
            )
        if not (key.isascii() and key.isprintable()):
            raise UserError(f"{self.key_env}: its value is no API key: it has characters that no key has")
        return key

    def identity(self) -> dict[str, Any]:
        """What decides its answers."""
        parts = urlsplit(self.url)
        place = f"{parts.netloc}{parts.path.rstrip('/')}"
        return {"endpoint": place, "model": self.model, "body": self.body}

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """0 where there are no prices."""
        return (tokens_in * (self.price_in or 0) + tokens_out * (self.price_out or 0)) / 1e6


def _is_here(host: str) -> bool:
    """Whether requests to `host` stay on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
