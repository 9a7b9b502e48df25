"""Options of multiple choice as data sets have them: in a list, by letter, or in columns of their own.

The answer may be a letter, a position or an option's text. What could be two of these is refused: a wrong
letter would be graded as if it were right.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import LETTERS, MultipleChoice
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row, field_value
from limo_ablate.data.pool.values import BadRow, gold_text

NAMED = ("label", "key", "letter", "id"), ("text", "value", "content", "option")
"""Keys of an option that is an object: its letter, its text."""
COLUMNS = ("choices", "options", "option", "candidates", "endings", "mc1_targets")
"""Names, in lower case, of columns that hold options."""
_LETTERED = re.compile(r"\s*\(?([A-Za-z])[.):]\s*(.*)", re.DOTALL)
_LETTER = re.compile(r"\(?([A-Za-z])[.):]?")
_NEGATIVE = re.compile(r"-[0-9]+")


class OtherNumbering(UserError):
    """A position that only exists if options are numbered from the other number (0 or 1)."""

    def __init__(self, number: int, count: int, first: int) -> None:
        super().__init__(
            f"answer {number} of {count} options: they are numbered from {1 - first}; set "
            f"fields.first_option={1 - first}, or null if numbers are options' texts. If only this row is "
            "wrong, correct it or take it out"
        )
        self.of_one_row = _out_of_range(number, count)
        """What is said where the others show that only this row is wrong."""


def read_options(row: Row, question: str, fields: FieldsConfig) -> MultipleChoice:
    """The question with its options. Raises BadRow for options or an answer that can't be told, and
    OtherNumbering."""
    labels, texts = _options(row, fields)
    if not 2 <= len(texts) <= len(LETTERS):
        raise BadRow(f"options: {len(texts)}; there must be 2 to {len(LETTERS)}")
    if len(set(texts)) < len(texts):
        raise BadRow("options: two are the same")
    right = _right(field_value(row, fields.answer), labels, texts, fields)
    if isinstance(fields.options, tuple) and labels is None:  # the right one usually stands first
        order = sorted(range(len(texts)), key=lambda place: _shuffled(question, texts[place]))
        texts, right = [texts[place] for place in order], order.index(right)
    return MultipleChoice(question.strip(), texts, right, "")


def _options(row: Row, fields: FieldsConfig) -> tuple[list[str] | None, list[str]]:
    """The labels of the options, None where they have none, and their texts."""
    if isinstance(fields.options, tuple):
        names = [field.rpartition(".")[2].upper() for field in fields.options]
        values = [field_value(row, field) for field in fields.options]
        labelled = all(name == letter for name, letter in zip(names, LETTERS, strict=False))
        return _texts(names if labelled else None, values)
    value = field_value(row, fields.options)
    if isinstance(value, dict):
        lists = [_first(value, keys) for keys in NAMED]
        if all(isinstance(part, list) for part in lists):
            return _texts(list(map(str, lists[0])), lists[1])
        return _texts([str(key) for key in value], list(value.values()))
    if not isinstance(value, list):
        raise BadRow(f"options: neither a list nor a mapping but a {type(value).__name__}")
    if value and all(isinstance(part, dict) for part in value):
        return _texts(
            [str(_first(part, NAMED[0])) for part in value], [_first(part, NAMED[1]) for part in value]
        )
    return _unlettered(_texts(None, value)[1])


def _texts(labels: list[str] | None, values: list[Any]) -> tuple[list[str] | None, list[str]]:
    """Labels and texts of the options that have a text."""
    if labels is not None and len(labels) != len(values):
        raise BadRow(f"options: {len(labels)} labels, {len(values)} texts")
    texts = [None if isinstance(value, list | dict) else gold_text(value) for value in values]
    kept = [place for place, text in enumerate(texts) if text]
    return labels and [labels[place] for place in kept], [texts[place] or "" for place in kept]


def _unlettered(texts: list[str]) -> tuple[list[str] | None, list[str]]:
    """Options of which each begins with its letter, without it."""
    parts = [_LETTERED.fullmatch(text) for text in texts]
    letters = [part[1].upper() if part else "" for part in parts]
    if letters != list(LETTERS[: len(letters)]):
        return None, texts
    return letters, [part[2].strip() if part else "" for part in parts]


def _right(answer: Any, labels: list[str] | None, texts: list[str], fields: FieldsConfig) -> int:
    """Position of the right option."""
    assert fields.first_option != "auto", "numbering.numbered comes first"
    if isinstance(answer, list):
        raise BadRow("answer: a list; only one option can be right")
    stated = gold_text(answer)
    if stated is None:
        raise BadRow("answer: no gold answer")
    by_text = [place for place, text in enumerate(texts) if text == stated]
    by_label = _by_label(stated, labels, len(texts))
    if _NEGATIVE.fullmatch(stated) and not by_text:
        raise BadRow(f"answer: {stated} is the position of no option; it may stand for a hidden answer")
    is_number = stated.isdecimal()
    if is_number and by_label is None and fields.first_option is not None:
        if by_text and isinstance(answer, str):
            raise BadRow(
                f"answer: {stated} may be a position or an option's text; set fields.first_option=null if it "
                "is a text"
            )
        return _position(int(stated), len(texts), fields.first_option)
    found = {*by_text, *([] if by_label is None else [by_label])}
    if len(found) != 1:
        what = "the letter of one option and the text of another" if found else "none of the options"
        raise BadRow(f"answer: {stated[:60]} is {what}")
    return found.pop()


def _by_label(answer: str, labels: list[str] | None, count: int) -> int | None:
    known = labels or list(LETTERS[:count])
    if answer in known:
        return known.index(answer)
    letter = _LETTER.fullmatch(answer)
    upper = [label.upper() for label in known]
    return upper.index(letter[1].upper()) if letter and letter[1].upper() in upper else None


def _position(number: int, count: int, first: int) -> int:
    """Raises OtherNumbering, which stops: if options are numbered otherwise, every row is read wrongly."""
    if number == (count if first == 0 else 0):
        raise OtherNumbering(number, count, first)
    if not 0 <= number - first < count:
        raise BadRow(_out_of_range(number, count))
    return number - first


def _out_of_range(number: int, count: int) -> str:
    return f"answer: {number} is the position of none of the {count} options"


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def _shuffled(question: str, text: str) -> bytes:
    return hashlib.sha256(f"{question}/{text}".encode()).digest()


def check_options_read(row: Row, fields: FieldsConfig, key: str) -> None:
    """Raises UserError where the answer seems to name an option, and no field reads the options."""
    if column := unread_options(row, fields):
        answer = field_value(row, fields.answer)
        raise UserError(
            f"{key}.fields.answer={fields.answer}: {answer} seems to name an option in {column}, "
            f"which no field reads; set {key}.fields.options={column}"
        )


def unread_options(row: Row, fields: FieldsConfig) -> str | None:
    """The column of options that no field reads, where the answer seems to name one of them."""
    try:
        answer = field_value(row, fields.answer)
    except BadRow:  # a template of what is no text: told where the row is read
        return None
    if fields.options or not _names_one(answer):
        return None
    read = {path.partition(".")[0] for _, path in fields.columns()}
    for column in (name for name in row if name.lower() in COLUMNS and name not in read):
        value = row[column]
        if isinstance(value, list | dict) and len(value) > 1 and not shown(value, row, fields):
            return column
    return None


def _names_one(answer: Any) -> bool:
    if isinstance(answer, str):
        return len(answer.strip()) == 1 or bool(_NEGATIVE.fullmatch(answer.strip()))
    return isinstance(answer, int) and not isinstance(answer, bool)


def shown(options: Any, row: Row, fields: FieldsConfig) -> bool:
    """Whether the problem's own text has the options."""
    problem = field_value(row, fields.problem)
    texts = [str(text) for text in (options.values() if isinstance(options, dict) else options)]
    return isinstance(problem, str) and all(text in problem for text in texts)
