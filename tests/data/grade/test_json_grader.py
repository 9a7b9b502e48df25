"""grader=json: equal data, shares of fields, schemas; bounded in time, nothing fetched."""

import json
import time
from typing import Any

import pytest

from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions
from limo_ablate.data.grade.json_grader import json_data

DOUBLED: dict[str, Any] = {str(n): {"allOf": 2 * [{"$ref": f"#/$defs/{n + 1}"}]} for n in range(40)} | {
    "40": {}
}
"""Takes 2 ** 40 steps."""
GOLD = '{"total": 3, "buyer": {"name": "Ana"}, "items": ["a", "b"]}'


def grade(completion: str, gold: str = GOLD, **options: Any) -> Grade:
    grading = GraderOptions(**options)
    (found,) = json_data([Answered(problem="p", completion=completion, gold=gold, grading=grading)])
    return found


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ('{"items": ["a", "b"], "buyer": {"name": "Ana"}, "total": 3.0}', "correct"),
        (f"Here it is:\n```json\n{GOLD}\n```\nDone.", "correct"),
        (f'I first thought {{"total": 4}}, but it is {GOLD}. So [that].', "correct"),
        ('{"total": 3, "buyer": {"name": "Ana"}, "items": ["b", "a"]}', "incorrect"),
        ('{"total": true, "buyer": {"name": "Ana"}, "items": ["a", "b"]}', "incorrect"),
        ('{"total": NaN}', "incorrect"),
        ("[" * 100_000, "incorrect"),
        ("no data", "incorrect"),
    ],
)
def test_equal_as_data(completion: str, status: str) -> None:
    assert grade(completion).status == status


def test_a_share_of_fields_is_a_score() -> None:
    fields = ("total", "buyer.name", "items")
    half = grade('{"total": 3, "buyer": {"name": "Ben"}}', fields=fields)
    assert (half.status, half.score) == ("incorrect", pytest.approx(1 / 3))
    assert half.reason == "other values: buyer.name, items"
    assert grade(GOLD, fields=fields).score == 1
    assert grade(GOLD, fields=("price",)).status == "undecided"


def test_a_gold_answer_that_is_no_json_is_undecided() -> None:
    assert grade("{}", "three").status == "undecided"
    (cut,) = json_data([Answered(problem="p", completion="{", gold="three", finished=False)])
    assert (cut.status, cut.answer) == ("undecided", None), "what broke off is not wrong either"


def test_schemas() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"total": {"type": "integer", "minimum": 1}}}
    assert grade(GOLD, json_schema=schema).status == "correct"
    schema["properties"]["total"]["minimum"] = 4
    found = grade(GOLD, json_schema=schema)
    assert (found.status, found.rule) == ("incorrect", "schema")
    assert "$.total: 3 is less than the minimum of 4" in (found.reason or "")
    named = {"patternProperties": {"^t": {"type": "integer"}}, "properties": {"buyer": {"pattern": "x"}}}
    assert grade(GOLD, json_schema=named).status == "correct"
    named["patternProperties"]["^t"]["type"] = "string"
    assert (
        grade(GOLD, json_schema=named).reason == "does not fit the schema: $.total: 3 is not of type 'string'"
    )
    own = json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", "required": ["total"]})
    assert grade(GOLD, own).status == "correct"
    assert grade("{}", own).status == "incorrect"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://localhost:1/schema.json"},
        {"$ref": "#"},
        {"type": "nothing"},
        {"$ref": "#/$defs/0", "$defs": DOUBLED},
    ],
)
def test_schemas_that_can_t_be_checked_are_undecided(schema: dict[str, Any]) -> None:
    started = time.monotonic()
    assert grade(GOLD, json_schema=schema).status == "undecided"
    assert time.monotonic() - started < 10
