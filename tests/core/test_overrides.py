import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import format_override, literal, parse_overrides


@pytest.mark.parametrize(
    "value",
    [
        0, -3, 2.5, 1e-6, True, False, None, "mini_m", "a/b.c-d", "null", "64", "1e-3", "", "two words",
        "it's", "back\\slash", "ends with \\", "\\'both", "a,b", "${x}", "k=v", "äöü", "données/a.jsonl",
        "a#b", "[", [4, "L5", None], [], {"a": 1.5, "b": "x y"},
    ],
)  # fmt: skip
def test_hydra_reads_back_formatted_values(value: object) -> None:
    (parsed,) = parse_overrides([format_override("select.size", value)])
    assert parsed.values == (value,)
    assert type(parsed.values[0]) is type(value)
    assert not parsed.swept


def test_sweeps_are_listed_with_their_types() -> None:
    size, tier, seed = parse_overrides(["select.size=4,16", "select.quality=L1,'L 2',null", "seed=range(3)"])
    assert (size.key, size.values, size.swept) == ("select.size", (4, 16), True)
    assert tier.values == ("L1", "L 2", None)
    assert seed.values == (0, 1, 2)


def test_a_list_is_one_value() -> None:
    (parsed,) = parse_overrides(["seeds=[0,1]"])
    assert parsed.values == ([0, 1],)
    assert not parsed.swept


@pytest.mark.parametrize("text", ["select.size", "=4", "a=[1", "a=interval(0,1)"])
def test_text_that_is_not_an_override_is_a_users_error(text: str) -> None:
    """An interval is refused too: it has no list of values."""
    with pytest.raises(UserError, match="not an override"):
        parse_overrides([text])


@pytest.mark.parametrize("value", ["a=b", "a#b", "é", "[a", "a}", "données/a.jsonl"])
def test_a_value_that_must_be_quoted_is_shown_in_quotes_that_hydra_reads(value: str) -> None:
    with pytest.raises(UserError, match="not an override") as error:
        parse_overrides([f"data.path={value}"])
    quoted = str(error.value).rpartition("quote it: ")[2].strip("'")
    assert parse_overrides([quoted])[0].values == (value,)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["--config-name=mine", "--config-path=/a=b", "--config-dir=/a b"])
def test_hydra_s_flags_for_what_a_configuration_starts_from_are_kept_as_they_are(text: str) -> None:
    (parsed,) = parse_overrides([text])
    assert (f"{parsed.key}={parsed.values[0]}", parsed.text, parsed.swept) == (text, text, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [("model=glob(mini_*)", "read with -m only"), ("a=range(3,0)", "no values"), ("--cfg=job", "not an")],
)
def test_what_stands_for_no_values_is_a_users_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_overrides([text])


def test_plain_words_stay_readable() -> None:
    assert literal("mini_m") == "mini_m"
    assert literal(64) == "64"
    assert literal([1, "L5"]) == "[1,L5]"
