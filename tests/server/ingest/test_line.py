"""The line beside paho: in whatever pieces the bytes come, each message comes out once, and the rest is paho's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.ingest.line import Line, Published


def number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes((value & 127 | 128,)), value >> 7
    return out + bytes((value,))


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + number(len(body)) + body


def publish(message: Published, *, properties: bytes = b"", version5: bool = True, dup: bool = False) -> bytes:
    first = 0x30 | (0x02 if message.mid else 0) | (0x08 if dup else 0)
    body = len(message.topic).to_bytes(2, "big") + message.topic
    body += message.mid.to_bytes(2, "big") if message.mid else b""
    body += number(len(properties)) + properties if version5 else b""
    return packet(first, body + message.payload)


PUBACK = packet(0x40, b"\x00\x07")
PINGRESP = packet(0xD0, b"")
SUBACK = packet(0x90, b"\x00\x01\x00\x01")
MESSAGES = st.builds(
    Published,
    st.binary(min_size=1, max_size=40),
    st.one_of(st.binary(max_size=300), st.just(bytes(20_000))),
    st.integers(0, 65_535),
)
ITEMS = st.lists(st.one_of(MESSAGES, st.sampled_from([PUBACK, PINGRESP, SUBACK])), max_size=12)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def for_paho(line: Line) -> bytes:
    out = b""
    while line.for_paho:
        try:
            out += line.recv(3)
        except OSError:
            break
    return out


@given(items=ITEMS, properties=st.binary(max_size=200), cuts=st.lists(st.integers(1, 700)), most=st.integers(1, 5))
def test_any_pieces_give_the_same_messages_and_leave_the_rest_to_paho(
    items: list[Published | bytes], properties: bytes, cuts: list[int], most: int
) -> None:
    stream = b"".join(each if isinstance(each, bytes) else publish(each, properties=properties) for each in items)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        line, taken, rest = Line(ours, version5=True), [], b""
        while stream:
            size = cuts.pop() if cuts else len(stream)
            theirs.sendall(stream[: min(size, 60_000)])
            stream = stream[min(size, 60_000) :]
            line.fill()
            while some := line.take(most):
                taken += some
                assert len(some) <= most
            rest += for_paho(line)
        assert taken == [each for each in items if not isinstance(each, bytes)]
        assert rest == b"".join(each for each in items if isinstance(each, bytes))
        assert not line.whole


def test_older_protocol_has_no_properties(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    line = Line(ours, version5=False)
    theirs.sendall(publish(Published(b"t", b"\x05payload", 9), version5=False, dup=True))
    line.fill()
    assert line.take(9) == [Published(b"t", b"\x05payload", 9)]


def test_with_no_room_messages_wait_and_signs_of_life_come_through(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    line = Line(ours, version5=True)
    theirs.sendall(PINGRESP + publish(Published(b"t", bytes(70_000), 1)) + PUBACK)
    line.fill()
    assert (line.take(0), for_paho(line), line.whole, line.laden) == ([], PINGRESP, False, False)
    line.fill()
    assert (line.take(0), for_paho(line), line.whole, line.laden) == ([], b"", True, True)
    assert [each.mid for each in line.take(1)] == [1]
    assert for_paho(line) == PUBACK


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x00\x09topic",
        b"\x00\x01t\x00",
        b"\x00\x01t\x00\x01\x7f",
        b"\x00\x01t\x00\x01\x80",
        b"\x00\x01t\x00\x01\xff\xff\xff",
        b"\x00\x01t\x00\x01\xff\xff\xff\xff",
    ],
)
def test_what_is_no_publish_ends_the_connection(ends: tuple[socket.socket, socket.socket], body: bytes) -> None:
    ours, theirs = ends
    line = Line(ours, version5=True)
    theirs.sendall(packet(0x32, body))
    line.fill()
    assert line.take(9) == []
    assert line.for_paho
    with pytest.raises(OSError, match="not MQTT"):
        line.recv(1)


@given(noise=st.binary(max_size=300), body=st.binary(max_size=40), version5=st.booleans())
def test_whatever_the_broker_sends_nothing_breaks(noise: bytes, body: bytes, version5: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        line = Line(ours, version5=version5)
        for piece in (packet(0x32, body), packet(0x30, body), packet(0x34, body), noise):
            theirs.sendall(piece)
            line.fill()
            line.take(9)
            for_paho(line)


def test_acknowledgements_go_between_packets_in_one_piece(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    line = Line(ours, version5=True)
    assert line.send(PINGRESP) == len(PINGRESP)
    line.acknowledge([1, 0x0203])
    line.send(SUBACK)
    assert theirs.recv(100) == PINGRESP + b"\x40\x02\x00\x01" + b"\x40\x02\x02\x03" + SUBACK


def test_what_the_socket_does_not_take_waits_and_keeps_its_order(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    line = Line(ours, version5=True)
    much = bytes(range(256)) * 8_000
    assert line.send(much) == len(much)
    line.acknowledge([7])
    assert line.unsent
    got = b""
    while len(got) < len(much) + 4:
        got += theirs.recv(65_536)
        line.flush()
    assert got == much + b"\x40\x02\x00\x07"
    assert not line.unsent


def test_the_end_is_told_after_what_came_before_it(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    line = Line(ours, version5=True)
    theirs.sendall(publish(Published(b"t", b"last", 3)) + PINGRESP)
    theirs.close()
    line.fill()
    line.fill()
    assert line.take(9) == [Published(b"t", b"last", 3)]
    assert for_paho(line) == PINGRESP
    with pytest.raises(ConnectionResetError):
        line.recv(1)
    with pytest.raises(ConnectionResetError):
        line.send(b"x")


def test_closing_sends_what_is_left_and_hears_the_other_out(ends: tuple[socket.socket, socket.socket]) -> None:
    """Closed with something unread, TCP would tear the line down and take the last acknowledgements with it."""
    ours, theirs = ends
    line = Line(ours, version5=True)
    much = bytes(2_000_000)
    line.send(much)
    line.acknowledge([5])
    got = bytearray()

    def read_all() -> None:
        while data := theirs.recv(65_536):
            got.extend(data)
            theirs.sendall(b"under way")
        theirs.close()

    reader = threading.Thread(target=read_all)
    reader.start()
    line.close()
    reader.join(10)
    assert bytes(got) == much + b"\x40\x02\x00\x05"
    assert ours.fileno() == -1
