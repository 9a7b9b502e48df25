"""The SQL grader of docs/extending.md: right queries, wrong ones, and hostile ones."""

import importlib.util
import json
import time
from pathlib import Path
from types import ModuleType

import pytest

from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions
from tests.extending.build_page import PACKAGE

TABLES = "CREATE TABLE t (name TEXT, n INTEGER); INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 2);"
ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
GOLD = json.dumps({"tables": TABLES, "query": "SELECT name FROM t WHERE n = 2"})


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sql_grader", PACKAGE / "limo_ablate_example/sql_grader.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def grade(module: ModuleType, query: str, gold: str = GOLD) -> Grade:
    options = GraderOptions(answer="whole")
    (found,) = module.sql([Answered(problem="p", completion=query, gold=gold, grading=options)])
    return found


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("SELECT name FROM t WHERE n > 1 ORDER BY name DESC", "correct"),
        ("```sql\nSELECT t.name FROM t WHERE n = (SELECT max(n) FROM t)\n```", "correct"),
        ("SELECT name FROM t", "incorrect"),
        ("SELECT name FROM t WHERE n = 2 LIMIT 1", "incorrect"),
        ("SELEC name", "incorrect"),
        ("SELECT 1; SELECT name FROM t WHERE n = 2", "incorrect"),
        ("", "incorrect"),
    ],
)
def test_rows_are_compared(module: ModuleType, query: str, status: str) -> None:
    assert grade(module, query).status == status


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM t", "not authorized"),
        ("ATTACH 'FILE' AS x", "not authorized"),
        ("PRAGMA writable_schema = 1", "not authorized"),
        ("SELECT load_extension('FILE')", "not authorized"),
        (
            "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r",
            "interrupted",
        ),
        (
            "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r",
            "more than 10000",
        ),
        ("SELECT zeroblob(1000000000)", "too big"),
    ],
)
def test_it_can_only_read_and_not_for_long(module: ModuleType, tmp_path: Path, query: str, said: str) -> None:
    started = time.monotonic()
    found = grade(module, query.replace("FILE", str(tmp_path / "made")))
    assert found.status == "incorrect"
    assert said in (found.reason or "")
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 5


def test_a_gold_answer_writes_no_file(module: ModuleType, tmp_path: Path) -> None:
    gold = json.dumps({"tables": f"ATTACH '{tmp_path}/made' AS x; {TABLES}", "query": "SELECT 1"})
    assert grade(module, "SELECT 1", gold).status == "undecided"
    assert not list(tmp_path.iterdir())
    assert grade(module, "SELECT 1", "no JSON").status == "undecided"
