"""A field is a column, a path, or a text around such; a mistyped one is named with what there is."""

from dataclasses import replace
from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import FieldsConfig, ProblemsConfig, check_answers
from limo_ablate.data.pool.fields import check_fields, field_value
from limo_ablate.data.pool.options import unread_options
from limo_ablate.data.pool.schema import read_row
from limo_ablate.data.pool.values import BadRow

ROW: dict[str, Any] = {
    "instruction": "Add.",
    "input": "",
    "conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}],
    "a.b": "a column",
    "a": {"b": "a path", "c": None},
    "list": [1],
    "tests": ["assert f(1)", "assert f(2)"],
}


def source(fields: FieldsConfig) -> ProblemsConfig:
    return ProblemsConfig(source="file", path="p.jsonl", fields=fields)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("instruction", "Add."),
        ("conversations.0.value", "2+2?"),
        ("conversations.-1.value", "4"),
        ("conversations.7.value", None),
        ("conversations.x", None),
        ("a.b", "a column"),
        ("a.c.d", None),
        ("{instruction}\n{input}", "Add."),
        ("{input}\n{instruction}", "Add."),
        ("{conversations.0.value} {a.b}", "2+2? a column"),
        ("say {input}{missing}", None),
        ("{instruction}\\n{tests}", "Add.\nassert f(1)\nassert f(2)"),
        (None, None),
    ],
)
def test_field_values(field: str | None, found: str | None) -> None:
    assert field_value(ROW, field) == found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"problem": "instructions"}, "data.fields.problem=instructions: not a column of p.jsonl; did"),
        ({"problem": "conversations.0.valu"}, "column conversations.0 of p.jsonl has no valu; did you"),
        ({"problem": "conversations.value"}, "column conversations of p.jsonl is a list; entries of"),
        ({"problem": "instruction.x"}, "column instruction of p.jsonl is a str"),
        ({"problem": "{instruction}\n{inptu}"}, "fields.problem=inptu: not a column of p.jsonl; did you"),
        ({"problem": "input", "solution": {"r1": "a.b"}, "teacher": "input"}, "already names the teachers"),
        ({"problem": "input", "solution": {"r1": "inptu"}}, "fields.solution.r1=inptu: not a column of p"),
    ],
)  # fmt: skip
def test_a_mistyped_field_is_named_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_fields(source(FieldsConfig(answer=None, **fields)), ROW, "data")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_of_tests_is_no_list_of_answers() -> None:
    """Joined by commas, as all parts of one answer, they are no Python."""
    fields = FieldsConfig(problem="instruction", answer="tests", answers="all")
    with pytest.raises(UserError, match=r"grader=code with fields.answers=all.*: fields.answer='\{tests\}'"):
        check_answers("data", "code", fields)
    check_answers("data", "code", replace(fields, answer="{tests}", answers=None))
    check_answers("data", "verifier", fields)


def test_a_template_of_an_object_rejects_its_row() -> None:
    """Also where it is looked at for letters of options; this was a traceback."""
    fields = FieldsConfig(problem="instruction", answer="{a}")
    assert unread_options(ROW | {"choices": ["x", "y"]}, fields) is None
    with pytest.raises(BadRow, match="a dict can't be part of a text"):
        read_row(ROW, fields, "made")


def test_columns_that_other_rows_may_have() -> None:
    fields = FieldsConfig(problem="conversations.5.value", answer="a.c.d", solution="{a.b} {input}")
    check_fields(replace(source(fields), where={"list": 1}), ROW, "data")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_no_solution(value: float) -> None:
    fields = FieldsConfig(problem="q", answer="a", solution="a")
    with pytest.raises(BadRow, match=rf"solution 0: {value} is no text and no number"):
        read_row({"q": "1+1?", "a": value}, fields, "made")
