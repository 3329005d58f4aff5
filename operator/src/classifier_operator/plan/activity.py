"""How long a job has been active: summed in the status over suspensions and restarts of the operator."""

from dataclasses import dataclass
from datetime import datetime

from classifier_operator.api.training_status import TrainingJobStatus
from classifier_operator.plan.types import JobView


@dataclass(frozen=True, slots=True)
class Activity:
    """Seconds of the stretches that are over, and the beginning of the one that is not."""

    seconds: int
    since: datetime | None

    def total(self, now: datetime) -> float:
        """Seconds until `now`."""
        running = (now - self.since).total_seconds() if self.since else 0.0
        return self.seconds + max(0.0, running)

    def closed(self, at: datetime) -> "Activity":
        """The same with the running stretch ended."""
        return Activity(int(self.total(at)), None)


def activity(status: TrainingJobStatus, child: JobView | None, now: datetime) -> Activity:
    """The activity as it is now.

    A stretch begins with the Job's startTime, which the Job controller sets anew after every suspension, and ends when
    the Job is suspended, finished or gone.
    """
    known = Activity(status.active_seconds or 0, status.active_since)
    if child is None:
        return known.closed(now)
    if child.suspended:
        return known.closed(child.suspended_at or now) if known.since else known
    if child.finished:
        if known.since is None and child.start_time is not None and known.seconds == 0:
            known = Activity(0, child.start_time)  # it began and ended while nobody looked
        return known.closed(child.end_time or now)
    if known.since is None and child.start_time is not None:
        return Activity(known.seconds, child.start_time)
    return known
