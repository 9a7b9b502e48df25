"""The verifier: does a completion give the gold answer? Usable alone; imports neither torch nor SymPy.

>>> from limo_ablate.verify import verify
>>> verify("The answer is 0.5.", "\\\\frac{1}{2}").status
'correct'
"""

from typing import TYPE_CHECKING, Any

from limo_ablate.verify.verdict import VERSION, Verdict

if TYPE_CHECKING:
    from limo_ablate.verify.api import verify, verify_many

__all__ = ["VERSION", "Verdict", "verify", "verify_many"]


def __getattr__(name: str) -> Any:
    """`verify` and `verify_many`, imported on first use: a configuration needs only a module's names."""
    if name in __all__:
        from limo_ablate.verify import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
