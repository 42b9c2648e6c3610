"""What the server's answers say in a terminal: sentences first, both clocks, accuracy in words, a reason when empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

Json = Mapping[str, Any]


def moment(text: str | None, now: datetime) -> str:
    """`3 min ago (Sun 22 Nov 14:10)`, in this machine's zone."""
    if text is None:
        return "–"
    at = datetime.fromisoformat(text)
    local = at.astimezone()
    return f"{_ago(now - at)} ({local:%a} {local.day} {local:%b %H:%M})"


def _ago(past: timedelta) -> str:
    seconds = int(past.total_seconds())
    for unit_s, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s} {name} ago"
    return "just now"


def where(tag: Json, now: datetime) -> str:
    """One tag in a few lines."""
    lines = [f"{tag['name']} (serial {tag['serial']})"]
    last = tag["last"]
    if last is None:
        lines.append(f"  {tag['empty']['text']}")
    else:
        lines.append(
            f"  heard {moment(last['heard_at'], now)} {last['accuracy']}: {last['lat']:.5f}, {last['lon']:.5f}"
        )
        lines.append(f"  reached us {moment(last['reached_us_at'], now)}, here since {moment(tag['here_since'], now)}")
    if tag["lost"] is not None:
        lines.append(f"  reported lost {moment(tag['lost']['since'], now)}")
    if tag["late"] is not None:
        lines.append(f"  {tag['late']['text']}")
    if tag.get("private"):
        lines.append(f"  Only your keys open its places: python -m owner locate {tag['serial']}")
    if tag.get("renew_from"):
        lines.append(f"  Its keys end with {tag['keys_until']}; renew them from {tag['renew_from']} on.")
    return "\n".join([*lines, f"  {tag['managed_note']}"])


def hearing(tag: Json) -> str:
    """One line of somebody who watches, for whoever reads it later: both clocks in full, and the place."""
    last, heard_at = tag["last"], tag["heard_at"]
    if heard_at is None:
        return f"{tag['name']}: {tag['empty']['text']}"
    place = f"{last['accuracy']}: {last['lat']:.5f}, {last['lon']:.5f}" if last else "no place is known"
    if last and last["heard_at"] != heard_at:
        place = f"without a place; the last one is of {_clock(last['heard_at'])}, {place}"
    reached = f" (reached us {_clock(last['reached_us_at'])})" if last else ""
    return f"{tag['name']}: heard {_clock(heard_at)} {place}{reached}"


def _clock(text: str) -> str:
    local = datetime.fromisoformat(text).astimezone()
    return f"{local:%a} {local.day} {local:%b %H:%M:%S}"


def history(answer: Json) -> Table:
    """The stays of a period, newest first."""
    table = Table("from", "to", "place", "within", "reports", "receivers", box=None, pad_edge=False)
    for stay in reversed(answer["stays"]):
        begin, end = (datetime.fromisoformat(stay[key]).astimezone() for key in ("from_at", "to_at"))
        place = f"{stay['lat']:.5f}, {stay['lon']:.5f}"
        row = (f"{begin:%d %b %H:%M}", f"{end:%d %b %H:%M}", place, f"{stay['radius_m']} m")
        table.add_row(*row, str(stay["reports"]), str(stay["receivers"]))
    return table
