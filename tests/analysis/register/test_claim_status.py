"""What a contrast may claim in the report, and which deviations from the registration are told."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.analysis import ANALYSIS
from limo_ablate.analysis.adjust import holm
from limo_ablate.analysis.register.freeze import freeze
from limo_ablate.analysis.register.registration import Registration, read, with_hash, write
from limo_ablate.analysis.results import edited
from limo_ablate.analysis.trials import load_trials
from limo_ablate.core.artifacts import digest_file
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.facts import problems
from limo_ablate.report.page import write_report
from limo_ablate.report.study_view import load
from limo_ablate.study.design import load_study
from tests.small_study import QUALITY, change, ran, small

LATER, EARLIER = "2100-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was registered before it ran as registered."""
    root = tmp_path_factory.mktemp("standing")
    folder = small(root / "made", root / "store")
    registration = replace(registered(folder), finished={})
    write(folder, with_hash(registration))
    ran(folder, asdict(registration), LATER)
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "made"))


def registered(folder: Path) -> Registration:
    return freeze(load_study(str(folder / "study.yaml")), folder, read(folder))


def told(folder: Path) -> Claims:
    found = claims(load(folder))
    assert found is not None
    return found


def why(folder: Path) -> list[str | None]:
    return told(folder).rows["why"].to_list()


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "trials").iterdir())


@pytest.mark.usefixtures("no_pictures")
def test_what_was_registered_before_and_is_unchanged_is_confirmatory(study: Path) -> None:
    found = told(study)
    assert found.rows["kind"].to_list() == ["confirmatory", "confirmatory"]
    assert found.deviations == []
    assert "different (confirmatory). Compared: " in found.findings[0][1]
    page = write_report(study).page.read_text()
    assert "Registered 20" in page
    assert "Deviations from the registration" not in page


def test_without_a_registration_a_line_says_how(study: Path) -> None:
    (study / "registration.json").unlink()
    found = told(study)
    assert found.rows["why"].to_list() == ["not registered"] * 2
    assert "limo-ablate freeze NAME" in found.section.text[0]
    assert "different. Compared: " in found.findings[0][1]
    table = found.section.charts[0].table
    assert table is not None
    assert table.rows[0][3] == "exploratory: not registered"


@pytest.mark.usefixtures("no_pictures")
def test_a_changed_contrast_is_exploratory_and_the_registered_one_stays(study: Path) -> None:
    change(study / "study.yaml", lambda found: found["contrasts"][0].update(margin=0.02))
    found = told(study)
    assert found.rows["contrast"].to_list() == ["quality", "size", "quality"]
    assert found.rows["why"].to_list() == ["changed since the registration", None, None]
    assert found.rows["dropped"].to_list() == [False, False, True]
    assert found.deviations == ["contrast changed: quality: margin None → 0.02"]
    page = write_report(study).page.read_text()
    assert page.index("Deviations from the registration") < page.index(found.deviations[0])


def test_added_and_dropped_contrasts_are_told(study: Path) -> None:
    more = {**QUALITY, "name": "later", "score": "mini/hard"}
    change(study / "study.yaml", lambda found: found.update(contrasts=[more]))
    found = told(study)
    assert found.rows["why"].to_list() == ["added since the registration", None, None]
    expected = ["contrast dropped: quality", "contrast dropped: size", "contrast added: later"]
    assert found.deviations == expected


def test_alpha_is_shared_by_the_registered_ones_dropped_ones_included(study: Path) -> None:
    both = told(study).rows
    change(study / "study.yaml", lambda found: found.update(contrasts=found["contrasts"][:1]))
    found = told(study).rows
    assert found["p_adj"].to_list() == both["p_adj"].to_list()
    assert both["p_adj"].to_list() == pytest.approx(list(holm(both["p"].to_numpy())))


def test_a_registered_one_without_a_result_has_its_share_of_alpha(study: Path) -> None:
    alone = told(study).rows["p"][0]
    last = json.loads((study / "registration.json").read_text())
    other = {**last["contrasts"][1], "score": "aime"}
    contrasts = [last["contrasts"][0], other]
    change(study / "study.yaml", lambda found: found.update(contrasts=contrasts))
    chain = read(study)
    assert chain is not None
    kinds = load_study(str(study / "study.yaml")).contrasts
    write(study, with_hash(replace(chain.last, contrasts=kinds)))
    assert told(study).rows["p_adj"].to_list() == pytest.approx([2 * alone, None], nan_ok=True)


def test_results_before_the_registration_make_it_exploratory(study: Path) -> None:
    change(trials(study)[0] / "metrics.json", lambda found: found.update(finished=EARLIER))
    assert why(study) == ["1 trial of its block had finished before it was registered"] * 2
    assert told(study).deviations[0].startswith("1 trial had finished before it was registered: ")


def test_a_registration_after_the_results_says_so_itself(study: Path) -> None:
    (study / "registration.json").unlink()
    late = registered(study)
    assert late.finished == {"grid": 8}
    write(study, late)
    assert why(study) == ["8 trials of its block had finished when it was registered"] * 2


Change = Callable[[Path], None]


def unfinished(study: Path) -> None:
    (trials(study)[0] / "metrics.json").unlink()


def other_rows(study: Path) -> None:
    path = trials(study)[0] / "metrics.json"
    change(path, lambda found: found["artifacts"]["selection"].update(digest="other"))


def other_problems(study: Path) -> None:
    path = trials(study)[0] / "metrics.json"
    change(path, lambda found: found["artifacts"]["benchmark/mini"].update(digest="other"))


def one_seed(study: Path) -> None:
    rows = json.loads((study / "cells.json").read_text())
    (study / "cells.json").write_text(json.dumps([row for row in rows if row["seed"] == 0]))


def another_cell(study: Path) -> None:
    rows = json.loads((study / "cells.json").read_text())
    rows[0] |= {"key": "0123456789abcdef"}
    metrics = study / "trials" / rows[0]["folder"] / "metrics.json"
    change(metrics, lambda found: found.update(trial=rows[0]["key"]))
    (study / "cells.json").write_text(json.dumps(rows))


def test_answers_that_were_in_the_store_before_make_it_exploratory(study: Path) -> None:
    """A deleted study whose artifacts are left is registered, and finished from the store in seconds."""
    answers = {"completions/mini": {"key": "none", "digest": "none", "made": EARLIER}}
    change(trials(study)[0] / "metrics.json", lambda found: found["artifacts"].update(answers))
    found = told(study)
    why = "answers of 1 trial of its block were in the store before it was registered"
    assert found.rows["why"].to_list() == [why] * 2
    assert any(line.startswith("1 trial had answers in the store") for line in found.deviations)


def test_a_teachers_solutions_are_no_answers_of_the_trial(study: Path) -> None:
    before = why(study)
    written = {f"{kind}/teacher": {"key": "none", "digest": "none", "made": EARLIER} for kind in ("completions", "verdicts")}  # noqa: E501  # fmt: skip
    change(trials(study)[0] / "metrics.json", lambda found: found["artifacts"].update(written))
    assert why(study) == before
    assert not told(study).deviations


@pytest.mark.parametrize(
    ("how", "what"),
    [
        (lambda record: record.update(code="!" * 64), "code of limo-ablate !!!!!!!! and "),
        (lambda record: record["versions"].update(torch="0.1"), "torch 0.1 and "),
    ],
)
def test_trials_of_other_code_or_packages_make_it_exploratory(
    study: Path, how: Callable[[dict[str, Any]], None], what: str
) -> None:
    change(trials(study)[0] / "provenance.json", how)
    found = told(study)
    assert any(f"its trials ran with different versions: {what}" in str(why) for why in found.rows["why"])
    name, _, old = what.removesuffix(" and ").rpartition(" ")
    (line,) = found.deviations
    assert line.startswith(f"{name}: registered ")
    assert line.endswith(f"trials ran with {old}")
    texts = [problem.text for problem in problems(load(study))]
    assert any(text.startswith(f"the trials ran with different versions: {what}") for text in texts)


def test_weights_of_other_code_from_the_store_make_it_exploratory(study: Path) -> None:
    """They were made before an edit of the loss, and the trial was finished after it."""
    weights = {"weights": {"key": "none", "digest": "none", "code": "?" * 64, "packages": {"torch": "1.0"}}}
    change(trials(study)[0] / "metrics.json", lambda found: found["artifacts"].update(weights))
    (reason,) = {str(reason) for reason in why(study) if "different versions" in str(reason)}
    assert "code of limo-ablate " in reason
    assert "????????" in reason
    assert "torch 1.0 and " in reason


def test_verdicts_that_were_edited_are_in_no_table(study: Path) -> None:
    file = trials(study)[0] / "verdicts.parquet"
    change(file.with_name("metrics.json"), lambda found: found.update(verdicts=digest_file(file)))
    assert not any(trial.stale for trial in load_trials(study))
    pl.read_parquet(file).with_columns(status=pl.lit("correct")).write_parquet(file)
    (stale,) = [trial for trial in load_trials(study) if trial.stale]
    assert stale.metrics is None
    assert stale.stale == (f"{file} is not as its trial wrote it",)


def test_edited_verdicts_are_noticed_by_status_although_their_time_was_set_back(study: Path) -> None:
    file = trials(study)[0] / "verdicts.parquet"
    times = file.stat()
    change(file.with_name("metrics.json"), lambda found: found.update(verdicts=digest_file(file)))
    metrics = json.loads(file.with_name("metrics.json").read_text())
    assert not edited(file.parent, metrics, by_time=True)
    written = time.time() - 1  # a file's times have the clock's ticks, some milliseconds
    os.utime(file.with_name("metrics.json"), (written, written))
    pl.read_parquet(file).with_columns(status=pl.lit("correct")).write_parquet(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert edited(file.parent, metrics, by_time=True)


@pytest.mark.parametrize(
    ("how", "reason", "deviations"),
    [
        (unfinished, "1 of its 8 trials without a result", ["1 registered trial without a result: "]),
        (other_rows, "1 of its trials trained on other rows", ["1 trial trained on other rows than reg"]),
        (other_problems, "mini has other problems", ["1 trial answered other problems of mini than"]),
        (one_seed, "4 of its registered trials missing", ["seeds: registered 0, 1, run 0", "4 registered t"]),
        (another_cell, "1 of its trials not reg", ["1 registered trial missing", "1 trial not reg"]),
    ],
)
def test_other_cells_or_data_make_it_exploratory(
    study: Path, how: Change, reason: str, deviations: list[str]
) -> None:
    how(study)
    found = told(study)
    assert all(str(said).startswith(reason) for said in found.rows["why"])
    assert len(found.deviations) == len(deviations)
    assert all(said.startswith(known) for said, known in zip(found.deviations, deviations, strict=True))


def test_another_analysis_is_told(study: Path) -> None:
    chain = read(study)
    assert chain is not None
    write(study, with_hash(replace(chain.last, analysis=99)))
    assert why(study) == ["analysis differs from the registration"] * 2
    write(study, with_hash(replace(chain.last, analysis=99, alpha=0.01)))
    assert why(study) == ["alpha differs from the registration"] * 2
    expected = ["alpha: registered 0.01, used 0.05", f"analysis: registered 99, used {ANALYSIS}"]
    assert told(study).deviations == expected


def clustered(study: Path) -> None:
    """Errors are now over sources of ten problems each."""
    for trial in trials(study):
        found = pl.read_parquet(trial / "verdicts.parquet")
        number = pl.col("problem").rank("dense") // 10
        found.with_columns(source=pl.format("s{}", number)).write_parquet(trial / "verdicts.parquet")
    change(study / "study.yaml", lambda found: found.update(cluster="source"))


def test_other_clusters_of_problems_make_it_exploratory(study: Path) -> None:
    clustered(study)
    found = told(study)
    assert found.rows["why"].to_list() == ["cluster differs from the registration"] * 2
    assert found.deviations == ["cluster: registered None, used source"]


def again(study: Path) -> Registration:
    """Registered again, after the results."""
    registration = registered(study)
    assert registration.finished == {"grid": 8}
    return registration


def test_clusters_that_are_registered_again_are_late(study: Path) -> None:
    clustered(study)
    write(study, again(study))
    assert why(study) == ["8 trials of its block had finished when it was registered"] * 2


@pytest.mark.parametrize("change_", [{"alpha": 0.01}, {"analysis": 99}])
def test_what_decides_a_claim_is_as_old_as_its_last_change(study: Path, change_: dict[str, Any]) -> None:
    chain = read(study)
    assert chain is not None
    write(study, with_hash(replace(chain.last, **change_)))  # as registered by another version
    write(study, again(study))
    assert why(study) == ["8 trials of its block had finished when it was registered"] * 2


def test_problems_that_are_registered_again_are_late(study: Path) -> None:
    for trial in trials(study):
        change(
            trial / "metrics.json", lambda found: found["artifacts"]["benchmark/mini"].update(digest="other")
        )
    write(study, with_hash(replace(again(study), benchmarks={"mini": ("other",)})))
    assert why(study) == ["8 trials of its block had finished when it was registered"] * 2


def test_a_factor_taken_out_of_a_known_block_makes_it_exploratory(study: Path) -> None:
    change(study / "study.yaml", lambda found: found["blocks"][0]["axes"].pop("select.size"))
    change(study / "study.yaml", lambda found: found["contrasts"].pop())
    found = told(study)
    assert found.rows["why"].to_list() == ["its block has other factors than registered"] * 2
    assert "block changed: grid: axes.select.size [4, 64] → none" in found.deviations


def test_more_levels_and_blocks_leave_known_cells_as_they_are(study: Path) -> None:
    more = {"name": "more", "axes": {"select.quality": ["L2", "L3"]}}
    change(study / "study.yaml", lambda found: found["blocks"].append(more))
    change(study / "study.yaml", lambda found: found["blocks"][0]["axes"]["select.quality"].append("L5"))
    found = told(study)
    assert found.rows["why"].to_list() == [None, None]
    assert found.deviations == [
        'block changed: grid: axes.select.quality ["L1", "L4"] → ["L1", "L4", "L5"]',
        "block added: more",
    ]


def test_registered_again_what_is_unchanged_keeps_its_date(study: Path) -> None:
    more = {**QUALITY, "name": "later", "score": "mini/hard"}
    change(study / "study.yaml", lambda found: found["contrasts"].append(more))
    write(study, registered(study))
    found = told(study)
    assert found.rows["why"].to_list() == [
        None,
        None,
        "8 trials of its block had finished when it was registered",
    ]
    assert found.deviations[-1].startswith("registered before at ")


@pytest.mark.usefixtures("no_pictures")
def test_a_changed_file_is_said_loudly(study: Path) -> None:
    path = study / "registration.json"
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.2'))
    found = told(study)
    assert found.rows["why"].to_list() == ["the registration has been changed"] * 2
    assert found.warning is not None
    page = write_report(study).page.read_text()
    assert page.index("HAS BEEN CHANGED") < page.index('id="contrasts"')
