"""Shared by all tests: one thread a process, and where the optional real data lies."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from omegaconf import DictConfig

from limo_ablate.core.project import conf_folders
from limo_ablate.trial import compose as composing

settings.register_profile("check", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))  # a check must not depend on luck

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("WANDB_MODE", None)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real benchmarks, pools and completions that are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the real data in ../shared/data is not here")
    return SHARED


def compose_once() -> None:
    """Hydra takes a third of a second for a configuration; of the committed files it makes each one once."""
    hydra_compose, known = composing._compose, dict[tuple[str, ...], DictConfig]()

    def once(overrides: Sequence[str]) -> DictConfig:
        if not all(folder.is_relative_to(ROOT) for folder in conf_folders()):
            return hydra_compose(overrides)  # files of a test, which it may change
        if (choices := tuple(overrides)) not in known:
            known[choices] = hydra_compose(overrides)
        return known[choices]

    composing._compose = once


compose_once()
