"""A private tag's days of keys, and the household that shares it. Nothing that is sent here opens a place."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from server.service import households, private_claims
from server.service.households import FOR_GOOD, HouseholdKey, SharedTag
from server.service.private_claims import DAY_LEN, DAYS_MAX, DaysKept
from server.service.refusals import refuse
from server.store.handovers import Member
from server.web.api.models import Body, Email, Serial, example, refusals
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse
from wire.household import HANDOVER_LEN

router = APIRouter(tags=["private tags"])
_ALWAYS = ("sign_in_needed", "not_yours", "tag_unknown", "not_private")
_PACKED_MAX = 4 * -(-DAYS_MAX * DAY_LEN // 3)
EmailInPath = Annotated[str, Path(max_length=254, pattern=r"^[^@\s/]+@[^@\s/]+$", examples=["bob@example.com"])]
EmailAsked = Annotated[str, Query(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["bob@example.com"])]


class Days(Body):
    """Days in a row from `first_day` (days since 1970-01-01) on: base64 of `P_i 32 ‖ SHA-256(f_i) 32` for each."""

    model_config = example(first_day=20_779, days=base64.b64encode(b"\x09" + bytes(31) + bytes(32)).decode())

    first_day: Annotated[int, Field(ge=0, le=2**31 - 1)]
    days: Annotated[str, Field(min_length=4, max_length=_PACKED_MAX, pattern="^[A-Za-z0-9+/]+={0,2}$")]


class OwnKey(Body):
    """The caller's own X25519 public key; its private half stays with the caller's client."""

    model_config = example(public_key="09" + "00" * 31)

    public_key: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class Sealed(Body):
    """The tag's secret, sealed to the member's key."""

    model_config = example(email="bob@example.com", sealed="01" + "00" * (HANDOVER_LEN - 1))

    email: Email
    sealed: Annotated[str, Field(pattern=f"^01[0-9a-fA-F]{{{2 * HANDOVER_LEN - 2}}}$")]


class Unshared(BaseModel):
    """It is done, and what that does not do."""

    ok: bool = True
    note: str = FOR_GOOD


@router.put(
    "/tags/{serial}/keys",
    responses=refusals(*_ALWAYS, "day_key_range", "day_key_invalid", "day_key_conflict", "too_many"),
)
def put_days(serial: Serial, body: Days, house: TheHouse, rates: Rates, who: Owner) -> DaysKept:
    """Upload the public keys of a private tag's days. The same again changes nothing; a begun day keeps its key."""
    rates.take("day_keys", who.email)
    try:
        packed = base64.b64decode(body.days, validate=True)
    except binascii.Error:
        raise refuse("bad_request", detail="days is not base64") from None
    with house.work() as (tx, now):
        return private_claims.put_days(tx, who, serial, body.first_day, packed, now)


@router.get("/household", responses=refusals("sign_in_needed", "not_yours"))
def shared_with(house: TheHouse, who: Owner) -> tuple[SharedTag, ...]:
    """Tags that others share with the caller, each with its secret as it was sealed to the caller's key."""
    with house.work() as (tx, _):
        return households.shared_with(tx, who)


@router.get("/household/key", responses=refusals("sign_in_needed", "not_yours", "household_key_unknown", "too_many"))
def key_of(email: EmailAsked, house: TheHouse, rates: Rates, who: Owner) -> HouseholdKey:
    """Somebody's household key: compare its words with them before you seal. An unknown address is answered alike."""
    rates.take("household_key", who.email)
    with house.work() as (tx, _):
        return households.key_of(tx, email)


@router.put("/household/key", responses=refusals("sign_in_needed", "not_yours", "household_key_invalid"))
def keep_key(body: OwnKey, house: TheHouse, who: Owner) -> HouseholdKey:
    """Give one's own household key; a new one takes the place of the old."""
    with house.work() as (tx, now):
        return households.keep_key(tx, who, bytes.fromhex(body.public_key), now)


@router.get("/tags/{serial}/household", responses=refusals(*_ALWAYS))
def members(serial: Serial, house: TheHouse, who: Owner) -> tuple[Member, ...]:
    """With whom a private tag is shared."""
    with house.work() as (tx, _):
        return households.members(tx, who, serial)


@router.post(
    "/tags/{serial}/household",
    status_code=201,
    responses=refusals(*_ALWAYS, "household_key_unknown", "transfer_to_self", "household_limit", "too_many"),
)
def share(serial: Serial, body: Sealed, house: TheHouse, rates: Rates, who: Owner) -> Member:
    """Share a private tag for good: its secret, sealed to the member's key, waits for them here."""
    rates.take("household_key", who.email)
    with house.work() as (tx, now):
        return households.share(tx, who, serial, body.email, bytes.fromhex(body.sealed), now)


@router.delete("/tags/{serial}/household/{email}", responses=refusals(*_ALWAYS, "household_unknown"))
def unshare(serial: Serial, email: EmailInPath, house: TheHouse, who: Owner) -> Unshared:
    """List a tag for a member no more; the secret that they have cannot be taken back."""
    with house.work() as (tx, _):
        households.unshare(tx, who, serial, email)
    return Unshared()
