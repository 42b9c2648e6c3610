"""The demo's own mail server: every letter becomes a file to look at, nothing leaves the machine."""

from __future__ import annotations

import socket
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """An SMTP server on loopback that writes each letter to `folder` as a text file; use it as a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self._port)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._port}"

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        letter = message_from_bytes(envelope.content, policy=policy.default)
        number = len(list(self.folder.iterdir())) + 1
        head = f"To: {', '.join(envelope.rcpt_tos)}\nSubject: {letter['subject']}\n\n"
        body = letter.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        (self.folder / f"{number:04d}.txt").write_text(head + text)
        return "250 kept"

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
