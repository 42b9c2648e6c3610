"""A proxy on one connection of the system that can be cut like a network: reset, stalled, or swallowing all it gets."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

HOWS: Final = ("reset", "stall", "swallow")
_RST: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


class Cut:
    """Passes everything on from its own address to `target` (a TCP port on loopback, or a Unix socket).

    reset: connections end hard, new ones are refused; stall: bytes wait and go on afterwards;
    swallow: bytes vanish, and connections end hard when it is healed.
    """

    def __init__(self, target: int | Path, listen: Path | None = None) -> None:
        self._target = target
        if listen is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = int(self._listener.getsockname()[1])
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(listen))
            self._listener.listen()
        self._how = ""
        self._flows = threading.Event()
        self._flows.set()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, how: str) -> None:
        self._how = how
        if how == "stall":
            self._flows.clear()
        if how == "reset":
            self._reset_all()

    def heal(self) -> None:
        how, self._how = self._how, ""
        if how == "swallow":
            self._reset_all()
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self._flows.set()
        self._reset_all()

    def _reset_all(self) -> None:
        for end in list(self._ends):
            _reset(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = None if self._how == "reset" else self._connect()
            if server is None:
                _reset(client)
                continue
            self._ends |= {client, server}
            for source, sink in ((client, server), (server, client)):
                if client.family is socket.AF_INET:
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        """None while nobody listens there."""
        try:
            if isinstance(self._target, int):
                return socket.create_connection(("127.0.0.1", self._target), timeout=None)
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            return server
        except OSError:
            return None

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                if self._how != "swallow":
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._ends.discard(end)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
