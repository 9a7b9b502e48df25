import json
import time

import pytest

from limo_ablate.core import credentials
from limo_ablate.core.credentials import has_password, masked, refuse_credentials
from limo_ablate.core.errors import UserError

KEYS = (
    "hf_" + "aB3" * 12, "sk-proj-" + "Ab1_" * 10, "sk-ant-api03-" + "x-Y9" * 10, "sk-" + "a1B2" * 12,
    "AKIA" + "Q7" * 8, "ghp_" + "a1B2" * 9, "github_pat_" + "a1B2" * 10, "glpat-" + "a1B2" * 5,
    "xoxb-1234567890-abc", "https://hooks.slack.com/services/T0/B0/xyz", "wandb_v1_" + "a1B2" * 10,
    "-----BEGIN OPENSSH PRIVATE KEY-----",
)  # fmt: skip
PASSWORDS = (
    "postgresql+psycopg://me:pw@host/db", "postgresql://me:p/w:x@y@host/db", "grpc://me:pw@host:13000",
    "https://me:pw@hub.example/x", "postgresql://me@host/db?sslmode=require&password=pw",
    "https://bot.example/x?token=pw",
)  # fmt: skip
HARMLESS = (
    "a" * 64, "0123456789abcdef" * 4, f"sha256:{'b7' * 32}", "model.revision=" + "c0ffee" * 6 + "c0de",
    "meta-llama/Llama-3.1-8B", "sk-learn-regression-of-many-long-words", "task-" + "0123456789abcdef" * 2,
    "postgresql+psycopg://me@host:5432/db", "grpc://head:13000", "sqlite:////home/me/a@b:c/ledger.db",
    "postgresql://me@/db?host=/run/postgresql&passfile=/home/me/.pgpass", "me@example.org: at 10:30@home",
    "$SLACK_WEBHOOK", "hf_hub_download", "AKIAN", "size64-L5-s0",
)  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    credentials._own_credentials.cache_clear()


@pytest.mark.parametrize("text", [*KEYS, *PASSWORDS])
def test_a_key_or_a_password_is_refused_by_its_place_and_masked(text: str) -> None:
    given = {"eval": {"stages": [{"system_prompt": f"Use {text} here"}]}}
    with pytest.raises(
        UserError, match=r"^trial\.eval\.stages\[0\]\.system_prompt: holds what looks"
    ) as error:
        refuse_credentials(given, "trial")
    assert text not in str(error.value)
    with pytest.raises(UserError, match=r"^track\.name: holds"):
        refuse_credentials(f"track.name='{text}'", "")
    assert masked(f"before {text} after").startswith("before ")
    assert masked(f"before {text} after").endswith(" after")
    assert "***" in masked(text)
    assert "pw" not in masked(text)
    assert text not in masked(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_digests_revisions_and_names_are_no_keys(text: str) -> None:
    refuse_credentials({"eval": [text]}, "")
    refuse_credentials(f"eval.name={text}" if "=" not in text else text, "")
    assert masked(text) == text
    assert not has_password(text)


def test_forty_digits_are_a_key_unless_they_are_a_revision() -> None:
    digits = "0123456789" * 4
    for harmless in (
        {"model": {"revision": digits}},
        {"axes": {"model, model.revision": [["m", digits]]}},
        f"at {digits}",
    ):
        refuse_credentials(harmless, "")
    for wrong in ({"track": {"name": digits}}, f"track.name='{digits}'"):
        with pytest.raises(UserError, match=r"track\.name: holds"):
            refuse_credentials(wrong, "")


@pytest.mark.parametrize(
    "part", ["x", "a://b:", "://", "a:b@", "-----BEGIN ", "hf_", "?token=", "https://hooks.slack.com/"]
)
def test_long_texts_take_no_time(part: str) -> None:
    text, began = part * (200_000 // len(part)), time.monotonic()
    masked(text)
    has_password(text)
    assert time.monotonic() - began < 5


def test_what_the_environment_holds_as_a_credential_is_one_whatever_it_looks_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_DB_PASSWORD", "correct horse battery")
    monkeypatch.setenv("SSH_KEY", "/home/me/.ssh/id_ed25519")
    monkeypatch.setenv("HF_TOKEN_PATH", "/home/me/hf-token")
    monkeypatch.setenv("SHORT_TOKEN", "mini")
    monkeypatch.setenv("LIMO_ABLATE_LEDGER_TOKEN", "of sixteen letters@head:13000")
    credentials._own_credentials.cache_clear()
    with pytest.raises(UserError, match="question: holds"):
        refuse_credentials({"question": "is it correct horse battery?"}, "")
    assert (
        masked("mini: correct horse battery, /home/me/.ssh/id_ed25519")
        == "mini: ***, /home/me/.ssh/id_ed25519"
    )
    assert masked("Bearer of sixteen letters") == "Bearer ***", "without the server that it is for"


def test_masked_json_is_json() -> None:
    texts = [
        'see "https://hooks.slack.com/services/T/B/x"',
        'a "http://x.example/?token=abc"',
        "http://a:b@c\n",
    ]
    assert json.loads(masked(json.dumps(texts))) == [
        'see "***"',
        'a "http://x.example/?token=***"',
        "http://a:***@c\n",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://u:SECRETpass@host/db", "postgresql://u:SECRETp@ss/w%40rd@[::1]:5432/db",
        "host=h user=u password=SECRETword", "host=h password='SECRET with words' user=u",
        "https://SECRETtokenSECRETtoken@git.host/x", "https://h/x?sv=1&sig=SECRETsig%3D",
        "s3://b/x?aws_secret_access_key=SECRET", "https://h/x?v=4&X-Amz-Signature=SECRET",
        "https://h/x?X-Goog-Credential=SECRET", "https://h/x?X-Amz-Security-Token=SECRET",
        "AIzaSECRET" + "a" * 31, "sk_live_SECRET" + "a" * 16, "rk_live_SECRET" + "a" * 16,
        "npm_SECRET" + "a" * 32, "gsk_SECRET" + "a" * 44, "xapp-1-SECRETSECRET", "xoxz-SECRET-1234",
        "eyJSECRETSECRET.eyJSECRETSECRET.SECRETSECRET",
    ],
)  # fmt: skip
def test_further_shapes_are_masked_and_refused(text: str) -> None:
    assert "SECRET" not in masked(f"error at {text}: no")
    with pytest.raises(UserError):
        refuse_credentials({"a": f"x {text}"}, "study")


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a@b",
        "https://h/?max_tokens=5&design=2",
        "passes=3",
        "the password is asked",
        "postgresql://u@h/db",
        "eyJ.a",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
