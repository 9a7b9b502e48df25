"""docs/own_data.md exactly as written: its commands and its file, on a small company's JSONL made here."""

import json
import random
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.sandbox import check_sandbox
from limo_ablate.data.pool.schemas import SCHEMAS
from limo_ablate.trial.compose import compose
from tests.conftest import ROOT
from tests.forked import limo_ablate

DOC = (ROOT / "docs" / "own_data.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL) for line in block.splitlines()]
LABELS = [command for command in COMMANDS if "intents" in command]
CODE = [command for command in COMMANDS if "tasks" in command]
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOC, re.DOTALL))
PROJECT = {name: FILES.pop(name) for name in list(FILES) if "/" in name}


def ticket(number: int, rng: random.Random) -> dict[str, object]:
    """Numeric, text and choice answers in turn; two solutions, of which the second is at times wrong."""
    boxes, price = rng.randint(2, 40), rng.randint(2, 90)
    if number % 3 == 0:
        prompt, gold = f"Order {number}: {boxes} boxes at {price} EUR. What is the total?", boxes * price
        final = str(gold)
    elif number % 3 == 1:
        late = rng.random() < 0.5
        prompt, gold = f"Ticket {number}: {boxes} days {'late' if late else 'early'}. Refund or none?", ""
        gold = final = "refund" if late else "none"
    else:
        prompt = f"Case {number}: is {boxes} dozen more than {price}? A) yes B) no"
        gold = final = "A" if 12 * boxes > price else "B"
    long = f"We check {boxes} and {price} one by one, since both matter. Therefore the answer is {final}."
    short = f"The answer is {final if number % 5 else 'unknown'}."
    return {
        "ticket": number, "prompt": prompt, "expected": gold, "worked": [long, short],
        "writer": "ana" if number % 2 else "ben", "hardness": number % 5 + 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tickets.jsonl: 120 tickets, a broken line, one without an answer; exam.jsonl knows two of them."""
    folder, rng = tmp_path_factory.mktemp("company"), random.Random(0)
    tickets = [ticket(number, rng) for number in range(120)]
    lines = [json.dumps(row) for row in tickets] + ["{broken", json.dumps({**tickets[0], "expected": None})]
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    asked = [*tickets[:2], *(ticket(number, rng) for number in range(200, 210))]
    exam = [{"question": row["prompt"], "key": row["expected"], "topic": "orders"} for row in asked]
    (folder / "exam.jsonl").write_text("\n".join(map(json.dumps, exam)) + "\n")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_the_table_of_schemas_as_it_is() -> None:
    table = DOC.split("<!-- schemas -->\n")[1].split("\n<!-- end -->")[0]
    assert table == SCHEMAS.table("schema")


def test_the_project_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(PROJECT) == ["conf/data/tickets.yaml", "conf/config.yaml"]
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    config = compose([])
    assert (config.data.name, config.data.path, config.select.quality) == ("tickets", "tickets.jsonl", "any")
    assert config.data.fields
    assert config.data.fields.teacher == "writer"
    assert compose(["data=miniature"]).data.name == "miniature"


def run(command: str, folder: Path) -> str:
    """What a command of the page prints."""
    verb, *arguments = shlex.split(command)
    assert verb == "limo-ablate"
    done = limo_ablate(*arguments, cwd=folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_labels_as_written(folder: Path) -> None:
    intents = ("card_arrival", "refund", "lost_card")
    messages = [
        {"text": f"Message {n}: what about my {intents[n % 3].replace('_', ' ')}?", "label": intents[n % 3]}
        for n in range(40)
    ]
    for name, rows in (("intents", messages[:30]), ("intents_exam", messages[30:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    inspected, _ = (run(command, folder) for command in LABELS)
    assert "30 rows looked at, 30 can be used" in inspected
    assert "the texts in label are trained on as they are" in inspected
    study = folder / "outputs/studies/intents_dry"
    verdicts = pl.read_parquet(next(study.glob("trials/*/verdicts.parquet")))
    assert set(verdicts["gold"]) == set(intents)
    assert set(verdicts["rule"]) <= {"exact", "unfinished", "no_answer"}
    assert (study / "report/index.html").is_file()


def test_code_as_written(folder: Path) -> None:
    """Solutions that fail their tests are not trained on; what a model writes is run."""
    try:
        check_sandbox("own")
    except UserError as error:
        pytest.skip(str(error))
    tasks = [
        {
            "task": f"Write a function add_{n}(x) that returns x + {n}.",
            "tests": f"assert add_{n}(1) == {n + 1}",
            "worked": f"```python\ndef add_{n}(x):\n    return x + {n if n % 10 else 7}\n```",
        }
        for n in range(100, 125)
    ]  # fmt: skip
    for name, rows in (("tasks", tasks[:20]), ("tasks_exam", tasks[20:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (command,) = CODE
    run(command, folder)
    study = folder / "outputs/studies/tasks_dry"
    verdicts = pl.read_parquet(next(study.glob("trials/*/verdicts.parquet")))
    assert set(verdicts["rule"]) <= {"code", "unfinished", "no_answer"}
    graded = pl.read_parquet(next((folder / "outputs/artifacts").glob("grades/*/grades.parquet")))
    assert graded["status"].to_list() == (["incorrect"] + ["correct"] * 9) * 2
    assert (study / "report/index.html").is_file()


def test_the_page_as_written(folder: Path) -> None:
    commands = [command for command in COMMANDS if command not in (*LABELS, *CODE)]
    assert len(commands) == 4
    assert list(FILES) == ["tickets.yaml", "intents.yaml", "tasks.yaml"]
    printed = [run(command, folder) for command in commands]
    rejected = pl.read_parquet(folder / "seen/rejected.parquet")
    assert rejected["where"].to_list() == ["tickets.jsonl:121", "tickets.jsonl:122"]
    flags = pl.read_parquet(folder / "seen/flags.parquet").filter(pl.col("method") == "exact")
    assert sorted(flags["problem"]) == ["0", "1"]
    assert "exact" in printed[0]
    wrong = [json.loads(line) for line in (folder / "wrong/rows.jsonl").read_text().splitlines()]
    assert sorted(int(row["id"]) for row in wrong) == list(range(0, 120, 5))
    trials = sorted((folder / "outputs/studies/tickets_dry/trials").glob("*/metrics.json"))
    assert len(trials) == 12
    metrics = json.loads(trials[0].read_text())
    assert metrics["train"]["rows"] in (8, 32)
    assert metrics["scores"]["own"]["problems"] == 12
    assert (folder / "outputs/studies/tickets_dry/report/index.html").is_file()
