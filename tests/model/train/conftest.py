"""DeepSpeed, where it is installed."""

import sys
from importlib.util import find_spec

import pytest

from tests.quick_ranks import DEEPSPEED


@pytest.fixture
def deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this process find DeepSpeed, as its quick ranks do; skips the test where there is none."""
    if DEEPSPEED.is_dir():
        monkeypatch.setattr(sys, "path", [*sys.path, str(DEEPSPEED)])
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not here: make deepspeed")
