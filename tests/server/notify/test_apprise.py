"""Letters by the real apprise, in its real process, to a real HTTP server; and never where a webhook may not go."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.notify import apprise
from server.notify.apprise_child import Guard
from server.notify.deliver import RETRY_AFTER, deliver_due
from server.notify.words import Letter
from server.service.channel_address import SERVICES
from server.service.webhook_address import UnsafeAddressError
from tests.server.notify.outside import NOW, Hook, channel, doors, queue, row

LETTER = Letter("Your tag was heard", "“Bicycle” was heard at noon.")


def at(hook: Hook, scheme: str, rest: str) -> str:
    return f"{scheme}://127.0.0.1:{hook.server.server_port}/{rest}"


def test_a_letter_by_ntfy(engine: Engine, hook: Hook, account: int) -> None:
    queue(engine, account, channel(engine, account, "apprise", at(hook, "ntfy", "my-tags")))
    hook.status = 200
    assert deliver_due(engine, doors(None, private=True), lambda: NOW).sent == 1
    [(_, body)] = hook.got
    said = json.loads(body)
    assert said["topic"] == "my-tags"
    assert said["title"] == "Your lost tag “Bicycle” was heard"
    assert "Sun 22 Nov 2026, 14:10 (Europe/Berlin)" in said["message"]
    assert row(engine).sent_at == NOW


def test_a_service_that_is_away_is_tried_again(engine: Engine, hook: Hook, account: int) -> None:
    queue(engine, account, channel(engine, account, "apprise", at(hook, "json", "in")))
    hook.status = 500
    assert deliver_due(engine, doors(None, private=True), lambda: NOW).failed == 1
    assert row(engine).due_at == NOW + RETRY_AFTER[0]
    assert "did not take it" in row(engine).last_error
    hook.status = 200
    assert deliver_due(engine, doors(None, private=True), lambda: NOW + timedelta(minutes=1)).sent == 1


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:{port}/in",
        "json://localhost:{port}/in",
        "form://[::ffff:127.0.0.1]:{port}/in",
        "ntfy://127.0.0.1:{port}/my-tags",
        # What is a user's name to us is the host to apprise, or the other way round: it is held at the connection.
        "rocket://example.com/x@127.0.0.1:{port}/room",
    ],
)
def test_what_leads_into_our_own_network_is_given_up_at_once(
    engine: Engine, hook: Hook, account: int, url: str
) -> None:
    """The address was taken, say, because the name was a public one then: the connection is what counts."""
    queue(engine, account, channel(engine, account, "apprise", url.format(port=hook.server.server_port)))
    assert deliver_due(engine, doors(None), lambda: NOW).failed == 1
    assert row(engine).given_up_at == NOW
    assert hook.got == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "syslog://",
        "mailto://127.0.0.1",
        "apprise://127.0.0.1/key",
        "json://",
        "tgram://no",
        "ntfy://127.0.0.1/a/b/c/d/e/f",  # six topics
        "ntfy://127.0.0.1/a/b/c?retry=9",
    ],
)
def test_what_apprise_must_not_read(hook: Hook, url: str) -> None:
    with pytest.raises(UnsafeAddressError, match="cannot read"):
        apprise.send(url, LETTER, private_allowed=True)


@pytest.mark.parametrize(
    "service",
    [
        f"discord://1234567890123456789/{'a' * 68}/?",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?",
        f"tgram://123456789:{'a' * 35}/12315544/?",
    ],
)
def test_no_file_of_the_house_goes_along(service: str, tmp_path: Path) -> None:
    """A customer's address could name one as the message's template, and have it sent to their own service."""
    file = tmp_path / "docker.json"
    file.write_text('{"html": "secret", "embeds": [{"title": "secret"}]}')
    for named in (str(file), f"file://{file}"):
        with pytest.raises(UnsafeAddressError, match="cannot read"):
            apprise.send(f"{service}template={named}", LETTER, private_allowed=False)


def test_each_connection_is_looked_at_as_it_is_made() -> None:
    """So a redirection, a name that changed, or whatever a plugin asks beside its message leads nowhere else."""
    guard = Guard(private_allowed=False)
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.socket() as via:
        with pytest.raises(PermissionError):
            guard("socket.connect", (via, inside.getsockname()))
        guard("socket.connect", (via, ("8.8.8.8", 443)))
        for name in ("localhost", "example.com"):  # a name would be looked up after this look
            with pytest.raises(PermissionError):
                guard("socket.connect", (via, (name, 80)))
    with socket.socket(socket.AF_UNIX) as via, pytest.raises(PermissionError):
        guard("socket.connect", (via, "/run/docker.sock"))
    with pytest.raises(PermissionError):
        guard("subprocess.Popen", ("sh",))
    guard("open", ("/etc/hosts", "r", 0))


def test_the_child_has_nothing_of_ours(engine: Engine, hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No settings, no proxy (which would make each connection one to the proxy), no passwords from a .netrc."""
    (tmp_path / ".netrc").write_text("default login us password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    apprise.send(at(hook, "json", "in"), LETTER, private_allowed=True)
    [(headers, _)] = hook.got
    assert "authorization" not in headers


def test_a_password_in_the_address_goes_to_its_service(hook: Hook) -> None:
    apprise.send(at(hook, "json", "in").replace("//", "//us:secret@"), LETTER, private_allowed=True)
    assert base64.b64decode(hook.got[0][0]["authorization"].removeprefix("Basic ")) == b"us:secret"


def test_a_service_that_answers_a_letter_at_a_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.notify.apprise.TIMEOUT_S", 3.0)
    slow = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    threading.Thread(target=_drip, args=(slow, ended.wait), daemon=True).start()
    began = time.monotonic()
    with pytest.raises(OSError, match=r"no end|did not take"):
        apprise.send(f"json://127.0.0.1:{slow.getsockname()[1]}/?rto=600", LETTER, private_allowed=True)
    assert time.monotonic() - began < 8
    ended.set()
    slow.close()


def _drip(slow: socket.socket, wait: Callable[[float], bool]) -> None:
    talk, _ = slow.accept()
    with talk, contextlib.suppress(OSError):
        for letter in b"HTTP/1.1 200 OK\r\nx-slow: " + b"z" * 200:
            talk.sendall(bytes((letter,)))
            if wait(0.1):
                return


def test_apprise_knows_every_service_that_we_name() -> None:
    """Under the name by which an owner finds it; `own_host` is true where the address names the machine."""
    from apprise.manager_plugins import NotificationManager

    known = NotificationManager()
    for scheme, service in SERVICES.items():
        plugin = known[scheme]
        assert service.own_host == ("host" in plugin.template_tokens), scheme
        if service.own_host:
            secure = plugin.secure_protocol
            assert scheme.endswith("s") == (scheme in ((secure,) if isinstance(secure, str) else secure))
