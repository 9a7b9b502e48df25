"""The verifier: does a completion give the gold answer? Usable alone; imports neither torch nor SymPy.

>>> from limo_ablate.verify import verify
>>> verify("The answer is 0.5.", "\\\\frac{1}{2}").status
'correct'
"""

from limo_ablate.verify.api import verify, verify_many
from limo_ablate.verify.verdict import VERSION, Verdict

__all__ = ["VERSION", "Verdict", "verify", "verify_many"]
