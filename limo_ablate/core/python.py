"""Python processes that we start. They run this code, and import nothing of the current folder.

Python puts the current folder first on the path of `python -m` and `python -c`: a `struct.py` beside the data
would run. Every interpreter is started with `python` and `environment`.
"""

from __future__ import annotations

import os
import sys
import sysconfig

from limo_ablate.core.project import PACKAGE

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Means `-P`, and is inherited by what a process starts in turn (torchrun, Accelerate, vLLM)."""


def python(*arguments: str) -> list[str]:
    """The command line of this interpreter without the current folder on its path."""
    return [sys.executable, "-P", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with `variables`, for a process that runs `python`.

    Where this code is not installed in the interpreter's own folder (a checkout), it comes first on the path:
    a copy that is installed as well must not run in its place.
    """
    root = str(PACKAGE.parent)
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in [*path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]:
        path = [root, *path]
    named = [folder for folder in path if folder]  # an empty name is the current folder
    return {**os.environ, **SAFE_PATH, "PYTHONPATH": os.pathsep.join(named), **variables}
