"""The hidden truth of a story file (docs/stories.md): which tags exist, where they really are, and who can hear them.

Of a story only `[story]`, `[[gateway]]`, `[[tag]]` and `[[truth]]` concern the radio; the rest is for others to read.
Local times are shifted by whole weeks in the story's own zone, so that weekdays and opening hours stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from wire.batch import GatewayClass, Place, PlaceSource
from wire.topics import GatewayId

STILL_THERE: Final = float("inf")


class StoryError(Exception):
    """The file is not a story; the message says where."""


@dataclass(frozen=True, slots=True)
class StoryGateway:
    """A receiver of the story. `place` is None for one that moves; `live`: in the present a real one stands here."""

    id: str
    gateway_class: GatewayClass
    place: Place | None
    live: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A while in which a tag is somewhere and these gateways can hear it: about one frame each in every `every_s`.

    Times are seconds since 1970, `to_s` STILL_THERE if the tag has not left. `place`: where moving gateways are.
    """

    where: str
    from_s: float
    to_s: float
    heard_by: tuple[str, ...]
    every_s: float
    metres: float
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class StoryTag:
    """One tag of a story: when it is powered up, and its stretches in order of their beginning."""

    name: str
    serial: int
    lot: str
    boots_s: tuple[float, ...]
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What the radio needs of a story. `begins_s` is the first moment of its first day."""

    id: str
    begins_s: float
    gateways: tuple[StoryGateway, ...]
    tags: tuple[StoryTag, ...]


# --- The file ---------------------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    id: Annotated[str, Meta(min_length=1, max_length=32)]
    zone: str
    begins: date | None = None
    every_s: Annotated[float, Meta(gt=0)] = 600.0


class _Gateway(msgspec.Struct):
    id: GatewayId
    class_: Literal["own_site", "vehicle", "partner", "crowd"] = msgspec.field(name="class", default="crowd")
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float = 0.0
    live: bool = False


class _Tag(msgspec.Struct):
    name: str
    serial: int
    lot: str = ""
    boots: list[datetime] = []


class _Truth(msgspec.Struct):
    tag: str
    heard_by: list[str]
    where: str = ""
    from_: datetime | None = msgspec.field(name="from", default=None)
    to: datetime | None = None
    every_s: Annotated[float, Meta(gt=0)] | None = None
    # How far from its receivers the tag lies: a room, unless the story says otherwise.
    metres: Annotated[float, Meta(gt=0)] = 6.0
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float = 0.0


class _File(msgspec.Struct):
    story: _Head
    gateway: list[_Gateway] = []
    tag: list[_Tag] = []
    truth: list[_Truth] = []


def read_story(path: Path, weeks: int = 0) -> Story:
    """A story shifted by whole weeks. Raises StoryError."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
        return _Reader(file, weeks).story()
    except OSError as wrong:
        raise StoryError(f"{path} cannot be read: {wrong.strerror}") from None
    except (msgspec.DecodeError, ZoneInfoNotFoundError, ValueError) as wrong:
        raise StoryError(f"{path}: {wrong}") from None


class _Reader:
    def __init__(self, file: _File, weeks: int) -> None:
        self._file, self._shift = file, timedelta(weeks=weeks)
        self._zone = ZoneInfo(file.story.zone)

    def story(self) -> Story:
        tags = tuple(self._tag(tag) for tag in self._file.tag)
        known, heard = {tag.name for tag in self._file.tag}, {truth.tag for truth in self._file.truth}
        if heard - known:
            raise ValueError(f"truth about unknown tags: {', '.join(sorted(heard - known))}")
        gateways = tuple(self._gateway(gateway) for gateway in self._file.gateway)
        begins = [stretch.from_s for tag in tags for stretch in tag.stretches]
        begins += [boot_s for tag in tags for boot_s in tag.boots_s]
        if self._file.story.begins is not None:
            begins.append(self._utc_s(datetime.combine(self._file.story.begins, time())))
        return Story(self._file.story.id, min(begins, default=0.0), gateways, tags)

    def _utc_s(self, local: datetime) -> float:
        return (local + self._shift).replace(tzinfo=local.tzinfo or self._zone).timestamp()

    def _gateway(self, raw: _Gateway) -> StoryGateway:
        return StoryGateway(raw.id, GatewayClass[raw.class_.upper()], _place(raw, PlaceSource.FIXED), raw.live)

    def _tag(self, raw: _Tag) -> StoryTag:
        stretches = [self._stretch(truth) for truth in self._file.truth if truth.tag == raw.name]
        stretches.sort(key=lambda stretch: stretch.from_s)
        boots = tuple(sorted(map(self._utc_s, raw.boots))) or tuple(stretch.from_s for stretch in stretches[:1])
        return StoryTag(raw.name, raw.serial, raw.lot, boots, tuple(stretches))

    def _stretch(self, raw: _Truth) -> Stretch:
        known = {gateway.id for gateway in self._file.gateway}
        if unknown := set(raw.heard_by) - known:
            raise ValueError(f"{raw.tag} is heard by unknown gateways: {', '.join(sorted(unknown))}")
        from_s = 0.0 if raw.from_ is None else self._utc_s(raw.from_)
        to_s = STILL_THERE if raw.to is None else self._utc_s(raw.to)
        if to_s <= from_s:
            raise ValueError(f"{raw.tag} {raw.where!r} ends before it begins")
        every_s = raw.every_s or self._file.story.every_s
        place = _place(raw, PlaceSource.GNSS)
        return Stretch(raw.where, from_s, to_s, tuple(raw.heard_by), every_s, raw.metres, place)


def _place(raw: _Gateway | _Truth, source: PlaceSource) -> Place | None:
    if raw.lat is None or raw.lon is None:
        return None
    return Place(round(raw.lat * 1e7), round(raw.lon * 1e7), round(raw.accuracy_m), source)
