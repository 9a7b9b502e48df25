"""Plain data becomes dataclasses; what does not fit is an error that names the key."""

from dataclasses import dataclass
from typing import Literal

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import from_dict


@dataclass(frozen=True)
class Inner:
    rate: float
    kind: Literal["adam", "muon"] = "adam"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: tuple[int, ...]
    bands: dict[str, tuple[float, float]]
    limit: float | str | None = None


GOOD = {"inner": {"rate": 1}, "sizes": [1, 2], "bands": {"hard": [4, 5]}}


def test_nested_values_take_the_declared_types() -> None:
    config = from_dict(Outer, {**GOOD, "limit": "hard"})
    assert config == Outer(Inner(1.0), (1, 2), {"hard": (4.0, 5.0)}, "hard")
    assert isinstance(config.inner.rate, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": {"rat": 1}}, "a.inner.rat: unknown key; did you mean rate?"),
        ({"inner": {}}, "a.inner.rate: required"),
        ({"inner": {"rate": "x"}}, "a.inner.rate='x': expected a number"),
        ({"inner": {"rate": True}}, "a.inner.rate=True: expected a number"),
        ({"inner": {"rate": 1, "kind": "muo"}}, "a.inner.kind=muo: not a choice; did you mean muon?"),
        ({"sizes": [1, 2.5]}, r"a.sizes\[1\]=2.5: expected a whole number"),
        ({"sizes": 3}, "a.sizes=3: expected a list"),
        ({"bands": {"hard": [1]}}, r"a.bands.hard=\[1\]: expected a list of 2"),
        ({"limit": [1]}, r"a.limit=\[1\]: expected float or str"),
        ({"inner": None}, "a.inner: expected a mapping"),
    ],
)
def test_errors_name_the_key_and_the_value(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dict(Outer, {**GOOD, **change}, "a")
