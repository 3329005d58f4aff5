"""When training stops before its last epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Patience:
    """Hears the score of each checkpoint, and says when they have not become better for `epochs` epochs."""

    epochs: int | None
    """None never stops."""
    best: float | None = None
    waited: int = 0

    def is_over(self, score: float) -> bool:
        """Whether to stop, now that a checkpoint has this score (higher is better)."""
        if self.best is None or score > self.best:
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        return self.epochs is not None and self.waited >= self.epochs
