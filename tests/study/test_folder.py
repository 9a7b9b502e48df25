"""From a study's name to its folder."""

from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.folder import study_folder


def test_a_study_is_found_by_name_or_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").touch()
    assert study_folder("mine", tmp_path) == study_folder(str(tmp_path / "mine")) == tmp_path / "mine"
    with pytest.raises(UserError, match=r"mien: no such study in .*; did you mean mine"):
        study_folder("mien", tmp_path)


def test_one_that_is_only_registered_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "registration.json").touch()
    with pytest.raises(UserError, match="mine: registered, and not run yet; `limo-ablate sweep mine`"):
        study_folder("mine", tmp_path)
