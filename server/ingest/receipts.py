"""Receipts: what the server tells a gateway after the commit, signed, one message per outbox and set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.ingest.storing import Stored
from server.store.ledger import OutboxKey
from wire import topics
from wire.receipt import MAX_OUTCOMES, Outcome, Receipt, encode_receipt
from wire.signing import Domain, sign


class Message(NamedTuple):
    """What goes out over MQTT."""

    topic: str
    payload: bytes


def receipts(stored: Stored, server_key: Ed25519PrivateKey) -> Iterator[Message]:
    """For every outbox of the set: its outcomes and how far it is settled."""
    outcomes: dict[tuple[OutboxKey, str], list[Outcome]] = {}
    for entry, outcome in stored.outcomes:
        outcomes.setdefault((entry.key.outbox, entry.gateway), []).append(outcome)
    for (outbox, gateway), all_of_it in outcomes.items():
        for start in range(0, len(all_of_it), MAX_OUTCOMES):
            told = tuple(all_of_it[start : start + MAX_OUTCOMES])
            receipt = Receipt(gateway, outbox.outbox_id, stored.marks[outbox], told)
            yield Message(topics.receipt(gateway), sign(server_key, Domain.RECEIPT, encode_receipt(receipt)))
