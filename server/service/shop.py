"""The shop's own webhook: who signed it, and what a shop may say.

Signed as the Standard Webhooks specification says: HMAC-SHA256 over `id.timestamp.body`, so that a body cannot be
sent again later under another id. A shop speaks for itself: it took an order and money; it has no eyes in the dock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from server.rules.facts import StatementKind
from server.service.refusals import refuse

VENDOR: Final = "shop"
# Clocks differ by less; a recording of an hour ago is refused.
TOLERANCE: Final = timedelta(minutes=5)
ID_MAX: Final = 128
SAYS: Final = frozenset(
    {
        StatementKind.ORDER_PLACED,
        StatementKind.PAYMENT,
        StatementKind.REFUNDED,
        StatementKind.ORDER_CANCELLED,
        StatementKind.CONSENT_TO_DELAY,
        StatementKind.REFUND_REQUESTED,
        StatementKind.REFUND_WITHDRAWN,
    }
)
"""What a shop may say. Anything about the parcel itself comes from warehouse and carriers."""


def verify(secret: bytes | None, headers: Mapping[str, str], raw: bytes, now: datetime) -> str:
    """The id of a webhook that the shop signed within the tolerance. Refusals: signature_invalid, webhook_old.

    Several signatures may stand side by side while the secret is being changed; one must fit.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    at = int(timestamp) if timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12 else None
    if not secret or at is None or not 0 < len(message_id) <= ID_MAX:
        raise refuse("signature_invalid")
    signed = f"{message_id}.{timestamp}.".encode() + raw
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest())
    shown = [each.removeprefix("v1,") for each in headers.get("webhook-signature", "").split() if each[:3] == "v1,"]
    # Every one is compared, so that the time taken says nothing about which fits.
    if sum(hmac.compare_digest(expected, each.encode()) for each in shown) == 0:
        raise refuse("signature_invalid")
    if abs(now.timestamp() - at) > TOLERANCE.total_seconds():
        raise refuse("webhook_old")
    return message_id
