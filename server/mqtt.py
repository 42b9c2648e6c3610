"""One way to the broker for every part of the server: a paho client from HEARSIGHT_MQTT_URL.

MQTT 5 where the broker has it, 3.1.1 otherwise: nothing of ours needs more than 3.1.1.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

Client = paho.Client
ErrorCode = MQTTErrorCode

KEEPALIVE_S: Final = 30
# A broker that is there answers at once; one that is not must not hold up whoever asks.
ANSWER_S: Final = 5
# Back-off of paho's own reconnecting: quick after a restart of the broker, patient while it is away.
RETRY_MIN_S: Final = 1
RETRY_MAX_S: Final = 15


class _Through(paho.Client):
    """paho on a socket that its owner has wrapped."""

    wrap: Callable[[Any], Any]

    def _create_socket(self) -> Any:
        return self.wrap(super()._create_socket())


def new_client(
    url: str,
    client_id: str,
    *,
    ca_file: Path | None = None,
    version5: bool = True,
    wrap: Callable[[Any], Any] = lambda sock: sock,
) -> paho.Client:
    """A client with user, password and TLS as the URL says; its callbacks are still to be set, then `connect`.

    `wrap` is given each new socket, after TLS, and returns what paho is to read from and write to.
    """
    version = MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311
    # MQTT 5 says per connection whether the session goes on; in 3.1.1 the client itself says it here.
    clean = None if version5 else False
    client = _Through(CallbackAPIVersion.VERSION2, client_id, clean_session=clean, protocol=version)
    client.wrap = wrap
    _identify(client, url, ca_file)
    client.reconnect_delay_set(RETRY_MIN_S, RETRY_MAX_S)
    return client


def _identify(client: paho.Client, url: str, ca_file: Path | None) -> None:
    where = urlsplit(url)
    if where.username:
        client.username_pw_set(unquote(where.username), unquote(where.password or ""))
    if where.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context(cafile=ca_file))


def address(url: str) -> tuple[str, int]:
    """Host and port of a broker."""
    where = urlsplit(url)
    return where.hostname or "localhost", where.port or (8883 if where.scheme == "mqtts" else 1883)


def connect_lasting(client: paho.Client, url: str, *, receive_max: int, session_s: int) -> None:
    """Connects (this waits for TCP and TLS) and goes on with the session that the broker kept for this client's id.

    In MQTT 5 the broker sends at most `receive_max` messages that were not acknowledged, and keeps the session for
    `session_s` after a disconnect; in 3.1.1 it decides both itself. Raises OSError.
    """
    host, port = address(url)
    if client.protocol is not MQTTProtocolVersion.MQTTv5:
        client.connect(host, port, KEEPALIVE_S)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own
    properties.ReceiveMaximum = receive_max
    properties.SessionExpiryInterval = session_s
    client.connect(host, port, KEEPALIVE_S, clean_start=False, properties=properties)


def end_session(url: str, client_id: str, *, ca_file: Path | None = None) -> None:
    """Makes the broker forget what it keeps for this client id, and cuts off whoever has it now. Raises OSError."""
    said: list[bool] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311
    )
    _identify(client, url, ca_file)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(not reason.is_failure)
    client.connect(*address(url), KEEPALIVE_S)
    for _ in range(ANSWER_S):
        if said or client.loop(1.0) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            break
    client.disconnect()
    if said != [True]:
        raise ConnectionError("the broker did not accept the connection")
