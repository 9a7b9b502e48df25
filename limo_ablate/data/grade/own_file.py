"""Graders in a file of the user's project: `grader=python:graders/prices.py:grade`.

The function gets one completion (`grader.Answered`) and returns True or False, a score of 0..1, or a
`grader.Grade`. The file is the user's code and runs in our process, as a package's grader does; its digest is
in the key. A study of others that names one is asked about (`sweep/trust.py`).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import project
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.grade.grader import Answered, Grade, Grader, right, wrong

PYTHON, RULE = "python:", "own"
FORM = "python:FILE.py:FUNCTION, a file of the project"


class GraderRegistry(Registry[Grader]):
    """Knows `python:FILE.py:FUNCTION` beside its entries."""

    def __contains__(self, name: object) -> bool:
        return is_own_file(name) or super().__contains__(name)

    def entry(self, name: str) -> Entry:
        return Entry("", f"a function of {_parts(name)[0]}") if is_own_file(name) else super().entry(name)

    def load(self, name: str) -> Grader:
        if not is_own_file(name):
            return super().load(name)
        return _batched(name, _function(name))

    def check_installed(self, name: str) -> None:
        """Raises UserError where the file has no such function; nothing of it runs."""
        if not is_own_file(name):
            return super().check_installed(name)
        path, function = _parts(name)
        try:
            defined = ast.parse(_source(name))
        except (SyntaxError, ValueError) as error:
            raise UserError(f"grader={name}: {path} is no Python: {error}") from error
        functions = {one.name: one.args for one in defined.body if isinstance(one, ast.FunctionDef)}
        if function not in functions:
            known = ", ".join(functions) or "none"
            raise UserError(f"grader={name}: {path} defines no function {function}; it has: {known}")
        if not _takes_one(functions[function]):
            raise UserError(
                f"grader={name}: {function} of {path} must be callable with one argument, a completion"
            )
        return None

    def words(self, name: str) -> str:
        return "{1} of {0}".format(*_parts(name)) if is_own_file(name) else super().words(name)

    def identity(self, name: str) -> dict[str, str] | None:
        return {"file": file_digest(name)} if is_own_file(name) else super().identity(name)


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    keywords = None in arguments.kw_defaults  # one without a default
    return needed <= 1 and (positional >= 1 or arguments.vararg is not None) and not keywords


def is_own_file(name: object) -> bool:
    return isinstance(name, str) and name.startswith(PYTHON)


def file_digest(name: str) -> str:
    """Of the file's bytes. Raises UserError."""
    return hashlib.sha256(_source(name)).hexdigest()


def _parts(name: str) -> tuple[str, str]:
    """(path in the project, function). Raises UserError."""
    path, _, function = name.removeprefix(PYTHON).rpartition(":")
    parts = Path(path).parts
    if not path.endswith(".py") or not function.isidentifier() or Path(path).is_absolute() or ".." in parts:
        raise UserError(f"grader={name}: must be {FORM}, without ..")
    return path, function


def _source(name: str) -> bytes:
    file = project() / _parts(name)[0]
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"grader={name}: {file}: {error.strerror}") from error


def _function(name: str) -> Callable[[Any], object]:
    path, function = _parts(name)
    module = ModuleType(Path(path).stem)
    module.__file__ = str(project() / path)
    try:
        exec(compile(_source(name), module.__file__, "exec"), module.__dict__)  # noqa: S102  the user's own code
        found: Callable[[Any], object] = getattr(module, function)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"grader={name}: {path} can't be run: {type(error).__name__}: {error}") from error
    return found


def _batched(name: str, function: Callable[[Any], object]) -> Grader:
    from limo_ablate.data.grade.plain_graders import voted  # heavy

    def grade(one: Answered) -> Grade:
        try:
            found = function(one)
        except UserError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise UserError(f"grader={name}, problem {one.problem}: {said}") from error
        if isinstance(found, Grade):
            return found
        if isinstance(found, bool):
            return right(RULE, one.answer) if found else wrong(RULE, one.answer, "not accepted")
        if isinstance(found, int | float):
            score = float(found)
            if score == 1:
                return right(RULE, one.answer, score)
            return wrong(RULE, one.answer, f"score {score:g}", score)
        raise UserError(
            f"grader={name}, problem {one.problem}: returned {found!r}, not True, False, a score or a Grade"
        )

    return lambda answered: voted(answered, [grade(one) for one in answered])
