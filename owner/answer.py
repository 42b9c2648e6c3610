"""What a look-back says beside its places: why there are none, what was not asked, and what is due.

Pure: what was fetched, what is known of the tag and the moment in, sentences out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from owner import words
from owner.client import Fetched
from owner.export import rows
from owner.keyfile import Span
from owner.keys import day_of, renewal
from owner.moments import day_in_words
from owner.reports import Found


def explained(found: Found, fetched: Fetched, span: Span | None, now_s: int, *, begun: bool = False) -> Found:
    """The same answer; without places it says why, as near to the cause as this machine can know.

    `begun`: the claim of this secret is not through. Codes besides those of `reports.read`: `interrupted`, the
    trouble's own, `claim_unfinished`, `renewal_overdue`, `keys_not_uploaded`.
    """
    if found.points or fetched.reports:
        return found
    empty, text = found.empty, found.empty_text
    if fetched.interrupted:
        empty, text = "interrupted", "No locations yet: the look-back was interrupted before any report came."
    elif fetched.trouble:
        empty, text = (
            fetched.trouble.code,
            f"No locations, because the look-back ended early: {fetched.trouble.message}",
        )
    elif begun:
        empty = "claim_unfinished"
        text = (
            "No locations, because the claim of this tag is not finished. Run it again with the tag near a gateway, "
            "it goes on where it was cut off: python -m owner claim --private"
        )
    elif span and day_of(now_s) >= span.after:
        empty = "renewal_overdue"
        ended = f"the tag's list of days ended on {day_in_words(span.after - 1)}, and nobody can report it"
        text = f"No locations, because {ended}. Bring it near a gateway and run `renew`."
    elif fetched.unknown and not fetched.asked:
        empty = "keys_not_uploaded"
        text = (
            "No locations, because the server has no keys of these days that belong to this secret: the claim was not "
            "finished, the tag is not private any more, or this is another tag's secret."
        )
    return replace(found, empty=empty, empty_text=text)


def notes(fetched: Fetched, span: Span | None, now_s: int) -> Iterable[str]:
    """What is told besides the places: an answer that is not whole, and a renewal that is due."""
    if fetched.missing:
        why = "because it was interrupted" if fetched.interrupted else "because the server stopped answering"
        if fetched.trouble:
            why += f" ({fetched.trouble.message})"
        yield f"This is a part of the answer only, {why}. Not asked to the end: {_days(fetched.missing)}."
    if fetched.unknown and fetched.asked:
        yield f"The server has no keys of {_days(fetched.unknown)}."
    due = renewal(span.first_day, span.days, day_of(now_s)) if span else None
    if due and span:
        last = day_in_words(span.after - 1)
        yield f"The tag's list of days ends with {last}: bring it near a gateway and run `renew`."


def where(serial: int, found: Found, now_s: int) -> str:
    """The newest place in a sentence, with what it rests on."""
    now = datetime.fromtimestamp(now_s, UTC)
    last = found.fixes()[-1]
    when = words.moment(datetime.fromtimestamp(last.unix_s, UTC).isoformat(), now)
    lines = [
        f"Tag {serial}, private: only your keys open this.",
        f"  heard {when} within {last.accuracy_m} m: {last.lat:.5f}, {last.lon:.5f}",
        f"  reports: {last.reports} of that moment, {len(found.points)} believed, {len(found.refused)} not believed",
    ]
    return "\n".join(lines)


def as_json(serial: int, found: Found, whole: bool) -> dict[str, Any]:
    """The answer for programs. `whole` False: it was cut short."""
    fixes = found.fixes()
    last = None
    if fixes:
        newest = fixes[-1]
        last = {
            "heard_at": f"{datetime.fromtimestamp(newest.unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "lat": newest.lat,
            "lon": newest.lon,
            "accuracy_m": newest.accuracy_m,
            "reports": newest.reports,
        }
    return {
        "serial": serial,
        "private": True,
        "last": last,
        "points": list(rows(found, str(serial))),
        "refused": dict(sorted(Counter(str(each.why) for each in found.refused).items())),
        "empty": {"code": found.empty, "text": found.empty_text} if found.empty else None,
        "whole": whole,
    }


def _days(days: Iterable[int]) -> str:
    """`3 days, 20 Nov 2026 to 22 Nov 2026`."""
    sorted_days = sorted(days)
    first, last = day_in_words(sorted_days[0]), day_in_words(sorted_days[-1])
    return first if len(sorted_days) == 1 else f"{len(sorted_days)} days, {first} to {last}"
