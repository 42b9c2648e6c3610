"""Who a worker is at the broker: its client id, what it subscribes to, and whose sessions are nobody's any more.

One worker alone subscribes plainly. Several share one subscription, and the broker gives each batch to one of them,
in turn, whether it is there or not (seen on Mosquitto 2.0.11): what is meant for a worker that is away waits in its
session and comes when it is back. A session that ends takes what waits in it along; the gateways send that again.

The name of the group is a secret. Mosquitto lets every client into every group and asks its access list only when a
message is delivered: one dishonest gateway in ours, and every second batch would go to it and from there nowhere.
So is the end of a client id where the broker asks for passwords: whoever connects under our id ends our session, and
no access list is asked.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server import mqtt
from server.ingest.patience import pauses
from server.local.broker import is_own
from server.refusal import invalid
from server.settings import WORKERS_MAX, Settings
from wire import topics

_GROUP_DOMAIN: Final = b"hearsight shared subscription v1"
_CLIENT_DOMAIN: Final = b"hearsight ingest client id v1"
_SECRET_LEN: Final = 8


@dataclass(frozen=True, slots=True)
class Seat:
    """Worker `number` (from 1) of so many. `tail` ends its client id; nobody guesses it who lacks our password."""

    number: int
    of: int
    tail: str = ""

    @property
    def name(self) -> str:
        return "ingest" if self.of == 1 else f"ingest-{self.number}"

    @property
    def client_id(self) -> str:
        return f"hearsight-{self.name}{self.tail}"

    def subscription(self, server_key: Ed25519PrivateKey) -> str:
        """The same for all workers of one server, and known to nobody else if they are several."""
        if self.of == 1:
            return topics.ALL_BATCHES
        name = hmac.digest(server_key.private_bytes_raw(), _GROUP_DOMAIN, "sha256")[:_SECRET_LEN].hex()
        return topics.shared(f"ingest-{name}", topics.ALL_BATCHES)


def seats(settings: Settings) -> list[Seat]:
    """One for each worker of these settings. Refusals: workers_need_mosquitto."""
    of = settings.ingest_workers
    if of > 1 and (settings.mqtt_url is None or _is_own(settings)):
        raise invalid(
            "workers_need_mosquitto",
            f"{of} workers need a broker with shared subscriptions, and the server's own one has none that holds.",
            "Set HEARSIGHT_MQTT_URL to a Mosquitto (docs/operations.md), or HEARSIGHT_INGEST_WORKERS=1.",
        )
    return _first(of, _tail(settings))


def end_old_sessions(settings: Settings, of: int, wait: Callable[[float], bool], log: Any) -> None:
    """Ends the sessions of workers that are gone, now that there are `of`: a queue that nobody fetches would grow, and
    in a shared subscription it would take its share of the batches. Tries until it is done, or until `wait` is true.
    """
    if settings.mqtt_url is None or _is_own(settings):
        return  # it never has more than one worker
    tail = _tail(settings)
    kept = {seat.client_id for seat in _first(of, tail)}
    for seat in (*_first(1, tail), *_first(WORKERS_MAX, tail)):
        if seat.client_id in kept:
            continue
        for pause_s in pauses():
            try:
                mqtt.end_session(settings.mqtt_url, seat.client_id, ca_file=settings.mqtt_ca_file)
                break
            except OSError as error:
                log.warning("session_not_ended", worker=seat.name, error=str(error), again_in_s=pause_s)
            if wait(pause_s):
                return


def _first(of: int, tail: str) -> list[Seat]:
    return [Seat(number, of, tail) for number in range(1, of + 1)]


def _tail(settings: Settings) -> str:
    """From the password: whoever starts workers and ends sessions knows it before there is a database."""
    password = urlsplit(settings.mqtt_url or "").password
    if not password:
        return ""
    return f"-{hmac.digest(password.encode(), _CLIENT_DOMAIN, 'sha256')[:_SECRET_LEN].hex()}"


def _is_own(settings: Settings) -> bool:
    return settings.mqtt_url is not None and is_own(settings.mqtt_url, settings.data / "broker")
