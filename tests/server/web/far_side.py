"""A tag in hand and the relay to it, for tests of pages: the real firmware behind the port that the web process has.

A gateway that hears the tag seals as every gateway does, to the key that belongs to the frame's identifier.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import text

from firmware_sim.claim import Link
from firmware_sim.tag import Tick, step
from server.service.refusals import refuse
from server.service.relaying import Line
from tests.server.web.town import Tag, Town
from wire import keys as wire_keys
from wire.frames import decode_o
from wire.gatt import AttError, Op
from wire.sealed import Report, seal

# A gateway hangs up after every other op.
HOLDS = (Op.SET_OWNER, Op.CLEAR, Op.ACTIVATE)
CODES = {AttError.NO_CONSENT: "button_not_pressed"}


@dataclass
class FarSide:
    """One tag, and the relay to it. `faults`: refusals of the next steps, by their codes; empty ones go well."""

    town: Town
    tag: Tag
    faults: list[str] = field(default_factory=list)
    link: Link | None = None

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

    @property
    def days(self) -> dict[int, tuple[bytes, bytes]]:
        """The public keys and the hashes of tokens that the server has, by day."""
        with self.town.engine.begin() as tx:
            rows = tx.execute(text("select day, public_key, fetch_hash from day_keys")).all()
        return {row.day: (bytes(row.public_key), bytes(row.fetch_hash)) for row in rows}

    def renew_due(self) -> date:
        """The keys that the server has end in three weeks; gives their last day."""
        last = self.town.now.date() + timedelta(days=20)
        with self.town.engine.begin() as tx:
            tx.execute(text("delete from day_keys where day > :last"), {"last": (last - date(1970, 1, 1)).days})
        return last

    def file(self, eid: bytes, sealed: bytes) -> None:
        row = {"eid": eid, "sealed": sealed, "now": self.town.now}
        with self.town.engine.begin() as tx:
            tx.execute(text("insert into sealed_reports (eid, sealed, received_at) values (:eid, :sealed, :now)"), row)

    # --- the port of the relay, as the web process is given one

    def open(self, account_no: int, serial: int, gateway: str | None) -> Line:
        self._fault()
        noise = bytes.fromhex("f0001130") + secrets.token_bytes(20)
        return Line("ab" * 16, "home-elm", (noise, self.frame()))

    def connect(self, account_no: int, relay_id: str, frame: bytes) -> bytes:
        self._fault()
        self.link = self.tag.nonce()
        assert self.link.nonce is not None
        return self.link.nonce

    def write(self, account_no: int, relay_id: str, message: bytes) -> bytes:
        self._fault()
        if self.link is None:
            raise refuse("not_reachable")
        turn = self.tag.write(self.link, message, self.now_s)
        if turn.refused is not None:
            raise refuse(CODES.get(turn.refused, "tag_refused"))
        if message[0] not in HOLDS:
            self.link = None
        return turn.reply

    def close(self, account_no: int, relay_id: str) -> None:
        self.link = None

    def _fault(self) -> None:
        code = self.faults.pop(0) if self.faults else ""
        if code:
            raise refuse(code)
