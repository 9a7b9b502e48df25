"""`python -m limo_ablate`."""

from __future__ import annotations

import sys

from limo_ablate.cli import main

if __name__ == "__main__":
    sys.exit(main())
