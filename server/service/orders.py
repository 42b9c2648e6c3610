"""Recording orders and what is said about them: idempotent, append-only, and no source spoken for by a stranger.

Saying the same thing twice (the same key and the same contents) is one statement. Who may speak for which source is
a table, because a carrier's scan is evidence: no staff input alone may make a customer read "shipped".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.authority import STAFF, Role
from server.rules.facts import Correction, Source, StatementKind, interval
from server.rules.payload_json import PayloadError, payload_from, payload_to
from server.service import tracking
from server.service.caller import Caller
from server.service.people import is_email
from server.service.refusals import refuse
from server.store import audit, gateways, orders, statements, weighings
from server.store.audit import Entry
from server.store.orders import StoredOrder, slot_id
from server.store.statements import StoredStatement

# A sender's clock may be a little ahead of ours; more is a mistake that would put words into the future.
AHEAD_MAX: Final = timedelta(minutes=5)
LINK_LIFETIME: Final = timedelta(days=30)
# 32 random bytes, as text of 43 letters.
LINK_BYTES: Final = 32

# A carrier's scan and our machinery's word weigh more than a person's: only the operator's adapters speak for them.
SOURCES: Final[Mapping[Source, frozenset[Role]]] = {
    Source.SHOP: STAFF,
    Source.WAREHOUSE: STAFF,
    Source.STAFF: STAFF,
    Source.CUSTOMER: STAFF | {Role.OWNER},
    Source.CARRIER: frozenset({Role.OPERATOR}),
    Source.SYSTEM: frozenset({Role.OPERATOR}),
}
# What a customer says of their own order, by the page or in a letter: that they want something of us, no event.
OWN_WORDS: Final = frozenset({StatementKind.CONTACT, StatementKind.REFUND_REQUESTED})
# Said by anybody else it would be a carrier's evidence made at a desk, or a promise let go by whoever made it.
ONLY_FROM: Final[Mapping[StatementKind, Source]] = {
    StatementKind.CARRIER_SCAN: Source.CARRIER,
    StatementKind.PROMISE_CANCELLED: Source.CUSTOMER,
}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing somebody says about an order. `key` is the sender's own name for it; `slot` None = the whole order.

    The event happened `at` (with `since`: some time between the two), or `at_least_ago` before it was said, or nobody
    told. `corrects` is the key or the id of
    an earlier statement.
    """

    key: str
    kind: StatementKind
    said_at: datetime
    by: str
    source: Source
    slot: int | None = None
    at: datetime | None = None
    since: datetime | None = None
    at_least_ago: timedelta | None = None
    zone: str = "UTC"
    via: str = "api"
    payload: Mapping[str, Any] | None = None
    corrects: str | None = None
    correction: Correction | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a statement: `id` is its name from now on, `new` False if it was known already."""

    key: str
    id: str
    new: bool


def record(tx: Connection, order: StoredOrder) -> bool:
    """Write an order down; False if the same order is known. Refusals: email_invalid, order_conflict,
    site_unknown.
    """
    if not is_email(order.email):
        raise refuse("email_invalid", reference=order.number)
    if order.site is not None and gateways.site(tx, order.site) is None:
        raise refuse("site_unknown", site=order.site, reference=order.number)
    if orders.add(tx, order):
        weighings.expect(tx, order.number, order.learnt_at)
        return True
    known = orders.order(tx, order.number)
    # Encrypting twice gives two texts, so the personalisation's presence is compared, not its bytes.
    if known is None or _bare(known) != _bare(order):
        raise refuse("order_conflict", number=order.number, reference=order.number)
    return False


def _bare(order: StoredOrder) -> StoredOrder:
    slots = tuple(
        replace(slot, number=0, personalisation=b"" if slot.personalisation else None) for slot in order.slots
    )
    return replace(order, learnt_at=order.placed_at, slots=slots, ship_to=dict(order.ship_to))


def state(tx: Connection, number: str, said: Sequence[Said], role: Role, now: datetime) -> tuple[Recorded, ...]:
    """Write down what was said, all of it or nothing.

    Refusals: order_unknown, slot_unknown, source_not_yours, said_in_future, payload_*, statement_conflict,
    statement_unknown.
    """
    if not orders.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    order = orders.order(tx, number)
    assert order is not None, "an order that is held cannot go"
    slots = {slot.number: slot_id(number, slot.line, slot.unit) for slot in order.slots}
    done = tuple(_state_one(tx, number, slots, each, role, now) for each in said)
    if any(each.new for each in done):
        _follow(tx, number, [each for each, recorded in zip(said, done, strict=True) if recorded.new], now)
        weighings.mark_stale(tx, [number])
    return done


def _follow(tx: Connection, number: str, said: Sequence[Said], now: datetime) -> None:
    """Carriers are asked about the numbers that were given, and what they told before is this order's now."""
    given = (tracking.stated(s.kind, s.payload or {}, s.slot, s.at or s.said_at) for s in said)
    tracking.follow(tx, number, [each for each in given if each is not None], now)


def sign(tx: Connection, who: Caller, number: str, given: Sequence[Recorded] | None, now: datetime) -> None:
    """Write down whose account recorded an order (`given` None) or statements: a name in them is only a name."""
    if given is None:
        audit.add(tx, Entry(now, who.email, "recorded", f"order:{number}", None, who.account_no))
    elif new := [each.id for each in given if each.new]:
        audit.add(tx, Entry(now, who.email, "stated", f"order:{number}", {"statements": new}, who.account_no))


def _state_one(
    tx: Connection, number: str, slots: Mapping[int, str], said: Said, role: Role, now: datetime
) -> Recorded:
    _may_speak(role, said.source, said.key)
    if role is Role.OWNER and said.kind not in OWN_WORDS:
        raise refuse("source_not_yours", role=role, source=said.source, reference=said.key)
    if ONLY_FROM.get(said.kind, said.source) is not said.source:
        detail = f"a {said.kind} has the source {ONLY_FROM[said.kind]}"
        raise refuse("payload_bad_value", detail=detail, reference=said.key)
    if said.slot is not None and said.slot not in slots:
        raise refuse("slot_unknown", number=number, slot=said.slot, reference=said.key)
    if said.said_at > now + AHEAD_MAX:
        raise refuse("said_in_future", reference=said.key)
    earliest, latest = interval(said.said_at, said.at, said.at_least_ago)
    if said.since is not None:
        earliest = min(said.since, latest)
    statement = StoredStatement(
        order_number=number,
        key=said.key,
        slots=() if said.slot is None else (slots[said.slot],),
        kind=str(said.kind),
        said_at=said.said_at,
        earliest=earliest,
        latest=latest,
        zone=said.zone,
        by=said.by,
        source=str(said.source),
        via=said.via,
        payload=_payload(tx, number, said),
        learnt_at=now,
        corrects=_corrected(tx, number, said, role),
        correction=str(said.correction) if said.correction else None,
    )
    given = statements.add(tx, statement)
    if given is not None:
        return Recorded(said.key, str(given), True)
    known = statements.by_key(tx, number, said.key)
    if known is None or replace(known, no=0, learnt_at=now) != statement:
        raise refuse("statement_conflict", key=said.key, reference=said.key)
    return Recorded(said.key, str(known.no), False)


def _payload(tx: Connection, number: str, said: Said) -> dict[str, object]:
    try:
        raw = payload_to(payload_from(str(said.kind), said.payload or {}))
    except PayloadError as error:
        raise refuse(error.code, detail=str(error), reference=said.key) from None
    if said.kind is StatementKind.PROMISE_CANCELLED:
        raw["promise"] = str(_meant(tx, number, str(raw["promise"])).no)
    return raw


def _may_speak(role: Role, source: Source, key: str) -> None:
    if role not in SOURCES[source]:
        raise refuse("source_not_yours", role=role, source=source, reference=key)


def _corrected(tx: Connection, number: str, said: Said, role: Role) -> int | None:
    """The statement that this one corrects. To take a carrier's word away weighs as much as to give it."""
    if said.corrects is None:
        return None
    target = _meant(tx, number, said.corrects)
    _may_speak(role, Source(target.source), said.key)
    return target.no


def _meant(tx: Connection, number: str, name: str) -> StoredStatement:
    """The statement meant by its sender's key or by the id we gave it."""
    known = statements.by_key(tx, number, name)
    if known is None and name.isdecimal():
        known = next((s for s in statements.of_order(tx, number) if str(s.no) == name), None)
    if known is None:
        raise refuse("statement_unknown", key=name, reference=name)
    return known


# --- The customer's way in -----------------------------------------------------------------------------------


def open_link(tx: Connection, typed: str, email: str, token: str, now: datetime) -> tuple[str, datetime]:
    """Let whoever holds `token` read this order; returns its number and when that ends. `typed`: the number as a person
    types it. Refusals: view_refused for both wrongs.
    """
    order = orders.as_typed(tx, typed)
    theirs = order.email if order else ""
    if not hmac.compare_digest(theirs.encode(), email.strip().lower().encode()) or order is None:
        raise refuse("view_refused")
    ends_at = now + LINK_LIFETIME
    orders.add_link(tx, link_hash(token), order.number, now, ends_at)
    return order.number, ends_at


def order_of_link(tx: Connection, token: str, now: datetime) -> str:
    """The order that a link opens. Refusals: view_ended."""
    number = orders.number_of_link(tx, link_hash(token), now)
    if number is None:
        raise refuse("view_ended")
    return number


def new_link_token(dice: Callable[[int], bytes]) -> str:
    """A token for a link: only its hash is kept."""
    return dice(LINK_BYTES).hex()


def link_hash(token: str) -> bytes:
    """What the server keeps of a token of 256 random bits: no slow hash is needed."""
    return hashlib.sha256(b"hearsight order link v1" + token.encode()).digest()
