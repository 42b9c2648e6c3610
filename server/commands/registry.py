"""What carrier and relays ask of the rest of the house: which gateway can carry, whose key it has, the claim's desk."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from prometheus_client import Counter
from sqlalchemy import Connection

from server.refusal import Refusal
from server.service import claim_desk, claims, gateway_health, relaying
from server.service.accounts import caller
from server.service.claim_desk import Desk
from server.service.house import House
from server.service.refusals import refuse
from server.store import accounts, gateway_states, gateways, ownership
from server.store.ownership import Claim
from wire.errors import WireError
from wire.signing import public_key
from wire.state import decode_state

# The tag is in the claimer's hand: whoever heard it longer ago is not the gateway beside it.
HEARD_RECENTLY: Final = timedelta(minutes=15)
STATES_REFUSED: Final = Counter("hearsight_states_refused_total", "States of gateways refused, by reason", ["reason"])
for _reason in ("gateway_unknown", "malformed"):
    STATES_REFUSED.labels(_reason)


def able(tx: Connection, gateway: str, now: datetime) -> bool:
    """Whether a gateway is there and its radio works, as far as its state tells."""
    if gateways.by_name(tx, gateway) is None:
        return False
    known = gateway_health.gateway(tx, gateway, now)
    return known.revoked_at is None and known.online and known.scanner in ("scanning", "paused")


class Registry:
    """Implements `carrier.Claims` and `relay.Near` on the house's database and claim memory."""

    def __init__(self, house: House) -> None:
        self._house = house

    def desk(self, claim_id: str, account_no: int) -> Desk:
        with self._house.work() as (tx, _now):
            account = accounts.by_no(tx, account_no)
            assert account is not None, "accounts are never removed"
            return Desk(self._house, _claim(tx, claim_id), caller(account))

    def begin(self, claim_id: str) -> None:
        self._house.claims.begin_carrying(claim_id, self._house.clock())

    def end(self, claim_id: str, code: str | None) -> None:
        if code is not None:
            claims.failed(self._house.claims, claim_id, code, self._house.clock())
        self._house.claims.end_carrying(claim_id)

    def choose_gateway(self, claim_id: str, wanted: str | None) -> str:
        """Refusals as for `gateway_near`."""
        with self._house.work() as (tx, _now):
            serial = _claim(tx, claim_id).serial
        return self.gateway_near(serial, wanted)

    def gateway_near(self, serial: int, wanted: str | None) -> str:
        """Refusals: gateway_unreachable, tag_not_heard (nobody heard the tag lately and no gateway was named)."""
        with self._house.work() as (tx, now):
            if wanted is not None:
                choice = [wanted]
            else:
                choice = list(gateway_states.hearers(tx, serial, now - HEARD_RECENTLY))
                if not choice:
                    raise refuse("tag_not_heard", reference=str(serial))
            for gateway in choice:
                if able(tx, gateway, now):
                    return gateway
        raise refuse("gateway_unreachable", reference=str(serial))

    def visible(self, serial: int, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        network_id = self._house.settings.network_id
        with self._house.work() as (tx, _now):
            try:
                opening = claim_desk.frame_keys(tx, self._house.vault, serial, network_id)
            except Refusal:
                opening = None  # its lot's keys are not here: no provenance frame can be told to be its
            return relaying.visible(tx, serial, frames, opening, network_id)

    def gateway_key(self, gateway: str) -> Ed25519PublicKey | None:
        with self._house.work() as (tx, _now):
            known = gateways.by_name(tx, gateway)
        if known is None or known.public_key is None or known.revoked_at is not None:
            return None
        return public_key(known.public_key)

    def on_state(self, gateway: str, payload: bytes) -> None:
        """Keep what a gateway says of itself; what is no state is counted and dropped."""
        try:
            state = decode_state(payload)
            if state.gateway != gateway:
                raise WireError("topic", "a state on another gateway's topic")
        except WireError as error:
            STATES_REFUSED.labels(error.code).inc()
            return
        with self._house.work() as (tx, now):
            if not gateway_states.put(tx, state, now):
                STATES_REFUSED.labels("gateway_unknown").inc()


def _claim(tx: Connection, claim_id: str) -> Claim:
    claim = ownership.claim(tx, claim_id)
    if claim is None:
        raise refuse("claim_unknown", reference=claim_id)
    return claim
