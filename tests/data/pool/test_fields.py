"""A field is a column, a path, or a text around such; a mistyped one is named with what there is."""

from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import check_fields, field_value

ROW: dict[str, Any] = {
    "instruction": "Add.",
    "input": "",
    "conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}],
    "a.b": "a column",
    "a": {"b": "a path", "c": None},
    "list": [1],
}


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
        (None, None),
    ],
)
def test_field_values(field: str | None, found: str | None) -> None:
    assert field_value(ROW, field) == found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"problem": "instructions"}, "p: fields.problem=instructions is not a column; did you mean instr"),
        ({"problem": "conversations.0.valu"}, "conversations.0 has no valu; did you mean value?"),
        ({"problem": "conversations.value"}, "conversations is a list; entries of a list are numbered"),
        ({"problem": "instruction.x"}, "instruction is a str"),
        ({"problem": "{instruction}\n{inptu}"}, "fields.problem=inptu is not a column; did you mean input?"),
        ({"problem": "input", "solution": {"r1": "a.b"}, "teacher": "input"}, "already names the teachers"),
        ({"problem": "input", "solution": {"r1": "inptu"}}, "fields.solution.r1=inptu is not a column"),
    ],
)  # fmt: skip
def test_a_mistyped_field_is_named_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_fields(FieldsConfig(answer=None, **fields), None, ROW, "p")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_that_other_rows_may_have() -> None:
    fields = FieldsConfig(problem="conversations.5.value", answer="a.c.d", solution="{a.b} {input}")
    check_fields(fields, {"list": 1}, ROW, "p")
