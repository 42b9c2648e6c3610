"""The key to which a browser subscribes before it becomes a channel (POST /channels, kind webpush)."""

from __future__ import annotations

from fastapi import APIRouter

from server.service import push
from server.service.push import PushKey
from server.web.api.models import refusals
from server.web.auth import Owner
from server.web.deps import TheHouse

router = APIRouter(prefix="/push", tags=["channels"])


@router.get("/key", responses=refusals("sign_in_needed", "not_yours"))
def key(house: TheHouse, who: Owner) -> PushKey:
    """The `applicationServerKey` for PushManager.subscribe; it stays the same for the house's whole life."""
    with house.work() as (tx, now):
        return push.public_key(tx, house.vault, now)
