"""Which ledgers a study may name: a database or a proxy, without a password, and no file by a detour."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from limo_ablate.core.credentials import MASK, has_password
from limo_ablate.core.errors import UserError

SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "grpc", "grpcs")
OPTIONS = (
    "application_name", "connect_timeout", "host", "port", "service", "sslmode", "sslrootcert",
    "target_session_attrs",
)  # fmt: skip
"""What may follow `?` for PostgreSQL: where the server is, and how it is reached."""


def check_ledger(url: str, where: str = "") -> None:
    """Raises UserError for a URL with a password, which would be saved with the study and shown, and for one
    of another kind than SCHEMES."""
    scheme, _, rest = url.partition("://")
    user = "" if scheme.startswith("sqlite") else rest.rpartition("@")[0]
    if ":" in user or has_password(unquote(url)):
        raise UserError(
            f"{where}ledger={scheme}://{MASK}: leave the password out, it would be saved with the study; "
            "PostgreSQL reads it from PGPASSWORD or ~/.pgpass (docs/sweeps.md)"
        )
    if scheme not in SCHEMES or not rest:
        raise UserError(
            f"{where}ledger={url}: not a ledger; it is sqlite:///FILE, "
            "postgresql+psycopg://USER@HOST/NAME or grpc(s)://HOST:PORT"
        )
    if scheme == "sqlite" and not re.fullmatch(r"/(?!file:|:)[^?#]+", rest):
        raise UserError(f"{where}ledger={url}: an SQLite file is named as sqlite:///FILE, and has no options")
    wrong = [
        name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True) if name not in OPTIONS
    ]
    if wrong:
        raise UserError(
            f"{where}ledger={url}: no option {wrong[0]} is taken; it may have {', '.join(OPTIONS)}"
        )
