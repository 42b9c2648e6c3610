"""Who owns which tag, and which claims are under way: claims block nobody, one living owner a tag."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.among import among
from server.store.tables import accounts, challenges, claims, ownership, units
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class Owned:
    """A stretch of ownership; `until` None = still so. `owner_hash` is what the tag itself holds.

    A stretch is private or managed from its first moment to its last: changing over ends one and begins another.
    """

    no: int
    serial: int
    account_no: int
    name: str
    owner_hash: bytes
    since: datetime
    until: datetime | None
    private: bool  # only the owner's keys read where it is


@dataclass(frozen=True, slots=True)
class Claim:
    """An account showed the code of a tag's box; that alone owns nothing."""

    claim: str
    account_no: int
    serial: int
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a tag was asked to sign, for one claim and one owner's key; `answer` once it was settled."""

    challenge: bytes
    claim: str
    owner_hash: bytes
    owner_public_key: bytes
    made_at: datetime
    expires_at: datetime
    answer: bytes | None


# --- Owners ------------------------------------------------------------------------------------------------


def lock_unit(tx: Connection, serial: int) -> None:
    """Hold this tag until the transaction ends, so that two who claim it at once come one after the other."""
    tx.execute(select(units.c.serial).where(units.c.serial == serial).with_for_update())


def living(tx: Connection, serial: int) -> Owned | None:
    """The present ownership of a tag."""
    row = tx.execute(select(ownership).where(ownership.c.serial == serial, ownership.c.until.is_(None))).first()
    return _owned(row) if row else None


def last(tx: Connection, serial: int) -> Owned | None:
    """The newest ownership of a tag, ended or not."""
    query = select(ownership).where(ownership.c.serial == serial).order_by(ownership.c.no.desc()).limit(1)
    row = tx.execute(query).first()
    return _owned(row) if row else None


def of_account(tx: Connection, account_no: int) -> tuple[Owned, ...]:
    """All tags that an account owns now, by name."""
    query = select(ownership).where(ownership.c.account_no == account_no, ownership.c.until.is_(None))
    return tuple(_owned(row) for row in tx.execute(query.order_by(ownership.c.name, ownership.c.no)))


def owned_among(tx: Connection, serials: Collection[int]) -> frozenset[int]:
    """Those of these tags that have an owner now."""
    query = select(ownership.c.serial).where(ownership.c.until.is_(None), among(ownership.c.serial, serials))
    return frozenset(tx.execute(query).scalars())


def begin(
    tx: Connection,
    serial: int,
    account_no: int,
    name: str,
    owner_hash: bytes,
    by_act: int,
    now: datetime,
    *,
    private: bool = False,
) -> bool:
    """Start an ownership; False if the tag has a living owner already (the unique index decides, not a look before)."""
    row = {
        "serial": serial,
        "account_no": account_no,
        "name": name,
        "owner_hash": owner_hash,
        "since": now,
        "by_act": by_act,
        "private": private,
    }
    put = upsert(ownership).values(row).on_conflict_do_nothing(
        index_elements=["serial"], index_where=ownership.c.until.is_(None)
    )  # fmt: skip
    return tx.execute(put.returning(ownership.c.no)).first() is not None


def end(tx: Connection, no: int, now: datetime) -> None:
    """End an ownership."""
    tx.execute(update(ownership).where(ownership.c.no == no, ownership.c.until.is_(None)).values(until=now))


def hold_owner_hash(tx: Connection, no: int, owner_hash: bytes) -> None:
    """The tag holds another key's hash now."""
    tx.execute(update(ownership).where(ownership.c.no == no).values(owner_hash=owner_hash))


def rename(tx: Connection, no: int, name: str) -> None:
    """The owner's own word for the tag."""
    tx.execute(update(ownership).where(ownership.c.no == no).values(name=name))


def owner_account(tx: Connection, email: str) -> int | None:
    """The account with this address that may own tags."""
    mine = (accounts.c.email == email.strip().lower()) & (accounts.c.role == "owner") & accounts.c.disabled_at.is_(None)
    no: int | None = tx.execute(select(accounts.c.no).where(mine)).scalar_one_or_none()
    return no


def custodial_key(tx: Connection, account_no: int) -> bytes | None:
    """The encrypted Ed25519 key that the server keeps for an account."""
    key: bytes | None = tx.execute(select(accounts.c.custodial_key).where(accounts.c.no == account_no)).scalar_one()
    return key


def keep_custodial_key(tx: Connection, account_no: int, key: bytes) -> bool:
    """Keep an encrypted key for an account; False if it has one already."""
    mine = update(accounts).where(accounts.c.no == account_no, accounts.c.custodial_key.is_(None))
    return tx.execute(mine.values(custodial_key=key)).rowcount > 0


# --- Claims ------------------------------------------------------------------------------------------------


def add_claim(tx: Connection, claim: Claim) -> None:
    """Note a claim."""
    tx.execute(
        insert(claims).values(
            claim=claim.claim,
            account_no=claim.account_no,
            serial=claim.serial,
            made_at=claim.made_at,
            expires_at=claim.expires_at,
        )
    )


def claim(tx: Connection, claim_id: str) -> Claim | None:
    """The claim with this id."""
    row = tx.execute(select(claims).where(claims.c.claim == claim_id)).first()
    return _claim(row) if row else None


def living_claims(tx: Connection, account_no: int, now: datetime) -> tuple[Claim, ...]:
    """The claims of an account that have not ended, newest first."""
    query = select(claims).where(claims.c.account_no == account_no, claims.c.expires_at > now)
    return tuple(_claim(row) for row in tx.execute(query.order_by(claims.c.made_at.desc(), claims.c.claim)))


def add_challenge(tx: Connection, challenge: Challenge) -> None:
    """Note what the tag is going to be asked."""
    tx.execute(
        insert(challenges).values(
            challenge=challenge.challenge,
            claim=challenge.claim,
            owner_hash=challenge.owner_hash,
            owner_public_key=challenge.owner_public_key,
            made_at=challenge.made_at,
            expires_at=challenge.expires_at,
        )
    )


def challenges_of(tx: Connection, claim_id: str) -> tuple[Challenge, ...]:
    """Every challenge of a claim, newest first."""
    query = select(challenges).where(challenges.c.claim == claim_id)
    return tuple(_challenge(row) for row in tx.execute(query.order_by(challenges.c.made_at.desc())))


def count_challenges(tx: Connection, claim_id: str) -> int:
    """How often a claim asked for a challenge."""
    return int(tx.execute(select(func.count()).where(challenges.c.claim == claim_id)).scalar_one())


def settle_challenge(tx: Connection, challenge: bytes, answer: bytes, now: datetime) -> None:
    """Keep the tag's answer beside its challenge, so that the same answer again finds its result."""
    settled = update(challenges).where(challenges.c.challenge == challenge, challenges.c.answer.is_(None))
    tx.execute(settled.values(answer=answer, answered_at=now))


def _owned(row: Row[Any]) -> Owned:
    return Owned(
        no=row.no,
        serial=row.serial,
        account_no=row.account_no,
        name=row.name,
        owner_hash=row.owner_hash,
        since=row.since.astimezone(UTC),
        until=utc(row.until),
        private=row.private,
    )


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        row.claim, row.account_no, row.serial, row.made_at.astimezone(UTC), row.expires_at.astimezone(UTC)
    )  # fmt: skip


def _challenge(row: Row[Any]) -> Challenge:
    return Challenge(
        challenge=row.challenge,
        claim=row.claim,
        owner_hash=row.owner_hash,
        owner_public_key=row.owner_public_key,
        made_at=row.made_at.astimezone(UTC),
        expires_at=row.expires_at.astimezone(UTC),
        answer=row.answer,
    )
