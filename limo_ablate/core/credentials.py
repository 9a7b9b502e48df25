"""Passwords and keys: refused in what would be saved, masked in what is printed or recorded.

Values are compared with the shapes of well-known keys and with the credentials in this process's own
environment. A digest, a git commit or a model's revision is none of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from limo_ablate.core.errors import UserError

MASK = "***"
PASSWORD = re.compile(
    r"""(?P<kept>(?<![\w+.-])[a-z][\w+.-]*://[^\s:/?#@'"]{0,200}:)[^\s'"<>]{1,200}(?=@)  # user:PASSWORD@host
      | (?P<token>\bhttps?://)[\w.~%+-]{16,200}(?=@)                                    # https://TOKEN@host
      | (?P<key>(?:[?&](?:[\w.-]{1,30}[_.-])?|\b(?=pass|sslpass))  # ?token=, ?X-Amz-Signature=, DSN
         (?:password|passwd|passphrase|sslpassword|token|access_?key|api_?key|secret|sig|signature|credential)=)
        (?:'[^'\n]{1,200}'|[^\s&'"<>\\]+)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A password in a URL: that of its user, or a parameter. Lengths are limited, as texts may be hostile."""
KEY = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        hf_[A-Za-z0-9]{30,}                                               # Hugging Face
      | wandb_v\d_\w{20,}                                                 # W&B
      | sk-(?:proj|svcacct|admin|ant|or)-[\w-]{20,} | sk-[A-Za-z0-9]{32,} # OpenAI, Anthropic, OpenRouter
      | (?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])                          # AWS
      | AIza[\w-]{35} | [sr]k_live_[A-Za-z0-9]{16,} | npm_[A-Za-z0-9]{36,} # Google, Stripe, npm
      | gsk_[A-Za-z0-9]{40,} | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}    # Groq, JSON web tokens
      | gh[opsur]_[A-Za-z0-9]{36,} | github_pat_\w{22,} | glpat-[\w-]{20,}  # GitHub, GitLab
      | (?:xox[a-z]|xapp)-[\w-]{10,} | https://hooks\.slack\.com/\w+/[^\s'"<>\\]+  # Slack
      | -----BEGIN[ A-Z]*PRIVATE\ KEY-----
    )""",
    re.VERBOSE,
)
HEX_KEY = re.compile(r"[0-9a-f]{40}")
"""An older key of W&B. A git commit looks the same: only a whole value counts, unless it is a revision."""
OVERRIDE = re.compile(r"([+~]*[\w./@-]+)=")
NAME = re.compile(r"(?:TOKEN|_KEY|APIKEY|SECRET|PASSWORD|PASSWD|_PASS|_PAT|_PWD|JWT)$", re.IGNORECASE)
"""Names of environment variables with credentials."""
SHORTEST = 12
"""Characters of a credential in the environment; shorter ones are also words that occur by chance."""


def masked(text: str) -> str:
    """`text` with `***` in place of each password and key."""
    for credential in _own_credentials():
        text = text.replace(credential, MASK)
    if has_password(text):
        text = PASSWORD.sub(lambda found: (found["kept"] or found["token"] or found["key"]) + MASK, text)
    return KEY.sub(MASK, text)


def has_password(text: str) -> bool:
    """Whether a URL in the text has one."""
    return ("://" in text or "=" in text) and PASSWORD.search(text) is not None


def refuse_credentials(value: Any, where: str) -> None:
    """Raises UserError, which names the key and not the value, where a text in `value` holds a password or a
    key. `value`: of a configuration or a study; `where`: what it is, the beginning of the key."""
    if not (_holds_any(everything := str(value)) or HEX_KEY.search(everything)):
        return
    for key, text in _texts(value, where):
        override = OVERRIDE.match(text)
        name = override[1] if override else ""
        given = text[override.end() :] if override else text
        old_key = HEX_KEY.fullmatch(given.strip("'\"")) and "revision" not in f"{key}{name}"
        if old_key or _holds_any(text):
            named = " ".join(filter(None, (key, name))) or "a value"
            raise UserError(
                f"{masked(named)}: holds what looks like a password or a key, and would be saved; leave it "
                "out: credentials are read from the environment (docs/security.md)"
            )


def _holds_any(text: str) -> bool:
    return has_password(text) or bool(KEY.search(text)) or any(own in text for own in _own_credentials())


@cache
def _own_credentials() -> list[str]:
    """The values of this process's environment, as first read, that are credentials; no path is one."""
    named = [value for name, value in os.environ.items() if NAME.search(name)]
    named += [value.rpartition("@")[0] for value in named]  # of TOKEN@HOST:PORT
    return [value for value in named if len(value) >= SHORTEST and value[0] not in "/~."]


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """(dotted key, text) of every text in `value`, names of keys included."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield where, str(key)
            yield from _texts(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, Sequence):
        for number, part in enumerate(value):
            yield from _texts(part, f"{where}[{number}]")
