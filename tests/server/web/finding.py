"""Private tags, and gateways that bring reports, for tests of private finding: real keys, real seals, real signatures.

A claim is made as anybody makes one; that it is private, and its days, are written as the owner's upload writes them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from httpx import Response
from sqlalchemy import insert, select, update

from server.rules.private_reports import day_of
from server.store import gateways
from server.store.tables import day_keys, ownership, sealed_reports
from tests.server.web.town import Somebody, Town
from wire.batch import GatewayClass
from wire.keys import day_public_key, eid, fetch_token
from wire.packing import pack
from wire.report_upload import ReportUpload, encode_upload
from wire.sealed import REPORT_LEN, Report, seal
from wire.signing import Domain, sign

REPORT = Report(481_234_567, 116_543_217, 1_795_348_800, 25, -61, 0x40, b"tail", int(GatewayClass.CROWD))


@dataclass
class PrivateTag:
    """A privately owned tag with its secret, and the days that were uploaded for it."""

    serial: int
    ownership_no: int
    s_o: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def eid(self, day: int) -> bytes:
        return eid(day_public_key(self.s_o, day))

    def f(self, day: int) -> bytes:
        return fetch_token(self.s_o, day)

    def report(self, day: int, report: Report = REPORT) -> bytes:
        """Sealed anew: never the same bytes twice."""
        return seal(report, day_public_key(self.s_o, day))

    def row(self, day: int) -> dict[str, Any]:
        """Its day as the owner's upload writes it."""
        public = day_public_key(self.s_o, day)
        fetch_hash = hashlib.sha256(self.f(day)).digest()
        return {
            "eid": eid(public), "ownership_no": self.ownership_no, "day": day, "public_key": public,
            "fetch_hash": fetch_hash,
        }  # fmt: skip


@dataclass
class Courier:
    """An enrolled gateway with its key, and how it brings reports."""

    town: Town
    name: str
    key: Ed25519PrivateKey

    def bring(self, reports: Sequence[bytes], *, key: Ed25519PrivateKey | None = None) -> Response:
        return self.send(sign(key or self.key, Domain.REPORTS, encode_upload(self.name, reports)))

    def send(self, payload: bytes) -> Response:
        return self.town.client.post(
            "/api/v1/reports", content=payload, headers={"content-type": "application/octet-stream"}
        )

    def brought(self, reports: Sequence[bytes]) -> dict[str, Any]:
        answer = self.bring(reports)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def raw(self, reports: bytes) -> Response:
        """Whatever bytes, with a good signature."""
        return self.send(sign(self.key, Domain.REPORTS, pack(ReportUpload(self.name, reports))))


def today(town: Town) -> int:
    return day_of(town.now)


def private_tag(town: Town, who: Somebody, days: Iterable[int] | None = None) -> PrivateTag:
    """A tag of this owner, private, with its days: by default from a week ago to two days ahead."""
    tag = town.tag()
    town.claim(who, tag)
    with town.house.work() as (tx, _):
        mine = (ownership.c.serial == tag.serial) & ownership.c.until.is_(None)
        no = tx.execute(select(ownership.c.no).where(mine)).scalar_one()
        tx.execute(update(ownership).where(ownership.c.no == no).values(private=True))
    made = PrivateTag(tag.serial, no)
    upload(town, made, range(today(town) - 7, today(town) + 3) if days is None else days)
    return made


def upload(town: Town, tag: PrivateTag, days: Iterable[int]) -> None:
    with town.house.work() as (tx, _):
        tx.execute(insert(day_keys), [tag.row(day) for day in days])


def courier(town: Town, name: str) -> Courier:
    key = Ed25519PrivateKey.generate()
    town.gateway(name)
    with town.house.work() as (tx, now):
        known = gateways.by_name(tx, name)
        assert known is not None
        gateways.change(tx, known.no, public_key=key.public_key().public_bytes_raw(), enrolled_at=now)
    return Courier(town, name, key)


def stored(town: Town) -> set[bytes]:
    with town.house.work() as (tx, _):
        return set(tx.execute(select(sealed_reports.c.sealed)).scalars())


def key_row(town: Town, eid: bytes) -> Any:
    with town.house.work() as (tx, _):
        return tx.execute(select(day_keys).where(day_keys.c.eid == eid)).one()


def fetched(answer: Any) -> list[bytes]:
    """The reports of one day of an answer."""
    raw = base64.b64decode(answer["reports"])
    return [raw[at : at + REPORT_LEN] for at in range(0, len(raw), REPORT_LEN)]
