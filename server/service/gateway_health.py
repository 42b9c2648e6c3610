"""How each gateway is: connected is not the same as hearing, and neither is the same as having sent what it heard.

Where a gateway stands is told only for those at our own sites: a passer-by's receiver stands in somebody's home. Who
runs such a one stays untold, and when it last sent a batch is told to the hour: held against the moment at which an
owner's tag was heard, both would say where that tag is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from server.rules.facts import GatewayClass
from server.service.refusals import refuse
from server.store import health
from server.store.health import GatewayRow

# A gateway tells its state every 30 s; three missing ones are an absence.
STATE_FRESH: Final = timedelta(seconds=90)
# Anything at all on the air counts. Smaller: a cellar is deaf every night. Larger: a dead adapter stays unseen.
DEAF_AFTER_S: Final = 15 * 60


class Word(StrEnum):
    """The gateway in a word, worst first."""

    REVOKED = "revoked"
    NOT_ENROLLED = "not_enrolled"
    OFFLINE = "offline"
    DEAF = "deaf"
    SCANNING_STOPPED = "scanning_stopped"
    HEARING = "hearing"


SENTENCE: Final[Mapping[Word, str]] = {
    Word.REVOKED: "Revoked: nothing from it is believed.",
    Word.NOT_ENROLLED: "Not enrolled yet: it waits for its token.",
    Word.OFFLINE: "Not connected.",
    Word.DEAF: "Connected, but it hears nothing: look at its radio.",
    Word.SCANNING_STOPPED: "Connected, but not scanning.",
    Word.HEARING: "Connected and hearing.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one of our own sites' gateways stands."""

    lat: float
    lon: float
    accuracy_m: int


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """One gateway. `state_at`: when its newest state reached us; `heard_radio_at`: when it last heard anything."""

    gateway: str
    gateway_class: GatewayClass
    owner: str
    site: str | None
    stands: Standing | None
    word: Word
    sentence: str
    online: bool
    scanner: str
    state_at: datetime | None
    heard_radio_at: datetime | None
    last_batch_at: datetime | None
    queued_batches: int
    clock: str
    restarts: Mapping[str, int]
    dropped: Mapping[str, int]
    software: str
    enrolled_at: datetime | None
    revoked_at: datetime | None


def every_gateway(tx: Connection, now: datetime) -> tuple[GatewayHealth, ...]:
    """All gateways, by name."""
    return tuple(_health(row, now) for row in health.every_gateway(tx))


def gateway(tx: Connection, name: str, now: datetime) -> GatewayHealth:
    """One gateway. Refusals: gateway_unknown."""
    row = health.gateway(tx, name)
    if row is None:
        raise refuse("gateway_unknown", gateway=name, reference=name)
    return _health(row, now)


def _health(row: GatewayRow, now: datetime) -> GatewayHealth:
    state = row.state or {}
    online = bool(state.get("online")) and row.state_at is not None and now - row.state_at <= STATE_FRESH
    scanner = str(state.get("scanner", "stopped")) if online else "unknown"
    heard = _heard_radio_at(row)
    word = _word(row, online, scanner, heard, now)
    return GatewayHealth(
        gateway=row.gateway,
        gateway_class=row.gateway_class,
        owner="" if row.gateway_class is GatewayClass.CROWD else row.owner,
        site=row.site,
        stands=_stands(row),
        word=word,
        sentence=SENTENCE[word],
        online=online,
        scanner=scanner,
        state_at=row.state_at,
        heard_radio_at=heard,
        last_batch_at=_told(row, row.last_batch_at),
        queued_batches=int(state.get("queued_batches", 0)),
        clock={0: "bad", 1: "unsure", 2: "good"}.get(state.get("clock", -1), "unknown"),
        restarts=dict(state.get("restarts", {})),
        dropped=dict(state.get("dropped", {})),
        software=str(state.get("software", "")),
        enrolled_at=row.enrolled_at,
        revoked_at=row.revoked_at,
    )


def _told(row: GatewayRow, at: datetime | None) -> datetime | None:
    return at if row.gateway_class is GatewayClass.OWN_SITE else to_the_hour(at)


def to_the_hour(at: datetime | None) -> datetime | None:
    """The beginning of the hour: near enough to help, too coarse to tell which receiver it was."""
    return at and at.replace(minute=0, second=0, microsecond=0)


def _word(row: GatewayRow, online: bool, scanner: str, heard: datetime | None, now: datetime) -> Word:
    if row.revoked_at is not None:
        return Word.REVOKED
    if row.enrolled_at is None:
        return Word.NOT_ENROLLED
    if not online:
        return Word.OFFLINE
    if scanner not in ("scanning", "paused"):
        return Word.SCANNING_STOPPED
    deaf = heard is None or now - heard > timedelta(seconds=DEAF_AFTER_S)
    return Word.DEAF if deaf else Word.HEARING


def _heard_radio_at(row: GatewayRow) -> datetime | None:
    age_s = (row.state or {}).get("last_advert_age_s")
    if age_s is None or row.state_at is None:
        return None
    try:
        return row.state_at - timedelta(seconds=float(age_s))
    except OverflowError:  # a gateway that says "a century ago" has heard nothing
        return None


def _stands(row: GatewayRow) -> Standing | None:
    if row.gateway_class is not GatewayClass.OWN_SITE or row.lat is None or row.lon is None:
        return None
    return Standing(row.lat, row.lon, row.accuracy_m or 0)
