"""What place of a sighting a role may see.

From the first valid activation receipt on (`owner_since`) a tag has an owner, and only that owner sees places heard
while it is his. Support then learns *heard* or *not heard*, and our own sites, also of the time before: the last place
before a claim is the owner's home. Rules themselves never see such a
place (`Case.place_of`), so no verdict and no line of `why` can give it away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from server.rules.authority import Role
from server.rules.facts import Act, ActKind, GatewayClass, Heard, Place


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a role, and the account if it is a customer's."""

    role: Role
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """A stretch in which a serial belonged to an account; `to_at` None = still does."""

    serial: int
    account: str
    from_at: datetime
    to_at: datetime | None = None

    def covers(self, at: datetime) -> bool:
        """True from the first moment of ownership to just before its end."""
        return self.from_at <= at and (self.to_at is None or at < self.to_at)


_BEGINS = frozenset({ActKind.ACTIVATED, ActKind.TRANSFERRED})
_ENDS = frozenset({ActKind.RELEASED})


def ownerships(acts: Iterable[Act]) -> tuple[Owned, ...]:
    """Who owned which serial from when to when: the first valid receipt wins; transfer and release end it."""
    by_serial: dict[int, list[Act]] = {}
    for act in sorted(set(acts), key=lambda act: (act.at, act.id)):
        if act.serial is not None and act.kind in _BEGINS | _ENDS:
            by_serial.setdefault(act.serial, []).append(act)
    return tuple(owned for serial in sorted(by_serial) for owned in _of_one(serial, by_serial[serial]))


def _of_one(serial: int, acts: list[Act]) -> list[Owned]:
    stretches: list[Owned] = []
    live: Owned | None = None
    for act in acts:
        if live is None and act.kind is ActKind.ACTIVATED and act.account is not None:
            live = Owned(serial, act.account, act.at)
        elif live is not None and act.kind in _ENDS:
            stretches.append(replace(live, to_at=act.at))
            live = None
        elif live is not None and act.kind is ActKind.TRANSFERRED and act.account is not None:
            stretches.append(replace(live, to_at=act.at))
            live = Owned(serial, act.account, act.at)
    return [*stretches, live] if live is not None else stretches


def owner_at(owned: Iterable[Owned], serial: int, at: datetime) -> str | None:
    """The account that owned this serial at this moment, or None."""
    return next((o.account for o in owned if o.serial == serial and o.covers(at)), None)


def owner_since(owned: Iterable[Owned], serial: int, now: datetime) -> datetime | None:
    """Since when the serial has belonged to its present owner, or None if it has none."""
    return next((o.from_at for o in owned if o.serial == serial and o.covers(now)), None)


def place_for(viewer: Viewer, heard: Heard, owned: Iterable[Owned]) -> Place | None:
    """The place of a heard row that this viewer may see, or None.

    Own sites are no secret of the tag's. Elsewhere: staff see it while the tag has had no owner since (a crowd receiver
    stands in somebody's home); an owner what was heard in her time. A row that reaches into an ownership is inside it.
    """
    if heard.gateway_class is GatewayClass.OWN_SITE:
        return heard.place
    mine = tuple(o for o in owned if o.serial == heard.serial)
    if viewer.role is not Role.OWNER:
        return None if any(o.to_at is None or heard.first_at < o.to_at for o in mine) else heard.place
    owner = owner_at(mine, heard.serial, heard.first_at) or owner_at(mine, heard.serial, heard.last_at)
    return heard.place if owner is not None and viewer.account == owner else None


def gateway_for(viewer: Viewer, heard: Heard, owned: Iterable[Owned]) -> str | None:
    """The gateway's id that this viewer may see; a fixed receiver's id gives its place away, so the same rule holds."""
    if heard.gateway_class is GatewayClass.OWN_SITE or place_for(viewer, replace(heard, place=_ANY), owned) is not None:
        return heard.gateway
    return None


_ANY = Place(0.0, 0.0, 0.0)
