"""Fetching sealed reports: some days with their tokens, newest first, page after page, as far as one lets it.

No account is needed, and none is told: whoever has a day's token may fetch. What comes is not believed here
(`owner.reports` judges), only held against the shape that every honest server keeps.
"""

from __future__ import annotations

import base64
import binascii
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from owner.api import Api, RefusedError, foreign
from owner.keys import DAY_S
from owner.reports import DAY_SLACK_S, MAX_REPORTS
from wire import keys
from wire.sealed import REPORT_LEN
from wire.share import SharedDay

# Days of one request: a usual look-back, with tomorrow. More, and an answer is long to wait for.
DAYS_AT_ONCE: Final = 9

Progress = Callable[[int, int], None]
"""Told after each answer: days done, reports so far."""


class Stop:
    """Ctrl-C, taken as "that is enough": what has come by then is the answer. A second one ends the program."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    @contextmanager
    def watched(self) -> Iterator[Stop]:
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this waits for somebody else, Ctrl-C ends the waiting at once: KeyboardInterrupt."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def until(self, reports: Iterable[bytes]) -> Iterator[bytes]:
        """The reports, as far as one let it."""
        for report in reports:
            if self.asked:
                return
            yield report

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or self._waiting:
            raise KeyboardInterrupt


@dataclass(slots=True)
class Fetched:
    """What came. `unknown`: days of which the server has no key of ours; `missing`: days not asked to their end;
    `trouble`: why it ended early, if it did by itself.
    """

    reports: list[bytes] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    interrupted: bool = False
    trouble: RefusedError | None = None


def look_back(now_s: int, days: int) -> range:
    """The days of a look-back that ends now; with tomorrow, while a tag's clock may be there already."""
    today = now_s // DAY_S
    return range(max(0, today - days + 1), (now_s + DAY_SLACK_S) // DAY_S + 1)


def fetch(api: Api, days: Sequence[SharedDay], stop: Stop, told: Progress = lambda _days, _reports: None) -> Fetched:
    """All reports of these days, the newest day first. Raises RefusedError if nothing could be asked at all."""
    found = Fetched()
    newest = sorted(days, key=lambda each: -each.day)
    for at in range(0, len(newest), DAYS_AT_ONCE):
        some = newest[at : at + DAYS_AT_ONCE]
        try:
            _pages(api, some, found, stop)
        except KeyboardInterrupt:
            found.interrupted = stop.asked = True
        except RefusedError as refused:
            if not found.asked:
                raise
            found.trouble = refused
        if found.interrupted or found.trouble:
            done = {*found.asked, *found.unknown}
            found.missing = [each.day for each in newest if each.day not in done]
            break
        told(len(found.asked) + len(found.unknown), len(found.reports))
    return found


def _pages(api: Api, days: Sequence[SharedDay], found: Fetched, stop: Stop) -> None:
    left = {keys.eid(keys.public_of_day_key(each.d)).hex(): each for each in days}
    after: dict[str, bytes] = {}
    while left:
        asked = [
            {"eid": eid, "f": each.f.hex(), "after": after[eid].hex() if eid in after else None}
            for eid, each in left.items()
        ]
        if stop.asked:
            raise KeyboardInterrupt
        with stop.waiting():
            answer = api.post("/reports/fetch", {"days": asked})
        rows, refused = _rows(answer, left)
        found.unknown.extend(left.pop(eid).day for eid in refused)
        for eid, reports, more in rows:
            found.reports.extend(reports)
            if len(found.reports) > MAX_REPORTS:
                raise RefusedError(
                    "too_many_reports", f"There are more than {MAX_REPORTS:,} reports.", "Look back over fewer days."
                )
            if not more:
                del left[eid]
            elif not reports or reports[-1] <= after.get(eid, b""):
                raise foreign()  # it would go on for ever
            else:
                after[eid] = reports[-1]
    found.asked.extend(each.day for each in days if each.day not in found.unknown)


def _rows(answer: Any, asked: Collection[str]) -> tuple[list[tuple[str, list[bytes], bool]], list[str]]:
    """The rows of an answer, and the identifiers that it refuses: each that was asked, once. Raises `server_error`."""
    try:
        rows = [
            (row["eid"], base64.b64decode(row["reports"], validate=True), bool(row["more"])) for row in answer["days"]
        ]
        refused = list(answer["refused"])
        told = sorted([*(eid for eid, _, _ in rows), *refused])
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise foreign() from None
    if told != sorted(asked) or any(len(joined) % REPORT_LEN for _, joined, _ in rows):
        raise foreign()
    split = [
        (eid, [joined[at : at + REPORT_LEN] for at in range(0, len(joined), REPORT_LEN)], more)
        for eid, joined, more in rows
    ]
    return split, refused
