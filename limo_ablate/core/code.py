"""The code that may change a trial's result: digest of our own, versions of the packages it uses."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

TRIAL_CODE = ("core", "verify", "data", "model", "trial")
"""Packages of limo_ablate whose code may change a trial's result."""
CODE_VARIABLE = "LIMO_ABLATE_MODEL_CODE"
"""Environment variable that is set where the configuration is the user's own or trusted, with the digests of
models' code that may run: ranks and replicas inherit it."""
PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "peft", "safetensors", "datasets", "sympy", "numpy",
    "polars",
)  # fmt: skip
"""Packages of others that take part in a trial."""


@cache
def code_digest(names: Sequence[str] = TRIAL_CODE) -> str:
    """SHA-256 of the source of these packages, as it is on disk at the first call: of those that take part
    in a trial.

    Unlike the commit it is known of an installed copy too, and a change of the report or of a text does not
    touch it.
    """
    package = Path(__file__).resolve().parents[1]
    files = sorted(path for name in names for path in (package / name).rglob("*.py"))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


@cache
def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """`python` and each package -> its version; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and completion needs none of it

    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions
