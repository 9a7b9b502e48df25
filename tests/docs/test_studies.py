"""Examples of docs/studies.md and docs/selection.md, as they are written there; the table of our studies."""

import re
from pathlib import Path

import pytest

from limo_ablate.core.project import package_folder
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.study.search.propose import propose
from limo_ablate.study.search.search import searches
from tests.conftest import ROOT

DOC = (ROOT / "docs" / "studies.md").read_text()
SELECTION = (ROOT / "docs" / "selection.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOC + SELECTION, re.DOTALL)
COUNTS = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|", DOC, re.MULTILINE))


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: re.search(r"- name: (.*)", text)[1])
def test_an_example_is_a_study(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(text if text.startswith("name") else f"name: e\n{text}")
    study = load_study(str(tmp_path / "e.yaml"), ["seeds=0"])
    found = planned_trials(study)
    for search in searches(study):
        found += propose(search, [], 1)
    assert found


def test_the_table_lists_the_studies_that_ship_with_their_trials() -> None:
    assert set(COUNTS) == {path.stem for path in package_folder("sweeps").glob("*.yaml")}


@pytest.mark.parametrize("name", COUNTS)
def test_a_study_has_as_many_trials_as_the_table_says(name: str) -> None:
    study = load_study(name)
    assert len(planned_trials(study)) + sum(search.n for search in searches(study)) == int(COUNTS[name])
