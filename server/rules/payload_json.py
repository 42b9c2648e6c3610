"""The JSON form of payloads: as the store keeps them and an API receives them.

`payload_from(kind, raw)` reads it, `payload_to` writes it. Unknown keys, missing keys and wrong types raise
`PayloadError` with a code and the key, for its caller to refuse. Moments are ISO 8601 with an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from enum import StrEnum

from server.rules.payloads import PAYLOAD_OF, About, OfferKind, Payload, PromiseKind, ShipmentStatus, Wants

# A mail fits; a pasted log file does not.
TEXT_MAX = 4_000
# Above it JavaScript rounds.
INT_MAX = 2**53 - 1
# By field: a million of money, ten years of grace, a year until an answer. More is a mistake that overflows a sum.
MOST = {"amount_minor": 100_000_000, "grace_s": 315_360_000, "hours": 8760}
# Outside, arithmetic with zones overflows, and counting business days from the year 1 takes minutes.
FIRST_YEAR, LAST_YEAR = 2000, 2100


class PayloadError(ValueError):
    """A payload that cannot be read. `code` is one of payload_unknown_key, payload_missing_key, payload_bad_value."""

    def __init__(self, code: str, key: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.key = key


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a moment is ISO 8601 text")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a moment needs an offset")
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(f"a moment from {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    if len(value) > TEXT_MAX:
        raise ValueError(f"longer than {TEXT_MAX} characters")
    if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise ValueError("holds a character that no database keeps")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("expected a whole number")
    if not 0 <= value <= INT_MAX:
        raise ValueError("a number below zero, or beyond what JSON readers agree on")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _word(kind: type[StrEnum]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("expected a word")
        return kind(value)

    return read


_READERS: Mapping[str, Callable[[object], object]] = {
    "str": _text,
    "int": _whole,
    "bool": _truth,
    "int | None": lambda value: None if value is None else _whole(value),
    "datetime": _moment,
    "datetime | None": lambda value: None if value is None else _moment(value),
    "About": _word(About),
    "OfferKind": _word(OfferKind),
    "PromiseKind": _word(PromiseKind),
    "ShipmentStatus": _word(ShipmentStatus),
    "Wants": _word(Wants),
}


def payload_from(kind: str, raw: Mapping[str, object]) -> Payload:
    """Read the payload of a statement of this kind from its JSON object. Raises `PayloadError`, never anything else."""
    made = PAYLOAD_OF.get(kind)
    if made is None:
        raise PayloadError("payload_bad_value", "kind", f"no such kind of statement: {kind}")
    known = {f.name: f for f in fields(made)}
    for key in raw:
        if key not in known:
            raise PayloadError("payload_unknown_key", key, f"{kind} has no field {key}")
    values: dict[str, object] = {}
    for name, f in known.items():
        if name in raw:
            try:
                values[name] = _READERS[str(f.type)](raw[name])
            except (ValueError, OverflowError) as wrong:
                raise PayloadError("payload_bad_value", name, f"{kind}.{name}: {wrong}") from None
            if name in MOST and isinstance(read := values[name], int) and read > MOST[name]:
                raise PayloadError("payload_bad_value", name, f"{kind}.{name}: at most {MOST[name]}")
        elif f.default is MISSING:
            raise PayloadError("payload_missing_key", name, f"{kind} needs {name}")
    return made(**values)  # type: ignore[arg-type]  # each value was read by the reader of its field's type


def payload_to(payload: Payload) -> dict[str, object]:
    """Write a payload as its JSON object; `payload_from` of it gives the same payload."""
    raw: dict[str, object] = {}
    for f in fields(payload):
        value = getattr(payload, f.name)
        raw[f.name] = value.isoformat() if isinstance(value, datetime) else value
    return raw
