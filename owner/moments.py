"""Days and spans of time as the reasons of private finding say them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from owner.keys import DAY_S

# The last day of the year 9999, where calendars end; a day key may have a number beyond it.
_LAST_DAY: Final = 2_932_896


def day_in_words(day: int) -> str:
    """`22 Nov 2026`, of a number of days since 1970-01-01; beyond the calendar the number itself."""
    if day > _LAST_DAY:
        return f"day {day}"
    at = datetime.fromtimestamp(day * DAY_S, UTC)
    return f"{at.day} {at:%b %Y}"


def late_in_words(seconds: int) -> str:
    """`3 h 15 min`; below a minute in seconds."""
    parts = ((seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or f"{seconds} s"


def minute_in_words(unix_s: int) -> str:
    """`2026-11-22 14:10 UTC`."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"
