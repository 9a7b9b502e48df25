"""Multiple choice whose options are known: an option's own text counts as its letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from limo_ablate.verify.outcome import Outcome, different, same, unknown
from limo_ablate.verify.text import squeeze


def option_texts(text: str, options: Mapping[str, str]) -> list[str]:
    """Letters of the options that read exactly like `text`."""
    return [letter for letter, option in options.items() if squeeze(option) == squeeze(text)]


def by_text(
    letter: str, text: str, options: Mapping[str, str], compare: Callable[[str, str, bool], Outcome]
) -> Outcome:
    """Whether `text` is the option `letter` and no other: as it was shown, else by value, else rounded."""
    alike, outcomes = option_texts(text, options), {}
    for strict in (True, False):
        if not alike:
            outcomes = {name: compare(option, text, strict) for name, option in options.items()}
            alike = [name for name, outcome in outcomes.items() if outcome.equal]
    if letter in alike and len(alike) > 1:
        return unknown("choice", f"it fits the options {' and '.join(alike)}")
    if alike:
        return same("choice") if letter in alike else different("choice", f"option {alike[0]}, not {letter}")
    if outcomes[letter].equal is None:
        return unknown("choice", f"option {letter}: {outcomes[letter].reason}")
    return different("choice", "no option's letter, and no option's text")
