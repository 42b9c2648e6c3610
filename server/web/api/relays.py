"""An owner's client speaks with a tag through a gateway: the server passes bytes on that it cannot make.

These routes wait for a gateway's answer, each in a thread of its own; how many may wait at once is bounded.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from server.service import relaying
from server.service.house import House
from server.service.refusals import refuse
from server.service.relaying import Relays
from server.web.api.models import Body, Done, example, refusals
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse
from wire.gatt import MAX_MESSAGE
from wire.manifest import MAX_SERIAL

router = APIRouter(prefix="/relays", tags=["relays"])
_LINE = (
    "sign_in_needed",
    "not_yours",
    "gateway_unreachable",
    "relay_full",
    "carry_busy",
    "tag_not_heard",
    "carry_refused",
    "too_many",
)
_STEP = (*_LINE, "relay_unknown", "not_reachable", "tag_refused", "button_not_pressed")
RelayInPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["5f0c6e0b8d7a4b0e9c1d2a3b4c5d6e7f"])]


class Wanted(Body):
    """Which tag: that of a claim under way, or one's own. `gateway`: beside the tag; a private tag's must be named."""

    model_config = example(serial=1099511627, gateway="home-elm")

    claim_id: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$")] = None
    serial: Annotated[int | None, Field(ge=0, le=MAX_SERIAL)] = None
    gateway: Annotated[str | None, Field(max_length=32)] = None


class Relay(BaseModel):
    """The line, and the frames (hex) that may be the tag's, strongest first. It ends after five minutes."""

    relay_id: str
    gateway: str
    frames: list[str]


class Reach(Body):
    """The frame of the tag to connect to, as it was told."""

    model_config = example(frame="00" * 24)

    frame: Annotated[str, Field(pattern="^[0-9a-fA-F]{48}$")]


class Read(BaseModel):
    """The tag's nonce: good for one message, and until the connection ends."""

    nonce: str


class Message(Body):
    """A whole message to the tag, with its MAC."""

    model_config = example(message="01000000" + "00" * 7)

    message: Annotated[str, Field(pattern=f"^([0-9a-fA-F]{{2}}){{11,{MAX_MESSAGE}}}$")]


class Told(BaseModel):
    """What the tag answered: `op ‖ length ‖ data`."""

    answer: str


@router.post(
    "",
    status_code=201,
    responses=refusals(*_LINE, "claim_unknown", "claim_expired", "claim_taken", "tag_unknown", "gateway_needed"),
)
def open_line(body: Wanted, house: TheHouse, rates: Rates, who: Owner) -> Relay:
    """Ask a gateway what it hears. One line an account: another one of the caller's ends."""
    rates.take("relay", who.email)
    with house.work() as (tx, now):
        serial = relaying.tag_of(tx, house.claims, who, body.claim_id, body.serial, body.gateway, now)
    line = _relays(house).open(who.account_no, serial, body.gateway)
    return Relay(relay_id=line.relay_id, gateway=line.gateway, frames=[frame.hex() for frame in line.frames])


@router.post("/{relay_id}/connect", responses=refusals(*_STEP))
def connect(relay_id: RelayInPath, body: Reach, house: TheHouse, rates: Rates, who: Owner) -> Read:
    """Connect to a tag and read a nonce; on the open connection the next one. Each message needs its own."""
    rates.take("relay_step", who.email)
    return Read(nonce=_relays(house).connect(who.account_no, relay_id, bytes.fromhex(body.frame)).hex())


@router.post("/{relay_id}/write", responses=refusals(*_STEP))
def write(relay_id: RelayInPath, body: Message, house: TheHouse, rates: Rates, who: Owner) -> Told:
    """Write a message to the tag, and read what it says."""
    rates.take("relay_step", who.email)
    return Told(answer=_relays(house).write(who.account_no, relay_id, bytes.fromhex(body.message)).hex())


@router.delete("/{relay_id}", responses=refusals("sign_in_needed", "not_yours", "relay_unknown", "gateway_unreachable"))
def close(relay_id: RelayInPath, house: TheHouse, who: Owner) -> Done:
    """End the line; the gateway hangs up."""
    _relays(house).close(who.account_no, relay_id)
    return Done()


def _relays(house: House) -> Relays:
    if house.relays is None:
        raise refuse("gateway_unreachable")
    return house.relays
