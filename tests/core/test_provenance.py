import sys
from pathlib import Path

import pytest

from limo_ablate.core import provenance
from limo_ablate.core.hardware import HardwareConfig


def test_passwords_and_keys_of_the_command_line_and_the_changes_are_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "hf_" + "aB3" * 12
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tool", "ledger=postgresql://me:pa55word@host/db"])
    monkeypatch.setattr(provenance, "code_state", lambda: ("c0de", f"+TOKEN = '{key}'"))
    monkeypatch.setattr(provenance, "hardware_facts", dict)
    config = HardwareConfig(
        name="cpu", device="cpu", processes=1, strategy="single", precision="no", threads=1
    )
    facts = provenance.write_provenance(config, {}, [], tmp_path, {})
    assert facts["command"] == ["tool", "ledger=postgresql://me:***@host/db"]
    assert (tmp_path / "diff.patch").read_text() == "+TOKEN = '***'"
    for file in tmp_path.iterdir():
        assert "pa55word" not in file.read_text()
        assert key not in file.read_text()
