"""What a person is told when something does not work: what happened, what to do, and a code to ask about.

Every refusal of the gateway's own commands is a `Refusal`; the command line prints it and ends with status 1.
"""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - a refusal is an ordinary answer, not an accident
    """An ordinary "no" with a code. `message` says what happened, `do` what to do about it."""

    def __init__(self, code: str, message: str, do: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.do = do
