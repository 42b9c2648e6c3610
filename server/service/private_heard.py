"""Whether a private tag was heard, and when last: all that the server knows of it, for its owner and for support.

It is the moment at which the newest report reached us, to the minute. When the tag was heard stands sealed in the
report; a gateway that was cut off brings it later.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from server.store import day_keys


def heard_at(tx: Connection, serials: Collection[int]) -> dict[int, datetime]:
    """The newest report of each of these tags that is private now; a tag without one is left out."""
    return day_keys.last_report_of_serials(tx, serials)
