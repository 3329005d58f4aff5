"""Which checkpoints an output keeps. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from classifier_trainer.config import Keep


def superseded(keep: Keep, names: Sequence[str], best: str, *, finished: bool) -> list[str]:
    """Those of `names`, oldest first, that are not kept now that the newest of them is whole.

    The best one stays until model/ has been made from it, which is when the run is `finished`.
    """
    if keep == "All":
        return []
    kept = {best} if keep == "Best" else {names[-1]}
    if not finished:
        kept.add(best)
    return [name for name in names if name not in kept]
