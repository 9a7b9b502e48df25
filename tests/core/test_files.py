"""Files written whole, and links in folders of others, through which nothing is written or read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import check_links, is_plain_name, open_plain, write_atomically


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "authorized_keys", tmp_path / "index.html"
    target.write_text("mine")
    link.symlink_to(target)
    write_atomically(link, "the page")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("mine", "the page", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authorized_keys", "index.html"]


@pytest.mark.parametrize("mode", ["rb", "r", "a+", "r+b", "ab"])
def test_no_link_pipe_or_device_is_opened(tmp_path: Path, mode: str) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="link: a link, where a file belongs; remove it"):
        open_plain(tmp_path / "link", mode)
    with pytest.raises((UserError, OSError), match="pipe"):
        open_plain(tmp_path / "pipe", mode)
    with open_plain(tmp_path / "target", mode) as file:
        assert not file.closed
    assert (tmp_path / "target").read_text() == "mine"


def test_a_folder_with_a_link_out_of_it_is_refused(tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / "trials/one").mkdir(parents=True)
    (study / "trials/one/log.txt").write_text("")
    (study / "trials/latest").symlink_to("one")
    (logs := study / "trials/one/wandb/run-1-0123abcd/logs").mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(tmp_path / "core.log")  # W&B's own
    check_links(study)
    check_links(tmp_path / "nowhere")
    for name in ("report", "trials/one/config.yaml"):
        (link := study / name).symlink_to(tmp_path)
        with pytest.raises(UserError, match=f"{name}: a link out of .*study, to {tmp_path}; such a folder"):
            check_links(study)
        link.unlink()
    os.mkfifo(study / "cells.json")
    with pytest.raises(UserError, match=r"cells\.json: a pipe, a socket or a device"):
        check_links(study)
    (tmp_path / "seen").symlink_to(study)
    with pytest.raises(UserError, match="a pipe"):  # the folder itself may be a link
        check_links(tmp_path / "seen")


def test_what_a_plain_name_is() -> None:
    assert is_plain_name("size4-s0")
    assert is_plain_name("..x")
    for wrong in ("", ".", "..", "a/b", "/etc", "../a", "a\0", None, 3, ["a"]):
        assert not is_plain_name(wrong)
