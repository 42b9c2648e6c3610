"""A small town for tests of the web: people with tokens, tags with their real firmware, gateways, sites and orders.

Everything is put into a real PostgreSQL through the services; only sightings are written as the ingest writes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import Engine, insert

from firmware_sim import claim as tag_claim
from firmware_sim.tag import ButtonPress, PowerOn, TagState, Tick, step
from firmware_sim.tag import Unit as Burnt
from server.rules.authority import Role
from server.rules.policy import SOLO
from server.service import accounts, people
from server.service.accounts import Passwords
from server.service.house import House
from server.settings import load
from server.store import gateways, keys, partitions, units
from server.store.crypto import Vault
from server.store.gateways import NewSite
from server.store.tables import batches, sightings
from server.web.app import create_app
from server.web.limits import RateLimiter
from wire.batch import Clock, GatewayClass, Place, PlaceSource
from wire.claim_code import encode_claim_code
from wire.gatt import Op, decode_reply
from wire.keys import claim_hash, tag_key
from wire.receipt import OutcomeKind

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
K_FACTORY = bytes(range(16))
K_LOT = bytes(range(16, 32))
LOT = "lot-1"
PASSWORD = "correct horse battery"
HAMBURG = Place(535_500_000, 99_930_000, 10, PlaceSource.FIXED)
# The owner's home: a number so odd that it can be searched for in every answer.
HOME = Place(481_234_567, 116_543_217, 25, PlaceSource.FIXED)
HOME_TRACES = ("48.12345", "11.65432", "481234567", "116543217", "secret-")


def quick_passwords() -> Passwords:
    """argon2id with the least work it allows: these tests are not about hashing."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Tag:
    """A real tag: its firmware's state, its code, its key."""

    state: TagState
    found_code: str

    @property
    def serial(self) -> int:
        return self.state.unit.serial

    @property
    def code(self) -> str:
        return encode_claim_code(self.state.unit.k_claim)

    def frame(self, now_s: float) -> bytes:
        """Its next frame."""
        for more in range(120):
            self.state, out = step(self.state, Tick(now_s + more), secrets.token_bytes)
            if out:
                return out[0].frame
        raise AssertionError("it says nothing")

    def press(self, now_s: float) -> None:
        self.state, _ = step(self.state, ButtonPress(now_s), secrets.token_bytes)

    def nonce(self) -> tag_claim.Link:
        return tag_claim.read_nonce(secrets.token_bytes)

    def write(self, link: tag_claim.Link, message: bytes, now_s: float) -> tag_claim.Turn:
        turn = tag_claim.take_message(self.state, link, message, now_s)
        self.state = turn.state
        return turn


@dataclass
class Somebody:
    """An account with a personal token, and how it calls the API."""

    email: str
    role: Role | None
    client: TestClient
    token: str = ""

    def headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        shown = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {**shown, **(more or {})}

    def call(self, method: str, path: str, **more: Any) -> Response:
        headers = self.headers(more.pop("headers", None))
        url = path if path.startswith(("/health", "/ready", "/metrics")) else f"/api/v1{path}"
        return self.client.request(method, url, headers=headers, **more)

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        return self._must("GET", path, status, **more)

    def post(self, path: str, body: Any = None, status: int | tuple[int, ...] = (200, 201, 202), **more: Any) -> Any:
        return self._must("POST", path, status, json={} if body is None else body, **more)

    def put(self, path: str, body: Any, status: int = 200) -> Any:
        return self._must("PUT", path, status, json=body)

    def delete(self, path: str, status: int = 200, **more: Any) -> Any:
        return self._must("DELETE", path, status, **more)

    def refused(self, method: str, path: str, status: int, code: str, **more: Any) -> Any:
        """The call is refused with this status and code, in the one shape."""
        error = self._must(method, path, status, **more)["error"]
        assert set(error) == {"code", "message", "do", "reference"}
        assert error["code"] == code, error
        assert error["message"]
        assert error["do"]
        return error

    def _must(self, method: str, path: str, status: int | tuple[int, ...], **more: Any) -> Any:
        answer = self.call(method, path, **more)
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


@dataclass
class Town:
    """The house, its application, and what lives around it. `now` is the time of the town."""

    engine: Engine
    now: datetime = START
    house: House = field(init=False)
    client: TestClient = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        vault = Vault(bytes(32), secrets.token_bytes)
        settings = load({"HEARSIGHT_BASE_URL": "http://tags.test", "HEARSIGHT_MQTT_URL": "mqtt://127.0.0.1:1"})
        self.house = House(
            settings, self.engine, vault, lambda: self.now, secrets.token_bytes, SOLO, passwords=quick_passwords()
        )
        self.client = TestClient(_app(self.house), raise_server_exceptions=False)
        with self.house.work() as (tx, now):
            keys.add_lot(tx, vault, LOT, K_LOT, now)
            keys.keep_secret(tx, vault, keys.K_FACTORY, K_FACTORY, now)
            units.add_manifest(tx, "m-1", bytes(32), LOT, now - timedelta(days=90), now)

    @property
    def now_s(self) -> float:
        return self.now.timestamp()

    def wait(self, **how_long: float) -> None:
        self.now += timedelta(**how_long)

    # --- people

    def somebody(self, email: str, role: Role, password: str | None = None) -> Somebody:
        with self.house.work() as (tx, now):
            account = people.create(tx, email, email.partition("@")[0], role, now, actor="test")
            token, _ = accounts.new_api_token(tx, secrets.token_bytes, accounts.caller(account), "test", now)
            if password:
                hashed = self.house.passwords.hash(password, email)
                accounts.set_password(tx, account, hashed, now, actor="test")
        return Somebody(email, role, self.client, token)

    def owner(self, email: str = "ann@example.com") -> Somebody:
        return self.somebody(email, Role.OWNER)

    def staff(self, role: Role = Role.AGENT) -> Somebody:
        return self.somebody(f"{role}-{self._next()}@shop.example", role)

    def nobody(self) -> Somebody:
        return Somebody("", None, self.client)

    # --- tags

    def tag(self) -> Tag:
        serial = 1_000_000 + self._next()
        private = Ed25519PrivateKey.generate()
        k_claim = secrets.token_bytes(16)
        with self.house.work() as (tx, now):
            server_key = keys.server_key(tx, self.house.vault, now).public_key()
            code = f"F{serial:09d}"
            units.add(
                tx,
                [
                    units.Unit(
                        serial, LOT, "model-1", "transit_beacon", private.public_key().public_bytes_raw(),
                        claim_hash(k_claim), code, "m-1", now - timedelta(days=90),
                    )
                ],
            )  # fmt: skip
        state = TagState(Burnt(serial, K_LOT, tag_key(K_FACTORY, serial), k_claim, private, server_key))
        state, _ = step(state, PowerOn(self.now_s - 7200), secrets.token_bytes)
        return Tag(state, code)

    def claim(self, who: Somebody, tag: Tag) -> dict[str, Any]:
        """The whole way of a claim over HTTP, as a laptop goes it with the account's own key; gives the receipt."""
        claim_id = who.post("/claims", {"code": tag.code})["claim_id"]
        who.post(f"/claims/{claim_id}/candidates", {"frames": [tag.frame(self.now_s).hex()]})
        cleared = False
        for _ in range(2):
            link = tag.nonce()
            assert link.nonce is not None
            ready = who.post(f"/claims/{claim_id}/nonce", {"nonce": link.nonce.hex(), "cleared": cleared})
            tag.press(self.now_s)
            turn = tag.write(link, bytes.fromhex(ready["write"]), self.now_s)
            assert turn.refused is None, turn.refused
            if ready["step"] == "activate":
                answer = decode_reply(turn.reply, Op.ACTIVATE)
                receipt: dict[str, Any] = who.post(f"/claims/{claim_id}/answer", {"answer": answer.hex()})
                return receipt
            cleared = True
        raise AssertionError("the tag was cleared twice")

    # --- gateways and what they hear

    def site(self, name: str = "dock", place: Place = HAMBURG) -> str:
        calendar = {"pickups": [{"weekday": day, "at": "17:00"} for day in range(5)]}
        with self.house.work() as (tx, _):
            gateways.add_site(tx, NewSite(name, name.title(), "Europe/Berlin", place.lat_e7, place.lon_e7, calendar))
        return name

    def gateway(
        self,
        name: str,
        gateway_class: GatewayClass = GatewayClass.CROWD,
        site: str | None = None,
        place: Place | None = None,
    ) -> str:
        with self.house.work() as (tx, now):
            made = gateways.add(tx, name, gateway_class, f"owner of {name}", site, place, now)
            assert made is not None
            gateways.change(tx, made.no, enrolled_at=now, public_key=secrets.token_bytes(32))
        return name

    def hear(
        self, gateway: str, serial: int, place: Place | None, at: Iterable[datetime], *,
        boot: int = 1, born: datetime = START - timedelta(days=60),
    ) -> None:  # fmt: skip
        """The gateway heard this tag at these moments; live frames of one boot, which began when it was `born`."""
        with self.house.work() as (tx, _):
            known = gateways.by_name(tx, gateway)
            assert known is not None
            moments = sorted(at)
            partitions.cover(tx, {moment.date() for moment in moments}, self.now)
            told = [
                {
                    "gateway_no": known.no, "outbox_id": bytes(16), "sequence": self._next(), "body_sha256": bytes(32),
                    "received_at": moment + timedelta(seconds=20), "sent_at": moment + timedelta(seconds=10),
                    "gateway_class": int(known.gateway_class), "clock": int(Clock.GOOD), **_place(place),
                    "outcome": int(OutcomeKind.STORED), "rows": 1, "unresolved": 0,
                }
                for moment in moments
            ]  # fmt: skip
            numbers = tx.execute(insert(batches).returning(batches.c.no, sort_by_parameter_order=True), told).scalars()
            heard = [
                {
                    "serial": serial, "heard_at": moment, "window_ms": 0, "batch_no": no, "boot": boot,
                    "uptime_s": int((moment - born).total_seconds()), "adverts": 3, "status": 0x40,
                    "rssi_max_dbm": -60, "rssi_mean_dbm": -65,
                }
                for no, moment in zip(numbers, moments, strict=True)
            ]  # fmt: skip
            tx.execute(insert(sightings), heard)

    def _next(self) -> int:
        self._count += 1
        return self._count


def _place(place: Place | None) -> dict[str, int | None]:
    """A batch's columns of a place."""
    names = ("lat_e7", "lon_e7", "accuracy_m", "place_source")
    told = (place.lat_e7, place.lon_e7, place.accuracy_m, int(place.source)) if place else (None,) * 4
    return dict(zip(names, told, strict=True))


def _app(house: House) -> FastAPI:
    """The one application of all towns: making it anew for each costs half a second."""
    if not _made:
        _made["app"] = create_app(house)
    app = _made["app"]
    app.state.house = house
    app.state.rates = RateLimiter(house.clock)
    return app


_made: dict[str, FastAPI] = {}


def order(number: str, **more: Any) -> dict[str, Any]:
    """An order of one plain tag, as a shop sends it."""
    return {
        "number": number,
        "email": "ann@example.com",
        "customer_name": "Ann Example",
        "placed_at": (START - timedelta(days=10)).isoformat(),
        "zone": "Europe/Berlin",
        "ship_to": {"country": "DE", "postcode": "20095"},
        "lines": [{"sku": "TAG-1", "title": "Tag", "slots": [{}]}],
        **more,
    }


def said(key: str, kind: str, at: datetime, source: str = "warehouse", **more: Any) -> dict[str, Any]:
    """One statement about something that happened at the moment it was said."""
    return {
        "key": key, "kind": kind, "said_at": at.isoformat(), "at": at.isoformat(), "by": "Bob", "source": source, **more
    }  # fmt: skip
