"""Grades code: an answer's last block of Python, run with tests in a sandbox (`sandbox.py`).

The tests are Python, as of HumanEval and MBPP: they fail by an exception. `tested_code.py` runs both inside,
in one process, and says what an answer that does not solve its tests gets no credit for.
"""

from __future__ import annotations

import json
import os
import secrets
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import regex

from limo_ablate.core.progress import keep_alive
from limo_ablate.data.grade import tested_code
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions, final_text, right, undecided, wrong
from limo_ablate.data.grade.plain_graders import voted
from limo_ablate.data.grade.sandbox import Limits, check_sandbox, run

LONGEST = 100_000
"""Characters of a program; longer ones are wrong."""
FENCE = regex.compile(r"(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`~]*")
PYTHON = ("python", "python3", "py", "py3")
SHOWN = 300
"""Characters of a program's last words that are kept as the reason."""


def code(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the tests run to their end. Equal programs are run once."""
    if not answered:
        return []
    grading = answered[0].grading
    check_sandbox("grader_options", grading.sandbox)
    programs = [_program(one) for one in answered]
    cases = {
        (program, one.gold): wrong("code", "", "not run")
        for one, program in zip(answered, programs, strict=True)
        if isinstance(program, str)
    }
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        grades = pool.map(lambda case: _tested(case[0], case[1], grading), [*cases])
        for case, grade in zip([*cases], grades, strict=True):
            cases[case] = grade
            keep_alive()
    return voted(
        answered,
        [
            cases[program, one.gold] if isinstance(program, str) else program
            for one, program in zip(answered, programs, strict=True)
        ],
    )


def _program(one: Answered) -> str | Grade:
    text = final_text(one)
    if isinstance(text, Grade):
        return text if one.gold.strip() else undecided("code", None, "there are no tests")
    if not one.gold.strip():
        return undecided("code", text, "there are no tests")
    return _last_block(text).strip("\n") or Grade(status="incorrect", rule="no_answer")


def _last_block(text: str) -> str:
    """The last block of Python; else the last one of no language; else all."""
    blocks: dict[str, str] = {}
    fence, language, lines = "", "", [""]
    for line in text.split("\n"):
        if not fence and (found := FENCE.search(line)) and not FENCE.search(line, found.end()):
            fence, language, lines = found[1], "python" if found[2].lower() in PYTHON else found[2], []
        elif fence and line.rstrip().endswith(fence):
            blocks[language] = "\n".join([*lines, line.rstrip()[: -len(fence)]])
            fence = ""
        else:
            lines.append(line)
    if fence:
        blocks[language] = "\n".join(lines)
    return textwrap.dedent(blocks.get("python", blocks.get("", text)))


def _tested(program: str, tests: str, options: GraderOptions) -> Grade:
    if len(program) > LONGEST:
        return wrong("code", program[:LONGEST], f"longer than {LONGEST} characters")
    passed = secrets.token_hex(16)
    with _descriptor(json.dumps([program, tests])) as texts, _descriptor(passed) as ending:
        whole = f"{_inside()}\n\nrun({texts}, {ending})\n"
        limits = Limits(options.seconds, options.memory)
        outcome = run(whole, limits, options.sandbox, (texts, ending))
    if outcome.stopped:
        return wrong("limit", program, outcome.stopped)
    if outcome.code == 0 and passed in outcome.output:
        return right("code", program)
    last = outcome.output.strip().rpartition("\n")[2][:SHOWN]
    return wrong("code", program, last or f"ended with exit code {outcome.code} before the tests did")


@contextmanager
def _descriptor(text: str) -> Iterator[int]:
    """A descriptor from which the sandbox reads the text: no file that the program could find."""
    with os.fdopen(os.memfd_create("text"), "wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.seek(0)
        yield file.fileno()


@cache
def _inside() -> str:
    return Path(tested_code.__file__).read_text(encoding="utf-8")
