"""Rows of well-known kinds: recognised, read with the right gold answer, or refused; never read wrongly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.cli import main
from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig, ProblemsConfig
from limo_ablate.data.pool.inspection import inspect, reading_notes, recognised
from limo_ablate.data.pool.load import load_benchmark, load_pool
from limo_ablate.data.pool.schema import read_row
from limo_ablate.data.pool.schemas import SCHEMAS, recognise
from limo_ablate.data.pool.values import BadRow, gold_text
from limo_ablate.data.select.correctness import grades
from limo_ablate.trial.compose import compose
from limo_ablate.trial.evaluate.config import BenchmarkConfig

COLORS = ["red", "green", "blue", "none of these"]
LISTED = "Which?\n\nA. red\nB. green\nC. blue\nD. none of these"


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": who, "value": text} for who, text in zip(("human", "gpt"), texts, strict=False)]


EXAMPLES: list[tuple[str, dict[str, Any], tuple[str, str | None, str | None]]] = [
    ("alpaca", {"instruction": "Add.", "input": "2, 2", "output": "4"}, ("Add.\n2, 2", None, "4")),
    ("conversation", {"conversations": turns("2+2?", "So \\boxed{4}")}, ("2+2?", "4", "So \\boxed{4}")),
    (
        "conversation",
        {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
        ("2+2?", None, "4"),
    ),
    ("prompt", {"prompt": "2+2?", "completion": "It is 4."}, ("2+2?", None, "It is 4.")),
    (
        "prompt",
        {
            "prompt": [{"role": "user", "content": "2+2?"}],
            "completion": [{"role": "assistant", "content": "4"}],
        },
        ("2+2?", None, "4"),
    ),
    (
        "preference",
        {"conversations": turns("2+2?"), "chosen": turns("", "4")[1], "rejected": turns("", "5")[1]},
        ("2+2?", None, "4"),
    ),
    (
        "verl",
        {
            "prompt": [{"role": "user", "content": "2+2?"}],
            "reward_model": {"ground_truth": '["4"]', "style": "rule"},
        },
        ("2+2?", "4", None),
    ),
    (
        "openthoughts",
        {"problem": "2+2?", "deepseek_reasoning": "Hm.", "deepseek_solution": "So \\boxed{4}"},
        ("2+2?", "4", "<think>\nHm.\n</think>\n\nSo \\boxed{4}"),
    ),
    ("gsm8k", {"question": "2+2?", "answer": "2+2 is 4.\n#### 4"}, ("2+2?", "4", "2+2 is 4.\n#### 4")),
    ("options", {"question": "Which?", "choices": COLORS, "answer": 0}, (LISTED, "A", None)),
    (
        "options",
        {
            "question": "Which?",
            "choices": {"text": COLORS, "label": ["1", "2", "3", "4"]},
            "answerKey": "3",
        },
        (LISTED, "C", None),
    ),
    (
        "options",
        {
            "question": "Which?",
            "options": dict(zip("ABCD", COLORS, strict=True)),
            "answer": "blue",
            "answer_idx": "C",
        },
        (LISTED, "C", None),
    ),
    (
        "options",
        {
            "question": "Which?",
            "options": [f"{letter}){color}" for letter, color in zip("ABCD", COLORS, strict=True)],
            "correct": "C",
            "rationale": "It is blue.",
        },
        (LISTED, "C", "It is blue."),
    ),
    (
        "options",
        {"question": "Which?", "A": "red", "B": "green", "C": "blue", "D": "none of these", "answer": "C"},
        (LISTED, "C", None),
    ),
    (
        "options",
        {
            "Question": "Which?",
            "Correct Answer": "2 eV",
            "Incorrect Answer 1": "3 eV",
            "Explanation": "It is 2.",
        },
        ("Which?\n\nA. 3 eV\nB. 2 eV", "B", "It is 2."),
    ),
    (
        "options",
        {"goal": "Boil?", "sol1": "heat", "sol2": "cool", "label": 0},
        ("Boil?\n\nA. cool\nB. heat", "B", None),
    ),
    (
        "options",
        {
            "question_stem": "Which?",
            "choices": {"text": COLORS, "label": ["A", "B", "C", "D"]},
            "answerKey": "C",
        },
        (LISTED, "C", None),
    ),
    ("columns", {"question": "2+2?", "answer": None, "answer_number": 4}, ("2+2?", "4", "4")),
    (
        "squad",
        {"question": "Who?", "answers": {"text": ["Jane Austen", "Austen"], "answer_start": [1, 6]}},
        ("Who?", "Jane Austen|Austen", None),
    ),
    (
        "squad",
        {"question": "Where?", "answer": {"value": "Paris", "aliases": ["Paris", "Paname"]}},
        ("Where?", "Paris|Paname", None),
    ),
    ("columns", {"Question": "2+2?", "Answer": 4.0}, ("2+2?", "4", "4")),
    (
        "columns",
        {"context": "CREATE TABLE t (a INT)", "question": "All?", "answer": "SELECT * FROM t"},
        ("CREATE TABLE t (a INT)\n\nAll?", "SELECT * FROM t", "SELECT * FROM t"),
    ),
]


@pytest.mark.parametrize(("name", "row", "expected"), EXAMPLES)
def test_rows_of_a_schema_are_recognised_and_read(
    name: str, row: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    found, reading = recognise([row])
    assert found == name
    read = read_row(row, reading.fields, "file")
    solution = read.solutions[0]["text"] if read.solutions else None
    assert (read.problem["text"], read.problem["gold"], solution) == expected


def test_each_schema_is_tested() -> None:
    assert {name for name, _, _ in EXAMPLES} | {"segments"} == set(SCHEMAS.builtin)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"segments": [{"label": False, "text": "<s>Hi"}]},
            "a chat template in it, which",
        ),
        ({"a": 1, "b": 2}, r"none of the known schemas .*Columns: a, b"),
        ({"chosen": "Human: Hi", "rejected": "Human: Hi"}, "preference pairs without a prompt"),
    ],
)
def test_what_can_t_be_read_is_refused(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        recognise([row])


def test_the_parts_of_an_answer_that_is_trained_on_are_one_solution() -> None:
    """Each part was a solution of its own, which is wrong."""
    fields = FieldsConfig(problem="question", answer="answer", solution="answer")
    row = {"question": "Which primes are below 4?", "answer": [2, 3]}
    assert [one["text"] for one in read_row(row, fields, "made").solutions] == ["2, 3"]
    aliases = replace(fields, answers="any")
    row = {"question": "Who?", "answer": ["Jane Austen", "Austen"]}
    assert len(read_row(row, aliases, "made").solutions) == 2
    with pytest.raises(BadRow, match=r"set fields\.answers=all"):
        read_row(row, fields, "made")


@pytest.mark.parametrize(
    ("value", "answers", "gold"),
    [
        (["Austen", "Jane Austen"], "any", "Austen|Jane Austen"),
        (["Austen", "Jane Austen"], "all", "Austen, Jane Austen"),
        ({"integer": 42, "square_of": 84}, "all", "42, 84"),
        ('["72"]', None, "72"),
        (["72", "72"], None, "72"),
        ("Half of 48 is 24.\n#### 72", None, "72"),
        ("We add the two numbers, as was shown in the lesson, and so find \\boxed{72} in all.", None, "72"),
    ],
)
def test_a_gold_answer_of_another_kind_is_read_as_it_is_meant(value: Any, answers: str, gold: str) -> None:
    assert gold_text(value, answers) == gold


@pytest.mark.parametrize(
    ("value", "answers", "reason"),
    [
        (["Austen", "Jane Austen"], None, "set fields.answers=all if all parts are required, any if one is"),
        ({"value": "Paris", "aliases": ["Paname"]}, None, "name the part that is meant"),
        ({"value": "Paris", "aliases": ["Paname"]}, "any", "an object with value, aliases; name its list"),
        (["a|b", "c"], "any", r"a\|b' has a \|, which stands between the answers"),
    ],
)
def test_a_gold_answer_that_may_mean_two_things_is_refused(value: Any, answers: str, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        gold_text(value, answers)


def options(listed: Any, answer: Any, first: Any = 0) -> str | None:
    fields = FieldsConfig(problem="q", answer="a", options="o", first_option=first)
    gold = read_row({"q": "Which?", "o": listed, "a": answer}, fields, "file").problem["gold"]
    assert gold is None or isinstance(gold, str)
    return gold


@pytest.mark.parametrize(
    ("listed", "answer", "first", "letter"),
    [
        (["0", "4", "2", "6"], 1, 0, "B"),
        (["0", "4", "2", "6"], 4, None, "B"),
        ([2, 4, 6], "4", None, "B"),
        (COLORS, 1, 1, "A"),
        (COLORS, "(b)", 0, "B"),
        ([{"key": "A", "value": "red"}, {"key": "B", "value": "blue"}], "B", 0, "B"),
        ({"A": "red", "B": "blue", "C": None}, "blue", 0, "B"),
    ],
)
def test_the_right_option(listed: Any, answer: Any, first: Any, letter: str) -> None:
    assert options(listed, answer, first) == letter


@pytest.mark.parametrize(
    ("listed", "answer", "error", "reason"),
    [
        (COLORS, 4, UserError, "answer 4 of 4 options: they are numbered from 1; set fields.first_option=1"),
        (["1", "2", "3"], "2", BadRow, "2 may be a position or an option's text"),
        (["B", "A", "C"], "B", BadRow, "the letter of one option and the text of another"),
        (COLORS, "purple", BadRow, "purple is none of the options"),
        (["red", "red"], "A", BadRow, "two are the same"),
        ("red, green", "A", BadRow, "neither a list nor a mapping but a str"),
        (COLORS, ["A", "B"], BadRow, "only one option can be right"),
        (COLORS, None, BadRow, "no gold answer"),
    ],
)
def test_an_option_that_can_t_be_told_is_refused(
    listed: Any, answer: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        options(listed, answer)


def test_the_right_option_of_distractors_does_not_always_stand_first() -> None:
    rows = [
        {"question": f"Which? {n}", "correct_answer": "blue", "distractor1": "red", "distractor2": "green"}
        for n in range(30)
    ]
    name, reading = recognise(rows)
    golds = [read_row(row, reading.fields, "file").problem["gold"] for row in rows]
    assert name == "options"
    assert set(golds) == {"A", "B", "C"}


def test_options_that_are_numbered_from_1_are_recognised() -> None:
    rows = [{"question": f"{n}?", "options": COLORS, "label": n % 4 + 1} for n in range(8)]
    _, reading = recognise(rows)
    assert [read_row(row, reading.fields, "file").problem["gold"] for row in rows[:4]] == [*"ABCD"]


def golds(rows: list[dict[str, Any]]) -> list[str | None]:
    _, reading = recognise(rows)
    return [read_row(row, reading.fields, "file").problem["gold"] for row in rows]


def test_whether_a_model_was_right_is_not_the_right_option(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"{n}?",
            "choices": COLORS,
            "answer": "CDA"[n],
            "prediction": "C",
            "correct": int(n == 0),
        }
        for n in range(3)
    ]
    assert golds(rows) == [*"CDA"]
    found = inspect(ProblemsConfig(source="file", path=written(tmp_path, rows)), 0)
    assert found.unread == ["prediction", "correct"]
    with pytest.raises(UserError, match=r"label \(0\) seems to name an option in choices, but of most rows"):
        recognise([{"question": f"{n}?", "choices": COLORS, "label": n % 2} for n in range(4)])


def test_columns_that_say_different_options_are_right_are_refused() -> None:
    rows = [{"question": f"{n}?", "choices": COLORS, "answer": n, "target": "blue"} for n in range(4)]
    with pytest.raises(UserError, match=r"answer and target say that different options are right"):
        recognise(rows)


@pytest.mark.parametrize(
    ("listed", "answers"),
    [(COLORS, [1, 2, 3, 1]), (COLORS, ["1", "2", "3", "3"]), ([2, 4, 1, 3], [2, 1, 3, 3])],
)
def test_positions_that_may_begin_at_0_or_1_are_refused(listed: list[Any], answers: list[Any]) -> None:
    rows = [{"question": f"{n}?", "options": listed, "answer": answer} for n, answer in enumerate(answers)]
    with pytest.raises(UserError, match=r"answer: its numbers may be positions of options from 0, from 1"):
        recognise(rows)


def test_a_second_column_tells_where_positions_begin() -> None:
    rows = [{"question": f"{n}?", "options": COLORS, "answer_index": 1, "answer": "B"} for n in range(3)]
    assert golds(rows) == [*"BBB"]


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"answers": COLORS}, [0, 1, 2, 3]),
        ({f"answer{n}": color for n, color in enumerate(COLORS)}, [0, 1, 2, 3]),
        ({f"answer{letter}": color for letter, color in zip("ABCD", COLORS, strict=True)}, [*"1234"]),
        ({f"ending{n}": color for n, color in enumerate(COLORS)}, [0, 1, 2, 3]),
    ],
)
def test_options_beside_a_label_are_listed(options: dict[str, Any], labels: list[Any]) -> None:
    rows = [{"context": "Text.", "question": f"{n}?", **options, "label": labels[n]} for n in range(4)]
    _, reading = recognise(rows)
    for color, row in zip(COLORS, rows, strict=True):
        choice = read_row(row, reading.fields, "file").choice
        assert choice
        assert choice.options[choice.right] == color


def test_ways_to_write_an_answer_are_no_options() -> None:
    rows = [{"question": f"{n}?", "answers": ["2", "two"], "answer": "2"} for n in range(3)]
    assert recognise(rows)[0] == "columns"
    assert golds(rows) == ["2", "2", "2"]


@pytest.mark.parametrize("labels", [[0, 1], [True, False], ["0", "1"], [-1, 1], [0.2, 0.9], ["good", "bad"]])
@pytest.mark.parametrize("names", [("question", "response"), ("instruction", "output"), ("text", "solution")])
def test_a_label_that_may_judge_a_solution_is_no_gold_answer(
    labels: list[Any], names: tuple[str, str]
) -> None:
    rows = [dict(zip(names, ("2+2?", "So \\boxed{4}"), strict=True), label=label) for label in labels]
    with pytest.raises(UserError, match=r"label may say whether a solution is right, or be the answer: set"):
        recognise(rows)


@pytest.mark.parametrize(
    ("column", "flags"), [("label", [False, True]), ("correct", [0, 1]), ("is_correct", ["False", "True"])]
)
def test_solutions_that_are_marked_wrong_state_no_gold_answer(column: str, flags: list[Any]) -> None:
    rows = [
        {"prompt": f"{n}+1?", "completion": f"So \\boxed{{{n if flag else 7}}}", column: flag}
        for n, flag in enumerate(flags, 1)
    ]
    _, reading = recognise(rows)
    assert reading.notes[0].startswith(f"{column} says which solutions are right")
    assert golds(rows) == [None, "2"]


def test_the_first_solution_that_is_right_states_the_gold_answer() -> None:
    fields = FieldsConfig(problem="q", answer=None, solution="s", correct="c")
    row = {"q": "2+2?", "s": ["\\boxed{5}", "\\boxed{4}"], "c": [False, True]}
    assert read_row(row, fields, "file").problem["gold"] == "4"


def test_a_long_answer_is_no_gold_answer() -> None:
    rows = [
        {"question": f"{n}?", "answer": f"We add {n} and one, and find that " + "so " * 9} for n in range(3)
    ]
    assert golds(rows) == [None] * 3


def test_segments_of_another_kind_are_not_axolotl_s() -> None:
    assert golds([{"segments": [1], "question": "2+2?", "answer": "4"}]) == ["4"]


def test_what_is_lost_of_a_pool_is_told(tmp_path: Path) -> None:
    row = {
        "problem": "2+2?",
        "generated_solution": "So \\boxed{4}",
        "expected_answer": "4",
        "problem_source": "x",
    }
    data = compose(["data=auto", f"data.path={written(tmp_path, [row])}"]).data
    assert recognise([row])[1].fields.solution == "generated_solution"
    assert reading_notes(data) == ["columns that are not read: problem_source"]
    row = {"question": "2+2?", "answer": "4", "steps": "So 4."}
    data = compose(["data=auto", f"data.path={written(tmp_path, [row])}"]).data
    assert reading_notes(data) == [
        "no worked solutions: the texts in answer are trained on as they are",
        "columns that are not read: steps",
    ]


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_an_index_without_its_options_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [{"question": "Which?", "choices": COLORS, "answer": 2}])
    fields = FieldsConfig(problem="question", answer="answer")
    config = BenchmarkSetConfig(source="file", path=path, fields=fields)
    with pytest.raises(UserError, match=r"own.fields.answer=answer: 2 seems to name an option in choices.*"):
        load_benchmark(Store(tmp_path / "store"), "own", config)


def test_a_benchmark_s_options_are_known_to_the_verifier(tmp_path: Path) -> None:
    path = written(tmp_path, [{"question": "Which?", "choices": COLORS, "answer": 2}])
    fields = FieldsConfig(problem="question", answer="answer", options="choices", first_option=0)
    config = BenchmarkSetConfig(source="file", path=path, fields=fields)
    made = load_benchmark(Store(tmp_path / "store"), "own", config)
    assert json.loads((made.path / "options.json").read_text())["0"]["options"]["C"] == "blue"
    assert pl.read_parquet(made.path / "problems.parquet")["gold"].to_list() == ["C"]


def test_the_verifier_does_not_take_one_of_several_answers() -> None:
    fields = FieldsConfig(problem="q", answer="a", answers="any")
    sampling = {"samples": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 8}
    with pytest.raises(UserError, match=r"fields.answers=any: the verifier takes one gold answer"):
        BenchmarkConfig(source="file", path="x", fields=fields, **sampling)
    with pytest.raises(UserError, match=r"fields=auto: its grader depends on them"):
        BenchmarkConfig(source="file", path="x", fields="auto", **sampling)


def test_solutions_are_not_graded_where_any_of_several_answers_is_right(tmp_path: Path) -> None:
    path = written(tmp_path, [{"question": "Who?", "answers": {"text": ["Jane Austen", "Austen"]}}])
    store = Store(tmp_path / "store")
    pool = load_pool(store, compose(["data=auto", f"data.path={path}"]).data)
    with pytest.raises(UserError, match=r"1 problem of the pool with several gold answers of which any"):
        grades(store, pool)


def test_auto_reads_what_the_pasted_yaml_reads(tmp_path: Path) -> None:
    path = written(tmp_path, [row for name, row, _ in EXAMPLES if name == "gsm8k"])
    auto = compose(["data=auto", f"data.path={path}"]).data
    assert auto.fields == "auto"
    fields = "data.fields={problem: question, answer: null, solution: answer}"
    names = ["data.name=auto", f"data.path={path}", "data.without_gold=keep"]
    pasted = compose(["data=jsonl", *names, fields]).data
    store = Store(tmp_path / "store")
    assert load_pool(store, auto).key == load_pool(store, pasted).key


def test_inspect_prints_the_rows_what_is_lost_and_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"instruction": f"Add {n}.", "input": "", "output": "1", "system": "Be brief.", "note": "x"}
        for n in range(7)
    ]
    path = written(tmp_path, [*rows, {"instruction": "", "input": "", "output": "1"}])
    assert main(["data", "inspect", path, "--rows", "2"]) == 0
    printed = capsys.readouterr().out
    assert "8 rows looked at, 7 can be used" in printed
    assert "problem   Add 1." in printed
    assert "Add 2." not in printed
    assert "1 row: problem: no text" in printed
    assert "7 rows without a gold answer: can't be graded" in printed
    assert "columns that are not read: note" in printed
    assert "7 rows used without the system turn, which fields.system_turns=keep keeps" in printed
    assert "As a benchmark: no, as nothing could be graded without gold answers." in printed
    yaml = printed.split("data.path=")[1].split("As a benchmark")[0].partition("\n\n")[2]
    folder = tmp_path / "conf" / "data"
    folder.mkdir(parents=True)
    (folder / "pasted.yaml").write_text("\n".join(line[2:] for line in yaml.splitlines()))
    monkeypatch.chdir(tmp_path)
    data = compose(["data=pasted"]).data
    assert (data.path, data.without_gold) == (path, "keep")
    assert data.fields == FieldsConfig(problem="{instruction}\\n{input}", answer=None, solution="output")
    assert main(["data", "inspect", str(tmp_path / "none.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_inspect_reads_the_columns_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Query;Final total\nWhat is 2+2?;4\nWhat is 3+3?;\n")
    command = ["data", "inspect", str(path)]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "`limo-ablate data inspect FILE data.fields.problem=COLUMN ...` tries it" in said
    named = [*command, "data.fields.problem=Query", "data.fields.answer=Final total"]
    assert main(named) == 0
    printed = capsys.readouterr().out
    assert "problem   What is 2+2?\ngold      4" in printed
    assert "1 row: answer: no gold answer" in printed
    assert 'fields: {problem: "Query", answer: "Final total", solution: null}' in printed
    assert main([*command, "data.fields.problem=Qery"]) == 2
    assert "did you mean Query?" in capsys.readouterr().err
    assert main([*command, "problem=Query"]) == 2
    assert "`data.fields.NAME=COLUMN` is expected" in capsys.readouterr().err


def test_files_of_others_are_recognised(shared: Path) -> None:
    folder = shared / "round2"
    if not folder.is_dir():
        pytest.skip("the second round's inputs are not in ../shared/data")
    expected = {
        "real/medqa_test.jsonl": ("options", 15),
        "real/simplerl_mmlu_stem_test.jsonl": ("options", 15),
        "real/simplerl_aqua_test.jsonl": ("options", 15),
        "real/simplerl_svamp_test.jsonl": ("columns", 15),
        "real/ori_pqal.json": ("columns", 12),
        "real/text2sql_train.jsonl": ("columns", 15),
        "real/lf_v1_sft_demo.jsonl": ("conversation", 15),
        "skywork_like.jsonl": ("verl", 60),
        "squad_like.jsonl": ("squad", 5),
        "lightr1_math.parquet": ("verl", 500),
        "excel_semicolon.csv": ("columns", 40),
        "zh_cols.jsonl": ("columns", 1),
    }
    for name, (schema, usable) in expected.items():
        found = inspect(ProblemsConfig(source="file", path=str(folder / name)), 0)
        assert (name, found.name, found.rows - found.rejected.total()) == (name, schema, usable)


def test_a_source_without_auto_is_as_it_was() -> None:
    config = ProblemsConfig(source="file", path="x", fields=FieldsConfig(problem="p", answer="a"))
    assert recognised(config, "data") is config


def exam(answers: list[Any]) -> list[dict[str, Any]]:
    return [{"question": f"Which? {n}", "choices": COLORS, "answer": a} for n, a in enumerate(answers)]


FROM_0 = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("answers", "first", "reason"),
    [
        ([*FROM_0, 4], 0, "answer: 4 is the position of none of the 4 options"),
        ([*FROM_0, 7], 0, "answer: 7 is the position of none of the 4 options"),
        ([-1, -1, -1, *FROM_0[:2]], 0, "answer: -1 is the position of no option; it may stand for a hidden"),
        ([*(n + 1 for n in FROM_0), 0], 1, "answer: 0 is the position of none of the 4 options"),
        ([*FROM_0[:4], None, None, 4.5], 0, "answer: no gold answer"),
    ],
)
def test_single_answers_that_fit_no_option_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: list[Any], first: int, reason: str
) -> None:
    path = written(tmp_path, exam(answers))
    name, reading = recognise(exam(answers))
    assert (name, reading.fields.first_option) == ("options", first)
    assert main(["data", "inspect", path]) == 0
    assert reason in capsys.readouterr().out
    pool = load_pool(Store(tmp_path / "store"), compose(["data=auto", f"data.path={path}"]).data)
    read = pl.read_parquet(pool.path / "problems.parquet")["text", "gold"].rows()
    letters = {text.splitlines()[0]: gold for text, gold in read}
    right = {f"Which? {n}": "ABCD"[a - first] for n, a in enumerate(answers) if a in range(first, first + 4)}
    assert letters == right
    rejected = pl.read_parquet(pool.path / "rejected.parquet")["reason"].to_list()
    assert len(rejected) == len(answers) - len(right)
    assert any(found.startswith(reason) for found in rejected)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([0, 1, 2, 3, 4], "numbered from 0 and others that fit options numbered from 1; correct the rows"),
        ([*[0] * 70, *[1, 2, 3, 4] * 7], "numbered from 0 and others that fit"),  # 0 stands for a hidden one
        ([-1] * 6, r"answer \(-1\) seems to name an option in choices, .*data.fields.solution=null"),
        ([7, 8, 9], r"answer \(7\) seems to name an option in choices, .*data.fields.solution=null"),
    ],
)
def test_options_are_never_numbered_by_guessing(answers: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recognise(exam(answers))


def test_a_numbering_that_the_first_rows_do_not_settle_stops_the_pool(tmp_path: Path) -> None:
    fields = "data.fields={problem: question, answer: answer, solution: null, options: choices}"
    path = written(tmp_path, exam([1, 2, 3, 4, 1]))
    from_0 = ["data=jsonl", f"data.path={path}", f"{fields[:-1]}, first_option: 0}}"]
    with pytest.raises(UserError, match=r"answer 4 of 4 options: .* set fields.first_option=1"):
        load_pool(Store(tmp_path / "store"), compose(from_0).data)
    pool = load_pool(Store(tmp_path / "store"), compose(["data=jsonl", f"data.path={path}", fields]).data)
    assert pl.read_parquet(pool.path / "problems.parquet")["gold"].to_list() == [*"ABCDA"]
    path = written(tmp_path, exam([1, 2, 3, 2]))
    with pytest.raises(UserError, match=r"may be positions .* none of the first 4 rows says which"):
        load_pool(Store(tmp_path / "store"), compose(["data=jsonl", f"data.path={path}", fields]).data)
    path = written(tmp_path, exam([*FROM_0, 4]))
    pool = load_pool(Store(tmp_path / "store"), compose(["data=jsonl", f"data.path={path}", fields]).data)
    assert pl.read_parquet(pool.path / "rejected.parquet").height == 1


def test_options_that_are_negative_numbers_are_not_hidden_answers() -> None:
    rows = [{"question": f"{n}?", "choices": ["-1", "-2", "5"], "answer": "-2"} for n in range(4)]
    name, reading = recognise(rows)
    assert name == "options"
    assert read_row(rows[0], reading.fields, "file").problem["gold"] == "B"


def test_a_benchmark_s_single_answer_that_fits_no_option_is_rejected(tmp_path: Path) -> None:
    path = written(tmp_path, exam([*FROM_0, 4]))
    keys = ["problem=question", "answer=answer", "options=choices"]
    own = [f"eval.benchmarks.own.fields.{key}" for key in keys]
    config = compose(["eval=jsonl", f"eval.benchmarks.own.path={path}", *own]).eval.benchmarks["own"]
    made = load_benchmark(Store(tmp_path / "store"), "own", config)
    assert pl.read_parquet(made.path / "rejected.parquet").height == 1
    assert pl.read_parquet(made.path / "problems.parquet")["gold"].to_list() == [*"ABCDABCDAB"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["data=auto"], "no path given: set data.path to a file"),
        (["data=jsonl"], "no path given: set data.path to a file"),
        (["data=auto", "PATH", "data.fields.options=choices"], "`limo-ablate data inspect FILE` prints"),
        (["data=jsonl", "PATH", "data.fields.problem=question"], "have none: data.fields.solution=null"),
        (
            ["data=auto", "PATH", "select.quality=L5", "select.size=null"],
            "only questions: set data.fields.solution and select.solutions=1, or set select.quality=any",
        ),
    ],
)
def test_a_mistake_leads_to_what_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    path = f"data.path={written(tmp_path, exam(FROM_0))}"
    given = [path if part == "PATH" else part for part in argv]
    assert main(["select", *given, f"paths.artifacts={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


def test_select_says_that_nothing_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"data.path={written(tmp_path, exam(FROM_0))}"
    own = [
        "select.size=null",
        "select.quality=any",
        "select/contamination=none",
        f"paths.artifacts={tmp_path}",
    ]
    assert main(["select", "data=auto", path, *own, "--out", str(tmp_path / "out")]) == 0
    assert "No row has a solution: nothing can be trained on" in capsys.readouterr().out
