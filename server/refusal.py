"""The one kind of wrong that people are shown: a refusal with a code, what happened, and what to do.

A refusal is an ordinary answer, not a breakage. Each has a kind; web routes turn the kind into an HTTP status and
the command line into an exit code, each in one place.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """Six kinds, so that every edge needs one small table."""

    INVALID = "invalid"  # what was sent cannot be understood or used
    UNAUTHENTICATED = "unauthenticated"  # who is asking is not known
    FORBIDDEN = "forbidden"  # known, and not allowed
    NOT_FOUND = "not_found"  # no such thing, or none that the asker may know of
    CONFLICT = "conflict"  # right in itself, but something else is already so
    LATER = "later"  # asked too often, or a part is away for now


class Refusal(Exception):  # noqa: N818 - it is no error, it is an answer
    """`code` is a snake_case word for programs, `message` says what happened, `do` what to do about it.

    Neither text holds a secret. `reference` names the thing meant (an order's number, a claim), if there is one.
    """

    def __init__(self, kind: Kind, code: str, message: str, do: str = "", reference: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.do = do
        self.reference = reference


def invalid(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.INVALID, code, message, do, reference)


def unauthenticated(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.UNAUTHENTICATED, code, message, do, reference)


def forbidden(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.FORBIDDEN, code, message, do, reference)


def not_found(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.NOT_FOUND, code, message, do, reference)


def conflict(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.CONFLICT, code, message, do, reference)


def later(code: str, message: str, do: str = "", reference: str = "") -> Refusal:
    return Refusal(Kind.LATER, code, message, do, reference)
