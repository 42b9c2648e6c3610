"""What every command gets from the program's door: the server, who asks there, and where keys are kept."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import typer

from owner import keyfile
from owner.api import Api, RefusedError

# Longer than any code, phrase or link of ours.
_TEXT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Doors:
    """Called, it is the server as its owner of the token sees it."""

    server: str
    token: str = field(repr=False)

    def __call__(self) -> Api:
        """Raises RefusedError `token_missing`."""
        if not self.token:
            raise RefusedError("token_missing", "There is no token.", "Make one in the settings; set HEARSIGHT_TOKEN.")
        return Api(self.server, self.token)

    def anybody(self) -> Api:
        """The server without saying who asks: fetching reports needs no account, so it tells none."""
        return Api(self.server)


def keys_folder() -> Path:
    """Where this user's key files are."""
    return keyfile.keys_folder(os.environ.get("XDG_CONFIG_HOME"), Path.home())


def secret_text(what: str) -> str:
    """A secret from standard input, or asked for there: a command line is seen by every user of a machine."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, err=True))
    return sys.stdin.read(_TEXT_MAX)
