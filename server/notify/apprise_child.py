"""One message by apprise, in a process of its own: `python -m server.notify.apprise_child`, the task on standard input.

Apprise resolves names itself, follows redirections if its address says so, and asks wherever its plugins think fit.
So it is not believed: this process refuses each connection to an address that is not public at the moment it is
made, starts no other program, attaches no file, and its parent ends it when its time is over. It has no settings and
no secrets of the house. Its exit status says what became of the message; what the service answered is told to nobody.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
from typing import Any, Final

import msgspec

from server.service.webhook_address import is_public

SENT: Final = 0
UNSAFE: Final = 3
UNREADABLE: Final = 4
NOT_TAKEN: Final = 5
# An answer without an end shall not fill the machine; apprise itself needs a tenth of it.
_MEMORY_MAX: Final = 1 << 30
# One address may name many topics or rooms, and be tried again for each; a dozen strangers are no owner's channel.
_MESSAGES_MAX: Final = 5
_PROGRAMS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"}
)
_TALK: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Task(msgspec.Struct, frozen=True):
    """What the parent writes to standard input, as JSON. `schemes` are the only ones that may be read from `url`."""

    url: str
    schemes: tuple[str, ...]
    title: str
    text: str
    private_allowed: bool
    timeout_s: float


class Guard:
    """An audit hook, which no code in this process can take off again."""

    def __init__(self, *, private_allowed: bool) -> None:
        self._private_allowed = private_allowed
        self.refused = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _PROGRAMS or (event in _TALK and not self._may_talk(args[0], args[1])):
            self.refused = True
            raise PermissionError("refused")

    def _may_talk(self, via: socket.socket, to: Any) -> bool:
        if via.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        if self._private_allowed or to is None:  # none: of a socket that was connected, which was looked at then
            return True
        try:
            return is_public(to[0])
        except ValueError:  # a name: it would be looked up after this look
            return False


def send(task: Task) -> int:
    """Does the task, once in this process's life; gives the exit status."""
    # Half a second, for the child alone; before the guard stands, for what is imported tries what the machine can do.
    from apprise import Apprise, AppriseAsset, PersistentStoreMode
    from apprise.manager_attachment import AttachmentManager
    from apprise.manager_plugins import NotificationManager

    logging.disable()  # its words hold addresses and answers
    plugins: Any = NotificationManager  # it has no types
    plugins().enable_only(*task.schemes)
    attachments: Any = AttachmentManager
    # `?template=` of Discord, Slack and Telegram names a file, and sends what stands in it: no file of ours is theirs.
    attachments().remove(*attachments().schemas())
    asset = AppriseAsset(
        app_id="Hearsight",
        app_desc="Hearsight",
        storage_mode=PersistentStoreMode.MEMORY,
        http_redirects=False,
        service_timeout=task.timeout_s,
    )
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    guard = Guard(private_allowed=task.private_allowed)
    sys.addaudithook(guard)
    # One address: `Apprise.add` would read several out of one text.
    service = Apprise.instantiate(task.url, asset=asset)
    if service is None or task.url.partition("://")[0] not in task.schemes or len(service) > _MESSAGES_MAX:
        return UNREADABLE
    crowd = Apprise(asset=asset)
    crowd.add(service)
    if crowd.notify(body=task.text, title=task.title):
        return SENT
    return UNSAFE if guard.refused else NOT_TAKEN


if __name__ == "__main__":
    sys.exit(send(msgspec.json.decode(sys.stdin.buffer.read(), type=Task)))
