"""W&B's settings in the current folder, which others may have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.trial.track.settings import check_workspace


def test_a_folder_does_not_say_where_the_key_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_BASE_URL", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "settings"
    check_workspace(file)
    file.write_text("[default]\nentity = me\nbase_url = https://api.wandb.ai\n")
    check_workspace(file)
    for line, variable in (
        ("base_url = http://evil.example:1", "WANDB_BASE_URL"),
        ("api_key = 0123", "WANDB_API_KEY"),
    ):
        file.write_text(f"[default]\n{line}\n")
        with pytest.raises(UserError, match=f"settings sets W&B's .*; if you mean it, set {variable}"):
            check_workspace(file)
        with monkeypatch.context() as patch:
            patch.setenv(variable, "mine")
            check_workspace(file)
    file.write_text("no section")
    with pytest.raises(UserError, match="can't be read"):
        check_workspace(file)
