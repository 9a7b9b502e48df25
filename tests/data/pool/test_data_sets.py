"""A few rows in each data set's own columns, read by its own configuration."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.project import package_folder
from limo_ablate.data.pool.load import load_pool
from limo_ablate.trial.compose import compose

Rows = list[dict[str, Any]]

LIMO = [{"question": "q", "solution": "s", "answer": "7"}]
S1K = [
    {
        "question": "q", "solution": "7", "cot_type": "math", "source_type": "aime", "metadata": "{}",
        "deepseek_thinking_trajectory": "hmm", "deepseek_attempt": r"\boxed{7}", "deepseek_grade": "Yes",
        "gemini_thinking_trajectory": "well", "gemini_attempt": "8", "gemini_grade": "No",
    },
]  # fmt: skip
OPENR1 = [
    {
        "problem": "q", "solution": "ref", "answer": "7", "problem_type": "Algebra",
        "question_type": "MCQ", "source": "olympiads", "uuid": "u-1", "generations": ["a", "b", "c"],
        "is_reasoning_complete": [True, False, True], "correctness_math_verify": [True, False, True],
    },
    {
        "problem": "p", "solution": "ref", "answer": "notfound", "problem_type": "Algebra",
        "question_type": "MCQ", "source": "olympiads", "uuid": "u-2", "is_reasoning_complete": [True],
        "generations": ["a"], "correctness_math_verify": [False],
    },
]  # fmt: skip
NUMINA = [
    {"source": "aops", "problem": text, "solution": said, "messages": [{"role": "user", "content": text}]}
    for text, said in (("q", r"so \boxed{7}"), ("prove", "QED"))
]  # fmt: skip
NUMINA_1_5 = [
    {
        "problem": text, "solution": "s", "answer": answer, "problem_type": "Algebra",
        "question_type": "other", "source": "aops", "problem_is_valid": valid,
        "solution_is_valid": "Yes", "synthetic": False,
    }
    for text, answer, valid in (("q", "7", "Yes"), ("bad", "7", "No"), ("prove", "proof", "Yes"))
]  # fmt: skip
OPENTHOUGHTS = [
    {
        "difficulty": level, "source": "omath", "domain": domain,
        "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": said}],
    }
    for text, said, domain, level in (
        ("q", r"<think>or \boxed{9}</think> \boxed{7}", "math", 8), ("q", r"\boxed{9}", "math", 8),
        ("sort", "def f", "code", 6), ("p", "no idea", "math", None),
    )
]  # fmt: skip
ALPACA = [
    {"instruction": "Add.", "input": "3+4", "output": r"\boxed{7}", "system": "Be brief."},
    {"instruction": "Sing.", "input": "", "output": "La.", "system": ""},
]
GSM8K = [{"question": "q", "answer": "3+4=<<3+4=7>>7\n#### 7"}]
OWN = [{"problem": "q", "answer": 7, "solution": ["a", "b"]}]
MATH = [{"problem": "q", "answer": "7", "difficulty": 5.0, "type": "Algebra"}]
AIME = [{"problem": "q", "solution": "s", "answer": "7", "year": 1983, "difficulty": 4.0}]

SETS: dict[str, tuple[Rows, str, dict[str, Any]]] = {
    "limo": (LIMO, "hub", {"solutions": [("s", None)]}),
    "limo_v2": (LIMO, "hub", {"solutions": [("s", None)]}),
    "s1k_1_1": (
        S1K,
        "hub",
        {
            "solutions": [("hmm\n\n\\boxed{7}", "r1"), ("well\n\n8", "gemini")],
            "source": "aime",
            "subject": "math",
        },
    ),
    "openr1_math_220k": (
        OPENR1,
        "hub",
        {
            "solutions": [("a", "r1"), ("c", "r1")],
            "id": "u-1",
            "source": "olympiads",
            "subject": "Algebra",
            "pass_rate": round(2 / 3, 12),
            "rejected": ["solution 1: not complete", "answer: no gold answer"],
        },
    ),
    "numinamath_cot": (
        NUMINA,
        "hub",
        {
            "solutions": [(r"so \boxed{7}", None)],
            "source": "aops",
            "rejected": [
                "solution: states no gold answer (no whole \\boxed{}, no #### in its last line)",
            ],
        },
    ),
    "numinamath_1_5": (
        NUMINA_1_5,
        "hub",
        {
            "solutions": [("s", None)],
            "source": "aops",
            "subject": "Algebra",
            "left_out": 1,
            "rejected": ["answer: no gold answer"],
        },
    ),
    "openthoughts3": (
        OPENTHOUGHTS,
        "hub",
        {
            "solutions": [(r"<think>or \boxed{9}</think> \boxed{7}", "qwq_32b"), (r"\boxed{9}", "qwq_32b")],
            "level": 8.0,
            "source": "omath",
            "left_out": 1,
            "rejected": 1,
        },
    ),
    "alpaca": (
        ALPACA,
        "file",
        {"text": "Add.\n3+4", "solutions": [(r"\boxed{7}", None)], "rejected": 1},
    ),
    "gsm8k": (GSM8K, "hub", {"solutions": [(GSM8K[0]["answer"], None)]}),
    "jsonl": (OWN, "file", {"solutions": [("a", None), ("b", None)]}),
    "math_train": (MATH, "file", {"solutions": [], "level": 5.0, "subject": "Algebra"}),
    "aime_past": (AIME, "file", {"solutions": [("s", None)], "level": 4.0}),
}
ELSEWHERE = {"counting", "miniature", "aime_math", "auto"}
"""Tested in test_load.py, test_real.py, test_schemas.py and test_counting.py."""


def test_every_data_set_has_a_test() -> None:
    assert {path.stem for path in (package_folder("conf") / "data").glob("*.yaml")} == {*SETS, *ELSEWHERE}


@pytest.mark.parametrize("name", SETS)
def test_a_data_set_in_its_own_columns(tmp_path: Path, name: str) -> None:
    rows, source, expected = SETS[name]
    if source == "hub":
        path = tmp_path / name
        path.mkdir()
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path / "train-00000-of-00001.parquet")
    else:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(rows))
    config = compose([f"data={name}", f"data.path={path}", *subset(name)])
    assert config.select.contamination.policy == "report"
    pool = load_pool(Store(tmp_path / "store"), config.data).path
    problems = pl.read_parquet(pool / "problems.parquet")
    solutions = pl.read_parquet(pool / "solutions.parquet")
    reasons = pl.read_parquet(pool / "rejected.parquet")["reason"].to_list()
    wanted = {"text": "q", "gold": "7", "source": name, "level": None, "subject": None, "pass_rate": None}
    for column in (*wanted, "id"):
        if column in wanted or column in expected:
            assert problems[column].to_list() == [expected.get(column, wanted.get(column))], column
    assert solutions.select("text", "teacher").rows() == expected["solutions"]
    rejected = expected.get("rejected", [])
    assert (len(reasons) if isinstance(rejected, int) else reasons) == rejected
    assert json.loads((pool / "pool.json").read_text())["left_out"] == expected.get("left_out", 0)


def subset(name: str) -> list[str]:
    """A bare folder of parquet files has no named configuration but `default`."""
    if name == "alpaca":  # which keeps rows without a gold answer
        return ["data.without_gold=reject"]
    return ["data.subset=null"] if name == "gsm8k" else []
