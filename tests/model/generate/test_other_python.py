"""Whether another Python can generate is known before anything is trained, in one line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.model.generate import other_python
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.open import check_engine
from limo_ablate.model.train.model_config import CODE_VARIABLE, may_allow_code
from limo_ablate.trial.checks import _check_packages
from limo_ablate.trial.compose import compose
from limo_ablate.trial.known import Known, NotChecked
from tests.tiny_models import CPU


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(CODE_VARIABLE, "")
    other_python.versions.cache_clear()
    yield
    other_python.versions.cache_clear()


def script(folder: Path, text: str) -> str:
    (folder / "python").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "python").chmod(0o755)
    return str(folder / "python")


@pytest.mark.parametrize(
    "text", [None, "echo 'it is Python 3.9.2, and 3.11 is needed' >&2; exit 1", "exit 4"]
)
def test_a_python_that_can_not_generate_is_refused(tmp_path: Path, text: str | None) -> None:
    python = script(tmp_path, text) if text else str(tmp_path / "none")
    expected = {None: "can't be started: .*No such file", "exit 4": "exit code 4"}.get(
        text, "3.11 is needed$"
    )
    with pytest.raises(UserError, match=f"{python}, which is to run the engine.*{expected}") as refused:
        check_engine(EngineConfig(engine="vllm", batch_size=4, python=python), CPU)
    assert "\n" not in str(refused.value)


def test_what_it_lacks_is_named() -> None:
    bare = sys._base_executable  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"No module named '\w+'; install it there$"):
        check_engine(EngineConfig(engine="transformers", batch_size=4, python=bare), CPU)
    with pytest.raises(UserError, match=f"vLLM is not installed in {sys.executable}; give the Python"):
        check_engine(EngineConfig(engine="vllm", batch_size=4, python=sys.executable), CPU)
    assert other_python.versions(sys.executable)["torch"], "it has all that generation imports"


def test_a_study_of_others_starts_no_python_before_it_is_trusted(tmp_path: Path) -> None:
    python = script(tmp_path, f"touch {tmp_path}/ran")
    config = compose(["model=mini_s", "data=miniature", "eval=miniature", f"eval.python={python}"])
    may_allow_code(trusted=False)
    with pytest.raises(NotChecked, match=r"eval.python=.*: not started, as the study is not trusted yet"):
        _check_packages(config, Known())
    with pytest.raises(UserError, match="not started, as the study is not trusted yet"):
        other_python.versions(python)
    assert not (tmp_path / "ran").exists()
