"""`python3 tests/localcluster …` from a checkout in which nothing is installed."""

import sys
from pathlib import Path

# Python puts this folder itself on the path, which would give its modules the names of top-level ones.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from localcluster.cli import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    sys.exit(main())
