"""Every protocol composes, and with the real files every set has the stated number of problems."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import read_options
from limo_ablate.data.pool.config import BenchmarkSetConfig, ChoicesConfig, FieldsConfig
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.trial.compose import compose
from limo_ablate.verify import verify

ROOT = Path(__file__).resolve().parents[3]
PROTOCOLS = sorted(path.stem for path in (ROOT / "conf/eval").glob("*.yaml"))
SETS = sorted(path.stem for path in (ROOT / "conf/eval/set").glob("*.yaml"))
TEN = {
    "aime": 30, "amc": 40, "cn_math_2024": 30, "math": 500, "olympiadbench": 675, "gaokao": 79, "kaoyan": 199,
    "grade_school_math": 210, "minerva": 272, "gpqa": 198,
}  # fmt: skip
RECENT = {"aime25": 30, "hmmt_feb_2025": 30, "olymmath_en_easy": 100, "olymmath_en_hard": 100}
RIGHT_FIRST = {"question": "1+1?", "answer": "2", "no": "3", "never": "4"}


@pytest.mark.slow
def test_every_protocol_composes() -> None:
    assert {"limo_v1", "limo_v3", "sober", "math500", "jsonl", "recent", "miniature"} <= set(PROTOCOLS)
    for protocol in PROTOCOLS:
        for name, benchmark in compose([f"eval={protocol}"]).eval.benchmarks.items():
            assert benchmark.path or name in ("mini", "own", "counting")


@pytest.mark.slow
def test_every_set_can_be_added_to_a_protocol() -> None:
    own = [name for name in SETS if name != "lm_eval"]  # its tasks sample themselves
    added = [
        f"+eval/{group}@eval.benchmarks.{name}={choice}"
        for name in own
        for group, choice in (("set", name), ("decoding", "sober"))
    ]
    benchmarks = compose(["eval=math500", *added]).eval.benchmarks
    for name in own:
        assert (benchmarks[name].samples, benchmarks[name].max_tokens) == (10, 32768)
        assert benchmarks[name].source == ("hub" if name.endswith("_hub") else "file")


def test_a_task_of_lm_eval_samples_and_grades_itself() -> None:
    added = ["eval=math500", "+eval/set@eval.benchmarks.kept=lm_eval"]
    greedy = compose([*added, "+eval/decoding@eval.benchmarks.kept=greedy"]).eval.benchmarks["kept"]
    assert (greedy.task, greedy.source, greedy.fields) == ("mmlu", "lm_eval", None)
    with pytest.raises(UserError, match="task=mmlu: the task itself samples and grades"):
        compose([*added, "+eval/decoding@eval.benchmarks.kept=sober"])
    with pytest.raises(UserError, match="source=lm_eval needs a task"):
        compose([*added, "+eval/decoding@eval.benchmarks.kept=greedy", "eval.benchmarks.kept.task=null"])


@pytest.mark.parametrize(("protocol", "small"), [("limo_v1", (16, 0.7)), ("limo_v3", (4, 0.6))])
def test_the_paper_samples_sets_under_50_problems(protocol: str, small: tuple[int, float]) -> None:
    benchmarks = compose([f"eval={protocol}"]).eval.benchmarks
    assert list(benchmarks) == list(TEN)
    for name, benchmark in benchmarks.items():
        assert (benchmark.samples, benchmark.temperature) == (small if TEN[name] < 50 else (1, 0))
        assert benchmark.max_tokens == 32768


def test_sober_s_decoding() -> None:
    for benchmark in compose(["eval=sober"]).eval.benchmarks.values():
        assert (benchmark.samples, benchmark.temperature, benchmark.top_p) == (10, 0.8, 0.9)


def test_the_gate_may_know_all_ten_sets_while_some_are_evaluated() -> None:
    config = compose(["eval=limo_v3", "select/contamination=ten_sets"])
    assert list(config.select.contamination.also) == list(TEN)
    with pytest.raises(UserError, match=r"also.aime: a benchmark of that name is evaluated"):
        compose(["eval=limo_v3", "select/contamination=ten_sets", "eval.benchmarks.aime.path=mine.jsonl"])


def test_the_real_sets_load_whole(tmp_path: Path, shared: Path) -> None:
    config = compose(["eval=limo_v3", f"paths.benchmarks={shared / 'limo-eval'}"])
    recent = [f"eval/set@eval.benchmarks.{name}={name}" for name in RECENT]
    later = compose(["eval=recent", *recent, f"paths.benchmarks={shared / 'benchmarks'}"])
    counts = {}
    for name, benchmark in (config.eval.benchmarks | later.eval.benchmarks).items():
        made = load_benchmark(Store(tmp_path), name, benchmark)
        counts[name] = pl.read_parquet(made.path / "problems.parquet").height
        assert pl.read_parquet(made.path / "rejected.parquet").is_empty()
    assert counts == TEN | RECENT


def test_the_right_options_of_gpqa_are_anywhere(tmp_path: Path, shared: Path) -> None:
    """LIMO's file has them all at A. Of 198 fair draws a letter gets 49.5, with an SD of 6.1."""
    overrides = ["eval=limo_v3", f"paths.benchmarks={shared / 'limo-eval'}"]
    gpqa = compose(overrides).eval.benchmarks["gpqa"]
    made = load_benchmark(Store(tmp_path), "gpqa", gpqa)
    problems, asked = pl.read_parquet(made.path / "problems.parquet"), read_options(made)
    letters = Counter(problems["gold"])
    assert sorted(letters) == ["A", "B", "C", "D"]
    assert all(34 <= count <= 66 for count in letters.values())
    lines = (shared / "limo-eval/gpqa/test.jsonl").read_text().split("\n")
    raw = [json.loads(line) for line in lines if line]
    for row, text, gold in zip(raw, problems["text"], problems["gold"], strict=True):
        options = asked[str(row["id"])]["options"]
        assert " ".join(f"A. {options[gold]}".split()) in " ".join(row["question"].split())
        assert sorted(text.split()) == sorted(row["question"].split())  # nothing is lost, nothing added


def test_every_option_of_gpqa_is_told_from_the_others(tmp_path: Path, shared: Path) -> None:
    overrides = ["eval=limo_v3", f"paths.benchmarks={shared / 'limo-eval'}"]
    made = load_benchmark(Store(tmp_path), "gpqa", compose(overrides).eval.benchmarks["gpqa"])
    golds, asked = (
        pl.read_parquet(made.path / "problems.parquet").select("id", "gold").rows(),
        read_options(made),
    )
    for problem, gold in golds:
        options = asked[problem]["options"]
        for letter, text in options.items():
            for said in (letter, text, f"({letter}) {text}"):
                verdict = verify(f"\\boxed{{{said}}}", gold, choices=options)
                assert verdict.status == ("correct" if letter == gold else "incorrect"), (problem, said)


def options_of(folder: Path, rows: list[dict[str, str]], choices: ChoicesConfig) -> pl.DataFrame:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    config = BenchmarkSetConfig(
        source="file",
        path=str(path),
        fields=FieldsConfig(problem="question", answer="answer"),
        choices=choices,
    )
    return pl.read_parquet(load_benchmark(Store(folder / "store"), "b", config).path / "problems.parquet")


def test_options_in_columns_as_the_hub_has_them(tmp_path: Path) -> None:
    rows = [{**RIGHT_FIRST, "question": f"{n}?"} for n in range(60)]
    choices = ChoicesConfig(wrong=("no", "never"), instruction="Box a letter.")
    made = options_of(tmp_path, rows, choices)
    for text, gold in made.select("text", "gold").iter_rows():
        _, listed, instruction = text.split("\n\n")
        assert dict(line.split(". ") for line in listed.split("\n"))[gold] == "2"
        assert instruction == "Box a letter."
    assert min(Counter(made["gold"]).values()) >= 10
    assert options_of(tmp_path, rows, choices).equals(made)


def test_the_seed_shuffles_and_other_problems_do_not(tmp_path: Path) -> None:
    rows = [{**RIGHT_FIRST, "question": f"{n}?"} for n in range(20)]
    golds = {
        seed: options_of(tmp_path, rows, ChoicesConfig(wrong=("no", "never"), seed=seed))["gold"].to_list()
        for seed in (0, 1)
    }
    assert golds[0] != golds[1]
    fewer = options_of(tmp_path, rows[:7], ChoicesConfig(wrong=("no", "never")))["gold"].to_list()
    assert fewer == golds[0][:7]


def test_what_has_no_options_is_listed_and_a_wrong_column_named(tmp_path: Path) -> None:
    lettered = {"question": "Which?\n(A) one\n(B) two", "answer": "B"}
    same = {"question": "Which?\n(A) one\n(B) one", "answer": "B"}
    made = options_of(tmp_path, [lettered, RIGHT_FIRST, {**lettered, "answer": "C"}, same], ChoicesConfig())
    assert made.height == 1
    with pytest.raises(UserError, match=r"eval.benchmarks.b.choices.wrong=nope: not a column of"):
        options_of(tmp_path, [RIGHT_FIRST], ChoicesConfig(wrong=("nope",)))
