"""Asks an endpoint, within its limits, and again where that helps.

Repeated: what the endpoint refuses for now (429, 5xx and their like; after `Retry-After` where it says so),
what it does not answer in time, and answers that break off or can't be read. Not repeated: a wrong key, an
unknown model, no money left: all that stays as it is.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from limo_ablate.core.credentials import MASK, SHORTEST
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.model.generate.endpoint.answer import (
    Answer,
    Unreadable,
    error_text,
    one_line,
    read_answer,
)
from limo_ablate.model.generate.endpoint.config import EndpointConfig

if TYPE_CHECKING:
    import httpx2

LARGEST = 16 * 2**20
"""Bytes of an answer: a million tokens are about 4 MiB."""
REFUSED_FOR_NOW = (408, 409, 425, 429, *range(500, 600))
SPENT = ("insufficient_quota", "billing_hard_limit_reached")
"""Codes of a 429 that no waiting mends."""
UNASKABLE = ("content_filter", "content_policy_violation", "context_length_exceeded")
"""Codes of a 400 that is about this one prompt."""
FIRST_WAIT, LONGEST_BACKOFF, LONGEST_WAIT = 1.0, 60.0, 900.0
"""Seconds before the first repetition, doubled before each further one; most seconds of either kind of
wait."""


class Pace:
    """At most so many a minute, evenly spaced. What is only estimated when it starts is corrected later."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    async def turn(self, amount: float) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._free_at)
        self._free_at = start + amount * self._seconds
        await asyncio.sleep(start - now)

    def correct(self, difference: float) -> None:
        self._free_at += difference * self._seconds


class Client:
    """One endpoint; `http` is open as long as it is used."""

    def __init__(self, endpoint: EndpointConfig, key: str | None, http: httpx2.AsyncClient) -> None:
        self._endpoint, self._key, self._http = endpoint, key, http
        self._requests, self._tokens = Pace(endpoint.requests_per_minute), Pace(endpoint.tokens_per_minute)
        self.closing = False
        """Set once nothing is repeated any more."""
        self._paused_until = 0.0
        self._answered, self._answer_tokens = 0, 0

    async def ask(
        self,
        body: Mapping[str, Any],
        most_tokens: int,
        sending: Callable[[], None],
        lost: Callable[[], None],
    ) -> Answer:
        """The answer to a request. `sending` is called before it is sent, and sent again; `lost` for each try
        that may have been paid for in vain.

        Raises UserError for what stays wrong, TrialFailure where all tries are used up.
        """
        content = json.dumps(body).encode()
        why = ""
        for attempt in range(self._endpoint.retries + 1):
            estimate = await self._turn(len(content) // 4, most_tokens)
            sending()
            try:
                answer = await self._try(content)
            except _Later as later:
                self._tokens.correct(-estimate)
                why = str(later)
                if later.paid:
                    lost()
                if self.closing:
                    break
                await self._wait(attempt, later.after)
            else:
                used = (answer.tokens_in or 0) + (answer.tokens or 0)
                self._tokens.correct((used or estimate) - estimate)
                self._answered, self._answer_tokens = self._answered + 1, self._answer_tokens + used
                return answer
        tries = self._endpoint.retries + 1
        raise TrialFailure(f"{self._endpoint.host}: no answer after {tries} tries, the last: {why}")

    async def _turn(self, prompt: int, most_tokens: int) -> float:
        """Waits until another request may start; returns the tokens that it is taken to need."""
        mean = self._answer_tokens / self._answered if self._answered else prompt + most_tokens
        await self._requests.turn(1)
        await self._tokens.turn(mean)
        while (pause := self._paused_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)
        return mean

    async def _wait(self, attempt: int, after: float | None) -> None:
        if after is not None:  # it holds for all requests
            after = min(after, LONGEST_WAIT)
            now = asyncio.get_running_loop().time()
            self._paused_until = max(self._paused_until, now + after)
        elif attempt < self._endpoint.retries:
            backoff = min(FIRST_WAIT * 2**attempt, LONGEST_BACKOFF)
            await asyncio.sleep(backoff * random.uniform(0.5, 1))

    async def _try(self, content: bytes) -> Answer:
        import httpx2

        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                status, headers, answer = await self._post(content)
        except TimeoutError as error:
            raise _Later(f"none within {self._endpoint.timeout_seconds:g} s", paid=True) from error
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            raise _Later(f"can't be reached: {self._said(str(error))}") from error
        except httpx2.InvalidURL as error:
            raise UserError(
                f"data.teacher.endpoint.url={self._endpoint.url}: {one_line(str(error))}"
            ) from error
        except httpx2.HTTPError as error:
            reason = self._said(str(error) or type(error).__name__)
            raise _Later(f"the connection broke: {reason}", paid=True) from error
        if status != 200:
            return self._refusal(status, headers, answer)
        try:
            return read_answer(answer, datetime.now(UTC).isoformat(timespec="seconds"))
        except Unreadable as error:
            raise _Later(str(error), paid=True) from error

    async def _post(self, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body. Raises httpx2.HTTPError, and _Later for a body that is refused."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        url = f"{self._endpoint.url.rstrip('/')}/chat/completions"
        async with self._http.stream("POST", url, content=content, headers=headers) as response:
            if (packed := response.headers.get("content-encoding", "identity")) != "identity":
                raise _Later(f"an answer packed as {self._said(packed)}, which was not asked for", paid=True)
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LARGEST:
                    raise _Later(f"an answer of more than {LARGEST >> 20} MiB", paid=True)
            return response.status_code, response.headers, self._without_key(bytes(body))

    def _refusal(self, status: int, headers: Mapping[str, str], content: bytes) -> Answer:
        """Raises UserError, or _Later; a refusal that is about the prompt is an answer."""
        text, code = error_text(content), _code(content)
        if status in REFUSED_FOR_NOW and code not in SPENT:
            raise _Later(f"status {status}: {text}", after=_retry_after(headers))
        if code in UNASKABLE:
            return Answer(completion="", finish="refused", note=text, tokens=0, tokens_in=0)
        key = self._endpoint.key_env
        advice = ""
        if status in (401, 403):
            advice = f"; check {key}" if key else "; data.teacher.endpoint.key_env names the key's variable"
        raise UserError(
            f"{self._endpoint.host}, model={self._endpoint.model}: status {status}: {text}{advice}"
        )

    def _said(self, text: str) -> str:
        """Another's words on one line, without the key."""
        return one_line(self._without_key(text.encode(errors="replace")).decode())

    def _without_key(self, content: bytes) -> bytes:
        """What another said, which may repeat the key, as it is or as JSON writes it. A key as short as the
        EMPTY of a server that checks none is left: it may be a word of an answer."""
        if self._key and len(self._key) >= SHORTEST:
            for key in (self._key, json.dumps(self._key)[1:-1], self._key.replace("/", "\\/")):
                content = content.replace(key.encode(), MASK.encode())
        return content


class _Later(Exception):
    """A request that may be repeated. `paid`: whether it may have been paid for; `after`: seconds to wait,
    where the endpoint says so."""

    def __init__(self, reason: str, *, paid: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.paid, self.after = paid, after


def _code(content: bytes) -> str | None:
    try:
        error = json.loads(content)["error"]
        found = error.get("code") or error.get("type")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header has a number or a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
