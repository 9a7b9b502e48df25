"""The digest of the code that may change a trial's result."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

TRIAL_CODE = ("core", "verify", "data", "model", "trial")
"""Packages of limo_ablate whose code may change a trial's result."""


@cache
def code_digest() -> str:
    """SHA-256 of the source of the packages that take part in a trial, as it is on disk at the first call.

    Unlike the commit it is known of an installed copy too, and a change of the report or of a text does not
    touch it.
    """
    package = Path(__file__).resolve().parents[1]
    files = sorted(path for name in TRIAL_CODE for path in (package / name).rglob("*.py"))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()
