"""Samples drawn from a real server that fails in every way: which come, which are paid for, what is kept."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.model.generate.completions import GenerationRequest
from limo_ablate.model.generate.endpoint import client
from limo_ablate.model.generate.endpoint.config import EndpointConfig
from limo_ablate.model.generate.endpoint.draw import describe, endpoint_completions, outlook
from limo_ablate.model.generate.engine import Sampling
from tests.endpoint_server import (
    Fault,
    Script,
    answer,
    body,
    cut,
    dripping,
    serving,
    silent,
    status,
)

ROOT = Path(__file__).resolve().parents[3]
SAMPLING = Sampling(0.6, 0.95, 100, 0)
KEY = "sk-not-for-anyone-1234567890"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("TEACHER_KEY", KEY)


def problems(store: Store, count: int = 3) -> Artifact:
    def make(folder: Path) -> None:
        rows = {"id": [f"p{k}" for k in range(count)], "text": [f"What is {k} + {k}?" for k in range(count)]}
        pl.DataFrame(rows).write_parquet(folder / "problems.parquet")

    return store.build("pool", {"test": count}, make)


def asked(store: Store, samples: int = 2, count: int = 3) -> GenerationRequest:
    return GenerationRequest(
        problems=problems(store, count), samples=samples, sampling=SAMPLING, system_prompt="Think."
    )


def endpoint(script: Script, **settings: Any) -> EndpointConfig:
    own = {"model": "m", "key_env": "TEACHER_KEY", "timeout_seconds": 1, "retries": 2, **settings}
    return EndpointConfig(url=script.url, **own)


def drawn(script: Script, store: Store, samples: int = 2, count: int = 3, **settings: Any) -> pl.DataFrame:
    made = endpoint_completions(store, "teacher", endpoint(script, **settings), asked(store, samples, count))
    return pl.read_parquet(made.path / "completions.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def echo(body: dict[str, Any]) -> dict[str, Any]:
    """An answer by what was asked alone."""
    return answer(f"{body['messages'][-1]['content']} {body['seed']}")


def test_a_request_is_what_it_should_be_and_all_is_recorded(store: Store) -> None:
    with serving(Script(reply=echo)) as script:
        table = drawn(script, store, concurrency=1, body={"top_p": None, "reasoning_effort": "high"})
    sent = script.bodies[0]
    assert sent == {
        "path": "/v1/chat/completions", "model": "m", "temperature": 0.6, "max_tokens": 100,
        "reasoning_effort": "high", "seed": sent["seed"],
        "messages": [{"role": "system", "content": "Think."}, {"role": "user", "content": "What is 0 + 0?"}],
    }  # fmt: skip
    assert len({one["seed"] for one in script.bodies}) == 6
    assert script.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert table.select("problem", "sample").rows() == [(f"p{k}", n) for k in range(3) for n in range(2)]
    first = table.row(0, named=True)
    assert first["completion"] == f"What is 0 + 0? {sent['seed']}"
    assert [first[name] for name in ("tokens", "tokens_in", "finish", "model", "fingerprint", "note")] == [
        20, 10, "stop", "m-2026", "fp_1", None,
    ]  # fmt: skip
    assert first["drawn"].startswith("20")


def test_content_and_order_do_not_depend_on_concurrency(tmp_path: Path) -> None:
    tables = []
    for concurrency in (1, 16):
        with serving(Script(reply=echo, seconds=0.01)) as script:
            tables.append(drawn(script, Store(tmp_path / str(concurrency)), 4, 8, concurrency=concurrency))
        assert script.most_under_way == 1 if concurrency == 1 else script.most_under_way > 4
    assert tables[0].drop("drawn").equals(tables[1].drop("drawn"))


FAULTS: dict[str, Fault] = {
    "429": status(429, "slow down", retry_after="0.02"),
    "429 with a date": status(429, "slow down", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    "429 with no date": status(429, retry_after=f"Wed, 21 Oct {'9' * 30} 07:28:00 GMT"),
    "500": status(500),
    "503 without JSON": lambda handler: handler.send(503, b"<html>busy</html>"),
    "cut": cut,
    "silent": silent,
    "dripping": dripping,
    "garbage": body(b"\x00\xff not JSON"),
    "deep": body(b'{"a":' * 100_000),
    "a list": body(b"[1]"),
    "no choices": body({"choices": []}),
    "no message": body({"choices": [{"message": None}]}),
    "an error with 200": body({"error": {"message": "overloaded"}}),
    "too large": lambda handler: handler.send(200, b" " * (client.LARGEST + 2**20)),
    "packed": body(b"\x1f\x8b", content_encoding="gzip"),
    "closed": lambda handler: handler.connection.close(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_asked_again(fault: str, store: Store) -> None:
    with serving(Script(faults=[FAULTS[fault]])) as script:
        table = drawn(script, store, concurrency=1)
    assert table["completion"].to_list() == ["\\boxed{4}"] * 6
    assert len(script.bodies) == 7


def test_what_does_not_pass_fails_the_trial_and_keeps_what_came(store: Store) -> None:
    faults = [body(answer("kept")), *[status(500, "down\x1b[2J for good")] * 3]
    with serving(Script(faults=faults)) as script:
        with pytest.raises(TrialFailure, match=r"no answer after 3 tries, .* 500: down\\x1b\[2J for"):
            drawn(script, store, concurrency=1)
        assert len(script.bodies) == 4
        table = drawn(script, store, concurrency=1)
    assert len(script.bodies) == 4 + 5
    assert table["completion"][0] == "kept"


def test_what_is_under_way_is_kept_when_another_request_fails(store: Store) -> None:
    with serving(Script(seconds=0.3, faults=[status(401)])) as script:
        with pytest.raises(UserError, match="status 401"):
            drawn(script, store, concurrency=3)
        assert len(script.bodies) == 3
        drawn(script, store)
    assert len(script.bodies) == 3 + 4


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(401, f"wrong key {KEY}"), r"model=m: status 401: wrong key \*\*\*; check TEACHER_KEY"),
        (status(404, "no model m"), "status 404: no model m"),
        (status(429, "pay first", "insufficient_quota"), "status 429: pay first"),
        (status(400, "unknown field seed"), "status 400: unknown field seed"),
        (lambda handler: handler.send(302, b"", location="http://elsewhere/"), "status 302: nothing"),
    ],
)
def test_what_stays_wrong_is_told_at_once_on_one_line(fault: Fault, said: str, store: Store) -> None:
    with serving(Script(faults=[fault] * 6)) as script, pytest.raises(UserError, match=said) as raised:
        drawn(script, store, concurrency=1)
    assert len(script.bodies) == 1
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_the_key_is_kept_nowhere(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(Script(faults=[body(answer(f"your key is {KEY}"))])) as script:
        table = drawn(script, store, concurrency=1)
    assert table["completion"][0] == "your key is ***"
    assert KEY not in caplog.text
    files = [file for file in store.root.rglob("*") if file.is_file()]
    assert len(files) > 3
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_a_key_that_may_be_a_word_changes_no_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of one's own take any key."""
    monkeypatch.setenv("TEACHER_KEY", "EMPTY")
    with serving(Script(reply=lambda body: answer("The set is EMPTY."))) as script:
        assert set(drawn(script, store)["completion"]) == {"The set is EMPTY."}


def test_a_key_is_masked_as_json_writes_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "abc/def+ghi/jkl=")
    said = b'{"error": {"message": "wrong key abc\\/def+ghi\\/jkl="}}'
    refusing = Script(faults=[lambda handler: handler.send(401, said)])
    with serving(refusing) as script, pytest.raises(UserError, match=r"wrong key \*\*\*; check"):
        drawn(script, store, concurrency=1)


def test_no_proxy_reads_the_key(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is on this machine, which is why it may be asked without encryption."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(Script()) as proxy, serving(Script()) as script:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        drawn(script, store)
    assert len(script.bodies) == 6
    assert not proxy.bodies


def test_an_address_that_is_none_is_told(store: Store) -> None:
    own = EndpointConfig(url="https://1.2.3.999/v1", model="m")
    with pytest.raises(UserError, match=r"endpoint\.url=https://1\.2\.3\.999/v1: Invalid IPv4"):
        endpoint_completions(store, "teacher", own, asked(store))


def test_a_key_that_is_not_set_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    with serving(Script()) as script, pytest.raises(UserError, match="key_env=TEACHER_KEY: this environment"):
        drawn(script, store)
    assert not script.bodies


def test_refusals_and_cut_answers_are_no_solutions_and_not_paid_for_again(store: Store) -> None:
    message = {"content": None, "refusal": "I can't"}
    faults = [
        body(answer("half", "length")),
        body({"choices": [{"message": message, "finish_reason": "stop"}]}),
        body(answer("", "content_filter")),
        body(answer(" \n")),
        status(400, "too long", "context_length_exceeded"),
        body(answer("\ud800")),
    ]
    with serving(Script(faults=faults)) as script:
        table = drawn(script, store, concurrency=1)
        assert drawn(script, store).equals(table)
    assert len(script.bodies) == 6
    assert table["finish"].to_list() == ["length", *["refused"] * 5]
    assert table["completion"].to_list() == ["half", *[""] * 5]
    assert table["note"].to_list() == [
        None, "I can't", "finish_reason=content_filter", "empty", "too long", "not Unicode",
    ]  # fmt: skip


def test_reasoning_that_comes_apart_is_part_of_the_answer(store: Store) -> None:
    reply = answer("It is 4.")
    reply["choices"][0]["message"]["reasoning_content"] = "2 + 2"
    with serving(Script(faults=[body(reply)])) as script:
        table = drawn(script, store, 1, 1)
    assert table["completion"].to_list() == ["<think>\n2 + 2\n</think>\n\nIt is 4."]


def test_hostile_numbers_and_labels_are_bounded(store: Store) -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": -5}
    reply = {**answer("x"), "usage": usage, "model": "\x1b[2J" * 100, "system_fingerprint": {"a": 1}}
    with serving(Script(faults=[body(reply)])) as script:
        row = drawn(script, store, 1, 1).row(0, named=True)
    assert (row["tokens"], row["tokens_in"], row["fingerprint"]) == (None, None, None)
    assert len(row["model"]) <= 200
    assert row["model"].isprintable()


def test_more_samples_and_more_problems_cost_only_what_is_new(store: Store) -> None:
    with serving(Script(reply=echo)) as script:
        one = drawn(script, store, 1, 2)
        four = drawn(script, store, 4, 2)
        assert len(script.bodies) == 8
        wider = drawn(script, store, 4, 3)
        assert len(script.bodies) == 12
    assert one["completion"].to_list() == four.filter(pl.col("sample") == 0)["completion"].to_list()
    assert wider.head(8).equals(four)


DRAW = """
import sys
from tests.model.generate.test_endpoint import Script, Store, drawn
drawn(Script(url=sys.argv[1]), Store(sys.argv[2]), int(sys.argv[3]), 4, concurrency=2)
"""


def _process(script: Script, store: Store, samples: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DRAW, script.url, str(store.root), str(samples)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_two_trials_at_once_pay_once(store: Store) -> None:
    with serving(Script(reply=echo, seconds=0.02)) as script:
        problems(store, 4)
        both = [_process(script, store, samples) for samples in (2, 4)]
        assert [process.wait(100) for process in both] == [0, 0]
    assert len(script.bodies) == 16


def test_after_a_kill_only_what_was_under_way_is_asked_again(store: Store) -> None:
    with serving(Script(reply=echo, seconds=0.1)) as script:
        problems(store, 4)
        process = _process(script, store, 4)
        while len(script.bodies) < 7:
            time.sleep(0.01)
        process.kill()
        process.wait()
        (file,) = store.root.glob("drawn/*.jsonl")
        kept = sum(json.loads(line)["finish"] == "stop" for line in file.open())
        assert 3 <= kept <= 7
        time.sleep(0.2)
        before = len(script.bodies)
        assert before - kept <= 2
        drawn(script, store, 4, 4)
    assert len(script.bodies) - before == 16 - kept


def test_what_a_kill_leaves_under_way_is_spent(store: Store) -> None:
    """At the most that it may cost: its answers may be paid for, and nobody had them."""
    with serving(Script(seconds=5)) as script:
        problems(store, 4)
        for sent in (2, 4):  # of the same two samples
            process = _process(script, store, 4)
            while len(script.bodies) < sent:
                time.sleep(0.01)
            process.kill()
            process.wait()
        own = endpoint(script, **PRICES, budget=48)
        line = describe(own, [outlook(store, own, asked(store, 4, 4))])
        assert line.startswith(f"m at {own.host}: 16 requests")
        assert "spent before 46.08" in line, "four times 1.52 + 10"
        with pytest.raises(UserError, match=r"budget=48: 46\.08 is spent"):
            drawn(script, store, 4, 4, **PRICES, budget=48)
        assert len(script.bodies) == 4
        script.faults.append(status(401))
        with pytest.raises(UserError, match="status 401"):
            drawn(script, store, 1, 1)
        line = describe(own, [outlook(store, own, asked(store, 4, 4))])
        assert "spent before 46.08" in line, "a refusal costs nothing"


def test_an_interrupt_ends_at_once(store: Store) -> None:
    with serving(Script(seconds=5)) as script:
        problems(store, 4)
        process = _process(script, store, 1)
        while not script.bodies:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
    assert time.monotonic() - started < 4


PRICES = {"price_in": 1e4, "price_out": 1e5}  # an answer costs 0.1 + 2, and at most 1.1 to 1.9 + 10


def test_no_request_is_started_that_could_exceed_the_budget(store: Store) -> None:
    with serving(Script()) as script:
        with pytest.raises(UserError, match=r"budget=30: .* is spent, and a sample may cost 1\d\.\d"):
            drawn(script, store, 4, 5, **PRICES, budget=30)
        spent = len(script.bodies) * 2.1
        assert 30 - 12 < spent <= 30
        again = len(script.bodies)
        with pytest.raises(UserError, match="budget=30"):
            drawn(script, store, 4, 5, **PRICES, budget=30)
        assert len(script.bodies) == again
        assert drawn(script, store, 4, 5, **PRICES, budget=60).height == 20
    assert len(script.bodies) == 20


def test_what_may_have_been_paid_for_in_vain_counts(store: Store) -> None:
    faults: list[Fault] = [cut, body(b"garbage"), cut]
    with serving(Script(faults=faults)) as script:
        with pytest.raises(UserError, match=r"budget=25: 2[0-9.]+ is spent"):
            drawn(script, store, 1, 1, **PRICES, budget=25)
        assert len(script.bodies) == 2
        with pytest.raises(UserError, match="budget=25"):
            drawn(script, store, 1, 1, **PRICES, budget=25)
    assert len(script.bodies) == 2


def test_what_it_will_cost_is_known_before(store: Store) -> None:
    with serving(Script()) as script:
        own = endpoint(script, **PRICES, budget=100)
        ahead = describe(own, [outlook(store, own, asked(store, n)) for n in (1, 4)])
        assert ": 12 requests, at most 1,824 tokens of prompts and 1,200 of answers: at most 138.24;" in ahead
        assert ahead.endswith("spent before 0.00, budget 100")
        drawn(script, store, 1, **PRICES)
        left = describe(own, [outlook(store, own, asked(store, n)) for n in (1, 4)])
        assert ": 9 requests" in left
        assert "spent before 6.30" in left


def test_requests_and_tokens_a_minute_are_kept(tmp_path: Path) -> None:
    with serving(Script()) as script:
        drawn(script, Store(tmp_path / "a"), 1, 6, requests_per_minute=1200)
        assert 0.15 < script.times[-1] - script.times[0] < 2
        script.times.clear()
        drawn(script, Store(tmp_path / "b"), 1, 6, tokens_per_minute=36000, concurrency=1)
        # the first is taken to need up to 150 tokens, each after it the 30 that the first one used
        assert 0.15 < script.times[-1] - script.times[0] < 2


def test_a_pause_that_is_asked_for_holds_for_all(store: Store) -> None:
    with serving(Script(faults=[status(429, retry_after="0.4")])) as script:
        drawn(script, store, 4, 4, concurrency=4)
    times = script.times
    assert sum(one - times[0] < 0.35 for one in times) <= 4 + 4


def test_several_models_behind_one_name_are_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Script(faults=[body({**answer("x"), "model": "m-2027"})])) as script:
        drawn(script, store)
    assert "model=m answered as m-2026, m-2027" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://a/v1"}, "url=ftp://a/v1: must be as https"),
        ({"url": "https://u:p@a/v1"}, "must be as https"),
        ({"url": "http://[::1"}, "must be as https"),
        ({"url": "http://a.com/v1"}, "would send the key in the clear"),
        ({"key_env": "HOME"}, "key_env=HOME: must be the name of a variable that ends in"),
        ({"budget": 3.0}, "needs data.teacher.endpoint.price_in and price_out"),
        ({"body": {"messages": []}}, "body.messages: is set by"),
        ({"body": {"max_tokens": None}}, "answers need a limit"),
        ({"body": {"temperature": 1.0}}, r"body\.temperature=1\.0: set data\.teacher\.temperature"),
        ({"body": {"seed": 0}}, r"body\.seed=0: set data\.teacher\.seed; here it can only be null"),
        ({"body": {"max_tokens": 9}}, r"body\.max_tokens=9: set data\.teacher\.max_tokens"),
        (
            {"body": {"max_completion_tokens": "9"}},
            "max_completion_tokens='9' must be a whole number above 0",
        ),
        ({"body": {"max_tokens": None, "max_completion_tokens": 9.5}}, "=9.5 must be a whole number"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"requests_per_minute": 0.0}, "requests_per_minute=0 must be positive"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        EndpointConfig(**{"url": "https://a.com/v1", "model": "m", "key_env": "TEACHER_KEY", **settings})


def test_only_what_decides_answers_decides_the_key(store: Store) -> None:
    base = EndpointConfig(url="https://a.com/v1", model="m")
    same = replace(base, url="http://a.com/v1/", retries=1, price_in=1.0, concurrency=3)
    assert base.identity() == same.identity()
    others = [replace(base, url="https://a.com/v2"), replace(base, model="n"), replace(base, body={"a": 1})]
    assert all(base.identity() != other.identity() for other in others)
