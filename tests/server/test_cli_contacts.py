"""Contacts at the command line: a call, a letter from a pipe, who waits, a mail server that is told to try again."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from server import wiring
from server.cli.app import main
from server.service import orders
from server.store import db
from server.store.orders import StoredOrder, StoredSlot
from tests.server.service.test_mail_reader import letter


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


class Piped(io.StringIO):
    """Standard input with the bytes of a pipe behind it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.buffer = io.BytesIO(content)  # type: ignore[misc]


class Terminal:
    """Runs commands on one database, in this process."""

    def __init__(self, url: str, data: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._env = {"HEARSIGHT_DATABASE_URL": url, "HEARSIGHT_DATA": str(data)}
        self._capsys, self._patch = capsys, patch

    def run(self, *argv: str, stdin: bytes = b"", code: int = 0, **env: str) -> Done:
        with self._patch.context() as here:
            for name, value in (self._env | env).items():
                here.setenv(name, value)
            here.setattr(sys, "stdin", Piped(stdin))
            with pytest.raises(SystemExit) as ended:
                main(argv)
        done = Done(*self._capsys.readouterr())
        assert (ended.value.code or 0) == code, done
        return done


@pytest.fixture
def terminal(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    now = wiring.clock()
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag")
    order = StoredOrder(
        "T-1001", "ann@example.com", "Ann", None, {"country": "US"}, now, "UTC", None, "standard", "shop", now, (slot,)
    )
    engine = db.engine(database_url, application="test")
    with db.transaction(engine) as tx:
        orders.record(tx, order)
    engine.dispose()
    return Terminal(database_url, tmp_path, capsys, monkeypatch)


def test_a_letter_a_call_and_who_waits(terminal: Terminal) -> None:
    told = terminal.run("mail-in", stdin=bytes(letter(subject="Order T-1001")))
    assert "contact about order T-1001" in told.stderr
    assert "came before" in terminal.run("mail-in", stdin=bytes(letter(subject="Order T-1001"))).stderr
    [row] = json.loads(terminal.run("waiting", "--json").stdout)
    assert (row["order"], row["late"]) == ("T-1001", "")
    terminal.run("contact", "T-1001", "--call", "out-talked", "--text", "explained it", "--key", "k")
    terminal.run("contact", "T-1001", "--call", "out-talked", "--text", "explained it", "--key", "k")
    assert json.loads(terminal.run("waiting", "--json").stdout) == []
    thread = json.loads(terminal.run("thread", "T-1001", "--json").stdout)
    assert [(each["way"], each["channel"]) for each in thread] == [("in", "mail"), ("out", "call")]
    assert thread[1]["text"] == "explained it"


def test_letters_that_wait_and_a_full_mailbox(terminal: Terminal) -> None:
    stranger = letter("Hello")
    stranger.replace_header("From", "eve@example.com")
    for text in (bytes(stranger), bytes(stranger) + b"more"):
        terminal.run("mail-in", stdin=text)
    first, second = (str(each["no"]) for each in json.loads(terminal.run("mail", "list", "--json").stdout))
    terminal.run("mail", "settle", first, "T-1001")
    terminal.run("mail", "drop", second)
    assert json.loads(terminal.run("mail", "list", "--json").stdout) == []
    terminal.run("ways-in")
    terminal.run("contact", "T-1001", "--call", "in-mailbox-full")
    assert "mailbox_full" in terminal.run("ways-in", code=1).stdout


def test_a_letter_that_cannot_be_written_down_stays_with_the_mail_server(terminal: Terminal) -> None:
    gone = {"HEARSIGHT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert "tries again" in terminal.run("mail-in", stdin=bytes(letter()), code=75, **gone).stderr
