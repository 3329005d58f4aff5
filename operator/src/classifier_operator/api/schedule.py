"""When a ClassifierDeployment is on."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from classifier_operator.api.base import Model, rule, rules

DATE_PATTERN: Final = r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"
CRON_PATTERN: Final = r"^[^ ]+( +[^ ]+){4}$"
WINDOW_SHAPES: Final = (
    "cron with five fields, e.g. 0 8 * * 1-5, or a date of the years 2000 to 2999 without an offset, "
    "e.g. 2026-12-24T08:00:00"
)

_BOTH: Final = "self.start.matches('{0}') && self.stop.matches('{0}')"
_DATES: Final = _BOTH.format(DATE_PATTERN)
_CRONS: Final = _BOTH.format(CRON_PATTERN)
_WITH_SECONDS: Final = "(size(self.{0}) == 16 ? self.{0} + ':00' : self.{0})"

Moment = Annotated[str, Field(min_length=1, max_length=100)]
"""A cron expression or a date."""


class Window(Model):
    """A stretch that the deployment is on: from start to stop, each time that they come round."""

    start: Moment
    """When it turns on: cron with five fields, e.g. `0 8 * * 1-5`, or a date and a time of the years 2000 to 2999
    without an offset, e.g. 2026-12-24T08:00:00; both in timeZone. At most 100 characters. Required. Mutable."""
    stop: Moment
    """When it turns off, written as start is. A window is on when its last start is later than its last stop; at the
    same instant stop wins. At most 100 characters. Required. Mutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"({_DATES}) || ({_CRONS})",
                f"start and stop of a window must be written alike, each {WINDOW_SHAPES}",
            ),
            rule(
                f"!({_DATES}) || {_WITH_SECONDS.format('start')} < {_WITH_SECONDS.format('stop')}",
                "stop of a window must be after its start",
            ),
        )
    )


class Schedule(Model):
    """The times at which the deployment is on: whenever one of the windows is."""

    time_zone: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$")
    ]
    """Zone of the windows by its IANA name, e.g. Europe/Berlin or UTC, at most 64 characters. Required. Mutable."""
    windows: Annotated[list[Window], Field(min_length=1, max_length=32)]
    """When it is on, 1 to 32 windows; they add up, so that none turns off what another turns on. Required. Mutable."""
    outside: Literal["Sleep", "WakeOnRequest"] = "Sleep"
    """What it does outside of the windows. Sleep: requests get 503 with Retry-After until the next start.
    WakeOnRequest: a request wakes it until inactivityTimeout has passed. Default: Sleep. Mutable."""
