"""Joining: a one-time token in, gateway.toml and the identity key on disk out.

The token names the server and pins its key. The gateway makes its own key, shows by a signature that it holds it, and
believes only a reply that the pinned key signed. Cut off anywhere, the same token may be used again with the same key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx

from gateway.enrolled import GATEWAY_FILE, IDENTITY_FILE, PENDING_FILE, Enrolment, load_or_make_key, save_enrolment
from gateway.errors import Refusal
from gateway.talk import client, refusal_of
from wire.enrolment import (
    MAX_BYTES,
    EnrolReply,
    EnrolRequest,
    EnrolToken,
    decode_enrol_reply,
    decode_token,
    encode_request,
)
from wire.errors import WireError
from wire.signing import Domain, public_key, sign, verify

PATH: Final = "/api/v1/gateways/enrol"


def enrol(token_text: str, folder: Path, *, again: bool = False, ca_file: Path | None = None) -> Enrolment:
    """Enrol this gateway. `again` allows it to become another one. Raises Refusal."""
    try:
        token = decode_token(token_text)
    except WireError as error:
        raise Refusal(error.code, str(error), "Copy the whole token; the operator can make a new one.") from None
    if (folder / GATEWAY_FILE).exists() and not again:
        raise Refusal(
            "already_enrolled",
            f"there is an enrolment in {folder} already",
            "Add --again to replace it. What waits in the outbox is kept and signed with the new key.",
        )
    key = load_or_make_key(folder / PENDING_FILE)
    mine = key.public_key().public_bytes_raw()
    request = encode_request(EnrolRequest(token.gateway, token.secret, mine))
    reply = _believed(_post(token.url, sign(key, Domain.ENROL_REQUEST, request), ca_file), token, mine)
    enrolment = Enrolment(
        gateway=reply.gateway,
        gateway_class=reply.gateway_class,
        network_id=reply.network_id,
        public_key=mine,
        server_url=token.url,
        server_public_key=token.server_public_key,
        mqtt_url=reply.mqtt_url,
        mqtt_username=reply.mqtt_username,
        mqtt_password=reply.mqtt_password,
        ca_pem=reply.ca_pem,
        place=reply.place,
    )
    save_enrolment(folder, enrolment)
    (folder / PENDING_FILE).replace(folder / IDENTITY_FILE)
    return enrolment


def _post(url: str, body: bytes, ca_file: Path | None) -> bytes:
    with client(url, ca_file) as http:
        try:
            answer = http.post(PATH, content=body, headers={"content-type": "application/octet-stream"})
        except httpx.HTTPError as error:
            raise Refusal(
                "server_unreachable",
                f"{url} does not answer: {type(error).__name__} {error}",
                "Check the network, and the server's address with the operator; then run the same command again.",
            ) from None
    if answer.is_error:
        raise refusal_of(answer)
    return answer.content


def _believed(payload: bytes, token: EnrolToken, mine: bytes) -> EnrolReply:
    """The reply, if the key in the token signed it and it is about us. Raises Refusal `reply_not_believed`."""
    try:
        if len(payload) > MAX_BYTES:
            raise WireError("oversized", "too long")
        reply = decode_enrol_reply(verify(public_key(token.server_public_key), Domain.ENROL_REPLY, payload))
        if reply.gateway != token.gateway or reply.public_key != mine:
            raise WireError("foreign", "the reply is about another gateway")
    except WireError as error:
        raise Refusal(
            "reply_not_believed",
            f"whoever answered at {token.url} is not the server of this token ({error})",
            "Something on the way answers in its place. Try from another network, and tell the operator.",
        ) from None
    return reply
