"""A small honest server of private claims, relays, keys and reports, for tests of the owner's client over real HTTP.

It keeps every byte that it was sent, so that a test can say what a server never sees. What it does dishonestly a test
tells it to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from owner.api import RefusedError
from tests.owner.near import K_FACTORY, K_LOT, SERVER_KEY, LoopRadio, NearTag
from tests.owner.tag import secret
from wire import gatt, keys
from wire.activation import verify_answer
from wire.claim_code import decode_claim_code
from wire.errors import WireError
from wire.frames import decode_p
from wire.sealed import REPORT_LEN
from wire.signing import Domain, public_key, verify

PAGE = 2_000
Json = dict[str, Any]


def no(code: str) -> RefusedError:
    return RefusedError(code, f"No: {code}.", "Do it otherwise.")


@dataclass
class Owned:
    account: str
    owner_hash: bytes
    private: bool = False


@dataclass
class Day:
    serial: int
    day: int
    public_key: bytes
    fetch_hash: bytes


@dataclass
class House:
    """`tags` stand around the one gateway. `reports`: by EID; a test files there what gateways have sent."""

    tags: list[NearTag]
    radio: Callable[..., LoopRadio] = LoopRadio
    owned: dict[int, Owned] = field(default_factory=dict)
    last_hash: dict[int, bytes] = field(default_factory=dict)
    days: dict[bytes, Day] = field(default_factory=dict)
    reports: dict[bytes, set[bytes]] = field(default_factory=dict)
    traffic: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    members: dict[str, Json] = field(default_factory=dict)
    page: int = PAGE
    # What happened to managed claims, as the server notes it. `gives_up`: how the next carryings end without the tag.
    steps: dict[str, list[Json]] = field(default_factory=dict)
    gives_up: list[Json] = field(default_factory=list)
    # A test's own answer for a path, before the honest one: returns None to leave it alone.
    instead: Callable[[str, Json], Json | None] = lambda _path, _body: None
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, tuple[NearTag, str]] = {}
        self._challenges: dict[str, tuple[bytes, bytes]] = {}
        self._relay: LoopRadio | None = None
        self._notes = 0

    def file(self, *reports: bytes) -> None:
        for report in reports:
            self.reports.setdefault(report[1:17], set()).add(report)

    def answer(self, method: str, path: str, body: Json, account: str) -> Any:
        with self._lock:
            self.asked.append(f"{method} {path}")
            told = self.instead(path, body)
            if told is not None:
                return told
            if path == "/reports/fetch":
                return self._fetch(body)
            if not account:
                raise no("sign_in_needed")
            name, _, rest = path[1:].partition("/")
            return getattr(self, f"_{method.lower()}_{name}")(rest, body, account)

    # --- Claims -------------------------------------------------------------------------------------------

    def _post_claims(self, rest: str, body: Json, account: str) -> Json:
        if not rest:
            assert len(body) == 1
            hashed = body.get("claim_hash") or keys.claim_hash(decode_claim_code(body["code"])).hex()
            tag = next((each for each in self.tags if keys.claim_hash(each.unit.k_claim).hex() == hashed), None)
            if tag is None:
                raise no("code_unknown")
            serial = tag.unit.serial
            if serial in self.owned and self.owned[serial].account != account:
                raise no("claim_taken")
            claim_id = secret(f"claim {len(self._claims)}", 8).hex()
            if "code" in body:  # the same code goes on with the managed claim under way
                under_way = [old for old in self.steps if self._claims[old] == (tag, account)]
                claim_id = under_way[-1] if under_way and serial not in self.owned else claim_id
            self._claims[claim_id] = tag, account
            return {"claim_id": claim_id, "serial": serial, "state": "pending", "private": "claim_hash" in body}
        claim_id, _, step = rest.partition("/")
        tag, mine = self._claims[claim_id]
        assert mine == account
        return getattr(self, f"_claim_{step}")(claim_id, tag, body, account)

    def _claim_candidates(self, _claim: str, tag: NearTag, body: Json, _account: str) -> Json:
        for index, frame in enumerate(body["frames"]):
            try:
                if decode_p(bytes.fromhex(frame), K_LOT, K_FACTORY).serial == tag.unit.serial:
                    return {"index": index}
            except WireError:
                continue
        raise no("tag_not_heard")

    def _claim_challenge(self, claim: str, tag: NearTag, body: Json, _account: str) -> Json:
        public, nonce = bytes.fromhex(body["owner_public_key"]), bytes.fromhex(body["nonce"])
        hashed, serial = keys.owner_hash(public), tag.unit.serial
        if self.last_hash.get(serial, hashed) != hashed and not body["cleared"]:
            return {"challenge": None, "release": SERVER_KEY.sign(gatt.release_message(serial, nonce)).hex()}
        challenge = secret(f"challenge {claim}", 16)
        self._challenges[claim] = challenge, public
        return {"challenge": challenge.hex(), "release": None}

    def _claim_answer(self, claim: str, tag: NearTag, body: Json, account: str) -> Json:
        challenge, public = self._challenges[claim]
        tag_key = tag.unit.private_key.public_key().public_bytes_raw()
        stated = verify_answer(tag_key, challenge, bytes.fromhex(body["answer"]))
        assert stated.owner_hash == keys.owner_hash(public)
        verify(public_key(public), Domain.OWNER_CHALLENGE, bytes.fromhex(body["owner_signature"]) + challenge)
        self.owned[stated.serial] = Owned(account, stated.owner_hash, private=True)
        self.last_hash[stated.serial] = stated.owner_hash
        return {"serial": stated.serial, "tag_public_key": tag_key.hex()}

    def _claim_carry(self, claim: str, tag: NearTag, _body: Json, account: str) -> Json:
        """The server's own claim of a managed tag, in short: the tag says P frames and is pressed."""
        if self.gives_up and self.gives_up[0]["step"] == "tag_not_heard":
            self._note(claim, self.gives_up.pop(0))
            return {"gateway": "home"}
        decode_p(tag.frame(), K_LOT, K_FACTORY)
        self._note(claim, {"step": "heard", "text": "Heard."})
        if self.gives_up:
            self._note(claim, self.gives_up.pop(0))
            return {"gateway": "home"}
        tag.press()
        self.owned[tag.unit.serial] = Owned(account, b"", private=False)
        return {"gateway": "home"}

    def _get_claims(self, rest: str, _body: Json, account: str) -> Json:
        tag, _ = self._claims[rest]
        state = "activated" if tag.unit.serial in self.owned else "pending"
        return {"claim_id": rest, "serial": tag.unit.serial, "state": state, "steps": self.steps.get(rest, [])}

    def _note(self, claim: str, step: Json) -> None:
        """As the server does: the same again renews its moment."""
        steps = self.steps.setdefault(claim, [])
        if steps and steps[-1]["step"] == step["step"]:
            steps.pop()
        self._notes += 1
        steps.append({"at": f"2026-11-22T12:00:{self._notes:02}Z", **step})

    # --- Tags ---------------------------------------------------------------------------------------------

    def _get_tags(self, rest: str, _body: Json, account: str) -> Any:
        mine = [self._shown(serial) for serial, each in self.owned.items() if each.account == account]
        if not rest:
            return mine
        found = [tag for tag in mine if tag["serial"] == int(rest)]
        if not found:
            raise no("tag_unknown")
        return found[0]

    def _shown(self, serial: int) -> Json:
        private = self.owned[serial].private
        held = [each.day for each in self.days.values() if each.serial == serial]
        until = str(date(1970, 1, 1) + timedelta(days=max(held))) if private and held else None
        empty = {"code": "private", "text": "This tag is private."} if private else {"code": "never", "text": "Never."}
        return {
            "serial": serial, "name": f"Tag {serial}", "private": private, "managed": not private, "last": None,
            "empty": empty, "lost": None, "late": None, "here_since": None, "heard_at": None, "managed_note": "A note.",
            "keys_until": until, "renew_from": until,
        }  # fmt: skip

    def _put_tags(self, rest: str, body: Json, account: str) -> Json:
        serial, what = rest.split("/")
        owned = self.owned.get(int(serial))
        assert what == "keys"
        if owned is None or owned.account != account or not owned.private:
            raise no("tag_unknown")
        data, first = base64.b64decode(body["days"], validate=True), body["first_day"]
        assert len(data) % 64 == 0
        assert 1 <= len(data) // 64 <= 366
        begun = {each.day: each for each in self.days.values() if each.serial == int(serial)}
        for n in range(len(data) // 64):
            public, hashed = data[n * 64 : n * 64 + 32], data[n * 64 + 32 : n * 64 + 64]
            held = begun.get(first + n)
            if held and held.public_key != public:
                if first + n <= self.tags[0].clock() // 86_400:
                    raise no("day_key_conflict")
                del self.days[keys.eid(held.public_key)]
            self.days[keys.eid(public)] = Day(int(serial), first + n, public, hashed)
        return {"first_day": first, "days": len(data) // 64}

    def _post_tags(self, rest: str, _body: Json, account: str) -> Json:
        serial, what = rest.split("/")
        assert what in ("release", "lost", "found", "transfer")
        assert self.owned[int(serial)].account == account
        if what == "transfer":
            return {"until": "2026-11-29T12:00:00Z"}
        if what == "release":
            del self.owned[int(serial)]
        return {"done": True}

    # --- The relay ----------------------------------------------------------------------------------------

    def _post_relays(self, rest: str, body: Json, account: str) -> Json:
        if not rest:
            serial = body["serial"] if "serial" in body else self._claims[body["claim_id"]][0].unit.serial
            if body["gateway"] is None and serial in self.owned and self.owned[serial].private:
                raise no("gateway_needed")
            self._relay = self._relay or self.radio(*self.tags)
            frames = [frame.hex() for frame in self._relay.start()]
            return {"relay_id": "r-1", "gateway": "home", "frames": frames}
        assert self._relay is not None
        if rest == "r-1/connect":
            return {"nonce": self._relay.connect(bytes.fromhex(body["frame"])).hex()}
        return {"answer": self._relay.write(bytes.fromhex(body["message"])).hex()}

    def _delete_relays(self, rest: str, _body: Json, _account: str) -> Json:
        assert self._relay is not None
        self._relay.close()
        return {"done": True}

    # --- Reports ------------------------------------------------------------------------------------------

    def _fetch(self, body: Json) -> Json:
        assert 1 <= len(body["days"]) <= 31
        told, refused = [], []
        for each in body["days"]:
            eid = bytes.fromhex(each["eid"])
            held = self.days.get(eid)
            if held is None or hashlib.sha256(bytes.fromhex(each["f"])).digest() != held.fetch_hash:
                refused.append(each["eid"])
                continue
            after = bytes.fromhex(each["after"] or "")
            left = sorted(report for report in self.reports.get(eid, ()) if report > after)
            assert all(len(report) == REPORT_LEN for report in left)
            some = b"".join(left[: self.page])
            told.append({"eid": each["eid"], "reports": base64.b64encode(some).decode(), "more": len(left) > self.page})
        return {"days": told, "refused": refused}


def _handler(house: House) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            house.traffic.append(self.requestline.encode() + b"\n" + bytes(str(self.headers), "latin-1") + raw)
            account = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            path = self.path.removeprefix("/api/v1").partition("?")[0]
            try:
                status, told = 200, house.answer(self.command, path, json.loads(raw or b"{}"), account)
            except RefusedError as refused:
                status = 409
                told = {"error": {"code": refused.code, "message": refused.message, "do": refused.do}}
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def served(house: House) -> Iterator[House]:
    """The house at an address of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(house))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # somebody hung up: Ctrl-C
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    house.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield house
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
