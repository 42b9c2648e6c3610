"""The channels by which an owner is told: e-mail addresses, webhooks, services by apprise, browsers by Web Push."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from server.service import channels
from server.service.channels import ChannelView, NewChannel, PushKeys
from server.web.api.models import Body, Done, example, refusals
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse

router = APIRouter(prefix="/channels", tags=["channels"])
Number = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[7])]
_ALWAYS = ("sign_in_needed", "not_yours")
_WRONG = ("email_invalid", "webhook_unsafe", "apprise_unsafe", "push_invalid")


class SubscriptionKeys(Body):
    """`keys` of a browser's PushSubscription as its toJSON() gives them, in base64url."""

    model_config = example(
        p256dh="BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        auth="BTBZMqHH6r4Tts7J_aSIgg",
    )

    p256dh: Annotated[str, Field(min_length=80, max_length=100)]
    auth: Annotated[str, Field(min_length=20, max_length=30, repr=False)]


class AddChannel(Body):
    """An e-mail address, the https address of a webhook (Standard Webhooks), an address of apprise
    (docs/operations.md lists the services), or a browser's subscription: its endpoint as `address`, and its `keys`.
    """

    model_config = example(kind="webhook", address="https://example.com/hooks/tags")

    kind: Literal["email", "webhook", "apprise", "webpush"]
    # A push service's endpoint holds its own secrets; 600 letters occur.
    address: Annotated[str, Field(min_length=3, max_length=1024)]
    keys: SubscriptionKeys | None = None


@router.get("", responses=refusals(*_ALWAYS))
def mine(house: TheHouse, who: Owner) -> tuple[ChannelView, ...]:
    """The caller's channels. Without an e-mail address among them, the account's own is used."""
    with house.work() as (tx, _):
        return channels.mine(tx, house.vault, who)


@router.post("", status_code=201, responses=refusals(*_ALWAYS, "bad_request", "channel_limit", *_WRONG))
def add(body: AddChannel, house: TheHouse, who: Owner) -> NewChannel:
    """Add a channel; a webhook's signing secret is shown this once."""
    with house.work() as (tx, now):
        private = house.settings.webhooks_private
        push = PushKeys(body.keys.p256dh, body.keys.auth) if body.keys else None
        return channels.add(
            tx, house.vault, house.dice, who, body.kind, body.address, now, private_allowed=private, push=push
        )


@router.delete("/{no}", responses=refusals(*_ALWAYS, "channel_unknown"))
def remove(no: Number, house: TheHouse, who: Owner) -> Done:
    """Remove a channel."""
    with house.work() as (tx, now):
        channels.remove(tx, who, no, now)
    return Done()


@router.post("/{no}/test", status_code=202, responses=refusals(*_ALWAYS, "channel_unknown", "too_many"))
def test(no: Number, house: TheHouse, rates: Rates, who: Owner) -> Done:
    """Send a letter that says nothing, to see that it comes; one a minute, and ten an hour to all channels."""
    rates.take("channel_test", who.email)
    with house.work() as (tx, now):
        channels.test(tx, who, no, house.settings.base_url, now)
    return Done()
