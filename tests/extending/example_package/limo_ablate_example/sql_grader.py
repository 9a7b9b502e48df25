"""eval.benchmarks.NAME.grader=sql: a query is right when it gives the rows of the gold answer's query.

The gold answer is JSON: {"tables": "CREATE TABLE ...; INSERT ...", "query": "SELECT ..."}. Both it and the
answer are of others, so the database is in memory, can only be read by the answer, and has limits.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing

from limo_ablate.data.grade.grader import Answered, Grade

SECONDS, ROWS, BYTES = 1.0, 10_000, 1_000_000
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
FILLING = {
    *READING, sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_TRANSACTION,
}  # fmt: skip


def sql(answered: Sequence[Answered]) -> list[Grade]:
    """One grade for each completion, in their order."""
    return [grade(one) for one in answered]


def grade(one: Answered) -> Grade:
    query = one.answer.strip("` \n").removeprefix("sql\n")
    if not query:
        return Grade(status="incorrect", rule="no_answer")
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            gold = json.loads(one.gold)
            allow(database, FILLING)
            database.executescript(gold["tables"])
            allow(database, READING)
            expected = rows(database, gold["query"])
        except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
            return Grade(status="undecided", rule="sql", answer=query, reason=f"the gold answer: {error}")
        try:
            found = rows(database, query)
        except (ValueError, sqlite3.Error, sqlite3.Warning) as error:
            return Grade(status="incorrect", rule="sql", answer=query, reason=str(error)[:200])
    if found == expected:
        return Grade(status="correct", rule="sql", answer=query, boxed=True, lenient=True)
    reason = f"{len(found)} rows, of which not all are among the {len(expected)} expected"
    return Grade(status="incorrect", rule="sql", answer=query, reason=reason)


def allow(database: sqlite3.Connection, actions: Iterable[int]) -> None:
    """Refuses everything else (files by ATTACH, settings by PRAGMA), and what takes long or is large."""
    until = time.monotonic() + SECONDS
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in actions else sqlite3.SQLITE_DENY
    )
    database.set_progress_handler(lambda: time.monotonic() > until, 1000)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, BYTES)


def rows(database: sqlite3.Connection, query: str) -> list[str]:
    """The rows in an order of their own, since only some queries say one."""
    found = database.execute(query).fetchmany(ROWS + 1)
    if len(found) > ROWS:
        raise ValueError(f"more than {ROWS} rows")
    return sorted(map(repr, found))
