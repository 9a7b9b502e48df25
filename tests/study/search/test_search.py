"""Searches on real Optuna studies; the ledger's rows stand in memory and in a journal."""

import math
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from limo_ablate.core.errors import UserError
from limo_ablate.study.axes import Range
from limo_ablate.study.block import Block, Objective, Pruning, Tune
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, Proposal, planned_trials
from limo_ablate.study.search.objectives import objective_value
from limo_ablate.study.search.propose import _check_levels, propose, proposed_trials
from limo_ablate.study.search.pruning import Pruner, read_reports
from limo_ablate.study.search.sampler import new_proposals
from limo_ablate.study.search.search import Search, searches

RATE = Range(low=1e-5, high=1e-1, log=True)
DECAY = Range(low=0.0, high=1.0)


def block(**changes: Any) -> Block:
    given: dict[str, Any] = {
        "name": "lr search",
        "design": "optuna",
        "axes": {"train.learning_rate": RATE, "train.weight_decay": DECAY},
        "n": 30,
        "objectives": (Objective(score="mini"),),
    }
    return Block(**given | changes)


def search(seed: int = 0, **changes: Any) -> Search:
    return searches(Study(name="s", blocks=(block(**changes),), seeds=(seed,)))[0]


class Ledger:
    """Rows as the ledger keeps them, of one search."""

    def __init__(self, storage: optuna.storages.BaseStorage | None = None) -> None:
        self.study = optuna.create_study(storage=storage, study_name="s")

    @property
    def rows(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def add(self, trial: PlannedTrial, state: TrialState = TrialState.COMPLETE, values: Any = None) -> None:
        assert trial.proposal is not None
        self.write(trial.proposal, state, values)

    def write(self, proposal: Proposal, state: TrialState = TrialState.COMPLETE, values: Any = None) -> None:
        about: dict[str, Any] = {"search": proposal.search, "proposal": proposal.row()}
        if values is not None:
            about["result"] = {"values": values}
        value = 0.0 if state == TrialState.COMPLETE else None
        self.study.add_trial(create_trial(state=state, value=value, user_attrs=about))


def score(levels: dict[str, Any]) -> float:
    """Best at a learning rate of 1e-3 and no weight decay."""
    return -((math.log10(levels["train.learning_rate"]) + 3) ** 2) - levels["train.weight_decay"]


def run(one: Search, ledger: Ledger) -> list[float]:
    found: list[float] = []
    while one.remaining(ledger.rows):
        for proposal in new_proposals(one, ledger.rows, 1):
            found.append(score(proposal.levels))
            ledger.write(proposal, values=[found[-1]])
    return found


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_model_based_sampler_beats_chance(sampler: str) -> None:
    best = {
        kind: [max(run(search(seed, sampler=kind, n=16), Ledger())) for seed in range(4)]
        for kind in ("random", sampler)
    }
    assert statistics.mean(best[sampler]) > statistics.mean(best["random"]) + 0.05


def test_the_same_rows_give_the_same_proposals_in_every_storage(tmp_path: Path) -> None:
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "ledger.log")))
    one, ledgers = search(), [Ledger(), Ledger(journal)]
    for ledger in ledgers:
        run(search(n=15), ledger)
    first, second = (propose(one, ledger.rows, 3) for ledger in ledgers)
    assert [trial.levels for trial in first] == [trial.levels for trial in second]
    assert [trial.name for trial in first] == [f"lr_search-t0{n}-s0" for n in (15, 16, 17)]
    assert first[0].levels != propose(search(seed=1), ledgers[0].rows, 1)[0].levels


def test_trials_are_known_again_from_their_rows() -> None:
    ledger, one = Ledger(), search()
    proposed = propose(one, ledger.rows, 2)
    for state in (TrialState.FAIL, TrialState.WAITING):  # a second attempt
        ledger.add(proposed[0], state)
    ledger.add(proposed[1], values=[1.0])
    assert proposed_trials(one, ledger.rows) == proposed
    assert [trial.id for trial in proposed] == ["lr_search-s0/0", "lr_search-s0/1"]
    assert proposed[0].config.train.learning_rate == proposed[0].levels["train.learning_rate"]
    assert one.remaining(ledger.rows) == 28


def test_what_runs_counts_so_that_proposals_side_by_side_differ() -> None:
    """Ten trials at the best point so far: while they run it is avoided, had they failed it is not."""
    distances: dict[TrialState, list[float]] = {TrialState.RUNNING: [], TrialState.FAIL: []}
    for seed in range(8):
        one = search(seed, n=100)
        done = new_proposals(search(seed, sampler="random", n=100), [], 30)
        best = max(done, key=lambda proposal: score(proposal.levels)).levels
        for state, found in distances.items():
            ledger = Ledger()
            for proposal in done:
                ledger.write(proposal, values=[score(proposal.levels)])
            for number in range(30, 40):
                ledger.write(Proposal(search=one.name, number=number, levels=best, sampler={}), state)
            (next_one,) = new_proposals(one, ledger.rows, 1)
            assert next_one.number == 40
            found.append(
                abs(math.log10(next_one.levels["train.learning_rate"] / best["train.learning_rate"]))
            )
    assert statistics.median(distances[TrialState.RUNNING]) > 2 * statistics.median(
        distances[TrialState.FAIL]
    )


def test_a_rounded_number_stays_in_its_range_and_is_short_in_a_name() -> None:
    for trial in propose(search(), [], 10):
        rate = trial.levels["train.learning_rate"]
        assert 1e-5 <= rate <= 1e-1
        assert float(f"{rate:.4g}") == rate


def test_generations_of_nsga2_advance_through_the_rows() -> None:
    both = (Objective(score="mini"), Objective(score="mini.tokens", direction="minimize"))
    one, ledger = search(sampler="nsga2", population=10, n=60, objectives=both), Ledger()
    generations, scores = [], []
    while one.remaining(ledger.rows):
        (proposal,) = new_proposals(one, ledger.rows, 1)
        generations += proposal.sampler.values()
        scores.append(score(proposal.levels))
        ledger.write(proposal, values=[scores[-1], proposal.levels["train.weight_decay"]])
    assert generations == [generation for generation in range(6) for _ in range(10)]
    assert statistics.mean(scores[-20:]) > statistics.mean(scores[:10]) + 0.5


def test_a_search_of_few_points_tries_each_once_and_ends() -> None:
    axes = {"select.size": (4, 16), "select.quality": ("L1", "L5")}
    one, ledger = search(axes=axes, n=30, exclude=({"select.size": 4, "select.quality": "L1"},)), Ledger()
    assert one.n == 3
    while proposed := propose(one, ledger.rows, 2):
        for trial in proposed:
            ledger.add(trial, values=[0.5])
    points = [
        (c.levels["select.size"], c.levels["select.quality"]) for c in proposed_trials(one, ledger.rows)
    ]
    assert sorted(points) == [(4, "L5"), (16, "L1"), (16, "L5")]
    assert one.remaining(ledger.rows) == 0


def test_conditional_and_paired_axes_are_searched() -> None:
    axes = {
        "select.order": ("random", "score"),
        "train.steps, train.global_batch_size": ([120, 8], [240, 4]),
        "select.seed": (1, 2, 3),
    }
    one = search(axes=axes, when={"select.seed": {"select.order": "random"}}, n=20)
    assert one.n == 8
    found = [trial.levels for trial in propose(one, [], 8)]
    assert len(found) == 8
    assert {("select.seed" in levels, levels["select.order"]) for levels in found} == {
        (True, "random"),
        (False, "score"),
    }
    assert {levels["train.steps"] * levels["train.global_batch_size"] for levels in found} == {960}


def test_pruned_and_failed_rows_and_levels_that_are_gone_are_no_obstacle() -> None:
    ledger, one = Ledger(), search()
    for trial, state in zip(
        propose(one, [], 4),
        (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE),
        strict=True,
    ):
        ledger.add(trial, state, values=[1.0])
    narrow = search(axes={"train.learning_rate": Range(low=1.0, high=2.0), "train.weight_decay": DECAY})
    assert len(propose(one, ledger.rows, 2)) == len(propose(narrow, ledger.rows, 2)) == 2


# ---- tuning within each point ----


def tuned(**changes: Any) -> Study:
    tune = Tune(axes={"train.learning_rate": RATE}, n=4, score="mini/easy")
    axes = {"select.size": (4, 16), "select.quality": ("L1", "L5")}
    return Study(name="s", blocks=(Block(name="b", axes=axes, tune=tune, **changes),), seeds=(0, 1))


def test_each_point_under_each_seed_has_a_search_of_its_own() -> None:
    found = searches(tuned())
    assert [one.name for one in found[:5]] == [
        "size4-L1-s0", "size4-L5-s0", "size16-L1-s0", "size16-L5-s0", "size4-L1-s1",
    ]  # fmt: skip
    assert len(found) == 8
    assert planned_trials(tuned()) == []
    (trial,) = propose(found[1], [], 1)
    assert trial.name == "size4-L5-t000-s0"
    assert trial.levels.items() >= {"select.size": 4, "select.quality": "L5"}.items()
    assert trial.config.train.learning_rate == trial.levels["train.learning_rate"]
    assert (trial.config.seed, trial.blocks) == (0, ("b",))


def test_seeds_of_a_block_are_its_own() -> None:
    assert {one.seed for one in searches(tuned(seeds=(7,)))} == {7}


# ---- objectives ----

METRICS = {
    "scores": {"mini": {"accuracy": 0.5, "tokens": 90.0}, "mini/hard": {"accuracy": 0.25}},
    "train": {"dev_loss": 1.5, "loss": None},
    "total_seconds": 12.0,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mini", 0.5),
        ("mini/hard", 0.25),
        ("mini.tokens", 90.0),
        ("train.dev_loss", 1.5),
        ("total_seconds", 12.0),
    ],
)
def test_an_objective_is_a_number_of_the_results(name: str, value: float) -> None:
    assert objective_value(METRICS, name) == value


@pytest.mark.parametrize("name", ["min", "train.loss", "mini.token", "train.dev_los"])
def test_an_objective_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"objective {name}="):
        objective_value(METRICS, name)


def test_an_objective_is_checked_before_anything_runs() -> None:
    with pytest.raises(
        UserError, match="score=minx is not a number in its trials' results; did you mean mini"
    ):
        propose(search(objectives=(Objective(score="minx"),)), [], 1)
    with pytest.raises(UserError, match=r"train\.dev_loss needs rows held out"):
        propose(search(objectives=(Objective(score="train.dev_loss", direction="minimize"),)), [], 1)


# ---- pruning ----


def answers(accuracy: float, problems: int, shift: int = 0) -> dict[int, float]:
    """Every trial answers the same problems, those with a low number more easily."""
    hardness = [((i * 37 + shift) % 100) / 100 for i in range(problems)]
    return {i + 1: float(h < accuracy) for i, h in enumerate(hardness)}


@pytest.mark.parametrize("rule", ["wilcoxon", "median"])
def test_a_clearly_worse_trial_is_pruned_and_a_good_one_is_not(rule: Any) -> None:
    pruner = Pruner(search(pruner=Pruning(rule=rule)))
    assert not pruner.should_prune(0, answers(0.1, 100))  # nothing to compare it with
    for number in range(4):
        pruner.add_result(number, answers(0.6, 100), 0.6)
    assert pruner.should_prune(5, answers(0.1, 60))
    assert not pruner.should_prune(6, answers(0.9, 60))
    assert not pruner.should_prune(7, answers(0.1, 29))  # too early
    pruner.add_result(5, answers(0.1, 60), None)
    assert not pruner.should_prune(5, answers(0.1, 60))  # it has ended


def test_a_searches_trials_report_and_have_the_same_key(tmp_path: Path) -> None:
    (with_reports,) = propose(search(pruner=Pruning(rule="wilcoxon", every=20)), [], 1)
    (without,) = propose(search(), [], 1)
    assert with_reports.config.eval.report is not None
    assert (with_reports.config.eval.report.score, with_reports.config.eval.report.every) == ("mini", 20)
    assert with_reports.key == without.key


def test_a_report_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    assert read_reports(tmp_path) == {}
    (tmp_path / "reports.jsonl").write_text("[1, 0.5]\n[2, 1.0]\n[3, 0")
    assert read_reports(tmp_path) == {1: 0.5, 2: 1.0}


@pytest.mark.parametrize(
    ("axes", "levels"),
    [
        ({"select.size": (1, 2)}, {"launch.notify": "touch x"}),
        ({"select.size": (1, 2)}, {"hardware.remote": "x"}),
        ({"launch.notify": ("a", "b")}, {"launch.notify": "c"}),
    ],
)
def test_a_ledger_s_proposal_names_nothing_that_was_not_asked_for(
    axes: dict[str, Any], levels: dict[str, Any]
) -> None:
    """A row of a ledger from others would run a command past `--trust`."""
    search = SimpleNamespace(name="s", space=SimpleNamespace(axes=axes))
    with pytest.raises(UserError, match=f"sets {next(iter(levels))}, which the search does not vary"):
        _check_levels(search, Proposal(search="s", number=0, levels=levels, sampler={}))  # type: ignore[arg-type]
