"""Whether a sealed report is still taken, by what is known of its identifier: its day, and when it was first told.

The report itself says nothing: where and when the tag was heard only its owner reads. So these are limits on what is
kept, not judgements about what is true; those are the owner's (docs/private-finding.md).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

# A tag shows an EID for one UTC day, and a gateway may be cut off for some hours. Shorter, and its reports are lost;
# longer, and whoever recorded the EID may go on filling it for another day. A report from before the day counts from
# its beginning: EIDs are public, and one made up the day before would close everybody's at noon.
CLOSES_AFTER: Final = timedelta(hours=36)
# A tag's day begins and ends with its own clock, and a report may come from a gateway that was cut off.
DAYS_EITHER_SIDE: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Why(StrEnum):
    """Why a report is not kept. Its gateway deletes it all the same: it would never be taken."""

    EID_UNKNOWN = "eid_unknown"  # no tag of ours: a stranger's, or one that is private no more
    EID_DAY = "eid_day"  # not its UTC day, give or take one
    EID_CLOSED = "eid_closed"  # its first report is 36 h old, and so is its day
    QUOTA_EID = "quota_eid"  # as many as an EID may have in its whole life
    QUOTA_GATEWAY = "quota_gateway"  # as many as one gateway may bring in an hour, of this EID or altogether


def day_of(moment: datetime) -> int:
    """The UTC day of a moment, in days since 1970-01-01."""
    return (moment - _EPOCH) // timedelta(days=1)


def date_of(day: int) -> date:
    """The date of such a day."""
    return (_EPOCH + timedelta(days=day)).date()


def closed(day: int, first_report_at: datetime | None, now: datetime) -> Why | None:
    """Why nothing more is taken for an EID of this day; None while it is open."""
    if abs(day_of(now) - day) > DAYS_EITHER_SIDE:
        return Why.EID_DAY
    begins = _EPOCH + timedelta(days=day)
    if first_report_at is not None and now - max(first_report_at, begins) >= CLOSES_AFTER:
        return Why.EID_CLOSED
    return None
