"""Every MQTT topic of the house; nothing else spells one."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from wire.errors import WireError

_ROOT: Final = "hearsight/1/gw"
# `\Z`, never `$`: in Python `$` also matches before a newline at the end.
GATEWAY_ID_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z"
_GATEWAY_ID: Final = re.compile(GATEWAY_ID_PATTERN)
# Letters a broker's ACL and a shell can both hold; never `+`, `#`, `/` or blanks.
GatewayId = Annotated[str, Meta(pattern=GATEWAY_ID_PATTERN, max_length=32)]

ALL_BATCHES: Final = f"{_ROOT}/+/batch"
ALL_STATES: Final = f"{_ROOT}/+/state"
ALL_ANSWERS: Final = f"{_ROOT}/+/answer"


def shared(group: str, topic_filter: str) -> str:
    """A subscription that its group shares: each message goes to one of its members (MQTT 5, 4.8.2)."""
    return f"$share/{group}/{topic_filter}"


def _topic(gateway: str, kind: str) -> str:
    if not _GATEWAY_ID.match(gateway):
        raise WireError("gateway_id", "a gateway's id has 1 to 32 small letters, digits and inner hyphens")
    return f"{_ROOT}/{gateway}/{kind}"


def batch(gateway: str) -> str:
    return _topic(gateway, "batch")


def receipt(gateway: str) -> str:
    return _topic(gateway, "receipt")


def state(gateway: str) -> str:
    return _topic(gateway, "state")


def command(gateway: str) -> str:
    return _topic(gateway, "command")


def answer(gateway: str) -> str:
    return _topic(gateway, "answer")


def gateway_of(topic: str) -> str:
    """Whose topic this is. Raises WireError `topic`."""
    parts = topic.split("/")
    if len(parts) != 5 or "/".join(parts[:3]) != _ROOT or not _GATEWAY_ID.match(parts[3]):
        raise WireError("topic", "not one of our topics")
    return parts[3]
