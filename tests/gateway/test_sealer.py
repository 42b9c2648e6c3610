"""Which frames become reports, what stands in them, and that only the owner reads it."""

from __future__ import annotations

import pytest

from gateway.owned import OwnedHeard
from gateway.sealer import DAY_S, Sealer, moved
from wire.batch import Clock, GatewayClass, Place, PlaceSource
from wire.errors import WireError
from wire.frames import encode_o, tick_of
from wire.keys import day_private_key, day_public_key, eid, own_key
from wire.sealed import open_report, report_eid

S_O = bytes(range(32))
DAY = 20_758
NOON_S = DAY * DAY_S + 43_200
HERE = Place(525_200_080, 134_050_000, 35, PlaceSource.FIXED)
THERE = Place(525_300_080, 134_050_000, 35, PlaceSource.MANUAL)


def public(day: int = DAY) -> bytes:
    return day_public_key(S_O, day)


def heard(unix_s: int = NOON_S, day: int = DAY, status: int = 0x40, rssi_dbm: int = -61, tick: int = 0) -> OwnedHeard:
    frame = encode_o(own_key(S_O), eid(public(day)), tick=tick or tick_of(unix_s), status=status)
    return OwnedHeard(unix_s * 1_000 + 250, frame, rssi_dbm)


def sealer(*days: int, gap_s: float = 300, gateway_class: GatewayClass = GatewayClass.PARTNER) -> Sealer:
    """Knows the owner's keys of these days, or of the usual one."""
    known = {(day, eid(public(day))): public(day) for day in days or (DAY,)}
    return Sealer(lambda day, identifier: known.get((day, identifier)), gateway_class, gap_s=gap_s)


def test_the_owner_reads_what_was_heard_and_where() -> None:
    one = heard()
    (report,), dropped = sealer().seal([one], HERE, Clock.GOOD)
    assert (len(report), report_eid(report), dropped) == (89, eid(public()), {})
    opened = open_report(report, day_private_key(S_O, DAY))
    assert (opened.lat_e7, opened.lon_e7, opened.accuracy_m) == (525_200_080, 134_050_000, 35)
    assert (opened.unix_s, opened.rssi_dbm, opened.status) == (NOON_S, -61, 0x40)
    assert opened.tail == one.frame[20:]
    assert opened.gateway_class == GatewayClass.PARTNER
    with pytest.raises(WireError):
        open_report(report, day_private_key(S_O, DAY + 1))


def test_nothing_of_a_frame_or_place_stands_in_the_open() -> None:
    one = heard()
    (report,), _ = sealer().seal([one], HERE, Clock.GOOD)
    for secret in (one.frame[20:], HERE.lat_e7.to_bytes(4, "big"), NOON_S.to_bytes(4, "big")):
        assert secret not in report


@pytest.mark.parametrize(
    ("place", "clock", "reason"),
    [(None, Clock.GOOD, "no_place"), (HERE, Clock.BAD, "clock_bad"), (None, Clock.BAD, "clock_bad")],
)
def test_without_a_place_or_a_time_there_is_nothing_to_say(place: Place | None, clock: Clock, reason: str) -> None:
    assert sealer().seal([heard(), heard(status=0)], place, clock) == ((), {reason: 2})
    assert sealer().seal([], place, clock) == ((), {})


def test_an_unsure_clock_is_still_one() -> None:
    assert len(sealer().seal([heard()], HERE, Clock.UNSURE).reports) == 1


def test_whoever_is_not_in_the_directory_is_not_carried() -> None:
    stranger = OwnedHeard(NOON_S * 1_000, heard().frame[:4] + bytes(16) + bytes(4), -60)
    reports, dropped = sealer().seal([stranger, heard()], HERE, Clock.GOOD)
    assert [report_eid(report) for report in reports] == [eid(public())]
    assert dropped == {"not_in_directory": 1}


@pytest.mark.parametrize(("heard_on", "carried"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_its_own_day_and_those_beside_it(heard_on: int, carried: bool) -> None:
    """A tag or a gateway whose clock differs around midnight; two days late it is somebody's recording."""
    reports, dropped = sealer().seal([heard(NOON_S + heard_on * DAY_S)], HERE, Clock.GOOD)
    assert (len(reports), dropped) == ((1, {}) if carried else (0, {"not_in_directory": 1}))


def test_once_in_a_gap_unless_the_gateway_moved() -> None:
    ours = sealer(gap_s=300)
    assert len(ours.seal([heard()], HERE, Clock.GOOD).reports) == 1
    assert ours.seal([heard(NOON_S + 299)], HERE, Clock.GOOD) == ((), {"too_soon": 1})
    wandered = Place(HERE.lat_e7 + 3_000, HERE.lon_e7, 35, PlaceSource.GNSS)  # 33 m
    assert ours.seal([heard(NOON_S + 299)], wandered, Clock.GOOD) == ((), {"too_soon": 1})
    assert len(ours.seal([heard(NOON_S + 299)], THERE, Clock.GOOD).reports) == 1
    assert ours.seal([heard(NOON_S + 300)], THERE, Clock.GOOD).dropped == {"too_soon": 1}
    assert len(ours.seal([heard(NOON_S + 599)], THERE, Clock.GOOD).reports) == 1


def test_what_was_not_carried_does_not_begin_a_gap() -> None:
    known: dict[tuple[int, bytes], bytes] = {}
    ours = Sealer(lambda day, identifier: known.get((day, identifier)), GatewayClass.CROWD, gap_s=300)
    assert ours.seal([heard()], HERE, Clock.GOOD).dropped == {"not_in_directory": 1}
    assert ours.seal([heard()], None, Clock.GOOD).dropped == {"no_place": 1}
    known[DAY, eid(public())] = public()  # the directory came
    assert len(ours.seal([heard(NOON_S + 60)], HERE, Clock.GOOD).reports) == 1


def test_a_recording_beside_the_tag_is_sealed_beside_it() -> None:
    """The owner tells them apart by the tail; a gateway cannot."""
    own, recording = heard(), heard(tick=tick_of(NOON_S) - 40)
    reports, _ = sealer().seal([own, recording], HERE, Clock.GOOD)
    tails = {open_report(report, day_private_key(S_O, DAY)).tail for report in reports}
    assert tails == {own.frame[20:], recording.frame[20:]}


def test_a_key_to_which_nothing_can_be_sealed_spoils_no_other() -> None:
    bad = bytes(32)  # a point of small order
    known = {eid(bad): bad, eid(public()): public()}
    ours = Sealer(lambda _day, identifier: known.get(identifier), GatewayClass.CROWD, gap_s=300)
    spoiled = OwnedHeard(NOON_S * 1_000, heard().frame[:4] + eid(bad) + bytes(4), -60)
    reports, dropped = ours.seal([spoiled, heard()], HERE, Clock.GOOD)
    assert (len(reports), dropped) == (1, {"key_refused": 1})


def test_places_across_the_date_line_are_neighbours() -> None:
    east, west = (Place(0, lon, 10, PlaceSource.GNSS) for lon in (1_799_999_999, -1_799_999_999))
    assert not moved(east, west)
    assert moved(east, Place(0, 0, 10, PlaceSource.GNSS))
    assert not moved(HERE, HERE)
