"""A terminal for the owner's commands, run in this process: arguments and standard input in, what is printed out."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from owner import __main__ as door
from owner import keyfile
from owner.keyfile import Kept, Span
from owner.keys import TagSecret, claim_bundle, day_of
from tests.owner.house import Day, House, Owned, served
from tests.owner.near import Clock, LoopRadio, NearTag
from tests.owner.tag import PrivateTag, secret
from wire.keys import eid

SERIAL = 8_000_000_017


@dataclass
class Printed:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class PressedRadio(LoopRadio):
    """Somebody presses the button all the while."""

    def write(self, message: bytes) -> bytes:
        for tag in self.tags:
            tag.press()
        return super().write(message)


@pytest.fixture
def tag() -> NearTag:
    return NearTag(SERIAL, Clock())


@pytest.fixture
def house(tag: NearTag) -> Iterator[House]:
    with served(House([tag], PressedRadio)) as open_house:
        yield open_house


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where key files are, until a test moves to another machine."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "hearsight" / "tags"


Run = Callable[..., Printed]


@pytest.fixture
def run(house: House, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str, typed: str = "", token: str = "ann", server: str = "") -> Printed:
        monkeypatch.setenv("HEARSIGHT_SERVER", server or house.url)
        monkeypatch.setenv("HEARSIGHT_TOKEN", token)
        monkeypatch.setattr(sys, "argv", ["owner", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = 0
        try:
            door.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        out, err = capsys.readouterr()
        return Printed(code, out, err)

    return command


@dataclass
class Claimed:
    """A private tag of Ann's whose keys are on this machine and at the server: a week back and a month ahead."""

    tag: PrivateTag
    kept: Kept
    now_s: int


@pytest.fixture
def claimed(house: House, home: Path) -> Claimed:
    now_s = int(Clock()())
    mine = TagSecret(SERIAL, secret(f"seed {os.getpid()}"))
    kept = Kept(mine, house.tags[0].unit.k_claim, Span(day_of(now_s) - 7, 40))
    keyfile.save(home, mine)
    keyfile.amend(home, kept)
    give(house, mine, kept.span)
    house.owned[SERIAL] = Owned("ann", b"", private=True)
    return Claimed(PrivateTag(mine.seed), kept, now_s)


def give(house: House, mine: TagSecret, span: Span | None) -> None:
    """Days at the server, as a claim and the years after it leave them."""
    assert span is not None
    for each in claim_bundle(mine, span.first_day, span.days):
        house.days[eid(each.public_key)] = Day(mine.serial, each.day, each.public_key, each.fetch_hash)
