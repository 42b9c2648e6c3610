"""From a gateway's batch to the owner who waits, through the real programs: Mosquitto, ingest, PostgreSQL, web."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from aiosmtpd.controller import Controller
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, text

from server.local import children
from server.rules.authority import Role
from server.rules.facts import ActKind
from server.service import accounts, lost, people
from server.service.caller import Caller
from server.store import acts, ownership, units
from server.store.acts import NewAct
from tests.e2e.ingest_process import Ingest, Scene
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.ports import free_ports
from tests.server.ingest.parties import Gateway, Tag, sighting
from tests.server.web.streams import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mosquitto, pytest.mark.timeout(240)]
PATIENCE_S = 60
MINE, OTHERS = 1, 2


def wait_until(is_so: Callable[[], bool], log: Path | None = None) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until, log.read_text() if log else "waited in vain"
        time.sleep(0.02)


class House:
    """A database with an owner of one tag, the broker, the ingest, and the web as a process that can be killed."""

    def __init__(self, engine: Engine, database_url: str, broker: Mosquitto, port: int, folder: Path) -> None:
        self.starts = 0
        self.engine, self.broker, self.port, self.folder = engine, broker, port, folder
        self.scene = Scene(engine, database_url, folder)
        self.ingest: Ingest = self.scene.ingest(broker.port)
        self.web: subprocess.Popen[bytes] | None = None
        self.who, self.token = self._owner("ann@example.com", MINE)
        self._owner("ben@example.com", OTHERS)

    def _owner(self, email: str, serial: int) -> tuple[Caller, str]:
        now = datetime.now(UTC) - timedelta(hours=1)
        with self.engine.begin() as tx:
            who = accounts.caller(people.create(tx, email, "", Role.OWNER, now, actor="test"))
            token, _ = accounts.new_api_token(tx, secrets.token_bytes, who, "test", now)
            units.add_manifest(tx, f"m-{serial}", bytes(32), "lot-1", now, now)
            public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
            found, manifest = f"F{serial:09d}", f"m-{serial}"
            made = units.Unit(
                serial, "lot-1", "model", "transit_beacon", public, secrets.token_bytes(32), found, manifest, now
            )
            units.add(tx, [made])
            act = acts.add(tx, NewAct(ActKind.ACTIVATED, now, who.account_no, email, serial), now)
            assert ownership.begin(tx, serial, who.account_no, "Bicycle", bytes(32), act, now)
        return who, token

    @property
    def log(self) -> Path:
        return self.folder / "web.log"

    def start_web(self, **settings: str) -> None:
        env = os.environ | {
            "HEARSIGHT_DATA": str(self.folder / "web"),
            "HEARSIGHT_DATABASE_URL": self.scene.database_url,
            "HEARSIGHT_MASTER_KEY": b64encode(self.scene.master_key).decode(),
            "HEARSIGHT_PORT": str(self.port),
            **settings,
        }
        with self.log.open("ab") as log:
            self.web = children.start([sys.executable, "-m", "server", "web"], env=env, output=log)
        wait_until(self._ready, self.log)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    @contextmanager
    def watch(self) -> Iterator[Reader]:
        shown = {"authorization": f"Bearer {self.token}"}
        with (
            httpx.Client(timeout=PATIENCE_S, trust_env=False) as http,
            http.stream("GET", f"http://127.0.0.1:{self.port}/api/v1/tags/{MINE}/live", headers=shown) as response,
        ):
            assert response.status_code == 200, response.read()
            yield Reader(response)

    def start_ingest(self) -> None:
        self.ingest.start()
        self.starts += 1
        wait_until(lambda: self.ingest.listens(self.starts))

    def publish(self, *serials: int) -> int:
        """A gateway heard these tags this moment, in one batch; gives the moment in ms."""
        at_ms = time.time_ns() // 1_000_000
        gateway: Gateway = self.scene.gateways[0]
        batch = gateway.batch(*(sighting(Tag(serial).frame(), at_ms=at_ms) for serial in serials), sent_at_ms=at_ms)
        line = paho.Client(CallbackAPIVersion.VERSION2, gateway.name)
        line.connect("127.0.0.1", self.broker.port)
        line.loop_start()
        line.publish(gateway.topic, batch, 1).wait_for_publish(PATIENCE_S)
        line.disconnect()
        line.loop_stop()
        return at_ms

    def stored(self) -> int:
        with self.engine.begin() as tx:
            return int(tx.execute(text("select count(*) from sightings")).scalar_one())

    def close(self) -> None:
        self.ingest.stop()
        if self.web is not None:
            children.end(self.web, ((signal.SIGTERM, 15),))
        self.scene.close()


@pytest.fixture
def house(engine: Engine, database_url: str, mosquitto: Mosquitto, free_port: int, tmp_path: Path) -> Iterator[House]:
    made = House(engine, database_url, mosquitto, free_port, tmp_path)
    yield made
    made.close()


def test_each_sighting_reaches_the_owner_who_waits_and_nobody_else(house: House) -> None:
    house.start_web()
    house.start_ingest()
    with house.watch() as reader:
        assert reader.next().kind == "state"
        for _ in range(10):
            house.publish(OTHERS)
            at_ms = house.publish(MINE, OTHERS)
            event = reader.next()
            assert (event.kind, int(event.id.partition("-")[0])) == ("sighting", at_ms)
            assert event.data["last"]["lat"] == 52.52
        reader.nothing()
    assert house.stored() == 30
    assert house.web is not None
    house.web.terminate()  # with a stream closed by its reader before
    assert house.web.wait(PATIENCE_S) == -signal.SIGTERM
    assert "Traceback" not in house.log.read_text()


def test_the_web_is_killed_and_whoever_comes_back_misses_nothing(house: House) -> None:
    house.start_web()
    house.start_ingest()
    with house.watch() as reader:
        reader.next()
        house.publish(MINE)
        reader.next()
        assert house.web is not None
        house.web.kill()
        house.web.wait()
        reader.ended()
    at_ms = house.publish(MINE)
    wait_until(lambda: house.stored() == 2)
    house.start_web()
    with house.watch() as reader:
        assert int(reader.next().id.partition("-")[0]) == at_ms
        at_ms = house.publish(MINE)
        assert int(reader.next().id.partition("-")[0]) == at_ms


def test_the_database_restarts_under_it(house: House) -> None:
    """Every connection is cut at once, and the table of leases is empty afterwards, as it is after a crash."""
    house.start_web()
    house.start_ingest()
    with house.watch() as reader:
        reader.next()
        with house.engine.begin() as tx:
            tx.execute(text("truncate live_watches"))
            tx.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        at_ms = house.publish(MINE)
        events = [reader.next()]
        while events[-1].kind != "sighting":
            events.append(reader.next())
        assert {event.kind for event in events[:-1]} <= {"paused", "state"}
        assert int(events[-1].id.partition("-")[0]) == at_ms


class Mailbox:
    """A mail server that takes a letter's words and, while `deaf`, never says whether it keeps them."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []
        self.begun = 0
        self.deaf = True

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.begun += 1
        if self.deaf:
            await asyncio.sleep(3600)
        self.letters.append(envelope.content)
        return "250 kept"


def test_a_lost_tags_letter_survives_kills_between_the_commit_and_the_letter_and_comes_once(
    house: House,
) -> None:
    with house.engine.begin() as tx:
        lost.mark(tx, house.who, MINE, "my bicycle", "", datetime.now(UTC) - timedelta(minutes=1))
    house.start_ingest()
    house.publish(MINE)
    wait_until(lambda: house.stored() == 1)
    assert house.ingest.child is not None
    house.ingest.child.kill()  # committed, and nobody there to send anything
    house.ingest.child.wait()
    box = Mailbox()
    port = free_ports()
    mail = Controller(box, hostname="127.0.0.1", port=port)
    mail.start()
    try:
        smtp = {"HEARSIGHT_SMTP_URL": f"smtp://127.0.0.1:{port}"}
        house.start_web(**smtp)
        wait_until(lambda: box.begun == 1, house.log)
        assert house.web is not None
        house.web.kill()  # in the middle of the letter
        house.web.wait()
        box.deaf = False
        house.start_ingest()
        house.publish(MINE)  # the same loss: no second letter
        wait_until(lambda: house.stored() == 2)
        house.start_web(**smtp)
        wait_until(lambda: bool(box.letters), house.log)
        time.sleep(3)  # three more rounds of letters
        assert len(box.letters) == 1
        assert b"Bicycle" in box.letters[0]
    finally:
        mail.stop()
    with house.engine.begin() as tx:
        [(sent, tries)] = tx.execute(text("select sent_at is not null, tries from notices")).all()
    assert (sent, tries) == (True, 0)
