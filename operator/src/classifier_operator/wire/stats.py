"""What a server pod says of its activity: `GET :9090/stats`. Seconds since, not times of day: clocks may differ."""

from typing import Final

from pydantic import Field

from classifier_operator.wire.model import Message

STATS_PORT: Final = 9090
STATS_PATH: Final = "/stats"


class ServerStats(Message):
    """What decisions about sleep and scale need to know of one pod."""

    in_flight: int = Field(ge=0)
    """Inference requests that were accepted and not answered yet."""
    queue: int = Field(default=0, ge=0)
    """Texts of them that wait for a batch."""
    seconds_since_last_completion: float | None = Field(default=None, ge=0)
    seconds_since_ready: float | None = Field(default=None, ge=0)
    """Absent until the model is loaded."""
