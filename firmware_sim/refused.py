"""How the claim service says no: an ATT error, and what the tag is afterwards if that is not what it was before."""

from __future__ import annotations

from typing import NoReturn

from firmware_sim.tag import TagState
from wire.gatt import AttError


class RefusedError(Exception):
    """`state` is None where the refusal changed nothing."""

    def __init__(self, error: AttError, state: TagState | None = None) -> None:
        super().__init__(error.name)
        self.error = error
        self.state = state


def refuse(error: AttError, state: TagState | None = None) -> NoReturn:
    raise RefusedError(error, state)
