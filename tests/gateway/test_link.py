"""The link by itself: TLS with the certificate of the enrolment; an outage costs neither memory nor threads."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ipaddress
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import structlog
import structlog.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import link as link_module
from gateway.errors import Refusal
from gateway.link import Broker, Link, Mail
from tests.fixtures.ports import free_ports
from tests.gateway.brokers import MOSQUITTO, Mosquitto

PEM = serialization.Encoding.PEM


def certificate() -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test broker")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(PEM).decode(), private.decode()


class TlsMosquitto(Mosquitto):
    """Speaks TLS only."""

    def command(self) -> list[str]:
        self.ca_pem, key = certificate()
        (self.folder / "cert.pem").write_text(self.ca_pem)
        (self.folder / "key.pem").write_text(key)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"certfile {self.folder / 'cert.pem'}\nkeyfile {self.folder / 'key.pem'}\n"
        )
        return [MOSQUITTO, "-c", str(config)]


def make(broker: Broker, on_ready: Callable[[], None] = lambda: None) -> Link:
    mail = Mail("hs-test", "hearsight/1/gw/test/state", lambda: b"offline", ("hearsight/1/gw/test/receipt",))
    return Link(
        broker, mail, on_ready=on_ready, on_message=lambda _topic, _payload: None, log=structlog.get_logger(),
        jitter=lambda: 0.5,
    )  # fmt: skip


async def lives(link: Link, until: Callable[[], object], seconds: float = 15.0) -> None:
    """Run the link until something is true, then end it."""
    task = asyncio.ensure_future(link.run())
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert until(), link.trouble


@pytest.mark.mosquitto
def test_tls_with_the_certificate_of_the_enrolment_and_with_no_other(tmp_path: Path) -> None:
    if not Path(MOSQUITTO).exists():
        pytest.skip("needs Mosquitto: apt-get install mosquitto")
    broker = TlsMosquitto(tmp_path)
    broker.start()
    try:
        ready: list[bool] = []
        right = Broker("127.0.0.1", broker.port, True, "u", "p", broker.ca_pem)
        asyncio.run(lives(make(right, lambda: ready.append(True)), lambda: ready))
        for ca_pem in (certificate()[0], ""):
            link = make(Broker("127.0.0.1", broker.port, True, "u", "p", ca_pem))
            asyncio.run(lives(link, lambda link=link: "certificate" in link.trouble))  # type: ignore[misc]
            assert link.connections == 0
        assert f" as {right.client_id('hs-test')} " in (tmp_path / "broker.log").read_text()
    finally:
        broker.end()


def test_nobody_knows_a_client_id_who_does_not_know_the_password() -> None:
    """Whoever connected under it would cut us off, as often as it likes."""
    first, again, other = (Broker("host", 1, False, "u", word) for word in ("first", "first", "other"))
    assert first.client_id("hs-test") == again.client_id("hs-test") != other.client_id("hs-test")


def test_an_outage_costs_neither_memory_nor_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BACKOFF_MIN_S", 0.001)
    monkeypatch.setattr(link_module, "BACKOFF_MAX_S", 0.001)
    before = threading.active_count()
    link = make(Broker("127.0.0.1", free_ports(), False, "u", "p"))
    link._delay_s = 0.001
    with structlog.testing.capture_logs() as told:
        link._log = structlog.get_logger()
        asyncio.run(lives(link, lambda: len(told) >= 30))
    gc.collect()
    clients = [thing for thing in gc.get_objects() if isinstance(thing, mqtt.Client)]
    assert len(clients) <= 1
    assert threading.active_count() <= before + 2, "those of the loop's own pool"
    assert not link.publish("t", b"x"), "nothing is queued while there is nobody"


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "broker:1883", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(Refusal):
        Broker.from_url(url, "u", "p", "")


def test_addresses_and_their_ports() -> None:
    assert Broker.from_url("mqtt://h", "u", "p", "").port == 1883
    broker = Broker.from_url("mqtts://h:1234", "u", "secret", "")
    assert (broker.port, broker.tls) == (1234, True)
    assert "secret" not in repr(broker)
