"""How well a place is listened to, measured on a real database from what was heard, and what an order makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from server.rules.authority import Role
from server.rules.facts import Place as Where
from server.store import listening
from server.store.db import transaction
from server.sweep.measures import sweep_listening
from tests.server.web.town import HAMBURG, START, Town, order, said
from wire.batch import GatewayClass, Place, PlaceSource

DAY = timedelta(days=1)
KEPT = timedelta(days=365)
NEAR = Place(-338_712_345, -706_612_345, 10, PlaceSource.FIXED)  # south and west: both below zero
HERE = Where(-33.8712345, -70.6612345, 10.0)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def cells(engine: Engine) -> dict[tuple[str, str], list[int]]:
    with transaction(engine) as tx:
        rows = tx.execute(text("select cell, day::text, serials from listened_days"))
        return {(cell, day): serials for cell, day, serials in rows}


def test_only_tags_that_nobody_owns_and_receivers_that_are_not_ours_count(engine: Engine) -> None:
    town = Town(engine)
    site = town.site()
    town.gateway("crowd")
    town.gateway("ours", GatewayClass.OWN_SITE, site, NEAR)
    town.gateway("van", GatewayClass.VEHICLE)
    town.now = NOON - timedelta(hours=3)
    owned = town.tag()
    town.claim(town.owner(), owned)
    for gateway, serial in (("crowd", 7), ("crowd", 8), ("crowd", owned.serial), ("ours", 9), ("van", 10)):
        town.hear(gateway, serial, NEAR, [NOON])
    town.hear("crowd", 11, None, [NOON])
    town.hear("crowd", 7, HAMBURG, [NOON + timedelta(hours=1)])
    assert sweep_listening(engine, KEPT, datetime(2026, 11, 21, 5, 59, tzinfo=UTC)) == 0, "the day may still be told of"
    assert sweep_listening(engine, KEPT, datetime(2026, 11, 21, 6, tzinfo=UTC)) == 2
    assert cells(engine) == {("-339/-707", "2026-11-20"): [7, 8], ("535/99", "2026-11-20"): [7]}
    assert listening.cell_of(HERE) == "-339/-707"
    assert sweep_listening(engine, KEPT, START) == 0, "once is enough"
    assert sweep_listening(engine, DAY, START) == 0
    assert cells(engine) == {}, "it goes with its sightings"


def test_a_place_that_is_hardly_known_lies_in_no_cell(engine: Engine) -> None:
    assert listening.cell_of(Where(50.0, 8.0, 10_001.0)) is None
    with transaction(engine) as tx:
        assert listening.days_of(tx, Where(50.0, 8.0, 10_001.0), NOON.date()) == ()


def test_silent_where_every_tag_is_heard_daily_from_the_radio_to_the_page(engine: Engine) -> None:
    """Four tags that nobody claimed lie in the street; the fifth, delivered there, keeps silent."""
    town = Town(engine)
    town.site()
    town.gateway("crowd")
    clerk, carrier = town.staff(), town.staff(Role.OPERATOR)
    tag = town.tag()
    ordered_at = START - 12 * DAY
    place = {"lat": HERE.lat, "lon": HERE.lon, "accuracy_m": 50}
    ship_to = {"country": "CL", "postcode": "8320000", "place": place}
    clerk.post("/orders", order("T-1", placed_at=ordered_at.isoformat(), site="dock", ship_to=ship_to))
    label = {"carrier": "UPS", "number": "1Z999AA10123456784"}
    bound = said("bound", "serial_bound", ordered_at, payload={"serial": tag.serial}, slot=1)
    printed = said("label", "label_printed", ordered_at + timedelta(hours=1), payload=label)
    scan = {**label, "status": "delivered", "physical": True}
    delivered = said("home", "carrier_scan", START - 8 * DAY, "carrier", payload=scan)
    clerk.post("/orders/T-1/statements", {"statements": [bound, printed]})
    carrier.post("/orders/T-1/statements", {"statements": [delivered]})
    for other in (1, 2, 3, 4):
        town.hear("crowd", other, NEAR, [START - number * DAY for number in range(1, 33)])

    def found() -> list[str]:
        return [each["rule"]["id"] for each in clerk.get("/orders/T-1")["findings"]]

    assert "R-31" not in found()
    for back in range(33, 0, -1):
        sweep_listening(engine, KEPT, START - (back - 1) * DAY)
    assert "R-31" in found()
    town.claim(town.owner(), tag)
    assert "R-31" not in found()
