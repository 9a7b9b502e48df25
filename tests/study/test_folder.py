"""From a study's name to its folder."""

import json
from pathlib import Path

import pytest

from limo_ablate.cli import main
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


def test_a_study_that_can_t_be_read_is_a_line_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, ledger in (("fine", ""), ("old", "ledger: postgresql://me:s3cret@host/db")):
        text = f"name: {name}\noverrides: [data=miniature, track=none]\n"
        text += "blocks: [{name: b, axes: {select.size: [0]}}]\n"
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.yaml").write_text(text + ledger)
    assert main(["status", f"paths.studies={tmp_path}"]) == 2
    said = capsys.readouterr().out
    assert said.startswith("fine: ")
    assert "old: can't be read: " in said
    assert "s3cret" not in said
    assert main(["status", "--json", f"paths.studies={tmp_path}"]) == 2
    fine, old = json.loads(capsys.readouterr().out)
    assert (fine["study"], old["study"], "error" in old) == ("fine", "old", True)
