"""The one error of everything that the owner's client does without a server."""

from __future__ import annotations


class PrivateError(Exception):
    """What happened, what to do, and a code; never a secret, nor a piece of one, in its text."""

    def __init__(self, code: str, message: str, do: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.do = code, message, do
