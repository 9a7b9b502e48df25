"""Grades answers that are JSON: equal to the gold answer's data, or a share of its fields; fitting a schema.

Schemas come from the benchmark: nothing that they refer to is fetched, and each check has a time limit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import regex

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.grader import Answered, Grade, final_text, right, undecided, wrong
from limo_ablate.data.grade.plain_graders import voted

LONGEST = 100_000
"""Characters of an answer that are read; longer ones are wrong."""
STARTS = 200
"""Places of a text that are tried, the last ones first."""
SECONDS = 1.0
"""Time limit of a schema."""
FENCED = regex.compile(r"```(?:json)?[ \t]*\n(.*?)```", regex.DOTALL)


def json_data(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the last JSON object or array of the answer has the gold answer's data, and fits the schema."""
    return voted(answered, [_grade(one) for one in answered])


def _grade(one: Answered) -> Grade:
    text, gold = final_text(one), _parsed(one.gold)
    schema = one.grading.json_schema
    if isinstance(gold, dict) and "$schema" in gold:
        gold, schema = None, gold
    elif gold is None:
        own = None if isinstance(text, Grade) else text[:LONGEST]
        return undecided("json", own, "the gold answer is no JSON object or array")
    if isinstance(text, Grade):
        return text
    found = _last_json(text) if len(text) <= LONGEST else None
    if found is None:
        return Grade(status="incorrect", rule="no_answer", reason="no JSON object or array")
    answer = json.dumps(found, sort_keys=True, ensure_ascii=False)
    if schema is not None and (grade := _misfit(found, schema, answer)):
        return grade
    if gold is None:
        return right("schema", answer)
    if one.grading.fields:
        return _shared(found, gold, one.grading.fields, answer)
    return right("json", answer) if _same(found, gold) else wrong("json", answer, "not the gold data")


def _shared(found: Any, gold: Any, fields: Sequence[str], answer: str) -> Grade:
    """The share of the fields that are as in the gold answer."""
    missing = [name for name in fields if _at(gold, name) == ()]
    if missing:
        return undecided("json", answer, f"the gold answer has no field {missing[0]}")
    differing = [name for name in fields if not _same(_at(found, name), _at(gold, name))]
    score = 1 - len(differing) / len(fields)
    if not differing:
        return right("json", answer, 1.0)
    return wrong("json", answer, f"other values: {', '.join(differing)}", score)


def _at(data: Any, name: str) -> tuple[Any, ...]:
    """The value of a field, alone in a tuple; empty where there is none."""
    for part in name.split("."):
        if not isinstance(data, dict) or part not in data:
            return ()
        data = data[part]
    return (data,)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _last_json(text: str) -> Any:
    """The text itself, its last fenced block, or the last object or array in it; None without any."""
    for whole in (text, *FENCED.findall(text)[::-1]):
        if (found := _parsed(whole)) is not None:
            return found
    return next(_in_text(text), None)


def _in_text(text: str) -> Iterator[Any]:
    """Objects and arrays that end last, the outermost of them first."""
    decoder, best = json.JSONDecoder(parse_constant=_no_constant), (-1, 0, None)
    for start in [match.start() for match in regex.finditer(r"[{\[]", text)][-STARTS:]:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if end > best[0]:
            best = (end, start, found)
    if best[0] >= 0:
        yield best[2]


def _parsed(text: str) -> Any:
    """The object or array that a text is; None for another text."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _misfit(found: Any, schema: dict[str, Any], answer: str) -> Grade | None:
    """The grade of data that does not fit the schema."""
    try:
        error = check_schema(schema)(found)
    except TimeoutError:
        return undecided("schema", answer, f"the schema took more than {SECONDS:g} s")
    except Exception as problem:  # of a schema of whatever kind: a reference to nothing, to itself
        return undecided("schema", answer, f"the schema: {type(problem).__name__}: {str(problem)[:200]}")
    return wrong("schema", answer, f"does not fit the schema: {error[:200]}") if error else None


def check_schema(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """A function that says what of data does not fit. Raises UserError for what is no schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    base = validator_for(schema, default=Draft202012Validator)
    try:
        base.check_schema(schema)
    except SchemaError as error:
        raise UserError(f"no JSON schema: {error.message}") from error
    until = [0.0]

    def timed(keyword: Any) -> Any:
        def check(*arguments: Any) -> Iterator[Any]:
            if time.monotonic() > until[0]:
                raise TimeoutError
            yield from keyword(*arguments) or ()

        return check

    own = {name: timed(keyword) for name, keyword in base.VALIDATORS.items()}
    own |= {"pattern": timed(_pattern), "patternProperties": timed(_pattern_properties)}
    validator = extend(base, own)(schema, registry=Registry())  # an empty registry: nothing is fetched

    def misfit(data: Any) -> str | None:
        until[0] = time.monotonic() + SECONDS
        error = best_match(validator.iter_errors(data))
        return None if error is None else f"{error.json_path}: {error.message}"

    return misfit


def _pattern(validator: Any, pattern: str, text: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(text, str) and not regex.search(pattern, text, timeout=SECONDS):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], data: Any, schema: Any) -> Iterator[Any]:
    for pattern, part in patterns.items() if isinstance(data, dict) else ():
        for name, value in data.items():
            if regex.search(pattern, name, timeout=SECONDS):
                yield from validator.descend(value, part, path=name, schema_path=pattern)
