"""The site's pages: commands run, links lead somewhere, messages and keys are those of the code.

Commands run in this process, on a project that `init` wrote and a made study. What would train is planned
instead, with the same overrides, which checks all that would keep it from running. Blocks marked
`not run here`, with the reason, are left out.
"""

from __future__ import annotations

import csv
import json
import random
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.cli import VERBS, main
from limo_ablate.study.init import write_project
from limo_ablate.trial.keys import keys
from tests.conftest import ROOT
from tests.made_study import FIGURES, SIZE_QUALITY, Making

DOCS = ROOT / "docs"
RUN = ("quickstart.md", "paper.md", "recipes.md")
BLOCK = re.compile(r"(<!-- not run here: .+ -->\n)?```(sh|yaml|python)\n(.*?)```", re.DOTALL)
PLANNED = {"sweep", "trial"}
CONTRAST = {
    "name": "L4 against L1", "block": "size x quality", "factor": "select.quality", "a": "L1", "b": "L4",
    "score": "mini",
}  # fmt: skip


class Named(Making):
    """Trials are named as a sweep names them."""

    def _cells(self, study: Any) -> list[dict[str, Any]]:
        cells = super()._cells(study)
        for cell in cells:
            size, tier = (cell["overrides"][key] for key in ("select.size", "select.quality"))
            cell["name"] = f"size{size}-{tier}-s{cell['seed']}"
        return cells


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `init` writes, the study `miniature` as if it had run, and logs of two arms."""
    folder = tmp_path / "project"
    write_project(folder)
    place, parts = folder / "outputs/studies/miniature", {"figures": FIGURES[:1], "contrasts": [CONTRAST]}
    made = Named(place, blocks=[SIZE_QUALITY], seeds=[0, 1], **parts).write()
    text = (made / "study.yaml").read_text().replace("name: made", "name: miniature", 1)
    (made / "study.yaml").write_text(text)
    rng = random.Random(0)
    for arm in ("random", "curated"):
        (folder / "logs" / arm).mkdir(parents=True)
        for seed in (0, 1):
            with (folder / "logs" / arm / f"seed{seed}.csv").open("w") as file:
                rows = [("id", "right"), *((n, int(rng.random() < 0.5)) for n in range(40))]
                csv.writer(file).writerows(rows)
    monkeypatch.chdir(folder)
    return folder


def command(line: str) -> list[str]:
    """The words for `main`: what would train is planned."""
    program, *words = shlex.split(line)
    assert program == "limo-ablate", line
    if words[0] == "--cfg":
        return words
    verb, rest = (words[0], words[1:]) if words[0] in VERBS else ("trial", words)
    if verb not in PLANNED:
        return words
    if verb == "sweep":
        return ["plan", *rest]
    Path("sweeps/one.yaml").write_text(
        json.dumps({"name": "one", "overrides": rest, "blocks": [{"name": "b", "axes": {}}]})
    )
    return ["plan", "one"]


@pytest.mark.parametrize("page", RUN)
def test_the_page_runs_as_written(page: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for skipped, kind, text in BLOCK.findall((DOCS / page).read_text()):
        if skipped:
            continue
        if kind == "python":
            exec(text, {})  # noqa: S102
        elif kind == "yaml":
            name = text.partition("\n")[0].removeprefix("# ")
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text)
            if name.startswith("sweeps/"):
                assert main(["plan", Path(name).stem]) == 0, f"{name}: {capsys.readouterr().err}"
        else:
            for line in text.splitlines():
                code, said = main(command(line)), capsys.readouterr()
                missing = set(re.findall("^  .+: no such file: data/benchmarks/", said.out, re.MULTILINE))
                wrong = said.out.partition("PROBLEMS")[2].splitlines()[1:]
                assert code == 0 or len(missing) == len(wrong) > 0, f"{line}\n{said.err}{said.out}"


def test_other_blocks_say_why_they_are_not_run() -> None:
    marks = re.findall(r"<!-- not run here:(.*)-->", "".join((DOCS / page).read_text() for page in RUN))
    assert len(marks) > 5
    assert all(len(mark.split()) > 2 for mark in marks)


def test_messages_are_those_of_the_code() -> None:
    source = "".join(file.read_text() for file in (ROOT / "limo_ablate").rglob("*.py"))
    known = re.sub(r'"\s*\n\s*f?"', "", source)  # a text over several lines
    messages = re.findall(r"^`(.+)`\n: ", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(messages) >= 25
    parts = [part.strip() for message in messages for part in message.split("...")]
    assert [part for part in parts if part not in known] == []


def test_every_key_and_verb_is_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    pages = __import__("reference_pages")
    page, verbs = pages.keys_page(), pages.cli_page()
    for key in keys().values():
        place = key.name.rpartition(".")[0]
        assert f"\n`{key.name}`\n: *" in page or f"\n`{place}.*`\n: The keys are those of" in page, key.name
    assert "`train.epochs`\n: *number or null*; default" in page
    assert "`launch.slots`\n: *integer or null*; default `null`; in the key: no." in page
    assert "`train.loss_on`\n: *every \\| last*; default `every`; in the key: if set." in page
    missing = [name for name, key in keys().items() if not key.meaning]
    assert not missing, f"write a docstring under the field: {missing}"
    assert [verb for verb in VERBS if f"Usage: limo-ablate {verb} " not in verbs] == []
    sys.modules.pop("reference_pages")


LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
MADE = ("reference/keys.md", "reference/cli.md", "project/", "results/")
"""Pages that `make docs` makes."""


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:|mailto:", target) or path.startswith(MADE):
            continue
        place = page.parent / path if path else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


def test_every_page_is_in_the_contents() -> None:
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^([\w/]+)$", index, re.MULTILINE)
    assert sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index") == sorted(
        name for name in listed if "/" not in name
    )


@pytest.mark.parametrize("name", ["analysis", "own_study"])
def test_the_notebook_runs(name: str, project: Path) -> None:
    """Each cell in turn, without a kernel; `own_study` trains four small trials."""
    book = json.loads((DOCS / "notebooks" / f"{name}.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102
    if name == "own_study":
        assert names["plan"].preflight.problems == {}
        assert names["study"].trials()["trial"].n_unique() == names["plan"].trials
    else:
        assert names["cells"].height == 20
