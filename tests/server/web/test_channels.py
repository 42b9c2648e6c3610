"""The ways by which an owner is told, as the API takes and shows them; the words of news about a private tag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from server.notify.words import compose
from server.service import heard
from server.service.channels import CHANNELS_MAX
from server.store.tables import audit, channels, notices, ownership
from tests.server.web.town import Somebody, Tag, Town

ENDPOINT = "https://push.example.com/send/abc?token=sesame"
# RFC 8291, section 5.
KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}


def push(address: str = ENDPOINT, **keys: str) -> dict[str, Any]:
    return {"kind": "webpush", "address": address, "keys": {**KEYS, **keys}}


def test_services_and_browsers(town: Town) -> None:
    ann, ben = town.owner(), town.owner("ben@example.com")
    made = ann.post("/channels", {"kind": "apprise", "address": "tgram://123456789:sesame/42"})
    assert made["secret"] is None
    ann.post("/channels", push())
    listed = ann.get("/channels")
    assert [each["address"] for each in listed] == ["Telegram (tgram://…)", "a browser, by push.example.com"]
    assert ben.get("/channels") == []
    with town.house.work() as (tx, _):
        kept = tx.execute(select(channels.c.address, channels.c.secret)).all()
        noted = tx.execute(select(audit).where(audit.c.action.like("channel%"))).all()
    assert not any(word in bytes(value or b"") for row in kept for value in row for word in (b"sesame", b"example"))
    assert [row.detail["kind"] for row in noted] == ["apprise", "webpush"]
    assert "sesame" not in str([ann.get("/channels"), noted])
    assert "sesame" not in town.client.get("/settings", headers=ann.headers()).text
    ann.delete(f"/channels/{made['no']}")
    assert [each["kind"] for each in ann.get("/channels")] == ["webpush"]


def test_a_browser_that_subscribes_again_is_the_same_channel(town: Town) -> None:
    ann, ben = town.owner(), town.owner("ben@example.com")
    first = ann.post("/channels", push())
    assert ann.post("/channels", push())["no"] == first["no"]
    assert ben.post("/channels", push())["no"] != first["no"], "two people at one browser"
    for n in range(CHANNELS_MAX - 1):
        ann.post("/channels", {"kind": "email", "address": f"ann{n}@example.com"})
    ann.refused("POST", "/channels", 409, "channel_limit", json=push("https://push.example.com/two"))
    anew = ann.post("/channels", push(auth="AAAAAAAAAAAAAAAAAAAAAA"))
    assert len(ann.get("/channels")) == CHANNELS_MAX
    assert anew["no"] != first["no"], "what was sealed for the old keys is not sent to the new ones"


@pytest.mark.parametrize(
    "address",
    [
        "tgram:123", "file:///etc/passwd", "syslog://", "mailto://us:pw@example.com", "dbus://", "exec://ls", "TGRAM://a/b",
        "https://discord.com/api/webhooks/1/2", "amqp://example.com/q", "mqtt://example.com/t", "vapid://x@y.z",
        "json://example.com/in", "ntfy://example.com/topic", "jsons://localhost/", "jsons://127.0.0.1/", "jsons://127.1/",
        "xmls://10.1.2.3/", "forms://[::1]/", "forms://[::ffff:127.0.0.1]/x", "ntfys://nas/topic", "jsons:///path",
        "gotifys://printer.local/token", "jsons://169.254.169.254/latest", "jsons://[::1/", "jsons://example.com:99999/",
        "discord://1/2 tgram://3/4", "discord://1/2\ntgram://3/4", "discord://ü/2",
    ],
)  # fmt: skip
def test_what_apprise_must_not_be_given(town: Town, address: str) -> None:
    body = {"kind": "apprise", "address": address}
    town.owner().refused("POST", "/channels", 422, "apprise_unsafe", json=body)


@pytest.mark.parametrize(
    "address",
    [
        "ntfy://my-topic",
        "ntfys://ntfy.example.com/topic",
        "jsons://us:pw@8.8.8.8:8443/in",
        "slack://A/B/C",
        "gotifys://g.example.com/t",
    ],
)
def test_what_apprise_may_be_given(town: Town, address: str) -> None:
    assert town.owner().post("/channels", {"kind": "apprise", "address": address})["kind"] == "apprise"


def test_what_is_no_subscription(town: Town) -> None:
    ann = town.owner()
    for address in (
        "http://push.example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://u@push.example.com/",
    ):
        ann.refused("POST", "/channels", 422, "webhook_unsafe", json=push(address))
    off_the_curve = KEYS["p256dh"][:-2] + "AA"
    for wrong in (
        {"p256dh": off_the_curve},
        {"p256dh": "A" * 87},
        {"p256dh": "!" * 87},
        {"auth": "A" * 24},
        {"auth": "ü" * 22},
    ):
        ann.refused("POST", "/channels", 422, "push_invalid", json=push(**wrong))
    ann.refused("POST", "/channels", 422, "bad_request", json={"kind": "webpush", "address": ENDPOINT})
    ann.refused("POST", "/channels", 422, "bad_request", json={"kind": "email", "address": "a@b.example", "keys": KEYS})
    assert ann.get("/channels") == []


def test_the_key_to_which_browsers_subscribe_stays(town: Town) -> None:
    key = town.owner().get("/push/key")["public_key"]
    assert len(key) == 87
    assert town.owner("ben@example.com").get("/push/key")["public_key"] == key


def test_a_test_by_the_page(town: Town) -> None:
    ann = town.owner()
    made = [ann.post("/channels", push()), ann.post("/channels", {"kind": "apprise", "address": "slack://A/B/C"})]
    for each in made:
        answer = town.client.post(f"/settings/channels/{each['no']}/test", data={"x": "y"}, headers=ann.headers())
        assert answer.status_code == 200, answer.text
        assert "A test is on its way" in answer.text
    with town.house.work() as (tx, _):
        waiting = tx.execute(select(notices.c.channel_no, notices.c.kind)).all()
    assert [tuple(row) for row in waiting] == [(each["no"], "channel_test") for each in made]
    ben = town.owner("ben@example.com")
    theirs = town.client.post(f"/settings/channels/{made[0]['no']}/test", data={"x": "y"}, headers=ben.headers())
    assert theirs.status_code == 404


@pytest.mark.parametrize("private", [True, False])
def test_news_of_a_lost_tag_never_say_where(town: Town, ann: Somebody, tag: Tag, private: bool) -> None:
    """Of a private tag they say who can read it; of no tag anything of the place or of who heard it."""
    ann.put(f"/tags/{tag.serial}/name", {"name": "Bicycle"})
    ann.post("/channels", push())
    ann.post("/channels", {"kind": "apprise", "address": "slack://A/B/C"})
    ann.post("/channels", {"kind": "webhook", "address": "https://hooks.example.com/x"})
    ann.post(f"/tags/{tag.serial}/lost", {"message": "Call me"})
    town.wait(minutes=5)
    with town.house.work() as (tx, now):
        tx.execute(update(ownership).values(private=private))
        heard.stored(tx, {tag.serial: now - timedelta(minutes=1)}, now, "https://tags.example")
    with town.house.work() as (tx, _):
        told = tx.execute(select(notices.c.payload).where(notices.c.kind == "lost_heard")).scalars().all()
    assert len(told) == 4, "three channels, and the account's own address"
    for payload in told:
        assert set(payload) == {"name", "serial", "heard_at", "url", "private"}
        letter = compose("lost_heard", payload, "Europe/Berlin")
        assert "(Europe/Berlin)" in letter.text
        assert f"https://tags.example/t/{tag.serial}" in letter.text
        assert ("Where, only you can read" in letter.text) == private
        assert letter.subject == ("Your tag “Bicycle” was heard" if private else "Your lost tag “Bicycle” was heard")
