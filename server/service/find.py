"""Support's one box: reads what was typed in every way that makes sense, says how, and never shows a customer's place.

A claim code is a secret of the box it lay in: it is recognised and not looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from server.refusal import Refusal
from server.rules.policy import Policy
from server.rules.tracking.decode import decode, words
from server.service import answers, gateway_health, tag_life
from server.service.gateway_health import GatewayHealth
from server.service.lost import plain_code
from server.service.tag_life import TagLife
from server.store import orders, statements, units
from wire.claim_code import decode_claim_code
from wire.errors import WireError
from wire.manifest import MAX_SERIAL
from wire.topics import gateway_of

# More orders than this under one e-mail address are a shop of its own: ask for the number.
ORDERS_MAX: Final = 20
QUERY_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in a list: what our system says, what the evidence says, what is open."""

    number: str
    customer: str
    placed_at: datetime
    system_says: str
    evidence_says: str
    sentence: str
    findings: tuple[str, ...]
    next_text: str
    next_by: str | None
    reply_due: datetime | None  # until when a person answers this customer, who waits; None: nobody waits


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what was typed, and what was found that way."""

    kind: str
    read_as: str
    value: str
    orders: tuple[OrderRow, ...] = ()
    tag: TagLife | None = None
    gateway: GatewayHealth | None = None

    @property
    def found(self) -> bool:
        """True if this reading led to anything."""
        return bool(self.orders or self.tag or self.gateway)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: the readings that led to something, and those that made sense but led nowhere."""

    query: str
    readings: tuple[Reading, ...]
    other_readings: tuple[Reading, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class _Look:
    tx: Connection
    policy: Policy
    now: datetime


def find(tx: Connection, query: str, policy: Policy, now: datetime) -> Found:
    """Read `query` in every way that fits."""
    text = query.strip()[:QUERY_MAX]
    if _claim_code(text):
        advice = "This is a claim code. It belongs to whoever has the box; ask for the number on the tag instead."
        return Found("(a claim code)", (), (Reading("claim_code", "a claim code (not looked up)", ""),), advice)
    look = _Look(tx, policy, now)
    readings = [reading for read in _READERS if (reading := read(look, text)) is not None]
    found = tuple(reading for reading in readings if reading.found)
    other = tuple(reading for reading in readings if not reading.found)
    advice = (
        ""
        if found
        else "Nothing found. Try the order number, the tag's number, a name, an e-mail address or a tracking number."
    )
    return Found(text, found, other, advice)


def newest(tx: Connection, policy: Policy, now: datetime) -> tuple[OrderRow, ...]:
    """The orders placed last."""
    return _rows(_Look(tx, policy, now), orders.newest(tx, ORDERS_MAX))


def row_of(tx: Connection, number: str, policy: Policy, now: datetime) -> OrderRow:
    """An order for a list. Refusals: order_unknown."""
    weighing = answers.kept(tx, number, policy, now)
    order = orders.order(tx, number)
    assert order is not None, "weighed a moment ago"
    shown: Mapping[str, Any] = weighing["shown"]
    reply = weighing.get("reply")
    return OrderRow(
        number=number,
        customer=order.customer_name,
        placed_at=order.placed_at,
        system_says=_farthest(shown, "stated"),
        evidence_says=_farthest(shown, "evidenced"),
        sentence=shown["sentence"],
        findings=tuple(dict.fromkeys(f"{each['rule']['id']} {each['rule']['title']}" for each in weighing["findings"])),
        next_text=shown["next_text"],
        next_by=shown["next_by"],
        reply_due=datetime.fromisoformat(reply["due"]) if reply else None,
    )


def _farthest(shown: Mapping[str, Any], column: str) -> str:
    """Every unit's step in this column, once each: two units of one order may be apart."""
    steps = [slot[column] or "nothing" for slot in shown["slots"]]
    return ", ".join(dict.fromkeys(steps)) or "nothing"


def _claim_code(text: str) -> bool:
    code = text.rpartition("#")[2] if "/c/" in text or text.startswith("#") else text
    try:
        decode_claim_code(code)
    except WireError:
        return "/c/" in text
    return True


def _order_number(look: _Look, text: str) -> Reading | None:
    if not text or len(text) > 64:
        return None
    known = orders.as_typed(look.tx, text)
    rows = (row_of(look.tx, known.number, look.policy, look.now),) if known else ()
    return Reading("order", "an order number", known.number if known else text, rows)


def _serial(look: _Look, text: str) -> Reading | None:
    digits = text.removeprefix("#").replace(" ", "")
    if not digits.isdecimal() or not digits.isascii() or int(digits) > MAX_SERIAL:
        return None
    return _tag_reading(look, "serial", "a tag's number", int(digits))


def _found_code(look: _Look, text: str) -> Reading | None:
    match = re.search(r"/f/([A-Za-z0-9-]{4,32})\Z", text)
    code = plain_code(match[1] if match else text)
    if not re.fullmatch(r"[A-Z0-9]{4,32}", code):
        return None
    unit = units.by_found_code(look.tx, code)
    words = "the code on a tag's outside" + (" (from its QR address)" if match else "")
    if unit is None:
        return Reading("found_code", words, code)
    return _tag_reading(look, "found_code", words, unit.serial)


def _email(look: _Look, text: str) -> Reading | None:
    if "@" not in text:
        return None
    email = text.lower()
    numbers = orders.numbers_of_email(look.tx, email, ORDERS_MAX)
    return Reading("email", "an e-mail address", email, _rows(look, numbers))


def _phone(look: _Look, text: str) -> Reading | None:
    """Digits with the signs that people write between them; shorter ones are an extension."""
    digits = re.sub(r"[\s()./+-]", "", text)
    if not digits.isascii() or not digits.isdecimal() or not 6 <= len(digits) <= 15:
        return None
    numbers = orders.numbers_of_phone(look.tx, digits, ORDERS_MAX)
    return Reading("phone", "a telephone number", digits, _rows(look, numbers))


def _name(look: _Look, text: str) -> Reading | None:
    if not re.fullmatch(r"[^\W\d_][^\d@#/]*", text):
        return None
    return Reading("name", "a customer's name", text, _rows(look, orders.numbers_of_name(look.tx, text, ORDERS_MAX)))


def _promise(look: _Look, text: str) -> Reading | None:
    """By the number that the list of promises shows."""
    match = re.fullmatch(r"(?:promise )?(\d{1,18})", text, re.ASCII | re.IGNORECASE)
    number = statements.order_of_promise(look.tx, int(match[1])) if match else None
    return Reading("promise", "a promise", match[1], _rows(look, [number])) if match and number else None


def _tracking(look: _Look, text: str) -> Reading | None:
    decoded = decode(text)
    if not re.fullmatch(r"[A-Z0-9]{8,40}", decoded.plain) or not re.search(r"\d{4}", decoded.plain):
        return None
    numbers = orders.numbers_of_tracking(look.tx, (*decoded.numbers, text), ORDERS_MAX)
    read_as = f"a carrier's number ({words(decoded).removesuffix('.')})"
    return Reading("tracking", read_as, decoded.plain, _rows(look, numbers))


def _gateway(look: _Look, text: str) -> Reading | None:
    try:
        name = gateway_of(f"hearsight/1/gw/{text}/batch")
    except WireError:
        return None
    try:
        return Reading("gateway", "a gateway's name", name, gateway=gateway_health.gateway(look.tx, name, look.now))
    except Refusal:
        return Reading("gateway", "a gateway's name", name)


def _tag_reading(look: _Look, kind: str, words: str, serial: int) -> Reading:
    try:
        life = tag_life.tag_life(look.tx, serial, look.policy, look.now)
    except Refusal:
        return Reading(kind, words, str(serial))
    return Reading(kind, words, str(serial), _rows(look, [each.order for each in life.orders]), life)


def _rows(look: _Look, numbers: Sequence[str]) -> tuple[OrderRow, ...]:
    """In the order given, but weighed by number: weighing holds them, and whoever weighs several goes so."""
    rows = {number: row_of(look.tx, number, look.policy, look.now) for number in sorted(set(numbers))}
    return tuple(rows[number] for number in numbers)


_READERS: Final[tuple[Callable[[_Look, str], Reading | None], ...]] = (
    _order_number,
    _serial,
    _found_code,
    _email,
    _phone,
    _name,
    _promise,
    _tracking,
    _gateway,
)
