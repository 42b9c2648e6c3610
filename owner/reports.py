"""Sealed reports → where the tag was: opens them and judges each; what is not believed is refused with a stated reason.

Pure: bytes, keys and the moment in, a value out. Order and repetition of the reports change nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from owner.errors import PrivateError
from owner.keys import DAY_S, Ring
from owner.moments import day_in_words, late_in_words
from owner.places import RADIO_RANGE_M, Fix, contradict, distance_m, fuse, impossible
from owner.tails import AROUND_TICKS, Tail, Tails
from wire import sealed
from wire.batch import GatewayClass
from wire.errors import WireError
from wire.frames import Status
from wire.share import SharedDay

# More than any tag has in a week; at some 100 µs each it bounds what one look costs to half a minute.
MAX_REPORTS: Final = 200_000
# A receiver's clock this far ahead is still a clock; the batch format has the same limit.
AHEAD_S: Final = 5 * 60
# A tag's clock is believed within this of its receivers', so its day may begin or end so much early or late.
DAY_SLACK_S: Final = (AROUND_TICKS + 1) * 15 * 60
# What does not open under its own day is tried under this many others, to tell whether it was moved …
_MOVED_DAYS: Final = 8
# … for this many reports of one look: beyond, a flood of garbage would cost more than it is worth to know.
_MOVED_REPORTS: Final = 256
_EID_END: Final = 17


class Why(StrEnum):
    """Why a report is not believed."""

    NOT_A_REPORT = "not_a_report"
    DUPLICATE = "duplicate"
    OTHER_IDENTIFIER = "other_identifier"
    MOVED = "moved"
    SWAPPED_KEY = "swapped_key"
    NO_SUCH_PLACE = "no_such_place"
    FROM_THE_FUTURE = "from_the_future"
    WRONG_DAY = "wrong_day"
    REPLAYED = "replayed"
    WRONG_TIME = "wrong_time"
    FORGED = "forged"
    IMPOSSIBLE_JUMP = "impossible_jump"


# What people read; several of one kind are counted under `SUMMARY`.
SUMMARY: Final = {
    Why.NOT_A_REPORT: "not sealed reports at all",
    Why.DUPLICATE: "here twice",
    Why.OTHER_IDENTIFIER: "of another tag or day",
    Why.MOVED: "moved to another identifier",
    Why.SWAPPED_KEY: "sealed to another key",
    Why.NO_SUCH_PLACE: "of a place that does not exist",
    Why.FROM_THE_FUTURE: "from the future",
    Why.WRONG_DAY: "of a time outside their day",
    Why.REPLAYED: "recordings played again",
    Why.WRONG_TIME: "given an earlier time",
    Why.FORGED: "of frames that the tag never sent",
    Why.IMPOSSIBLE_JUMP: "too far away for their time",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One believed report: where a receiver stood when it heard the tag. Unix s, degrees, m, dBm."""

    unix_s: int
    lat: float
    lon: float
    accuracy_m: int
    rssi_dbm: int
    status: Status
    gateway_class: int

    @property
    def heard_at(self) -> datetime:
        return datetime.fromtimestamp(self.unix_s, UTC)

    @property
    def within_m(self) -> int:
        """How far from there the tag was at most: the receiver's own accuracy, and as far as a tag is heard."""
        return self.accuracy_m + RADIO_RANGE_M

    @property
    def gateway(self) -> str:
        """Whose receiver: `own_site`, `vehicle`, `partner`, `crowd`, or `unknown`."""
        names = [each.name.lower() for each in GatewayClass]
        return names[self.gateway_class] if self.gateway_class < len(names) else "unknown"


@dataclass(frozen=True, slots=True)
class Refused:
    """One report that is not believed: why, in a code and in words, with the day and the time that it claims."""

    why: Why
    text: str
    day: int | None = None
    unix_s: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer. `points` and `refused` in order of time. Without points `empty` says why, in a code and in words.

    `tails_checked` False: a share carries no K_own, so recordings and inventions could not be told.
    """

    points: tuple[Point, ...]
    refused: tuple[Refused, ...]
    tails_checked: bool
    empty: str
    empty_text: str

    def fixes(self) -> list[Fix]:
        """The points with those of one moment and place made one."""
        return fuse(self.points)


Watched = Callable[[Sequence[bytes]], Iterable[bytes]]


def read(reports: Iterable[bytes], ring: Ring, now_s: int, watched: Watched = iter) -> Found:
    """Opens and judges the reports that somebody fetched or kept. `watched` may tell the progress of the opening.

    Raises PrivateError `too_many_reports`.
    """
    every = sorted(reports)
    if len(every) > MAX_REPORTS:
        raise PrivateError("too_many_reports", f"More than {MAX_REPORTS:,} reports.", "Look back over fewer days.")
    judge = _Judge(ring, now_s)
    for report in watched(every):
        judge.take(report)
    return judge.found(any_came=bool(every))


class _RefusedError(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.why)
        self.refused = refused


class _Judge:
    """Takes reports in their own order, one after the other."""

    def __init__(self, ring: Ring, now_s: int) -> None:
        self._ring, self._now_s = ring, now_s
        self._tails = Tails(ring.own_key, ring.tick_zero_s, now_s + AHEAD_S) if ring.own_key else None
        self._points: list[tuple[Point, int]] = []
        self._refused: list[Refused] = []
        self._last = b""
        self._tried = 0

    def take(self, report: bytes) -> None:
        """One report of a sorted run."""
        again, self._last = report == self._last, report
        try:
            self._points.append(self._point(report, again))
        except _RefusedError as wrong:
            self._refused.append(wrong.refused)

    def _point(self, report: bytes, again: bool) -> tuple[Point, int]:
        try:
            eid = sealed.report_eid(report)
        except WireError:
            raise _no(Why.NOT_A_REPORT, "This is not a sealed report.") from None
        held = self._ring.days.get(eid)
        if held is None:
            raise _no(Why.OTHER_IDENTIFIER, "It is filed under an identifier of another tag or another day.")
        if again:
            raise _no(Why.DUPLICATE, "The very same report is here already.", held.day)
        opened = self._open(report, held)
        self._check_fields(opened, held.day)
        if self._tails:
            self._check_tail(self._tails, opened, eid, held.day)
        lat, lon = opened.lat_e7 / 1e7, opened.lon_e7 / 1e7
        status = Status.from_byte(opened.status)
        point = Point(opened.unix_s, lat, lon, opened.accuracy_m, opened.rssi_dbm, status, opened.gateway_class)
        return point, held.day

    def _open(self, report: bytes, held: SharedDay) -> sealed.Report:
        try:
            return sealed.open_report(report, held.d)
        except WireError as wrong:
            if wrong.code == "report_shape":
                raise _no(Why.NOT_A_REPORT, "It opens, and holds no report of this version.", held.day) from None
        origin = self._moved_from(report, held.day)
        if origin is not None:
            text = f"It was sealed for {day_in_words(origin)} and moved to the identifier of {day_in_words(held.day)}."
            raise _no(Why.MOVED, text, held.day)
        text = "That day's key does not open it: sealed to another key, moved here from another tag, or damaged."
        raise _no(Why.SWAPPED_KEY, text, held.day)

    def _moved_from(self, report: bytes, day: int) -> int | None:
        """The day of ours that it was sealed for, if one of the nearest opens it."""
        if self._tried >= _MOVED_REPORTS:
            return None
        self._tried += 1
        others = sorted(self._ring.days.items(), key=lambda item: (abs(item[1].day - day), item[1].day))
        for eid, other in others[1 : _MOVED_DAYS + 1]:
            try:
                sealed.open_report(report[:1] + eid + report[_EID_END:], other.d)
            except WireError:
                continue
            return other.day
        return None

    def _check_fields(self, opened: sealed.Report, day: int) -> None:
        at = opened.unix_s
        if abs(opened.lat_e7) > 900_000_000 or abs(opened.lon_e7) > 1_800_000_000:
            raise _no(Why.NO_SUCH_PLACE, "Its latitude or longitude is not on the earth.", day, at)
        if at > self._now_s + AHEAD_S:
            raise _no(Why.FROM_THE_FUTURE, f"It gives a time {late_in_words(at - self._now_s)} ahead.", day, at)
        # A tag that lost its clock goes on with an old day's identifier; its frame's tail still has to be right.
        lost = Status.from_byte(opened.status).clock_lost and self._tails is not None
        if at < day * DAY_S - DAY_SLACK_S or (at >= (day + 1) * DAY_S + DAY_SLACK_S and not lost):
            raise _no(Why.WRONG_DAY, f"It gives a time outside of its day, {day_in_words(day)}.", day, at)

    def _check_tail(self, tails: Tails, opened: sealed.Report, eid: bytes, day: int) -> None:
        tail, off_s = tails.judge(eid, opened.tail, opened.status, opened.unix_s)
        if tail is Tail.OLD:
            text = f"The tag sent this frame {late_in_words(off_s)} before the time it gives: a recording."
            raise _no(Why.REPLAYED, text, day, opened.unix_s)
        if tail is Tail.NEW:
            text = f"The tag sent this frame {late_in_words(off_s)} after the time it gives: the time is not true."
            raise _no(Why.WRONG_TIME, text, day, opened.unix_s)
        if tail is Tail.FORGED:
            raise _no(Why.FORGED, "The tag never sent a frame with this ending.", day, opened.unix_s)

    def found(self, *, any_came: bool) -> Found:
        """The answer, once all are taken."""
        rows = sorted(self._points, key=lambda row: row[0].unix_s)
        points = [point for point, _ in rows]
        jumps = impossible(points)
        believed = tuple(point for n, point in enumerate(points) if n not in jumps)
        refused = self._refused + [_jump(*rows[n], believed) for n in sorted(jumps)]
        refused.sort(key=lambda each: (each.unix_s or (each.day or 0) * DAY_S, each.why, each.text))
        empty, text = ("", "") if believed else _why_empty(self._ring, refused, any_came)
        return Found(believed, tuple(refused), self._tails is not None, empty, text)


def _no(why: Why, text: str, day: int | None = None, unix_s: int | None = None) -> _RefusedError:
    return _RefusedError(Refused(why, text, day, unix_s))


def _jump(point: Point, day: int, believed: Sequence[Point]) -> Refused:
    """Refuses a jump, and names the believed report near it in time that it contradicts most plainly."""
    here = bisect_left(believed, point.unix_s, key=lambda each: each.unix_s)
    around = [each for each in believed[max(0, here - 1) : here + 1] if contradict(each, point)]
    where = "from where the other reports are"
    if around:
        nearest = min(around, key=lambda each: abs(each.unix_s - point.unix_s))
        km = distance_m(point.lat, point.lon, nearest.lat, nearest.lon) / 1000
        where = f"from a report {late_in_words(abs(point.unix_s - nearest.unix_s))} away ({km:.0f} km)"
    return Refused(Why.IMPOSSIBLE_JUMP, f"Too far {where}, faster than any aircraft.", day, point.unix_s)


def _why_empty(ring: Ring, refused: Sequence[Refused], any_came: bool) -> tuple[str, str]:
    if not ring.days:
        return "no_days", "No locations, because there are no keys of the days asked for."
    if not any_came:
        span = f"{day_in_words(min(ring.by_day))} to {day_in_words(max(ring.by_day))}"
        return (
            "nobody_heard",
            f"No locations, because no receiver reported the tag from {span}. (Near its owner it is not reported, "
            "and reports are kept for some days only.)",
        )
    counts = Counter(each.why for each in refused if each.why is not Why.DUPLICATE)
    told = ", ".join(f"{count} {SUMMARY[why]}" for why, count in sorted(counts.items()))
    return "all_refused", f"No locations, because no report that came is believed: {told}."
