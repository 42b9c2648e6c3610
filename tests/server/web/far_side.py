"""What a page of a private tag speaks with, as the contract says: private claims, a relay to a real tag, keys, reports.

The tag is the real firmware, the session and the CSRF token are the application's own; only these routes are small. A
gateway that hears the tag seals as every gateway does, to the key that belongs to the frame's identifier.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from firmware_sim.claim import Link
from firmware_sim.tag import Tick, step
from server.refusal import Kind, Refusal
from server.rules.facts import ActKind
from server.service import whereabouts
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import acts, keys, ownership
from server.store.acts import NewAct
from server.web.auth import Anybody, Owner
from server.web.deps import TheHouse
from tests.server.web.town import K_FACTORY, K_LOT, Tag, Town
from wire import keys as wire_keys
from wire.activation import verify_answer
from wire.errors import WireError
from wire.frames import decode_o, decode_p
from wire.gatt import AttError, release_message
from wire.sealed import Report, seal
from wire.signing import Domain, public_key, verify

# A gateway hangs up after every other op.
HOLDS = ("02", "03", "10")
CODES = {AttError.NO_CONSENT: "button_not_pressed"}
PAGE = 2_000
FARTHEST = 31


@dataclass(frozen=True, slots=True)
class PrivateAnswer(whereabouts.TagAnswer):
    """A tag's answer when the owner alone can open it."""

    private: bool = True
    keys_until: date | None = None
    renew_from: date | None = None


@dataclass
class FarSide:
    """One tag and what the server holds of it. `faults`: refusals of the next steps of a relay, by their codes."""

    town: Town
    tag: Tag
    days: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    reports: dict[bytes, list[bytes]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    claiming: bool = False
    private: bool = False
    owner_key: bytes = b""
    challenge: bytes = b""
    link: Link | None = None
    renew_from: date | None = None

    # --- the world

    @property
    def now_s(self) -> float:
        """The town's time; a tag that was waited for is a little ahead of it."""
        ram = self.tag.state.ram
        return max(self.town.now_s, ram.drawn_until_at_s) if ram else self.town.now_s

    def press(self) -> None:
        self.tag.press(self.now_s)

    def frame(self) -> bytes:
        """What the tag says next, half a minute at most from now."""
        for n in range(130):
            self.tag.state, out = step(self.tag.state, Tick(self.now_s + n / 4), secrets.token_bytes)
            if out:
                return out[0].frame
        raise AssertionError("it says nothing")

    def heard(self, lat: float, lon: float, accuracy_m: int = 35, rssi_dbm: int = -60) -> bytes:
        """A gateway hears the tag now and seals what it knows; the server files it."""
        frame = decode_o(self.frame())
        of_day = {wire_keys.eid(key): key for key, _ in self.days.values()}
        place = (round(lat * 1e7), round(lon * 1e7))
        told = Report(*place, int(self.town.now_s), accuracy_m, rssi_dbm, frame.status, frame.tail, 3)
        sealed = seal(told, of_day[frame.eid])
        self.file(frame.eid, sealed)
        return sealed

    def renew_due(self) -> date:
        """The keys that the server has end soon; gives their last day."""
        self.renew_from = self.town.now.date()
        return datetime.fromtimestamp(max(self.days) * 86_400, UTC).date()

    def file(self, eid: bytes, sealed: bytes) -> None:
        self.reports.setdefault(eid, []).append(sealed)

    # --- the claim

    def claim(self, claim_hash: str) -> dict[str, Any]:
        if not hmac.compare_digest(bytes.fromhex(claim_hash), wire_keys.claim_hash(self.tag.state.unit.k_claim)):
            raise refuse("code_unknown")
        self.claiming = True
        return {"claim_id": "ab" * 16, "serial": self.tag.serial, "private": True}

    def candidates(self, frames: list[str]) -> dict[str, Any]:
        self._must_live()
        for index, frame in enumerate(frames):
            try:
                if decode_p(bytes.fromhex(frame), K_LOT, K_FACTORY).serial == self.tag.serial:
                    return {"index": index}
            except WireError:
                continue
        raise refuse("tag_not_heard")

    def ask(self, nonce: str, owner_public_key: str, cleared: bool) -> dict[str, Any]:
        self._must_live()
        held = self.tag.state.nvm.owner_hash
        self.owner_key = bytes.fromhex(owner_public_key)
        if held and held != wire_keys.owner_hash(self.owner_key) and not cleared:
            with self.town.house.work() as (tx, now):
                key = keys.server_key(tx, self.town.house.vault, now)
            release = key.sign(release_message(self.tag.serial, bytes.fromhex(nonce)))
            return {"challenge": None, "release": release.hex()}
        self.challenge = secrets.token_bytes(16)
        return {"challenge": self.challenge.hex(), "release": None}

    def settle(self, who: Caller, answer: str, owner_signature: str) -> dict[str, Any]:
        tag_key = self.tag.state.unit.private_key.public_key().public_bytes_raw()
        try:
            stated = verify_answer(tag_key, self.challenge, bytes.fromhex(answer))
            signed = bytes.fromhex(owner_signature) + self.challenge
            verify(public_key(self.owner_key), Domain.OWNER_CHALLENGE, signed)
        except WireError as wrong:
            raise refuse("receipt_invalid") from wrong
        assert stated.owner_hash == wire_keys.owner_hash(self.owner_key)
        with self.town.house.work() as (tx, now):
            if ownership.living(tx, self.tag.serial) is None:
                act = acts.add(tx, NewAct(ActKind.CLAIMED, now, who.account_no, who.email, self.tag.serial), now)
                name = f"Tag {self.tag.serial}"
                assert ownership.begin(tx, self.tag.serial, who.account_no, name, stated.owner_hash, act, now)
            tx.execute(text("update ownership set private = true where until is null"))
        self.private, self.claiming = True, False
        return {"serial": self.tag.serial, "tag_public_key": tag_key.hex(), "challenge": self.challenge.hex()}

    def _must_live(self) -> None:
        """A claim ends with the tag's signature."""
        if not self.claiming:
            raise refuse("claim_expired")

    def put(self, first_day: int, days: str) -> dict[str, Any]:
        packed, today = base64.b64decode(days, validate=True), int(self.town.now_s) // 86_400
        assert self.private
        assert len(packed) % 64 == 0
        assert today - 1 <= first_day <= today + 397
        count = len(packed) // 64
        assert 1 <= count <= 366
        for n in range(count):
            at = packed[n * 64 : n * 64 + 64]
            new = (at[:32], at[32:])
            if first_day + n <= today and self.days.get(first_day + n, new) != new:
                raise Refusal(Kind.CONFLICT, "day_key_conflict", "Another key stands for one of these days.", "Later.")
            self.days[first_day + n] = new
        return {"first_day": first_day, "days": count}

    # --- the relay

    def open(self, about: dict[str, Any]) -> dict[str, Any]:
        if about.get("claim_id"):
            self._must_live()
        if self.private and not about["gateway"]:
            raise Refusal(Kind.INVALID, "gateway_needed", "Nobody but you can tell where it is.", "Name a gateway.")
        self._fault()
        noise = bytes.fromhex("f0001130") + secrets.token_bytes(20)
        return {"relay_id": "r1", "gateway": "home-elm", "frames": [noise.hex(), self.frame().hex()]}

    def connect(self, frame: str) -> dict[str, Any]:
        self._fault()
        self.link = self.tag.nonce()
        assert self.link.nonce is not None
        return {"nonce": self.link.nonce.hex()}

    def write(self, message: str) -> dict[str, Any]:
        self._fault()
        if self.link is None:
            raise Refusal(Kind.CONFLICT, "not_reachable", "The tag was heard, but does not answer.", "Hold it nearer.")
        turn = self.tag.write(self.link, bytes.fromhex(message), self.now_s)
        if turn.refused is not None:
            raise refuse(CODES.get(turn.refused, "tag_refused"))
        if message[:2] not in HOLDS:
            self.link = None
        return {"answer": turn.reply.hex()}

    def _fault(self) -> None:
        code = self.faults.pop(0) if self.faults else ""
        if code == "not_reachable":
            raise Refusal(Kind.CONFLICT, code, "The tag was heard, but does not answer.", "Hold it nearer.")
        if code:
            raise refuse(code)

    # --- reading

    def fetch(self, days: list[dict[str, Any]]) -> dict[str, Any]:
        self.asked.append([each["eid"] for each in days])
        assert 1 <= len(days) <= FARTHEST
        known = {wire_keys.eid(key): hashed for key, hashed in self.days.values()}
        for each in days:
            wanted = known.get(bytes.fromhex(each["eid"]), bytes(32))
            if not hmac.compare_digest(wanted, hashlib.sha256(bytes.fromhex(each["f"])).digest()):
                raise Refusal(Kind.FORBIDDEN, "fetch_refused", "One of these is not known.", "Ask for others.")
        return {"days": [self._page(each) for each in days]}

    def _page(self, asked: dict[str, Any]) -> dict[str, Any]:
        after = bytes.fromhex(asked["after"] or "")
        rest = sorted(each for each in self.reports.get(bytes.fromhex(asked["eid"]), ()) if each > after)
        body = base64.b64encode(b"".join(rest[:PAGE])).decode()
        return {"eid": asked["eid"], "reports": body, "more": len(rest) > PAGE}

    def answer(self, plain: Callable[..., Any], *given: Any) -> Any:
        """Of a private tag the owner's answer holds no place."""
        said = plain(*given)
        if not self.private:
            return said
        known = {each.name: getattr(said, each.name) for each in fields(said) if each.name not in NEW}
        last = max(self.days, default=None)
        until = None if last is None else datetime.fromtimestamp(last * 86_400, UTC).date()
        due = self.renew_from or (until - timedelta(days=29) if until else None)
        return PrivateAnswer(**{**known, "last": None, "battery": None}, keys_until=until, renew_from=due)

    def routes(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1")
        add = router.add_api_route

        def claims(body: dict[str, Any], who: Owner) -> Any:
            return self.claim(body["claim_hash"])

        def candidates(body: dict[str, Any], who: Owner) -> Any:
            return self.candidates(body["frames"])

        def challenge(body: dict[str, Any], who: Owner) -> Any:
            return self.ask(**body)

        def answer(body: dict[str, Any], who: Owner) -> Any:
            return self.settle(who, **body)

        def twin(serial: int, house: TheHouse, who: Owner) -> Any:
            with house.work() as (tx, now):
                return asdict(whereabouts.tag(tx, who, serial, house.policy, now))

        def put(body: dict[str, Any], who: Owner) -> Any:
            return self.put(**body)

        def relay(body: dict[str, Any], who: Owner) -> Any:
            return self.open(body)

        def connect(body: dict[str, Any], who: Owner) -> Any:
            return self.connect(**body)

        def write(body: dict[str, Any], who: Owner) -> Any:
            return self.write(**body)

        def close(who: Owner) -> Any:
            self.link = None
            return {"done": True}

        def fetch(body: dict[str, Any], who: Anybody) -> Any:
            assert who is None, "whoever fetches says not who they are"
            return self.fetch(body["days"])

        add("/claims", claims, methods=["POST"], status_code=201)
        add("/claims/{claim_id}/candidates", candidates, methods=["POST"])
        add("/claims/{claim_id}/challenge", challenge, methods=["POST"])
        add("/claims/{claim_id}/answer", answer, methods=["POST"])
        add("/tags/{serial}", twin, methods=["GET"])
        add("/tags/{serial}/keys", put, methods=["PUT"])
        add("/relays", relay, methods=["POST"], status_code=201)
        add("/relays/{relay_id}/connect", connect, methods=["POST"])
        add("/relays/{relay_id}/write", write, methods=["POST"])
        add("/relays/{relay_id}", close, methods=["DELETE"])
        add("/reports/fetch", fetch, methods=["POST"])
        return router


NEW = ("private", "keys_until", "renew_from")


@contextmanager
def before(app: FastAPI, router: APIRouter) -> Iterator[None]:
    """The router's routes come first in the application."""
    own = app.router.routes
    mine = APIRouter()
    mine.include_router(router)
    app.router.routes[:] = [*mine.routes, *own]
    try:
        yield
    finally:
        app.router.routes[:] = own


def behind(monkeypatch: pytest.MonkeyPatch, far: FarSide) -> None:
    """Pages and routes answer of the tag as of a private one."""
    plain = whereabouts.tag
    monkeypatch.setattr(whereabouts, "tag", lambda *given: far.answer(plain, *given))
