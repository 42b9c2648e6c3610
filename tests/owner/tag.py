"""A private tag and the receivers around it, for tests: sealed reports as honest and other gateways make them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from owner.keys import DAY_S, TICK_S, Ring, TagSecret, owner_ring
from wire import keys
from wire.frames import decode_o, encode_o
from wire.sealed import Report, seal

DAY = 20_779
# Noon of that day.
NOON_S = DAY * DAY_S + DAY_S // 2
BERLIN = (52.52, 13.405)
POTSDAM = (52.39, 13.065)
PARIS = (48.8566, 2.3522)


def secret(name: str, length: int = 32) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:length]


@dataclass(frozen=True)
class PrivateTag:
    """One tag with its secret; `zero_s` is when its tick was 0."""

    seed: bytes = secret("seed")
    zero_s: int = 0

    @property
    def secret(self) -> TagSecret:
        return TagSecret(8_000_000_017, self.seed, self.zero_s)

    def ring(self, *days: int) -> Ring:
        return owner_ring(self.secret, days or range(DAY - 7, DAY + 1))

    def frame_tail(self, day: int, sent_s: int, status: int = 0) -> bytes:
        eid = keys.eid(keys.day_public_key(self.seed, day))
        tick = (sent_s - self.zero_s) // TICK_S
        return decode_o(encode_o(keys.own_key(self.seed), eid, tick=tick, status=status)).tail

    def heard(
        self,
        at_s: int = NOON_S,
        place: tuple[float, float] = BERLIN,
        *,
        day: int | None = None,
        sent_s: int | None = None,
        rssi_dbm: int = -60,
        status: int = 0,
        accuracy_m: int = 35,
    ) -> Report:
        """What a gateway at `place` says at `at_s`, of a frame that the tag sent at `sent_s` (otherwise then)."""
        day = at_s // DAY_S if day is None else day
        tail = self.frame_tail(day, at_s if sent_s is None else sent_s, status)
        lat, lon = place
        return Report(round(lat * 1e7), round(lon * 1e7), at_s, accuracy_m, rssi_dbm, status, tail, 3)

    def sealed(self, report: Report, day: int | None = None) -> bytes:
        day = report.unix_s // DAY_S if day is None else day
        return seal(report, keys.day_public_key(self.seed, day))

    def report(self, at_s: int = NOON_S, place: tuple[float, float] = BERLIN, **more) -> bytes:
        return self.sealed(self.heard(at_s, place, **more), more.get("day"))

    def of_another_version(self, day: int = DAY) -> bytes:
        """Sealed as a report is, with something in the bytes that are kept for later."""
        public = keys.day_public_key(self.seed, day)
        eid = keys.eid(public)
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
        plain = bytes(21) + b"\0\0\1"
        key = X25519PublicKey.from_public_bytes(public)
        return b"\1" + eid + suite.encrypt(plain, key, b"hearsight report v1" + eid)

    def changed(self, at_s: int = NOON_S, **fields) -> bytes:
        """An honest report with some of its fields changed before it is sealed."""
        return self.sealed(replace(self.heard(at_s), **fields), at_s // DAY_S)
