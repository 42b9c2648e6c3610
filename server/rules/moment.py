"""The moment of judging, as a question: has this deadline passed?

Rules never see the time itself. Each asks `passed(deadline)`, and the earliest deadline that has not passed yet is by
construction the next moment at which the answer can change without a new fact.
"""

from __future__ import annotations

from datetime import datetime

from server.rules.facts import require_utc


class Moment:
    """Answers for one `now` (UTC) and remembers the earliest deadline still ahead. One per weighing."""

    def __init__(self, now: datetime) -> None:
        require_utc(now)
        self._now = now
        self._next: datetime | None = None

    def passed(self, deadline: datetime) -> bool:
        """True from the deadline on."""
        if deadline <= self._now:
            return True
        if self._next is None or deadline < self._next:
            self._next = deadline
        return False

    @property
    def next_look_at(self) -> datetime | None:
        """The earliest deadline asked for that is still ahead; None if time alone changes nothing any more."""
        return self._next
