"""Private finding through the running gateway: from an owned tag's frame in the air to a place that its owner reads."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.owned import separated
from firmware_sim.tag import Unit
from gateway.place import set_place
from owner.keys import TagSecret, day_of, owner_ring
from owner.reports import Found, read
from tests.firmware_sim.owners import Owner
from tests.gateway.air import Air, frame
from tests.gateway.brokers import Broker
from tests.gateway.finding import House, a_key
from tests.gateway.hand import TagInHand
from tests.gateway.process import GatewayProcess
from tests.gateway.server import GATEWAY, TestServer, wait_for
from tests.gateway.test_process import wait_stored
from wire.batch import Place, PlaceSource
from wire.frames import FrameType
from wire.keys import day_public_key, tag_key

K_FACTORY, K_LOT, K_CLAIM = (bytes([n]) * 16 for n in (1, 2, 3))
HERE = Place(525_200_080, 134_050_000, 35, PlaceSource.MANUAL)
OWNER = Owner("Ann", k_claim=K_CLAIM)
SECRET = TagSecret(700, OWNER.s_o)


def private_tag(air: Air) -> TagInHand:
    """A tag that its owner took for three days, away from her, beaconing every three seconds."""
    private = Ed25519PrivateKey.from_private_bytes((700).to_bytes(32, "big"))
    tag = TagInHand(air, Unit(700, K_LOT, tag_key(K_FACTORY, 700), K_CLAIM, private))
    state = OWNER.take(tag.cell.state, tag.now_s(), days=3)
    assert state.ram is not None
    tag.cell.state = replace(state, ram=separated(state.ram))
    return tag


def publish(house: House, *, with_ours: bool = True) -> None:
    """Four days of a hundred strangers in two shards, and our tag."""
    house.shards = 2
    today = day_of(int(time.time()))
    for day in range(today - 1, today + 3):
        keys = [a_key(day * 1_000 + n) for n in range(100)]
        house.publish(day, [*keys, day_public_key(OWNER.s_o, day)] if with_ours else keys)


def believed(house: House) -> Found:
    """What the owner makes of all reports there are."""
    now_s = int(time.time())
    return read(house.reports, owner_ring(SECRET, range(day_of(now_s) - 1, day_of(now_s) + 2)), now_s)


@pytest.fixture
def finder(gateway: GatewayProcess) -> GatewayProcess:
    """A gateway that knows where it stands and asks for the directory every second."""
    gateway.environment["HEARSIGHT_GATEWAY_DIRECTORY_POLL_S"] = "1"
    set_place(gateway.data, HERE)
    return gateway


def finding(gateway: GatewayProcess) -> dict[str, Any]:
    told: dict[str, Any] = gateway.status().get("finding", {})
    return told


def dropped(gateway: GatewayProcess) -> set[str]:
    """The reasons for which anything was not sealed so far."""
    return set(finding(gateway).get("reports_dropped", {}))


def has_directory(gateway: GatewayProcess) -> None:
    wait_for(lambda: gateway.status() and gateway_knows(gateway), 20, "for a directory")


def gateway_knows(gateway: GatewayProcess) -> bool:
    return len(list((gateway.data / "directory").glob("*/2-*"))) == 8


def test_one_report_that_the_owner_believes_and_no_sighting(
    tmp_path: Path, air: Air, one_broker: Broker, server: TestServer, finder: GatewayProcess
) -> None:
    publish(server.house)
    metrics = tmp_path / "metrics"
    finder.environment["HEARSIGHT_GATEWAY_METRICS_FILE"] = str(metrics)
    finder.start()
    air.wait_for_scan()
    has_directory(finder)
    with private_tag(air) as tag:
        wait_for(lambda: server.house.reports, 20, "for a report")
        said = tag.cell.state.nvm
        air.hear(1, frame(1))
        air.hear(2, frame(2, FrameType.OWNED))
        wait_stored(server, {1})
        time.sleep(4)  # the tag is heard again, and nothing new is to be said of it
    found = believed(server.house)
    assert (len(found.points), found.refused, found.tails_checked) == (1, (), True)
    (point,) = found.points
    assert (round(point.lat, 7), round(point.lon, 7), point.accuracy_m) == (52.520008, 13.405, 35)
    assert (point.rssi_dbm, point.gateway) == (-50, "own_site")
    assert abs(point.unix_s - time.time()) < 60
    assert [(name, len(load)) for name, load in server.house.uploads] == [(GATEWAY, 1)]
    assert server.frames() == [frame(1)], "no frame of an owned tag is a sighting"
    assert finder.end() == 0

    stored = b"".join(path.read_bytes() for path in finder.data.rglob("*") if path.is_file())
    for secret in (said.k_own, OWNER.s_o, HERE.lat_e7.to_bytes(4, "big") + HERE.lon_e7.to_bytes(4, "big")):
        assert secret not in stored
    assert not finder.status()
    shown = finder.command("status").stdout
    assert "1 sealed, 0 wait, 1 uploaded" in " ".join(shown.split())
    text = metrics.read_text()
    assert 'hearsight_gateway_reports_uploaded_total{gateway="dock-1"} 1' in text
    assert 'hearsight_gateway_reports_dropped_total{gateway="dock-1",reason="not_in_directory"} 1' in text
    assert 'hearsight_gateway_reports_dropped_total{gateway="dock-1",reason="too_soon"}' in text
    assert 'hearsight_gateway_directory_entries{gateway="dock-1"} 404' in text


def test_a_tag_that_is_in_no_directory_yet_is_found_after_the_next_look(
    air: Air, one_broker: Broker, server: TestServer, finder: GatewayProcess
) -> None:
    publish(server.house, with_ours=False)
    finder.start()
    air.wait_for_scan()
    has_directory(finder)
    with private_tag(air):
        wait_for(lambda: dropped(finder) == {"not_in_directory"}, 20)
        assert not server.house.reports
        publish(server.house)
        wait_for(lambda: server.house.reports, 20, "for a report")
    assert len(believed(server.house).points) == 1


def test_reports_and_directory_survive_a_kill_and_a_server_that_is_away(
    air: Air, one_broker: Broker, server: TestServer, finder: GatewayProcess
) -> None:
    publish(server.house)
    finder.start()
    air.wait_for_scan()
    has_directory(finder)
    server.house.away = True
    with private_tag(air):
        wait_for(lambda: finding(finder).get("reports_waiting"), 20)
        finder.end(signal.SIGKILL)
        finder.start()
        told = wait_for(lambda: finding(finder), 20)
        assert told["reports_waiting"] == 1
        assert told["directory_entries"] == 404, "from the disk"
        wait_for(lambda: finding(finder).get("reports_waiting") == 2, 20, "sealed by the directory on the disk")
    assert any("sealed reports wait" in line for line in _troubles(finder))
    server.house.away = False
    # Meanwhile it may have tried in vain four times, and then waits for up to a minute: 5, 10, 20, 40 s, by half.
    wait_for(lambda: finding(finder).get("reports_waiting") == 0, 90, "for the uploads")
    assert len(believed(server.house).points) == 2
    assert finder.end() == 0


def _troubles(gateway: GatewayProcess) -> list[str]:
    told: list[str] = json.loads(gateway.command("status", "--json").stdout)["troubles"]
    return told


def test_without_a_place_nothing_is_said(
    air: Air, one_broker: Broker, server: TestServer, finder: GatewayProcess
) -> None:
    publish(server.house)
    set_place(finder.data, None)
    finder.start()
    air.wait_for_scan()
    has_directory(finder)
    with private_tag(air):
        wait_for(lambda: dropped(finder) == {"no_place"}, 20)
        set_place(finder.data, HERE)
        wait_for(lambda: server.house.reports, 20, "for a report")
    assert len(believed(server.house).points) == 1
