"""Letters by apprise, which knows some two dozen services that we let it speak to; each in a child process.

The child (apprise_child.py) holds apprise to public addresses. Here are its time, its empty environment, and what
its end means.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from server.notify.apprise_child import NOT_TAKEN, SENT, UNREADABLE, UNSAFE, Task
from server.notify.words import Letter
from server.service.channel_address import SERVICES
from server.service.webhook_address import UnsafeAddressError

# As for a webhook, and two seconds in which a busy machine starts the child.
TIMEOUT_S: Final = 12.0
_ROOT: Final = Path(__file__).resolve().parent.parent.parent


def send(url: str, letter: Letter, *, private_allowed: bool) -> None:
    """Sends one letter. Raises UnsafeAddressError for good; TimeoutError or OSError: try again later.

    The address is a secret: it goes by standard input, never by the command line that every user can read.
    """
    task = Task(url, tuple(SERVICES), letter.subject, letter.text, private_allowed, TIMEOUT_S)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "server.notify.apprise_child"],
            input=msgspec.json.encode(task),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Nothing of ours: no settings, no proxy, no home with a .netrc.
            env={"PYTHONPATH": str(_ROOT), "HOME": "/nonexistent"},
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no end after {TIMEOUT_S:.0f} s") from None
    if done.returncode == UNSAFE:
        raise UnsafeAddressError("this apprise address leads to a private network address")
    if done.returncode == UNREADABLE:
        raise UnsafeAddressError("apprise cannot read this address, or it names too many places")
    if done.returncode == NOT_TAKEN:
        raise OSError("the service did not take it")
    if done.returncode != SENT:
        raise OSError(f"apprise broke ({done.returncode})")
