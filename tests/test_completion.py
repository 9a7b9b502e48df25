"""Completion: what the backend offers, and the bash function in a real bash."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from limo_ablate.cli import VERBS, main
from limo_ablate.completion import SCRIPTS, completions
from tests.forked import limo_ablate


def offered(*line: str) -> list[str]:
    *before, incomplete = line
    return [item.value for item in completions(before, incomplete) if item.type == "plain"]


def test_verbs_and_overrides_come_first() -> None:
    assert {*VERBS} <= {*offered("")}
    assert offered("wandb") == ["wandb-sync", "wandb-sweep"]
    assert offered("mod") == ["model=", "model."]
    assert "--project" in offered("--p")


def test_studies_and_options_of_a_verb() -> None:
    assert "miniature" in offered("sweep", "mini")
    assert offered("sweep", "miniature", "--ext") == ["--extend"]
    assert "miniature" in offered("why", "size64", "--study", "mini")
    assert "miniature" not in offered("sweep", "miniature", "mini"), "one study"
    assert offered("score", "x.jsonl", "--extract", "b") == ["boxed"]
    assert offered("score", "x.jsonl", "--extract=b") == ["boxed"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]


def test_keys_groups_and_their_values() -> None:
    assert "model=qwen2_5_7b" in offered("model=q")
    assert offered("select.qua") == offered("trial", "select.qua") == ["select.quality="]
    assert "select.contamination." in offered("plan", "miniature", "select.c")
    assert offered("seed=1", "select.quality=L5") == ["select.quality=L5"]
    assert offered("-m", "select.quality=L1,L5") == ["select.quality=L1,L5"]
    assert offered("train.compile=") == ["train.compile=true", "train.compile=false"]
    assert "data/difficulty=limo" in offered("data/difficulty=")
    assert offered("~experim") == ["~experiment"]
    assert "+debug=fast" in offered("+debug=")
    assert offered("no.such=") == offered("no.such") == []


def test_what_goes_wrong_is_not_printed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for line in (
        ["nothing", "such", ""],
        ["retry", "miniature", ""],
        ["--project", f"{tmp_path}/no", "x"],
    ):
        assert main(["complete", "--", *line]) == 0
    assert capfd.readouterr() == ("", "")


def test_a_broken_configuration_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("{: broken")
    (tmp_path / "conf" / "config.yaml").write_text("{: broken")
    done = limo_ablate("complete", "--", "model=mi", cwd=tmp_path)
    assert "plain\tmodel=mine\t" in done.stdout.splitlines()
    assert "plain\tmodel=mini_m\t" in done.stdout.splitlines()
    assert done.stderr == ""


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from limo_ablate.cli import main; main(['complete', '--', 'sweep', 'm', 'model=q']); "
        "sys.exit(' '.join({'hydra', 'omegaconf', 'torch', 'optuna', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def in_bash(line: str, folder: Path, breaks: str = "") -> list[str]:
    """The replies of the bash function, with the words as bash has split them."""
    program = folder / "limo-ablate"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m limo_ablate "$@"\n')
    program.chmod(0o755)
    script = f"""
{breaks}
source <(limo-ablate completion bash)
COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
COMP_WORDS=({" ".join(map(shlex.quote, split(line)))})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_limo_ablate_completion
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p limo-ablate
"""
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    *replies, registered = done.stdout.splitlines()
    assert registered == "complete -o default -o nosort -F _limo_ablate_completion limo-ablate"
    assert done.stderr == ""
    return [reply for reply in replies if reply]


def split(line: str) -> list[str]:
    """Words as bash makes them: `=` parts them."""
    words: list[str] = []
    for word in line.split(" "):
        head, *rest = word.split("=")
        words += [head, *(part for piece in rest for part in ("=", piece) if part)] if rest else [head]
    return words


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("limo-ablate wandb-s", ["wandb-sync", "wandb-sweep"]),
        ("limo-ablate sweep miniature_s", ["miniature_screening", "miniature_selection"]),
        ("limo-ablate select.qua", ["select.quality="]),
        ("limo-ablate select.quality=L", ["L1", "L2", "L3", "L4", "L5"]),
        ("limo-ablate model=mini_", ["mini_l", "mini_m", "mini_s"]),
        ("limo-ablate plan miniature seed=1 train.compile=", ["true", "false"]),
        ("limo-ablate score x.jsonl --extract=b", ["boxed"]),
        ("limo-ablate nonsense nonsense ", []),
    ],
)
def test_bash_joins_the_words_that_it_splits(line: str, wanted: list[str], tmp_path: Path) -> None:
    assert in_bash(line, tmp_path) == wanted


def test_a_bash_that_does_not_split_at_equals_gets_whole_words(tmp_path: Path) -> None:
    line = "limo-ablate model=mini_"
    program_words = "COMP_WORDBREAKS=${COMP_WORDBREAKS//=}"
    assert in_bash(line, tmp_path, program_words) == ["model=mini_l", "model=mini_m", "model=mini_s"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "complete -- " in script
    assert "2>/dev/null" in script
