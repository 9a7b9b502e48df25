import logging

import polars as pl
import pytest

from limo_ablate.core.text import ends_in_a_loop
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.health import warn_of_missing_stops, warn_of_short_room

PARAGRAPH = "Wait, let me check that again. 12 + 30 is 42, so the answer is 42.\n"
PROSE = "".join(f"Step {n}: {n * n} and {n * 7} give {n * n + n * 7}. " for n in range(60))


@pytest.mark.parametrize(
    "text",
    ["a" * 100, PROSE + "0" * 200, PROSE + PARAGRAPH * 4, PROSE + PARAGRAPH * 9 + PARAGRAPH[:30], "ab" * 50,
     PROSE + "the same words, the same words and more. " * 5, "x" + "1, 2, 3, 4, 5, 6, 7, 8, " * 50],
)  # fmt: skip
def test_loops(text: str) -> None:
    assert ends_in_a_loop(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a" * 99, PROSE, PARAGRAPH * 3, "0" * 200 + PROSE, PROSE + PARAGRAPH * 9 + "The end.",
     PROSE[-25:] + PROSE[-25:] + PROSE],
)  # fmt: skip
def test_no_loops(text: str) -> None:
    assert not ends_in_a_loop(text)


def told(caplog: pytest.LogCaptureFixture, cut: int, loops: int, tokens: int = 8) -> str:
    """What is said about ten completions, `cut` of which end at 8 tokens, `loops` of them in a loop."""
    caplog.clear()
    finish = ["length"] * cut + ["stop"] * (10 - cut)
    table = pl.DataFrame({"finish": finish, "tokens": tokens, "loops": [n < loops for n in range(10)]})
    with caplog.at_level(logging.WARNING):
        warn_of_missing_stops("math", table, max_tokens=8)
    return caplog.text


def test_a_model_that_never_stops_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    looping = told(caplog, cut=9, loops=8)
    assert "math: 90 % of 10 completions did not end within max_tokens=8, and 89 % of those loop." in looping
    assert "has not learned to stop: train it longer" in looping
    assert "raise max_tokens" not in looping
    assert "raise max_tokens" in told(caplog, cut=6, loops=1)
    assert told(caplog, cut=5, loops=5) == ""
    assert told(caplog, cut=9, loops=9, tokens=7) == "", "the context was full: a longer limit would not help"


def test_prompts_that_leave_less_room_than_max_tokens_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    sampling = Sampling(0.0, 1.0, max_tokens=10, seed=0)
    requests = [Request(str(n), 0, "", [1] * n, sampling) for n in (2, 6, 7, 30)]
    warn_of_short_room("mini", requests, 16)
    warn_of_short_room("fits", requests[:2], 16)
    (line,) = caplog.messages
    assert line.startswith("mini: 2 of 4 prompts leave room for fewer than max_tokens=10 new tokens")
    assert "context of 16, at least for 0;" in line
