"""What can be known of a study's trials is told before any starts: all at once, each reason in a line."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import lacks_bf16
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.coordinate import write_study
from limo_ablate.sweep.join import join
from limo_ablate.sweep.ledger.declaration import declare as declare_trials
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.same_failures import SameFailures
from limo_ablate.sweep.plan import preflight
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.plan.plan import plan
from limo_ablate.sweep.plan.preflight import Preflight, check_trials
from limo_ablate.sweep.session import Session
from limo_ablate.trial import checks, known
from limo_ablate.trial.compose import compose
from limo_ablate.trial.known import Known


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def declare(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def write(*blocks: dict[str, Any], overrides: tuple[str, ...] = ()) -> Path:
        file = tmp_path / "small.yaml"
        shared = ["track=none", f"paths.artifacts={store}", *overrides]
        study = {"name": "small", "seeds": [0, 1], "overrides": shared, "blocks": list(blocks)}
        file.write_text(yaml.safe_dump(study))
        return file

    return write


def block(name: str, axes: dict[str, list[Any]], *overrides: str) -> dict[str, Any]:
    return {"name": name, "axes": axes, "overrides": list(overrides)}


def found(file: Path, *, elsewhere: bool = False) -> Preflight:
    trials = planned_trials(load_study(str(file)))
    return check_trials([(trial.name, trial.config) for trial in trials], elsewhere=elsewhere)


BAD = (
    block("size", {"select.size": [4, 100000]}),
    block("teacher", {"select.teacher": ["gpt"]}, "select.size=8"),
    block("data", {"data.path": ["nope.jsonl"]}, "data=jsonl"),
    block("model", {"model.path": ["/nope"]}, "model=local"),
    block("gpu", {"hardware": ["gpu1"]}),
    block("engine", {"eval.engine": ["vllm"]}),
)
REASONS = (
    "hardware=gpu1 needs 1 GPU for a trial, 0 are visible",
    "engine=vllm: vLLM is not installed in this environment",
    "model.path=/nope: no such folder (2 trials: path_nope-s0, path_nope-s1)",
    "jsonl: no such file: nope.jsonl",
    "select.size=100000, but only 1,080 rows pass (pool: 8640 -> quality=L5: 1080).",
    "select.teacher=gpt: no such teacher. Teachers: none; see data.fields.teacher (2 trials: gpt-s0, gpt-s1)",
)


def test_a_sweep_tells_all_at_once_and_creates_nothing(
    declare: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = declare(*BAD, overrides=(f"paths.studies={tmp_path}/studies",))
    for launcher in ("launch=local", "launch=slurm"):
        assert main(["sweep", str(file), launcher]) == 2
        first, *lines = capsys.readouterr().err.splitlines()
        reasons = REASONS if launcher == "launch=local" else REASONS[1:]  # a job may have the GPU
        assert first == f"limo-ablate: {len(reasons)} problems, so nothing is started:"
        assert len(lines) == len(reasons)
        for line, reason in zip(lines, reasons, strict=True):
            assert line.startswith(f"  {reason}")
    assert not (tmp_path / "studies").exists()


def test_plan_shows_the_same_list_but_for_gpus_of_another_machine(
    declare: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = declare(*BAD)
    assert main(["plan", str(file)]) == 2
    told = capsys.readouterr().out
    assert all(f"\n  {reason}" in told for reason in REASONS[1:])
    assert REASONS[0] not in told
    assert "not checked: packages, as this machine lacks their GPUs (2 trials: gpu1-s0, gpu1-s1)" in told
    assert main(["plan", str(file), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == len(REASONS) - 1
    fine = declare(block("size", {"select.size": [4, 8]}))
    assert main(["plan", str(fine)]) == 0
    assert "PROBLEMS" not in capsys.readouterr().out


def test_each_distinct_part_is_checked_once(
    declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def counting(check: checks.Check) -> checks.Check:
        def run(config: Any, known: Known) -> None:
            calls[check.name] += 1
            check.run(config, known)

        return replace(check, run=run)

    monkeypatch.setattr(preflight, "CHECKS", tuple(map(counting, checks.CHECKS)))
    axes = {"select.size": [0, 4, 8], "select.quality": ["L1", "L5"], "train.learning_rate": [0.001, 0.002]}
    file = declare(block("b", axes))
    assert not found(file).problems
    assert calls == {
        "GPUs": 1, "processor": 1, "packages": 2, "memory": 2, "store": 18, "LoRA": 2, "models": 1,
        "model uses": 2, "sources": 2, "benchmarks": 2, "endpoint": 2, "pool": 2, "rows": 5,
    }, "all of a trial decides whether a store that can't be written to has what it needs"  # fmt: skip


def test_parts_are_equal_by_content_and_type() -> None:
    known = Known()
    one, other = compose(["select.size=4"]), compose(["select.size=4"])
    assert known.number((one.data, one.select)) == known.number((other.data, other.select))
    assert len({known.number((value,)) for value in (1, 1.0, True, "1", None, (1,), [1])}) == 7
    assert known.number(one.select) != known.number(replace(one.select, size=5))


def test_a_check_that_fails_itself_stops_nothing(
    declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_config: Any, _known: Known) -> None:
        raise ValueError("a\nbug")

    monkeypatch.setattr(preflight, "CHECKS", (checks.Check("luck", lambda c: (c.seed,), fail),))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: 1 / 0)
    result = found(declare(block("b", {"select.size": [4]})))
    result.refuse()
    assert result.lines(result.broken) == [
        "the check of luck failed itself, and is left out: ValueError: a bug (all 2 trials)",
        "the disk failed itself, and is left out: ZeroDivisionError: division by zero (all 2 trials)",
    ]


def test_files_are_read_and_their_fields_are_there(
    declare: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"problem": f"What is {i}?", "solution": f"It is {i}.", "answer": str(i)} for i in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ("data=jsonl", "data.path=rows.jsonl", "select.size=5", "select.quality=any")
    fits, tight = block("fits", {"train.learning_rate": [0.1]}, *own), block("b", {"select.size": [6]}, *own)
    tight["overrides"].remove("select.size=5")
    result = found(declare(fits, tight))
    assert list(result.problems.values()) == [["size6-s0", "size6-s1"]]
    assert "select.size=6, but only 5 rows pass" in next(iter(result.problems))
    wrong = block("b", {"data.fields.problem": ["questoin"]}, *own)
    assert "data.fields.problem=questoin: not a column" in next(iter(found(declare(wrong)).problems))
    (tmp_path / "rows.jsonl").write_text("{")
    assert "no usable problem among 1 row" in next(iter(found(declare(fits)).problems))
    monkeypatch.setattr(known, "LARGE", 0)
    result = found(declare(fits))
    assert (result.problems, list(result.unknown)) == (
        {},
        ["not checked: rows.jsonl: large, and not read yet"],
    )


def test_what_is_on_the_hub_is_not_downloaded(declare: Callable[..., Path]) -> None:
    result = found(declare(block("b", {"model": ["qwen2_5_0_5b"]}, "data=limo")), elsewhere=True)
    assert not result.problems
    assert {line.partition(" (")[0] for line in result.lines(result.unknown)} >= {
        "not checked: model.path=Qwen/Qwen2.5-0.5B-Instruct: not downloaded yet",
        "not checked: GAIR/LIMO: not downloaded yet",
    }


def test_weights_must_have_room_on_the_disk(
    declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1_000_000))
    result = found(declare(block("b", {"select.size": [0, 4]})))
    (line,) = result.lines(result.problems)
    assert ": weights and a checkpoint need about " in line
    assert line.endswith("MB, 1.0 MB are free (2 trials: size4-s0, size4-s1)")


def test_weights_must_fit_into_memory(declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the largest GPU, or of the machine, whatever the rows; a base model is only evaluated."""
    monkeypatch.setattr(checks, "gpu_memories", lambda: [8e9, 80e9])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    models = block(
        "b", {"model": ["qwen2_5_0_5b", "qwen2_5_7b"], "select.size": [0, 8]}, "data=limo", "hardware=gpu1"
    )
    result = found(declare(models))
    ((reason, names),) = [pair for pair in result.problems.items() if pair[0].startswith("hardware=")]
    assert reason.startswith("hardware=gpu1, model=qwen2_5_7b: weights, gradients and optimiser states")
    assert "GB per GPU, and 80.0 GB are there" in reason
    assert len(names) == 2
    assert all("size8" in name for name in names)


def test_weights_that_are_made_need_no_room(
    declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1_000_000))
    monkeypatch.setattr(preflight, "_in_store", lambda config: config.select.size == 4)
    result = found(declare(block("b", {"select.size": [4]})))
    assert not result.problems
    (names,) = found(declare(block("b", {"select.size": [4, 8]}))).problems.values()
    assert names == ["size8-s0", "size8-s1"]


def test_what_a_search_proposes_first_is_checked(declare: Callable[..., Path]) -> None:
    search = {
        "name": "search", "design": "optuna", "n": 3,
        "axes": {"train.learning_rate": {"low": 1e-4, "high": 1e-3}},
        "objectives": [{"score": "mini"}], "overrides": ["data=jsonl", "data.path=nope.jsonl"],
    }  # fmt: skip
    result = plan(load_study(str(declare(search)))).preflight
    ((reason, names),) = result.problems.items()
    assert "nope.jsonl" in reason
    assert names == [f"search-t{number:03d}-s{seed}" for seed in (0, 1) for number in range(3)]


def test_a_join_on_a_machine_without_the_files_starts_nothing(
    declare: Callable[..., Path], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"problem": f"{i}?", "solution": "s", "answer": "1"}) + "\n" for i in "ab")
    )
    session = Session.of(
        load_study(str(declare(block("b", {"select.size": [2]}, "data=jsonl", f"data.path={rows}"))))
    )
    ledger = session.ledger()
    declare_trials(ledger, session.study, session.trials, extend=False)
    write_study(session.study, session.trials, session.folder)
    with Lease(session.folder) as lease:
        failures = SameFailures(session.folder, None)
        session.queue(ledger, lease, Costs(), failures, slots=1)
    rows.unlink()
    with pytest.raises(UserError, match=r"^jsonl: no such file: .*rows.jsonl \(all 2 trials\)$"):
        join(session.folder, [], None)
    assert not (session.folder / "trials").exists()


def test_one_problem_is_one_line(declare: Callable[..., Path]) -> None:
    with pytest.raises(UserError) as error:
        found(declare(block("b", {"model.path": ["/nope"]}, "model=local"))).refuse()
    assert str(error.value) == "model.path=/nope: no such folder (all 2 trials)"


def test_tied_weights_are_not_adapted(declare: Callable[..., Path]) -> None:
    targets = {"train.lora.targets": [["q_proj"], ["q_proj", "lm_head"]], "select.size": [0, 4]}
    result = found(declare(block("b", targets, "train=lora", "train.steps=2", "train.epochs=null")))
    ((reason, names),) = result.problems.items()
    assert reason.startswith("train.lora.targets: lm_head: this model's embedding and LM head share")
    assert len(names) == 2
    assert all("size4" in name for name in names)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks about AVX-512")
def test_bf16_on_a_processor_without_it_is_told_and_runs(
    declare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = declare(block("a", {"select.size": [4]}), overrides=("hardware.precision=bf16",))
    assert any("no AVX-512" in text for text in found(study).unknown) == lacks_bf16()
    assert lacks_bf16() != torch.ops.mkldnn._is_mkldnn_bf16_supported()
    monkeypatch.setattr(checks, "lacks_bf16", lambda: True)
    told = found(study)
    assert any(text.startswith("hardware.precision=bf16: this machine's") for text in told.unknown)
    assert not told.problems
