"""The methods section: what varied is said to vary, and what was used is cited."""

import json
import re
from pathlib import Path

import pytest
import yaml

from limo_ablate.report.methods.methods import section
from limo_ablate.report.methods.references import due, entries
from limo_ablate.report.methods.settings import Settings
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.verify import VERSION, audit
from tests.made_study import SIZE_QUALITY, Making

CONTRAST = {"name": "tier", "block": "size x quality", "factor": "select.quality", "a": "L1", "b": "L4", "score": "mini"}  # noqa: E501 # fmt: skip


def study(folder: Path, **train: object) -> StudyView:
    made = Making(folder, blocks=[SIZE_QUALITY], figures=[], contrasts=[CONTRAST], seeds=[0, 1]).write()
    for file in made.glob("trials/*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        config["train"] |= train
        file.write_text(yaml.safe_dump(config))
    return load(made)


def test_it_tells_design_recipe_and_statistics(tmp_path: Path) -> None:
    made = section(study(tmp_path, learning_rate=3e-4, lora=None))
    assert made
    text = " ".join(made.text)
    assert (
        "all combinations of training examples (4, 16, 64, 256) and solution tier (L1, L2, L3, L4, L5)"
        in text
    )
    assert "seeds 0 and 1" in text
    assert "40 of 40 trials" in text
    assert "4, 16, 64 or 256 (varied)" in text
    assert "peak learning rate 0.0003" in text
    assert "all weights" in text
    assert "Weerahandi 1993" in text
    assert "Holm" in text
    assert "@misc{holm1979" in made.code or "@article{holm1979" in made.code
    assert "lora" not in made.code.lower().replace("exploration", "")
    assert "2107.03374" not in made.code  # one sample has no pass@k


def test_error_rates_of_the_verifier_are_quoted_if_they_are_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are a systematic part of every accuracy."""
    rates = {
        "completions": 1000, "sources": 5, "false_positive": [2, 400], "false_negative": [3, 600],
    }  # fmt: skip
    monkeypatch.setattr(audit, "MEASURED", tmp_path / "error_rates.json")
    view = study(tmp_path / "made")
    for version, said in (
        (VERSION, "it graded 0.50 % (95 %: 0.14 to 1.80) of the incorrect ones as correct, and 0.50 % (95"),
        (VERSION - 1, f"version {VERSION}, whose error rates were not measured"),
    ):
        audit.MEASURED.write_text(json.dumps(rates | {"version": version}))
        made = section(view)
        assert made
        assert said in " ".join(made.text)


def test_adapters_are_told_and_cited(tmp_path: Path) -> None:
    lora = {
        "rank": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "targets": ["q_proj"],
        "save": "merged",
        "quantize": "nf4",
    }
    made = section(study(tmp_path, lora=lora))
    assert made
    assert "LoRA adapters (rank 8, alpha 16)" in " ".join(made.text)
    assert "2106.09685" in made.code
    assert "2305.14314" in made.code


def test_many_levels_are_told_by_their_ends(tmp_path: Path) -> None:
    view = study(tmp_path)
    for place, trial in enumerate(view.done):
        trial.overrides["train.learning_rate"] = 0.001 * (place + 1)
    assert Settings(view.done).text("train.learning_rate") == "0.001 to 0.04 (varied, 40 values)"


def test_every_reference_is_whole_and_known_by_its_key() -> None:
    known = entries()
    assert len(known) >= 25
    for key, entry in known.items():
        assert re.match(rf"@(misc|article)\{{{key}, title=", entry)
        assert entry.count("{") == entry.count("}")
        assert re.search(r"author=.*year=\{\d{4}\}", entry)


def test_names_lead_to_what_they_are_from() -> None:
    cited = " ".join(due(["qwen2_5_32b", "math", "gpqa", "cn_math_2024"], {"optuna": True, "vllm": False}))
    for found in ("2412.15115", "2305.20050", "2103.03874", "2311.12022", "1907.10902", "2502.03387"):
        assert found in cited
    for other in ("2309.06180", "2409.12122", "2407.10671"):
        assert other not in cited
