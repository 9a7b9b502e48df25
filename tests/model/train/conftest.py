"""A store and the tiny base model in it, for all tests of a file."""

import sys
from importlib.util import find_spec

import pytest

from limo_ablate.core.artifacts import Artifact, Store
from tests.quick_ranks import DEEPSPEED
from tests.tiny_models import made_base


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Store) -> Artifact:
    return made_base(store)


@pytest.fixture
def deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this process find DeepSpeed, as its quick ranks do; skips the test where there is none."""
    if DEEPSPEED.is_dir():
        monkeypatch.setattr(sys, "path", [*sys.path, str(DEEPSPEED)])
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not here: make deepspeed")
