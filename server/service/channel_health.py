"""The ways by which customers reach us: whether each works, and what our public texts promise everybody.

Reports come from staff and from probes. They are facts of the house: an order is judged by those of the time in which
its customer waited (`rules.house`), so a dead mailbox is no news to the orders of people who asked for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.facts import Source, Statement, StatementKind
from server.rules.payload_json import payload_from, payload_to
from server.rules.payloads import ChannelState, Contact, PublicText
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import audit, contacts, weighings
from server.store.audit import Entry
from server.store.contacts import HouseWord

PAGE: Final = "page"
CHANNELS: Final[Mapping[str, str]] = {
    "mail": "E-mail",
    "call": "Phone",
    PAGE: "Form on the order page",
    "chat": "Chat",
}
"""Every way that customers are told of, with its name for people."""
# A page, a robot's mail, the phone's announcement: more than these are not ours.
TEXTS_MAX: Final = 50
# A channel that fails and recovers every minute for half a day; older reports of it explain nothing to this order.
HOUSE_MAX: Final = 500
PROBE: Final = "probe"


@dataclass(frozen=True, slots=True)
class WayIn:
    """One way to reach us. `works` None: nobody ever reported on it; `since`: the last report."""

    channel: str
    name: str
    works: bool | None
    why: str
    since: datetime | None
    by: str


@dataclass(frozen=True, slots=True)
class HouseText:
    """A text that everybody reads. `hours` None: it names no time, which is R-20 for everybody who waits."""

    place: str
    text: str
    hours: int | None
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class WaysIn:
    """Every way to reach us, and what we say in public about how fast we answer."""

    channels: tuple[WayIn, ...]
    texts: tuple[HouseText, ...]


def ways_in(tx: Connection) -> WaysIn:
    """How each channel is by its last report."""
    said = {each.subject: each for each in contacts.latest(tx, StatementKind.CHANNEL_STATE)}
    return WaysIn(
        channels=tuple(_way(channel, name, said.get(channel)) for channel, name in CHANNELS.items()),
        texts=tuple(
            HouseText(each.subject, each.payload["text"], each.payload["hours"], each.said_at, each.by)
            for each in contacts.latest(tx, StatementKind.PUBLIC_TEXT)
        ),
    )


def _way(channel: str, name: str, last: HouseWord | None) -> WayIn:
    if last is None:
        return WayIn(channel, name, None, "", None, "")
    return WayIn(channel, name, last.payload["works"], last.payload["why"], last.said_at, last.by)


def report(
    tx: Connection, actor: str, channel: str, works: bool, why: str, now: datetime, who: Caller | None, order: str = ""
) -> None:
    """Somebody says that a channel works or does not; of the `order` more is said at once. Refusals: channel_name."""
    if channel not in CHANNELS:
        raise refuse("channel_name", channel=channel[:32], known=", ".join(CHANNELS))
    state = ChannelState(channel, works, "" if works else why.strip()[:200])
    _say(tx, StatementKind.CHANNEL_STATE, channel, actor, Source.STAFF, payload_to(state), now, order)
    detail = {"works": works}
    audit.add(tx, Entry(now, actor, "channel_reported", f"channel:{channel}", detail, who.account_no if who else None))


def probed(tx: Connection, channel: str, why: str, now: datetime) -> bool:
    """A probe looked (`why` empty: it works); True if that changed what we know. The same seen again is silent."""
    known = {each.subject: each for each in contacts.latest(tx, StatementKind.CHANNEL_STATE)}.get(channel)
    # What staff reported is theirs to take back: the door of a mail server answers also while its mailbox is full.
    if known is not None and (known.payload["works"] is not bool(why) or (known.by != PROBE and not why)):
        return False
    if known is None and not why:
        return False
    state = ChannelState(channel, not why, f"probe_failed: {why}"[:200] if why else "")
    _say(tx, StatementKind.CHANNEL_STATE, channel, PROBE, Source.SYSTEM, payload_to(state), now)
    return True


def publish(
    tx: Connection, actor: str, place: str, text: str, hours: int | None, now: datetime, who: Caller | None
) -> None:
    """Write down what stands somewhere for everybody to read from now on. Refusals: too_many_texts."""
    known = {each.subject for each in contacts.latest(tx, StatementKind.PUBLIC_TEXT)}
    if place not in known and len(known) >= TEXTS_MAX:
        raise refuse("too_many_texts", limit=TEXTS_MAX)
    _say(tx, StatementKind.PUBLIC_TEXT, place, actor, Source.STAFF, payload_to(PublicText(text, hours)), now)
    audit.add(tx, Entry(now, actor, "text_published", f"text:{place}", None, who.account_no if who else None))


def _say(
    tx: Connection, kind: StatementKind, subject: str, by: str, source: Source, payload: dict[str, Any], now: datetime,
    order: str = "",
) -> None:  # fmt: skip
    contacts.say(tx, HouseWord(kind, subject, now, by, source, payload))
    weighings.mark_waiting_stale(tx, order)


def of_waits(tx: Connection, said: Iterable[Statement]) -> tuple[Statement, ...]:
    """What was said of the house since this order's customer first wrote, as facts; nothing if they never did."""
    first = min((s.said_at for s in said if isinstance(s.payload, Contact) and s.payload.inbound), default=None)
    if first is None:
        return ()
    return tuple(_fact(each) for each in contacts.house_since(tx, first, HOUSE_MAX))


def _fact(word: HouseWord) -> Statement:
    # Of a public text `by` names where it stands: a better text at the same place takes it back.
    by = word.subject if word.kind == StatementKind.PUBLIC_TEXT else word.by
    return Statement(
        id=f"house:{word.no}",
        kind=StatementKind(word.kind),
        order="",
        slot=None,
        said_at=word.said_at,
        earliest=word.said_at,
        latest=word.said_at,
        by=by,
        source=Source(word.source),
        learnt_at=word.said_at,
        payload=payload_from(word.kind, word.payload),
    )
