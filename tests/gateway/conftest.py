"""What a gateway's tests share: the air, a broker, a server, all real and all on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.enrol import enrol
from tests.gateway.air import Air
from tests.gateway.brokers import MOSQUITTO, Broker, Iotcore, Mosquitto
from tests.gateway.process import GatewayProcess
from tests.gateway.server import TestServer


@pytest.fixture
def air(tmp_path: Path) -> Iterator[Air]:
    with Air(tmp_path) as air:
        yield air


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.mosquitto), "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Both brokers, one after the other."""
    yield from _running(request.param, tmp_path)


@pytest.fixture
def one_broker(tmp_path: Path) -> Iterator[Broker]:
    """One broker, where it does not matter which: Mosquitto if it is here."""
    yield from _running("mosquitto" if Path(MOSQUITTO).exists() else "iotcore", tmp_path)


def _running(name: str, folder: Path) -> Iterator[Broker]:
    if name == "mosquitto" and not Path(MOSQUITTO).exists():
        pytest.skip("needs Mosquitto: apt-get install mosquitto")
    broker: Broker = Mosquitto(folder / "broker") if name == "mosquitto" else Iotcore(folder / "broker")
    broker.start()
    try:
        yield broker
    finally:
        broker.end()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server on whichever broker the test asked for."""
    name = "broker" if "broker" in request.fixturenames else "one_broker"
    broker: Broker = request.getfixturevalue(name)
    server = TestServer(broker.url)
    server.join()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def gateway(tmp_path: Path, air: Air, server: TestServer) -> Iterator[GatewayProcess]:
    """An enrolled gateway process that has not been started yet; ended whatever the test did."""
    process = GatewayProcess(tmp_path / "g", air.bus_address)
    enrol(server.token, process.data)
    try:
        yield process
    finally:
        if process.process is not None:
            process.process.kill()
            process.process.wait()
