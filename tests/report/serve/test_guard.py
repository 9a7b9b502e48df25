"""Who `limo-ablate view` admits."""

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.report.serve.guard import Guard, loopback

TOKEN = "a-token-of-some-length"  # noqa: S105


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "node7", "127.0.0.1.example.org"])  # noqa: S104
def test_other_addresses_need_a_token(host: str) -> None:
    assert not loopback(host)
    with pytest.raises(UserError, match="other machines can reach that address"):
        Guard(host)
    assert Guard(host, TOKEN).token == TOKEN


def test_a_short_token_is_refused() -> None:
    with pytest.raises(UserError, match="5 characters are too few"):
        Guard("127.0.0.1", "short")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8780", "localhost:8780", "LOCALHOST", "[::1]:8780", "10.0.0.7:1"]
)
def test_addresses_and_own_names_are_known(host: str) -> None:
    assert Guard("127.0.0.1").knows(host)


@pytest.mark.parametrize("host", [None, "", "evil.example", "evil.example:8780", "127.0.0.1.evil.example", "localhost.evil.example"])  # noqa: E501 # fmt: skip
def test_other_names_are_not(host: str | None) -> None:
    assert not Guard("127.0.0.1").knows(host)


def test_the_token_or_the_cookie_of_this_server_admits() -> None:
    guard = Guard("0.0.0.0", TOKEN)  # noqa: S104
    assert guard.admits(TOKEN, None, "c")
    assert guard.admits(None, f"other=1; c={guard.session}", "c")
    for given in (None, "", TOKEN[:-1], "é"):
        assert not guard.admits(given, None, "c")
    for cookie in (f"c={TOKEN}", f"d={guard.session}", f"c={Guard('::', TOKEN).session}"):
        assert not guard.admits(None, cookie, "c")
