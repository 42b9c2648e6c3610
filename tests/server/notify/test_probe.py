"""The probe of the mail server's door against a real one, and what a round writes down."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import Engine

from server.notify.mail import Mailer
from server.notify.probe import look
from server.refusal import Refusal
from server.service import channel_health
from server.store.db import transaction
from tests.server.notify.outside import NOW, Mailbox


def test_a_door_that_answers(mailbox: Mailbox) -> None:
    assert look(Mailer(mailbox.url, "us@shop.example")) == ""
    assert mailbox.letters == [], "a look sends nothing"


def test_a_door_that_is_shut(free_port: int) -> None:
    assert look(Mailer(f"smtp://127.0.0.1:{free_port}", "us@shop.example")) == "ConnectionRefusedError"


def test_a_door_that_hangs_up(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as door:
        door.settimeout(10)
        threading.Thread(target=lambda: door.accept()[0].close(), daemon=True).start()
        assert look(Mailer(f"smtp://127.0.0.1:{free_port}", "us@shop.example")) == "SMTPServerDisconnected"


class Tired:
    """A mail server that greets and takes nothing."""

    async def handle_NOOP(self, *_: Any) -> str:  # noqa: N802
        return "451 not now"


def test_a_door_that_takes_nothing(free_port: int) -> None:
    controller = Controller(Tired(), hostname="127.0.0.1", port=free_port)
    controller.start()
    try:
        assert look(Mailer(f"smtp://127.0.0.1:{free_port}", "us@shop.example")) == "answered 451"
    finally:
        controller.stop()


def test_a_round_writes_down_what_changed(engine: Engine) -> None:
    with transaction(engine) as tx:
        looks = ["", "ConnectionRefusedError", "ConnectionRefusedError", "", ""]
        assert [channel_health.probed(tx, "mail", why, NOW) for why in looks] == [False, True, False, True, False]
        [mail] = [way for way in channel_health.ways_in(tx).channels if way.channel == "mail"]
        assert mail.works is True


def test_what_staff_reported_is_not_taken_back_by_a_door_that_answers(engine: Engine) -> None:
    with transaction(engine) as tx:
        channel_health.report(tx, "agent@shop.example", "mail", False, "mailbox_full", NOW, None)
        assert not channel_health.probed(tx, "mail", "", NOW)
        [mail] = [way for way in channel_health.ways_in(tx).channels if way.channel == "mail"]
        assert (mail.works, mail.why) == (False, "mailbox_full")


@pytest.mark.parametrize("why", ["", "probe_failed"])
def test_no_report_on_a_channel_that_is_not_ours(engine: Engine, why: str) -> None:
    with transaction(engine) as tx, pytest.raises(Refusal, match="no channel fax"):
        channel_health.report(tx, "agent@shop.example", "fax", not why, why, NOW, None)
