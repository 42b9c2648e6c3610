"""Who is asking: an account with its role, as pages, the API, commands and the command line know it."""

from __future__ import annotations

from dataclasses import dataclass

from server.rules.authority import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """An account that showed who it is. `email` stands in ledgers as the actor."""

    account_no: int
    email: str
    role: Role
    name: str = ""
    zone: str = "UTC"
