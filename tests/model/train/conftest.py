"""A store and the tiny base model in it, for all tests of a file."""

import pytest

from limo_ablate.core.artifacts import Artifact, Store
from tests.tiny_models import made_base


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Store) -> Artifact:
    return made_base(store)
