"""`limo-ablate freeze`: what is registered, sealed, and refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from limo_ablate.analysis import ANALYSIS
from limo_ablate.analysis.register.registration import content_hash, read
from limo_ablate.cli import main
from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_pool
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.trial.rows import select_rows
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages
from tests.small_study import GRID, QUALITY, SIZE

STUDY = {"name": "asked", "seeds": [0, 1], "blocks": [GRID], "contrasts": [QUALITY | {"margin": 0.02}, SIZE | {"primary": False}]}  # noqa: E501 # fmt: skip
RUN = "import sys; from limo_ablate.cli import main; code = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"  # noqa: E501


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("freeze")
    shared = [f"paths.studies={root / 'studies'}", f"paths.artifacts={root / 'store'}", "track=none"]
    small = ["data.miniature.per_level=30", "model.pretrain.tokens=20000"]
    (root / "asked.yaml").write_text(yaml.safe_dump(STUDY | {"overrides": [*shared, *small]}))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "freeze", str(root / "asked.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (root / "said").write_text(done.stdout)
    return root


def test_design_cells_contrasts_and_versions_are_registered_under_a_hash(root: Path) -> None:
    content = json.loads((root / "studies" / "asked" / "registration.json").read_text())
    study = load_study(str(root / "asked.yaml"))
    assert content["cells"].keys() == {cell.key for cell in planned_trials(study)}
    assert content["design"]["blocks"][0]["axes"] == GRID["axes"]
    assert [contrast["margin"] for contrast in content["contrasts"]] == [0.02, None]
    assert (content["alpha"], content["analysis"], content["finished"]) == (0.05, ANALYSIS, {})
    assert content["cluster"] is None
    assert content["versions"]["polars"]
    assert content["hash"] == content_hash(content)
    assert content_hash(content | {"alpha": 0.1}) != content["hash"]


def test_it_says_what_it_registered_and_imports_no_torch(root: Path) -> None:
    said = (root / "said").read_text()
    assert "asked, 8 trials, 8 selections, benchmarks mini" in said
    assert "primary: quality: select.quality L4 against L1 on mini, equivalent within 0.02" in said
    assert "secondary: size" in said
    assert json.loads((root / "studies" / "asked" / "registration.json").read_text())["hash"] in said
    assert said.endswith("False\n")


def test_the_rows_are_those_a_trial_would_train_on(root: Path) -> None:
    chain = read(root / "studies" / "asked")
    assert chain is not None
    cell = planned_trials(load_study(str(root / "asked.yaml")))[3]
    store, stages = Store(root / "store"), Stages()
    pool = load_pool(store, cell.config.data)
    rows = select_rows(cell.config, stages, pool, pool, trained_model)  # which counts no tokens here
    assert rows.digest == chain.last.cells[cell.key].selection
    assert (root / "store" / "benchmark").is_dir()


def test_a_second_time_needs_a_word_and_keeps_the_first(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "studies" / "asked"
    before = (folder / "registration.json").read_text()
    assert main(["freeze", str(root / "asked.yaml")]) == 2
    assert "registered at" in capsys.readouterr().err
    assert main(["freeze", str(root / "asked.yaml"), "--again"]) == 0
    assert (folder / "registration.1.json").read_text() == before
    chain = read(folder)
    assert chain is not None
    assert chain.broken is None
    assert chain.last.former == (chain.registrations[0].hash,)


def test_a_changed_registration_is_told_and_not_replaced(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_study(str(root / "asked.yaml"), ["name=other"])
    assert main(["freeze", str(root / "asked.yaml"), f"name={study.name}"]) == 0
    path = root / "studies" / "other" / "registration.json"
    path.write_text(path.read_text().replace('"margin": 0.02', '"margin": 0.2'))
    assert main(["freeze", str(root / "asked.yaml"), "name=other", "--again"]) == 2
    assert "HAS BEEN CHANGED" in capsys.readouterr().err
    path.write_text("{}")
    with pytest.raises(UserError, match="format=None"):
        read(path.parent)


def test_what_no_trial_could_train_on_is_not_registered(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["freeze", str(root / "asked.yaml"), "name=many", "select.size=100000"]) == 2
    assert "trial L1-size100000-s0: " in capsys.readouterr().err
    assert not (root / "studies" / "many").exists()


def test_an_unknown_option_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["freeze", str(root / "asked.yaml"), "--force"]) == 2
    assert "--force: no option of freeze" in capsys.readouterr().err
