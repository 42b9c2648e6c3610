"""What stands outside of the house in these tests: a mail server and an HTTP server, both real, and a queue to fill."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from sqlalchemy import Engine, select

from server.notify.deliver import Doors
from server.notify.mail import Mailer
from server.notify.webpush import Sender
from server.store.db import transaction
from server.store.lost import NewNotice, add_channel, add_notice
from server.store.tables import notices

NOW = datetime(2026, 11, 22, 13, 10, tzinfo=UTC)
PAYLOAD = {"name": "Bicycle", "heard_at": NOW.isoformat(), "url": "http://127.0.0.1:8000/t/1"}


class Mailbox:
    """A real SMTP server that keeps what it gets."""

    def __init__(self, port: int) -> None:
        self.letters: list[Any] = []
        self.url = f"smtp://127.0.0.1:{port}"
        self.controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.letters.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 kept"


class Hook:
    """A real HTTP server that answers with `status` and keeps what it gets."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server.server_port}/hook?who=me"


def doors(mailer: Mailer | None, *, private: bool = False, push: Sender | None = None) -> Doors:
    # Addresses are stored in the clear here: the vault has its own tests.
    return Doors(mailer, bytes.decode, bytes, bytes.decode, private, push)


def queue(engine: Engine, account: int, channel: int | None = None, once: str = "news:1") -> None:
    with transaction(engine) as tx:
        add_notice(tx, NewNotice(account, channel, "lost_heard", once, PAYLOAD), NOW)


def channel(engine: Engine, account: int, kind: str, address: str, secret: bytes | None = None) -> int:
    with transaction(engine) as tx:
        return add_channel(tx, account, kind, address.encode(), secret, NOW)


def webhook(engine: Engine, account: int, url: str) -> int:
    return channel(engine, account, "webhook", url, b"shared secret")


def row(engine: Engine) -> Any:
    with transaction(engine) as tx:
        return tx.execute(select(notices)).one()
