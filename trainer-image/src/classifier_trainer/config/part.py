"""The base of all parts of the configuration, and the durations in it."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Part(BaseModel):
    """Frozen, camel case outside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        strict=True,
        allow_inf_nan=False,
    )


def seconds(duration: str) -> float:
    """Seconds of a duration such as `10m` or `1h30m` (Gateway API's GEP-2257)."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", duration))
