"""`eval.likelihood` in a trial: gold solutions of benchmarks, their likelihood beside the verdicts."""

import json
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_benchmark, load_solutions
from limo_ablate.trial.compose import compose
from limo_ablate.trial.evaluate.config import BenchmarkConfig
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.run import run_trial

TINY = [
    "model=mini_s", "model.pretrain.tokens=20000", "track=none", "select.size=0",
    "data.miniature.per_level=20", "eval.benchmarks.mini.miniature.per_level=1",
    "eval.benchmarks.mini.max_tokens=4",
]  # fmt: skip
FILE = ["eval=jsonl", "eval.benchmarks.own.path=exam.jsonl", "eval.likelihood=[own]"]
SOLVED = "eval.benchmarks.own.fields.solution=worked"


def test_a_trial_measures_it_once_beside_its_verdicts(tmp_path: Path) -> None:
    found = []
    for name, benchmarks in (("plain", ""), ("one", "mini"), ("two", "mini")):
        config = compose([*TINY, f"paths.artifacts={tmp_path}/store", f"eval.likelihood=[{benchmarks}]"])
        found.append(run_trial(config, tmp_path / name, TrialLabels("test", {}, "cell")))
    plain, one, two = found
    own = {"likelihood", "likelihood_stderr", "likelihood_per_solution", "likelihood_problems"}
    assert set(one["scores"]["mini/hard"]) - set(plain["scores"]["mini/hard"]) == own
    assert one["scores"]["mini"] == pytest.approx(two["scores"]["mini"], abs=0)
    assert one["scores"]["mini"]["likelihood_problems"] == 9
    assert one["artifacts"]["likelihood/mini"]["made"] == two["artifacts"]["likelihood/mini"]["made"]
    assert one["artifacts"]["benchmark/mini"]["key"] == plain["artifacts"]["benchmark/mini"]["key"]
    verdicts = pl.read_parquet(tmp_path / "one" / "verdicts.parquet")
    per_token = verdicts["log_likelihood"] / verdicts["solution_tokens"]
    assert one["scores"]["mini"]["likelihood"] == pytest.approx(per_token.mean())
    table = pl.read_parquet(tmp_path / "one" / "likelihood.parquet")
    assert table.columns == ["problem", "log_likelihood", "solution_tokens", "benchmark"]
    (gold,) = (tmp_path / "store" / "solutions").glob("*/solutions.parquet")
    assert pl.read_parquet(gold)["solution"].str.contains(", ").all(), "the best tier, which has checks"


def test_keys_of_trials_without_it_stay() -> None:
    assert trial_key(compose(TINY)) == trial_key(compose([*TINY, "eval.likelihood=[]"]))
    assert trial_key(compose(TINY)) != trial_key(compose([*TINY, "eval.likelihood=[mini]"]))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (FILE, "own has no gold solutions; set eval.benchmarks.own.fields.solution to their column"),
        ([*FILE, SOLVED, "eval.likelihood=[exam]"], "exam is no benchmark; there are: own"),
        ([*FILE, SOLVED, "eval.engine=vllm", "eval.tensor_parallel=2"], "holds the model on one GPU"),
        ([*FILE, SOLVED, "eval.benchmarks.own.choices={seed: 0}"], "options of own are shuffled"),
    ],
)
def test_what_has_no_gold_solution_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose(["track=none", *overrides])


def gold(folder: Path, *rows: dict[str, object]) -> list[tuple[str, str]]:
    file = folder / "exam.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = ("eval.benchmarks.own.fields.id=id", "+eval.benchmarks.own.fields.correct=right")
    config = compose(["eval=jsonl", f"eval.benchmarks.own.path={file}", SOLVED, *columns])
    benchmark: BenchmarkConfig = config.eval.benchmarks["own"]
    store = Store(folder / "store")
    solutions = load_solutions(store, "own", benchmark, load_benchmark(store, "own", benchmark))
    table = pl.read_parquet(solutions.path / "solutions.parquet")
    assert [file.name for file in solutions.path.glob("*.parquet")] == ["solutions.parquet"]
    return table.select("problem", "solution").rows()


def test_a_gold_solution_is_the_first_that_is_not_wrong(tmp_path: Path) -> None:
    ask = {"problem": "1+1?", "answer": "2"}
    assert gold(
        tmp_path,
        ask | {"id": "a", "worked": ["It is 3.", "It is 2.", "So 2."], "right": [False, True, True]},
        ask | {"id": "b", "problem": " ", "worked": ["left out"], "right": [True]},
        ask | {"id": "b", "problem": "2+0?", "worked": ["It is 2."], "right": [None]},
    ) == [("a", "It is 2."), ("b", "It is 2.")]
    with pytest.raises(UserError, match="1 of the 2 problems of own have no solution that is not marked"):
        gold(
            tmp_path,
            ask | {"id": "a", "worked": ["It is 2."], "right": [True]},
            ask | {"id": "c", "problem": "2+0?", "worked": ["It is 3."], "right": [False]},
        )
