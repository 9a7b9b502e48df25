"""Shared by all tests: one thread a process, where the optional real data lies, which tests are slow."""

import gc
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from omegaconf import DictConfig

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.project import conf_folders
from limo_ablate.trial import compose as composing

settings.register_profile("check", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))  # a check must not depend on luck

for threads in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
    os.environ[threads] = "1"
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # threads that its handlers start in a forked test abort it
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("WANDB_MODE", None)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests trust is remembered for them alone."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real benchmarks, pools and completions that are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the real data in ../shared/data is not here")
    return SHARED


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Store) -> Artifact:
    """The tiny base model, in `store`."""
    from tests.tiny_models import made_base

    return made_base(store)


@pytest.fixture
def no_pictures() -> Iterator[None]:
    """Charts are specified, but not rendered, which takes most of a report's time: their files are empty."""
    with pictures_left_out():
        yield


@contextmanager
def pictures_left_out() -> Iterator[None]:
    from limo_ablate.report import parts
    from limo_ablate.report.picture_files import FORMATS

    with pytest.MonkeyPatch.context() as patch:
        empty = b""
        patch.setattr(parts, "picture_files", lambda chart: {f"{chart.id}.{kind}": empty for kind in FORMATS})
        yield


def compose_once() -> None:
    """Hydra takes a third of a second for a configuration; of the committed files it makes each one once."""
    hydra_compose, known = composing._compose, dict[tuple[str, ...], DictConfig]()

    def once(overrides: Sequence[str]) -> DictConfig:
        if not all(folder.is_relative_to(ROOT) for folder in conf_folders()):
            return hydra_compose(overrides)  # files of a test, which it may change
        if (choices := tuple(overrides)) not in known:
            known[choices] = hydra_compose(overrides)
        return known[choices]

    composing._compose = once


compose_once()


SLOW = (
    "analysis/register", "analysis/test_sequential.py", "core/test_s3.py", "docs", "model", "report",
    "study/search", "sweep", "test_*", "trial/track", "trial/evaluate/test_likelihood.py",
    "trial/evaluate/test_lm_eval.py", "trial/evaluate/test_evaluation.py", "trial/test_partial_scores.py",
    "trial/test_reference.py", "trial/test_read_only.py", "trial/test_rows.py",
    "trial/test_store_at_url.py", "trial/test_teacher.py", "trial/test_template.py", "trial/test_trial.py",
    "verify/test_hostile.py", "verify/test_score.py", "verify/test_verify.py", "verify/test_worker.py",
)  # fmt: skip
"""Folders and files whose tests train, start processes or take longer than about two seconds."""
QUICK = (
    "model/generate/test_health.py", "model/generate/test_sampling.py", "model/train/test_attention.py",
    "model/train/test_loss.py", "model/train/test_packing.py", "model/train/test_plan.py",
    "model/train/test_tokens.py", "report/serve/test_guard.py", "sweep/ledger/test_flock.py",
    "sweep/test_budget_guard.py", "sweep/test_live.py", "sweep/test_polling.py", "sweep/test_slots.py",
)  # fmt: skip
"""Files in them whose tests do not."""
QUERIES = ("git", "nvidia-smi", "scontrol", "limo_ablate.verify.worker")
"""What quick tests may start all the same: programs that answer at once, and the verifier's own helper."""
_quick: str | None = None
"""The quick test that runs."""


EXHAUSTIVE = (
    "test_an_agent_runs_two_real_trials_each_as_one_run", "test_optuna_proposes_through_wandbs_scheduler",
    "test_a_model_based_sampler_beats_chance[gp]", "test_a_new_ledger_is_opened_by_several_at_once",
    "test_a_killed_writer_leaves_a_ledger_that_works[sqlite]",
    "test_a_killed_writer_leaves_a_ledger_that_works[grpc]",
    "test_two_processes_keep_the_same[ddp]", "test_labels_as_written", "test_the_notebook_runs[own_study]",
    "test_of_two_ranks_only_the_trial_itself_talks_to_wandb",
    "test_a_multirun_starts_from_the_file_it_was_given", "test_a_dashboard_made_offline_is_sent_later",
    "test_a_server_that_fails_midway_is_waited_for_as_long_as_stated",
    "test_a_run_that_cannot_be_sent_is_named_and_the_others_are_sent",
    "test_compiled_layers_have_the_same_losses[aot_eager]",
    "test_a_row_is_claimed_and_ended_once_by_processes[sqlite]",
    "test_a_row_is_claimed_and_ended_once_by_processes[grpc]",
    "test_a_killed_writer_leaves_a_ledger_that_works[postgres]",
    "test_ranks_that_are_killed_again_and_again_go_on_exactly[ddp]",
    "test_a_damaged_shard_falls_back_to_the_checkpoint_before[missing]",
    "test_the_forecast_is_what_tensors_take[changes3-bf16]",
    "test_what_is_loaded_scores_what_was_trained_whatever_is_saved[float32-bf16]",
    "test_what_is_loaded_scores_what_was_trained_whatever_is_saved[bfloat16-no]",
    "test_an_agent_runs_the_same_trials[s1_arms]",
    "test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_serves[fsdp2]",
    "test_what_waits_is_run_once_and_a_failure_is_told_with_its_log[slurm]",
    "test_an_interrupt_ends_whole_trees_and_no_row_is_left_running[slurm]",
    "test_a_trial_that_has_to_make_room_goes_on_from_its_checkpoint[slurm]",
    "test_a_machine_that_is_lost_takes_no_trial_with_it[slurm]",
    "test_two_processes_have_the_curve_of_one", "test_ranks_and_an_adapter_run_it",
    "test_a_row_is_claimed_and_ended_once_by_processes[postgres]",
    "test_a_storage_that_is_away_for_a_while_is_waited_for[grpc]",
    "test_a_storage_that_stays_away_is_told_of[grpc]",
    "test_the_forecast_is_what_tensors_take[changes4-bf16]", "test_so_do_two_of_deepspeed",
    "test_what_is_drawn_does_not_depend_on_the_batch[vllm]", "test_samples_and_seeds_differ[vllm]",
    "test_a_trial_that_stands_still_is_ended_and_tried_again[slurm]",
    "test_ten_thousand_trials_are_planned_in_seconds_and_without_torch",
    "test_a_report_that_can_not_be_drawn_says_why",
    "test_what_is_loaded_scores_what_was_trained_whatever_is_saved[float32-no]",
    "test_a_preempted_training_on_two_machines_leaves_a_checkpoint",
)  # fmt: skip
"""The costliest tests, each beside a cheaper one of the same kind: they run with --exhaustive."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exhaustive", action="store_true", help="also run the costliest tests (conftest.py)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = _files(SLOW) - _files(QUICK)
    for item in items:
        if item.path in slow:
            item.add_marker(pytest.mark.slow)
    if config.args_source is config.ArgsSource.TESTPATHS:
        assert not (gone := {*EXHAUSTIVE} - {item.name for item in items}), f"{gone}: no such tests"
    if not config.getoption("exhaustive") and not any("::" in name for name in config.args):
        left_out = [item for item in items if item.name in EXHAUSTIVE]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.name not in EXHAUSTIVE]


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def _files(patterns: Sequence[str]) -> set[Path]:
    files = set()
    for pattern in patterns:
        found = [
            file for path in HERE.glob(pattern) for file in ([path] if path.is_file() else path.rglob("*.py"))
        ]
        assert found, f"tests/conftest.py names {pattern}, and there is none"
        files.update(found)
    return files


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _quick
    _quick = None if item.get_closest_marker("slow") else item.nodeid
    try:
        return (yield)
    finally:
        _quick = None


def _no_processes() -> None:
    """Has quick tests fail that start processes."""
    start, popen = BaseProcess.start, subprocess.Popen.__init__

    def started(process: BaseProcess) -> None:
        assert _quick is None, f"{_quick} starts a process: name it in SLOW of tests/conftest.py"
        start(process)

    def opened(process: Any, command: Any, *others: Any, **settings: Any) -> None:
        query = any(name in str(word) for word in command for name in QUERIES)
        assert _quick is None or query, f"{_quick} starts {command}: name it in SLOW of tests/conftest.py"
        popen(process, command, *others, **settings)

    BaseProcess.start, subprocess.Popen.__init__ = started, opened  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all tests are collected: what their modules import stays
    if "not slow" in config.option.markexpr:
        _no_processes()
