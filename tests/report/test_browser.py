"""The page in a real Chromium: charts drawn, completions browsed, and no text of a study ever run."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from limo_ablate.report.browser import LENGTH, PackedCompletions, pack_completions
from limo_ablate.report.page import write_report
from limo_ablate.report.study_view import load
from tests import chromium
from tests.chromium import Chromium
from tests.conftest import pictures_left_out
from tests.made_study import DIFFICULTY, FIGURES, SIZE_QUALITY, Making

HOSTILE = (
    "</pre></script><script>document.title='owned'</script><!--<script>"
    "<img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>\u2028\u2029\x00 "
    "<iframe src='data:text/html,<script>parent.document.title=1</script>'></iframe>"
    "<a href='javascript:alert(1)'>x</a><link rel=stylesheet href=https://example.org/x.css>"
    "{{ 7*7 }} ${alert(1)} datum.constructor.constructor('alert(1)')() \\boxed{99}"
)
WORD = "<img src=x onerror=alert(1)>'];alert(1);//"
browser_needed = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here")


def fails(asked: dict, seed: int) -> bool:
    return asked["select.size"] == 16 and asked["select.quality"] == "L3"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    block = {**SIZE_QUALITY, "name": WORD}
    figure = {**FIGURES[0], "title": f"Title {WORD}", "block": WORD}
    made = Making(
        tmp_path_factory.mktemp("study"), blocks=[block, DIFFICULTY], figures=[figure, FIGURES[1]],
        seeds=[0, 1], samples=3, question=HOSTILE.replace("$", ""), reason=HOSTILE, completion=HOSTILE,
        failing=fails, failure=HOSTILE, names=lambda i: f"p{i} {HOSTILE}",
    )  # fmt: skip
    folder = made.write()
    with pictures_left_out():  # the browser draws the charts itself
        write_report(folder)
    return folder


@pytest.fixture(scope="module")
def opened(study: Path) -> Iterator[Chromium]:
    with Chromium() as browser:
        browser.size(1280, 900)
        browser.open(study / "report" / "index.html")
        yield browser


def packed(study: Path, budget: int) -> PackedCompletions:
    found = pack_completions(load(study), budget)
    assert found is not None
    return found


def contents(packed: PackedCompletions) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(packed.data)))


def unpacked(study: Path, budget: int) -> dict:
    return contents(packed(study, budget))


@browser_needed
def test_nothing_of_a_hostile_study_runs_or_is_asked_for(opened: Chromium, study: Path) -> None:
    opened.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    opened.until("document.querySelector('.pane')")
    opened.through()
    assert opened.run("document.title") == "made · limo-ablate"
    assert opened.run("document.querySelector('h1').textContent").startswith("</pre></script><script>")
    shown = opened.run("document.querySelector('.pane article > pre').textContent")
    assert shown == HOSTILE
    assert (
        opened.run(
            "document.querySelectorAll('img, iframe, main script, main link, [onload], [onerror]').length"
        )
        == 0
    )
    assert opened.run("document.querySelectorAll('.chart').length") > 5
    opened.until("[...document.querySelectorAll('.chart')].every(box => box.querySelector('svg.marks'))")
    assert opened.requests == [(study / "report" / "index.html").as_uri()]
    assert not [problem for problem in opened.problems if not problem.startswith("WARN")]


@browser_needed
def test_the_same_problem_in_two_cells_by_an_address(opened: Chromium, study: Path) -> None:
    cells = unpacked(study, 10**7)["cells"]
    opened.run("document.getElementById('browser').open = false")
    address = {"cell": cells[1], "beside": cells[2], "verdict": "incorrect"}
    opened.run(f"location.hash = new URLSearchParams({json.dumps(address)})")
    opened.until("document.querySelectorAll('.pane').length === 2")
    assert opened.run("[...document.querySelectorAll('.pane h3')].map(h => h.textContent)") == cells[1:3]
    opened.until("document.querySelector('.pane .status').textContent && location.hash.includes('problem=')")
    statuses = opened.run(
        "[...document.querySelector('.pane').querySelectorAll('.status')].map(s => s.textContent)"
    )
    assert "incorrect" in statuses
    assert set(statuses) <= {"correct", "incorrect", "undecided"}
    before = opened.run("location.hash")
    opened.run("[...document.querySelectorAll('.filters button')].at(-1).click()")
    assert opened.run("location.hash") != before
    assert "of 3, whose mean score is 0." in opened.run("document.querySelector('.pane .facts').textContent")


@browser_needed
def test_the_list_opens_where_two_arms_differ_and_is_walked_by_keys(opened: Chromium, study: Path) -> None:
    opened.open(study / "report" / "index.html")
    opened.run("document.getElementById('browser').open = true")
    opened.until("document.querySelectorAll('.pane').length === 2")
    shown = "[...document.querySelectorAll('.pane')].map(p => p.querySelector('.status').textContent)"
    first = opened.run(shown)
    assert first[0] != first[1]
    assert opened.run("document.querySelectorAll('.pane h3').length") == 2
    chosen = "[...document.querySelectorAll('.list tr')].findIndex(r => r.ariaSelected === 'true')"
    assert opened.run(chosen) == 1, "the first below the heading"
    opened.run("document.querySelector('.list tr[aria-selected=true]').focus()")
    for key, place in (("ArrowDown", 2), ("ArrowDown", 3), ("ArrowUp", 2), ("Home", 1)):
        opened.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert opened.run(chosen) == place
        assert opened.run("document.activeElement.ariaSelected") == "true"
    tokens = "[...document.querySelectorAll('.list tbody tr')].map(r => +r.children[4].textContent)"
    for _ in range(2):
        opened.run("document.querySelectorAll('.list th button')[4].click()")
    found = opened.run(tokens)
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 1
    opened.run("document.querySelector('.filters [type=checkbox]').click()")
    assert len(opened.run(tokens)) > len(found)
    seeds = (
        "[...new Set([...document.querySelectorAll('.list tbody tr')].map(r => r.children[1].textContent))]"
    )
    assert sorted(opened.run(seeds)) == ["0", "1"], "each trial of the cell"


@browser_needed
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_does_not_scroll_sideways(study: Path, width: int) -> None:
    with Chromium() as browser:
        browser.size(width, 900)
        browser.open(study / "report" / "index.html")
        assert browser.run("document.querySelectorAll('svg.marks').length") < browser.run(
            "document.querySelectorAll('.chart').length"
        )
        browser.through()
        assert browser.run("document.documentElement.scrollWidth") == width
        current = "document.querySelector('.contents [aria-current]')"
        browser.until(f"!{current}")  # back at the top, before all that the contents name
        assert browser.run("document.querySelector('.tiles').offsetHeight") < 300
        browser.run("document.getElementById('answers').scrollIntoView({ behavior: 'instant' })")
        browser.until(f"{current}?.hash === '#answers'")
        browser.scheme("dark")
        browser.run("document.getElementById('theme').click()")  # light, whatever the system prefers
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        browser.run("document.getElementById('theme').click()")
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"


def test_a_small_budget_keeps_each_verdict_of_a_cell_and_whole_problems(study: Path) -> None:
    everything, some = packed(study, 10**7), packed(study, 200_000)
    assert some == packed(study, 200_000)
    assert 0 < some.shown < everything.shown < everything.total
    rows, full = contents(some)["rows"], contents(everything)["rows"]
    assert set(zip(rows["cell"], rows["status"], strict=True)) == set(
        zip(full["cell"], full["status"], strict=True)
    )
    firsts = {(c, i) for c, seed, i in zip(rows["cell"], rows["seed"], rows["item"], strict=True) if not seed}
    cells = len(contents(some)["cells"])
    assert sum((cell, 0) in firsts for cell in range(cells)) == cells, "the first problem is there from each"
    texts = [*rows["completion"], *rows["reason"]]
    assert sum(len(text.encode()) for text in texts) <= 200_000


def test_a_long_completion_loses_its_middle_and_says_how_much(tmp_path: Path) -> None:
    made = Making(tmp_path, blocks=[DIFFICULTY], figures=[], seeds=[0], completion="a" * 3000 + "b" * 3000)
    (text,) = set(unpacked(made.write(), 10**7)["rows"]["completion"])
    assert text.startswith("a" * (LENGTH // 2) + "\n[… 2000 characters omitted …]\n")
    assert text.endswith("b" * (LENGTH // 2))


def test_thinking_stands_apart_from_the_answer(tmp_path: Path) -> None:
    thought = "<think>" + "a" * 5000 + "</think>"
    made = Making(tmp_path, blocks=[DIFFICULTY], figures=[], seeds=[0], completion=thought + " It is 7.")
    rows = unpacked(made.write(), 10**7)["rows"]
    assert set(rows["completion"]) == {" It is 7."}
    (text,) = set(rows["thinking"])
    assert text.startswith("<think>aaa")
    assert text.endswith("aaa</think>")
    assert len(text) < LENGTH + 50


def test_it_opens_with_the_arms_of_a_contrast_that_differ_most(tmp_path: Path) -> None:
    contrast = {
        "name": "size",
        "block": SIZE_QUALITY["name"],
        "factor": "select.size",
        "a": 4,
        "b": 64,
        "score": "mini",
    }
    made = Making(tmp_path, blocks=[SIZE_QUALITY], figures=[], seeds=[0], contrasts=[contrast]).write()
    found = unpacked(made, 10**7)
    a, b = (name.split(" · ") for name in found["opens"])
    assert {"4", "64"} <= {*a, *b}
    assert sum(x != y for x, y in zip(a, b, strict=True)) == 1
