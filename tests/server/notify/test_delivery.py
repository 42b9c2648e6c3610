"""Notices leave by a real mail server's door and by real HTTP, once, retried, and never into a private network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from server.notify.deliver import NOTICES, RETRY_AFTER, Doors, deliver_due
from server.notify.mail import Mailer
from server.service.letters import write_customer
from server.service.webhook_address import UnsafeAddressError, safe_target
from server.store import orders
from server.store.db import transaction
from server.store.lost import NewNotice, add_notice, remove_channel
from server.store.orders import StoredOrder
from server.store.tables import accounts
from tests.server.notify.outside import NOW, PAYLOAD, Hook, Mailbox, doors, queue, row, webhook


def test_a_letter_arrives_once_in_its_readers_time_and_without_a_place(
    engine: Engine, mailbox: Mailbox, account: int
) -> None:
    queue(engine, account)
    out = doors(Mailer(mailbox.url, "tags@example.org"))
    assert deliver_due(engine, out, lambda: NOW).sent == 1
    assert deliver_due(engine, out, lambda: NOW + timedelta(days=1)).sent == 0
    [(to, letter)] = mailbox.letters
    assert to == ["rowan@example.org"]
    assert letter["subject"] == "Your lost tag “Bicycle” was heard"
    assert "Sun 22 Nov 2026, 14:10 (Europe/Berlin)" in letter.get_content()
    assert letter["message-id"] == f"<notice-{row(engine).no}@hearsight>"


def test_a_letter_about_an_order_goes_to_whoever_placed_it(engine: Engine, mailbox: Mailbox) -> None:
    """They may have no account."""
    order = StoredOrder(
        "T-1",
        "ann@example.com",
        "Ann",
        None,
        {"country": "US"},
        NOW,
        "America/New_York",
        None,
        "standard",
        "shop",
        NOW,
        (),
    )
    with transaction(engine) as tx:
        orders.add(tx, order)
        assert write_customer(tx, "T-1", "Your money is back.", "remedy:1", "https://tags.example", NOW)
        assert not write_customer(tx, "T-1", "Your money is back.", "remedy:1", "https://tags.example", NOW)
    assert deliver_due(engine, doors(Mailer(mailbox.url, "tags@example.org")), lambda: NOW).sent == 1
    [(to, letter)] = mailbox.letters
    assert (to, letter["subject"]) == (["ann@example.com"], "Your order T-1")
    assert "Your money is back." in letter.get_content()
    assert "https://tags.example/o/T-1" in letter.get_content()


def test_a_mail_server_that_is_away_is_tried_again_and_in_the_end_given_up(engine: Engine, account: int) -> None:
    queue(engine, account)
    out, now = doors(Mailer("smtp://127.0.0.1:1", "tags@example.org")), NOW
    for wait in RETRY_AFTER:
        assert deliver_due(engine, out, lambda: now).failed == 1  # noqa: B023 - called at once
        assert row(engine).due_at == now + wait
        assert deliver_due(engine, out, lambda: now).failed == 0, "not before it is due"  # noqa: B023
        now += wait
    assert deliver_due(engine, out, lambda: now).failed == 1
    assert row(engine).given_up_at == now
    assert "ConnectionRefusedError" in row(engine).last_error


def test_a_link_that_lets_somebody_in_is_read_for_the_letter_alone(
    engine: Engine, mailbox: Mailbox, account: int
) -> None:
    sealed = base64.b64encode(b"https://tags.example.org/reset#token").decode()
    payload = {"until": NOW.isoformat(), "sealed_url": sealed}
    with transaction(engine) as tx:
        add_notice(tx, NewNotice(account, None, "password_reset", "reset:1", payload), NOW)
    assert deliver_due(engine, doors(Mailer(mailbox.url, "tags@example.org")), lambda: NOW).sent == 1
    text = mailbox.letters[0][1].get_content()
    assert "https://tags.example.org/reset#token" in text
    assert "a new password or a new account" in text  # the first letter of a new owner is this one, too
    assert row(engine).payload == payload


def test_without_a_mail_server_the_notice_says_so(engine: Engine, account: int) -> None:
    queue(engine, account)
    assert deliver_due(engine, doors(None), lambda: NOW).failed == 1
    assert "HEARSIGHT_SMTP_URL" in row(engine).last_error


def test_a_webhook_is_signed_as_standard_webhooks_says(engine: Engine, hook: Hook, account: int) -> None:
    queue(engine, account, webhook(engine, account, hook.url))
    assert deliver_due(engine, doors(None, private=True), lambda: NOW).sent == 1
    [(headers, body)] = hook.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"shared secret", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["host"] == hook.url.split("/")[2]
    assert json.loads(body)["data"]["name"] == "Bicycle"


def test_a_webhook_that_answers_500_is_tried_again_under_the_same_id(engine: Engine, hook: Hook, account: int) -> None:
    queue(engine, account, webhook(engine, account, hook.url))
    hook.status = 500
    assert deliver_due(engine, doors(None, private=True), lambda: NOW).failed == 1
    hook.status = 200
    assert deliver_due(engine, doors(None, private=True), lambda: NOW + RETRY_AFTER[0]).sent == 1
    assert hook.got[0][0]["webhook-id"] == hook.got[1][0]["webhook-id"]


def test_a_webhook_into_our_own_network_is_given_up_at_once(engine: Engine, hook: Hook, account: int) -> None:
    queue(engine, account, webhook(engine, account, hook.url.replace("http:", "https:")))
    assert deliver_due(engine, doors(None), lambda: NOW).failed == 1
    assert row(engine).given_up_at == NOW
    assert hook.got == []


def test_one_customers_odd_words_hold_up_nobody_elses_news(engine: Engine, mailbox: Mailbox, account: int) -> None:
    no_name = webhook(engine, account, f"https://{'a' * 70}.example.com/")  # no name server takes such a name
    with transaction(engine) as tx:
        add_notice(tx, NewNotice(account, no_name, "lost_heard", "news:1", PAYLOAD), NOW)
        add_notice(tx, NewNotice(account, None, "no such kind", "news:2", {}), NOW)
        odd = PAYLOAD | {"name": "Bicycle\r\nBcc: everybody@example.org\u2028"}
        add_notice(tx, NewNotice(account, None, "lost_heard", "news:3", odd), NOW)
    queue(engine, account, once="news:4")
    done = deliver_due(engine, doors(Mailer(mailbox.url, "tags@example.org")), lambda: NOW)
    assert (done.sent, done.failed) == (2, 2)
    [(to, odd_letter), _] = mailbox.letters
    assert to == ["rowan@example.org"]
    assert odd_letter["bcc"] is None
    assert odd_letter["subject"] == "Your lost tag “Bicycle Bcc: everybody@example.org ” was heard"


def test_a_webhook_that_answers_a_letter_at_a_time_is_left(
    engine: Engine, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.notify.outward.TIMEOUT_S", 0.5)
    slow = socket.create_server(("127.0.0.1", 0))
    ended, heard_out = threading.Event(), threading.Event()

    def drip() -> None:
        talk, _ = slow.accept()
        with talk, contextlib.suppress(OSError):
            for letter in b"HTTP/1.1 200 OK\r\nx-slow: " + b"z" * 200:
                talk.sendall(bytes((letter,)))
                if ended.wait(0.1):
                    return
            heard_out.set()

    threading.Thread(target=drip, daemon=True).start()
    queue(engine, account, webhook(engine, account, f"http://localhost:{slow.getsockname()[1]}/"))
    assert deliver_due(engine, doors(None, private=True), lambda: NOW).failed == 1
    assert not heard_out.is_set(), "nobody waits for the end of it"
    assert "TimeoutError" in row(engine).last_error
    ended.set()
    slow.close()


def test_everything_that_became_of_a_notice_is_counted(engine: Engine, mailbox: Mailbox, account: int) -> None:
    outcomes = ("sent", "failed", "given_up", "orphaned")

    def counted() -> list[float]:
        return [NOTICES.labels(each)._value.get() for each in outcomes]

    def more(out: Doors, now: datetime) -> list[float]:
        before = counted()
        deliver_due(engine, out, lambda: now)
        return [after - then for after, then in zip(counted(), before, strict=True)]

    open_door = doors(Mailer(mailbox.url, "tags@example.org"))
    queue(engine, account, once="news:1")
    assert more(open_door, NOW) == [1, 0, 0, 0]
    queue(engine, account, once="news:2")
    now = NOW
    for wait in RETRY_AFTER:
        assert more(doors(None), now) == [0, 1, 0, 0]
        now += wait
    assert more(doors(None), now) == [0, 0, 1, 0]
    channel = webhook(engine, account, "https://example.org/hook")
    queue(engine, account, channel, once="news:3")
    with transaction(engine) as tx:
        assert remove_channel(tx, account, channel, NOW)
    assert more(open_door, NOW) == [0, 0, 0, 1]


def test_a_removed_channel_and_a_disabled_account_get_nothing(
    engine: Engine, mailbox: Mailbox, hook: Hook, account: int
) -> None:
    channel = webhook(engine, account, hook.url)
    queue(engine, account, channel, "news:1")
    queue(engine, account, None, "news:2")
    with transaction(engine) as tx:
        remove_channel(tx, account, channel, NOW)
        tx.execute(update(accounts).values(disabled_at=NOW))
    out = doors(Mailer(mailbox.url, "tags@example.org"), private=True)
    assert deliver_due(engine, out, lambda: NOW).sent == 0
    assert (hook.got, mailbox.letters) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.0.0.8/x",
        "https://169.254.169.254/latest",
        "https://0.0.0.0/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://224.0.0.1/",
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "https://user@8.8.8.8/",
        "https:///x",
        "x",
    ],
)
def test_addresses_that_a_customer_may_not_make_us_call(url: str) -> None:
    with pytest.raises(UnsafeAddressError):
        safe_target(url, private_allowed=False)


def test_a_public_address_is_called_at_the_very_address_it_resolved_to() -> None:
    target = safe_target("https://8.8.8.8:8443/hook?x=1", private_allowed=False)
    assert (target.url, target.host) == ("https://8.8.8.8:8443/hook?x=1", "8.8.8.8:8443")
