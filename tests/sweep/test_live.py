import io
import re
import sys
from pathlib import Path

import click
import pytest
from rich.console import Console

from limo_ablate.core.command import run
from limo_ablate.core.progress import Progress
from limo_ablate.core.terminal import Terminal
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.live import Board, Row, last_line, readable, rerun_command

METRICS = {"scores": {"mini": {"accuracy": 0.5, "stderr": 0.1}}}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def found() -> list[PlannedTrial]:
    block = Block(name="b", axes={"select.size": (4, 16, 64), "select.quality": ("L5",)})
    return planned_trials(Study(name="s", blocks=(block,), overrides=("track=none",)))


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return ESCAPES.sub("", console.file.getvalue())


TOLD = Progress(stage="weights", done=12, total=120, begun=2, since=1000.0, at=1020.0, speed=1234.5)


def test_each_end_is_a_plain_line_where_there_is_no_terminal(
    found: list[PlannedTrial], tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=40)
    with Board(console, total=3, done=0) as board:
        board.show([Row("size4-L5-s0", "running", 0, TOLD, 65.0, 0)])
        board.finished(found[0], METRICS, 10.0)
        board.failed(found[1], 1, 2, "OOM [at step 3]", tmp_path / "log", again=True)
        board.failed(found[1], 2, 2, "OOM", tmp_path / "log", again=False)
        board.finished(found[2], METRICS, 20.0)
    lines = text(console).splitlines()
    assert lines[0] == "[1/3] size4-L5-s0  50.0 ± 10.0  10.0 s, about 20 s left"
    assert lines[1] == "[1/3] size16-L5-s0  FAILED, attempt 1 of 2, retrying: OOM [at step 3]"
    assert lines[2] == f"    log:   {tmp_path / 'log'}"
    assert lines[3] == "    rerun: limo-ablate track=none select.size=16 select.quality=L5 seed=0"
    assert lines[4].endswith("FAILED, attempt 2 of 2, given up: OOM")
    assert lines[-1] == "[2/3] size64-L5-s0  50.0 ± 10.0  20.0 s"


def test_a_terminal_shows_how_far_each_trial_is(found: list[PlannedTrial]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Board(console, total=3, done=1) as board:
        board.count(total=3, done=1, elsewhere=1)
        board.show(
            [
                Row("size4-L5-s0", "running", 0, TOLD, 65.0, 0),
                Row("size16-L5-s0", "again in 3 s", None, None, 0.0, 1),
            ]
        )
    said = text(console)
    assert re.search(r"trial +state +slot +stage +progress +tok/s +ETA +spend +failures", said)
    assert re.search(r"size4-L5-s0 +running +0 +weights +12/120 +1,234 +4 min +65 s +0", said)
    assert re.search(r"size16-L5-s0 +again in 3 s +0 s +1", said)
    assert "1 of 3 done, 1 in other runners; 0.02 device-hours here" in said


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_the_table_fits_a_small_terminal(found: list[PlannedTrial], width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=24)
    with Board(console, total=90, done=1) as board:
        board.show([Row(f"size{n}-L5-s0", "running", n, TOLD, 65.0, 0) for n in range(40)])
    shown = text(console).split("trial ")[1].splitlines()
    assert len(shown) <= 24
    assert all(len(line.rstrip()) <= width for line in shown)
    assert "12/120" in shown[1]
    assert ("1,234" in shown[1]) == ("tok/s" in shown[0]) == (width >= 60)
    assert "more" in "".join(shown)


def test_what_runs_is_told_now_and_then_without_a_terminal(
    found: list[PlannedTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limo_ablate.sweep.live.QUIET_SECONDS", 0.0)
    console = Console(file=io.StringIO(), width=40)
    with Board(console, total=3, done=0) as board:
        board.show([Row("size4-L5-s0", "running", 0, TOLD, 65.0, 0)])
    assert text(console) == "[0/3] running: size4-L5-s0 weights at 12 of 120 steps\n"


def test_the_command_that_reruns_a_trial_survives_the_shell(found: list[PlannedTrial]) -> None:
    study = Study(name="s", blocks=(Block(name="b", axes={"train.system_prompt": ('It\'s a "test"',)}),))
    (trial,) = planned_trials(study)
    assert rerun_command(trial).startswith("limo-ablate 'train.system_prompt=")
    assert trial.config.train.system_prompt == 'It\'s a "test"'


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5940, "99 min"), (7500, "2 h 5 min")]
)
def test_durations_are_readable(seconds: float, said: str) -> None:
    assert readable(seconds) == said


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(b"")
    assert last_line(log) == ""
    log.write_bytes(b"x" * 10_000 + b"\nfirst\n 10%|#    |\r 20%|##   |\r\n\n")
    assert last_line(log) == "20%|##   |"
    log.write_bytes("ä".encode() * 5_000)  # cut in the middle of a letter
    assert last_line(log).endswith("ä")


def test_quiet_leaves_out_what_finishes_but_not_what_fails(found: list[PlannedTrial], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with Board(console, total=3, done=0, quiet=True) as board:
        board.show([Row("size4-L5-s0", "running", 0, TOLD, 65.0, 0)])
        board.finished(found[0], METRICS, 10.0)
        board.failed(found[1], 1, 1, "OOM", tmp_path / "log", again=False)
    lines = text(console).splitlines()
    assert lines[0] == "[1/3] size16-L5-s0  FAILED, attempt 1 of 1, given up: OOM"


def test_a_terminal_gets_the_table_s_own_escapes_and_shows_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = io.StringIO()

    @click.command("x")
    def verb() -> None:
        with Board(Terminal(soft_wrap=True, force_terminal=True, width=80), total=2, done=0) as board:
            board.show([Row("size4\x1b]0;title\x07", "running", 0, TOLD, 65.0, 0)])
            board.say("a reason\x1b[2J")

    monkeypatch.setattr(sys, "stdout", printed)
    assert run(verb, []) == 0
    said = printed.getvalue()
    assert "\x1b[?25l" in said, "the cursor is hidden while the table is shown"
    assert "\\x1b[?25l" not in said
    assert "a reason\\x1b[2J" in said
    assert "\x1b]0;title" not in said
