"""Brokers: the embedded one keeps its port and ends with its parent; both brokers carry a large batch over MQTT 5."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from queue import Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from server.local import children
from server.local.broker import OwnBroker
from server.refusal import Refusal
from tests.fixtures.brokers import Broker

HOLD = """
    import sys, time
    from pathlib import Path
    from server.local.broker import OwnBroker
    own = OwnBroker(Path(sys.argv[1]))
    own.start()
    print(own.pid, flush=True)
    time.sleep(100)
"""


def listen(port: int, got: Queue[bytes]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "reader", protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe("hearsight/1/gw/+/batch", 1)
    client.on_subscribe = lambda *_: got.put(b"subscribed")
    client.on_message = lambda _client, _data, message: got.put(bytes(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert got.get(timeout=10) == b"subscribed"
    return client


def test_a_large_batch_over_mqtt_5_and_again_after_a_hard_kill(broker: Broker) -> None:
    got: Queue[bytes] = Queue()
    client = listen(broker.port, got)
    try:
        payload = os.urandom(256 * 1024 + 64)
        client.publish("hearsight/1/gw/a/batch", payload, 1).wait_for_publish(10)
        assert got.get(timeout=10) == payload
        broker.kill()
        broker.start()
        assert got.get(timeout=10) == b"subscribed"
        client.publish("hearsight/1/gw/a/batch", b"again", 1).wait_for_publish(10)
        assert got.get(timeout=10) == b"again"
    finally:
        client.loop_stop()


def test_it_keeps_its_port_and_is_reachable_from_this_machine_only(tmp_path: Path) -> None:
    with OwnBroker(tmp_path) as own:
        port = own.port
        listeners = Path("/proc/net/tcp").read_text().splitlines()
        ours = [line.split()[1] for line in listeners if f":{port:04X} 00000000:0000 0A" in line]
        assert ours == [f"0100007F:{port:04X}"]
    with OwnBroker(tmp_path) as again:
        assert again.port == port


def test_a_taken_port_is_told(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(Refusal) as refused:
        OwnBroker(tmp_path, free_port).start()
    assert refused.value.code == "broker_port_taken"


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    line = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    assert children.wait_gone(pid, 5), "the broker outlived its parent"
