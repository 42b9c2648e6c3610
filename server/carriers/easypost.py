"""EasyPost behind the carrier port: its signed webhook, its tracker, and asking for one by number.

Written from EasyPost's public documentation (docs.easypost.com: webhooks, events, trackers). Bytes come from outside:
everything is limited, and what does not fit is said to be unreadable without repeating it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

import httpx
import msgspec

from server.carriers.codes import OVER, meaning
from server.carriers.places import Place, end_of_day, when
from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.rules.payloads import CarrierScan, ShipmentStatus
from server.service.carrier_port import AwayError, Delivery, RefusedError, Scan, Told, UnreadableError, plain

VENDOR: Final = "easypost"
SIGNATURE: Final = "x-hmac-signature"
_PREFIX: Final = "hmac-sha256-hex="
# EasyPost answers in a second or two; whoever drips its answer must not hold up the round.
TIMEOUT_S: Final = 15.0
# A tracker with a hundred events has 40 kB.
ANSWER_MAX: Final = 512 * 1024
# A parcel that went round the world has fewer; more is a loop somewhere, and the newest ones count.
DETAILS_MAX: Final = 300
_WORD_MAX: Final = 60
_RETRY_MAX_S: Final = 24 * 3600
_T = TypeVar("_T")


class _Location(msgspec.Struct):
    city: str | None = None
    state: str | None = None
    country: str | None = None
    zip: str | None = None

    @property
    def place(self) -> Place:
        return Place(*(_word(each) for each in (self.city, self.state, self.country, self.zip)))


class _Detail(msgspec.Struct):
    status: str | None = None
    status_detail: str | None = None
    datetime: str | None = None
    tracking_location: _Location | None = None


class _CarrierDetail(msgspec.Struct):
    service: str | None = None
    est_delivery_date_local: str | None = None
    destination_tracking_location: _Location | None = None


class _Tracker(msgspec.Struct):
    id: str
    tracking_code: str
    carrier: str | None = None
    status: str | None = None
    status_detail: str | None = None
    updated_at: str | None = None
    est_delivery_date: str | None = None
    tracking_details: list[_Detail] | None = None
    carrier_detail: _CarrierDetail | None = None


class _Event(msgspec.Struct):
    id: str
    description: str
    result: msgspec.Raw = msgspec.Raw(b"null")


class EasyPost:
    """One account. Without `webhook_secret` every webhook is refused, without `key` nothing is asked."""

    vendor = VENDOR

    def __init__(self, url: str, key: str | None, webhook_secret: str | None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._key, self._timeout_s = url, key, timeout_s
        self._secret = unicodedata.normalize("NFKD", webhook_secret).encode() if webhook_secret else b""

    @property
    def can_look_up(self) -> bool:
        """Whether there is an API key."""
        return bool(self._key)

    def verify(self, headers: Mapping[str, str], raw: bytes) -> bool:
        """True if `X-Hmac-Signature` is the HMAC-SHA256 of these bytes under the webhook's secret."""
        if not self._secret:
            return False
        return hmac.compare_digest(headers.get(SIGNATURE, "").encode(), self.signature(raw).encode())

    def signature(self, raw: bytes) -> str:
        """The header as EasyPost writes it."""
        return _PREFIX + hmac.new(self._secret, raw, hashlib.sha256).hexdigest()

    def parse(self, raw: bytes, now: datetime) -> Delivery:
        """An event; only those about a tracker tell anything. Raises UnreadableError."""
        event = _decode(raw, _Event)
        if not 0 < len(event.id) <= 100:
            raise UnreadableError("an event without an id")
        if not event.description.startswith("tracker."):
            return Delivery(event.id, None)
        return Delivery(event.id, _told(_decode(bytes(event.result), _Tracker), now))

    def lookup(self, carrier: str, number: str, vendor_id: str | None, now: datetime) -> Told:
        """The tracker by its id, or made for the number. Raises AwayError, RefusedError, UnreadableError.

        Asking for the same number again within three months gives the same tracker, as EasyPost documents it.
        """
        wanted = {"tracker": {"tracking_code": number} | ({"carrier": carrier} if carrier else {})}
        request = ("GET", f"/v2/trackers/{vendor_id}", None) if vendor_id else ("POST", "/v2/trackers", wanted)
        return _told(_decode(asyncio.run(self._ask(*request)), _Tracker), now, asked=True)

    async def _ask(self, method: str, path: str, body: Any) -> bytes:
        assert self._key, "asked only with a key"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False, trust_env=False) as client,
                client.stream(method, self._url + path, json=body, auth=(self._key, "")) as answer,
            ):
                _check(answer)
                held = bytearray()
                async for part in answer.aiter_bytes():
                    held += part
                    if len(held) > ANSWER_MAX:
                        raise UnreadableError(f"an answer of more than {ANSWER_MAX} bytes")
                return bytes(held)
        except (TimeoutError, httpx.HTTPError, OSError) as error:
            raise AwayError(type(error).__name__) from None


def _check(answer: httpx.Response) -> None:
    if answer.status_code == 429 or answer.status_code >= 500 or answer.status_code in (401, 402, 403, 408):
        told = answer.headers.get("retry-after", "")
        wait = min(int(told), _RETRY_MAX_S) if told.isascii() and told.isdecimal() and len(told) < 8 else None
        raise AwayError(f"answered {answer.status_code}", wait)
    if not answer.is_success:
        raise RefusedError(f"answered {answer.status_code}")


def _decode(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableError(f"no {kind.__name__.strip('_').lower()} as documented") from None


def _word(text: str | None) -> str:
    """A vendor's word, one line, short, fit for a database."""
    kept = "".join(letter for letter in text or "" if letter.isprintable())
    return " ".join(kept.split())[:_WORD_MAX]


def _told(tracker: _Tracker, now: datetime, *, asked: bool = False) -> Told:
    number = plain(tracker.tracking_code)
    if not number or not number.isascii() or not number.isalnum() or not 0 < len(tracker.id) <= 100:
        raise UnreadableError("a tracker without a carrier's number")
    carrier = _word(tracker.carrier)
    details = (tracker.tracking_details or [])[-DETAILS_MAX:]
    scans = [scan for each in details if (scan := _scan(carrier, number, each)) is not None]
    head = _head(carrier, number, tracker, now, asked=asked)
    return Told(carrier, number, tracker.id, (*scans, *head), _word(tracker.status) in OVER)


def _scan(carrier: str, number: str, detail: _Detail) -> Scan | None:
    """One event. One whose time cannot be read cannot be placed and is left out: the body is kept."""
    place = detail.tracking_location.place if detail.tracking_location else Place()
    told = _word(detail.datetime)
    try:
        earliest, latest, zone = when(told, place)
    except ValueError:
        return None
    event = _event(carrier, number, detail.status, detail.status_detail, place.words)
    return Scan(event, earliest, latest, told, zone)


def _event(carrier: str, number: str, status: str | None, detail: str | None, place: str) -> CarrierScan:
    means = meaning(_word(status), _word(detail))
    return CarrierScan(
        carrier, number, means.status, means.physical, code=_code(status, detail), place=place, mapped=means.mapped
    )


def _code(status: str | None, detail: str | None) -> str:
    return f"{_word(status) or 'unknown'}/{_word(detail) or 'unknown'}"


def _head(carrier: str, number: str, tracker: _Tracker, now: datetime, *, asked: bool) -> tuple[Scan, ...]:
    """What stands above the events: service, destination, estimate, and that the carrier shows nothing.

    It is the vendor's word of the moment at which it changed (or was asked), and never a parcel in hand.
    """
    known, more = bool(tracker.tracking_details), tracker.carrier_detail or _CarrierDetail()
    destination = more.destination_tracking_location.place if more.destination_tracking_location else Place()
    eta = _estimate(tracker, more, destination)
    means = meaning(_word(tracker.status), _word(tracker.status_detail))
    status, odd = means.status, not means.mapped and not known  # else its last event says it
    nothing_yet = not known or status in (ShipmentStatus.PRE_TRANSIT, ShipmentStatus.UNKNOWN)
    if not (eta or destination.zip or _word(more.service) or odd or (asked and nothing_yet)):
        return ()
    at = now if asked and nothing_yet else _moment(tracker.updated_at, now)
    # Asked every few hours, a label that nobody scanned is told once a day.
    told = f"{at:%Y-%m-%d}" if asked and nothing_yet else _word(tracker.updated_at)
    event = CarrierScan(
        carrier, number, status, physical=False, code=_code(tracker.status, tracker.status_detail) if odd else "",
        destination_postcode=destination.zip, found=known or odd or status is not ShipmentStatus.UNKNOWN, eta=eta,
        service=_word(more.service), mapped=not odd,
    )  # fmt: skip
    return (Scan(event, at, at, told),)


def _moment(told: str | None, now: datetime) -> datetime:
    """EasyPost's own clock, which is UTC."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(_word(told))
        if moment.tzinfo is not None and FIRST_YEAR <= moment.year < LAST_YEAR:
            return min(moment.astimezone(UTC), now)
    return now


def _estimate(tracker: _Tracker, more: _CarrierDetail, destination: Place) -> datetime | None:
    """The carrier's estimate: the local day if it is told, else a moment, else (midnight in UTC) a day."""
    for told in (more.est_delivery_date_local, tracker.est_delivery_date):
        with suppress(ValueError, OverflowError):
            text = _word(told)
            if not FIRST_YEAR <= date.fromisoformat(text[:10]).year < LAST_YEAR:
                continue
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None or (moment.hour, moment.minute, moment.second) == (0, 0, 0):
                return end_of_day(moment.date(), destination)
            return moment.astimezone(UTC)
    return None
