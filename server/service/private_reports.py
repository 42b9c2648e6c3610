"""Sealed reports of private tags: gateways bring them, whoever has a day's token fetches them. Nothing here opens one.

Nobody signs in for either: a gateway signs its upload with the key of its enrolment, and f_i, which only the owner and
whom they shared the day with can make, opens the day's reports. Of a stored report nothing says who brought it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from server.rules.private_reports import Why, closed
from server.service import heard
from server.service.refusals import refuse
from server.service.report_quotas import Counting, HourlyMost
from server.settings import Settings
from server.store import day_keys, gateways, interest, live, sealed_reports
from server.store.day_keys import OpenDay
from wire.errors import WireError
from wire.report_upload import ReportUpload, decode_upload, split_reports
from wire.sealed import report_eid
from wire.signing import SIGNATURE_LEN, Domain, public_key, verify

# A day of a busy tag in three pages; 2,000 reports are 174 KiB.
PAGE: Final = 2_000
# No f_i has this hash: what an unknown EID is compared with, so that it takes as long as a known one.
_NOBODYS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an upload: newly stored, known already, and not kept, by reason. The gateway deletes all of it."""

    stored: int = 0
    known: int = 0
    refused: Mapping[Why, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A day that somebody wants to read: `token` is its f_i; `after` the last report they have, or empty."""

    eid: bytes
    token: bytes = field(repr=False)
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """Reports of an EID in the order of their bytes; `more`: there are some behind the last one."""

    eid: bytes
    reports: tuple[bytes, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Given:
    """What a reader gets: a page of each day that is theirs, and the EIDs of the days that are not, or not known."""

    pages: tuple[Page, ...]
    refused: tuple[bytes, ...]


# --- brought


def take(tx: Connection, settings: Settings, counting: Counting, payload: bytes, now: datetime) -> Taken:
    """Stores what a gateway brings; the same again changes nothing.

    One answer for everything that no gateway of ours signed, or that cannot be read. Refusals: gateway_refused.
    """
    upload = _signed(tx, payload)
    brought = split_reports(upload.reports)
    days = day_keys.held_for_reports(tx, {report_eid(report) for report in brought})
    known = sealed_reports.known(tx, set(brought))
    fresh = _by_eid(report for report in brought if report not in known)

    most = HourlyMost(settings.private_reports_per_gateway_eid_hour, settings.private_reports_per_gateway_hour)
    stored: dict[bytes, int] = {}
    keep: list[bytes] = []
    refused: Counter[Why] = Counter()
    for eid, reports in fresh.items():
        room, why = _room(days.get(eid), len(reports), settings.private_reports_per_eid, now)
        refused[why] += len(reports) - room
        granted = counting.take(upload.gateway, eid, room, most, now) if room else 0
        refused[Why.QUOTA_GATEWAY] += room - granted
        if granted:
            keep += reports[:granted]
            stored[eid] = granted

    if keep:
        sealed_reports.add(tx, keep, now)
        day_keys.count_reports(tx, stored, now)
        _tell(tx, {days[eid].serial for eid in stored}, now, settings.base_url)
    again = len(brought) - sum(len(reports) for reports in fresh.values())
    return Taken(len(keep), again, {why: count for why, count in refused.items() if count})


def _signed(tx: Connection, payload: bytes) -> ReportUpload:
    """The upload of an enrolled gateway that is not revoked."""
    try:
        upload = decode_upload(payload[SIGNATURE_LEN:])
        gateway = gateways.by_name(tx, upload.gateway)
        if gateway is None or gateway.public_key is None or gateway.revoked_at is not None:
            raise refuse("gateway_refused")
        verify(public_key(gateway.public_key), Domain.REPORTS, payload)
    except WireError:
        raise refuse("gateway_refused") from None
    return upload


def _by_eid(reports: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Each report once, under its EID."""
    found: dict[bytes, list[bytes]] = {}
    for report in sorted(set(reports)):
        found.setdefault(report_eid(report), []).append(report)
    return found


def _room(day: OpenDay | None, wanted: int, per_eid: int, now: datetime) -> tuple[int, Why]:
    """How many of the reports of an EID may come, and why the others may not."""
    if day is None:
        return 0, Why.EID_UNKNOWN
    shut = closed(day.day, day.first_report_at, now)
    if shut is not None:
        return 0, shut
    return max(0, min(wanted, per_eid - day.reports)), Why.QUOTA_EID


def _tell(tx: Connection, serials: set[int], now: datetime, base_url: str) -> None:
    """These tags were heard, as far as we can know: in this minute.

    News are written down, too: a finer moment would lead from a tag to its gateway's line in a proxy's log.
    """
    news = interest.among(tx, serials)
    if news.awaited:
        minute = now.replace(second=0, microsecond=0)
        heard.stored(tx, dict.fromkeys(news.awaited, minute), minute, base_url)
    if news.watched:
        live.tell(tx, news.watched)


# --- fetched


def fetch(tx: Connection, asked: Sequence[Asked]) -> Given:
    """A page of the reports of each day, for whoever has its token.

    An EID that is unknown and one whose token is wrong are refused alike. Each EID stands in `asked` once.
    """
    hashes = day_keys.fetch_hashes(tx, {each.eid for each in asked})
    # All of them, whatever the first ones say.
    fits = [
        hmac.compare_digest(hashlib.sha256(each.token).digest(), hashes[each.eid] or _NOBODYS) for each in asked
    ]  # fmt: skip
    after = {each.eid: each.after for each, fit in zip(asked, fits, strict=True) if fit}
    pages = sealed_reports.pages(tx, after, PAGE + 1)
    return Given(
        tuple(Page(eid, tuple(pages[eid][:PAGE]), len(pages[eid]) > PAGE) for eid in after),
        tuple(each.eid for each, fit in zip(asked, fits, strict=True) if not fit),
    )
