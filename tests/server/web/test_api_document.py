"""docs/api.md against the application: every route with who may call it, every code, every kind of statement."""

from __future__ import annotations

import re
from pathlib import Path

from server.rules.payloads import PAYLOAD_OF
from server.service.refusals import WORDS, refuse
from server.web.errors import status_of
from tests.server.web.test_access import EVERYBODY, OWNER, SIGNED_IN, STAFF, TABLE

WORD = {
    "everybody": EVERYBODY,
    "whoever is signed in": SIGNED_IN,
    "staff": STAFF,
    "the order's customer, staff": SIGNED_IN,
    "the order's customer": OWNER,
    "this machine, operator": {"operator"},
}


def page(root: Path) -> str:
    return (root / "docs" / "api.md").read_text(encoding="utf-8")


def test_routes(root: Path) -> None:
    told = {
        route: WORD.get(who) or set(who.split(", "))
        for route, who in re.findall(r"^\| `([A-Z]+ /\S+)` \| ([^|]+) \|", page(root), re.MULTILINE)
    }
    assert told == TABLE


def test_codes(root: Path) -> None:
    told = {code: int(status) for code, status in re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", page(root), re.MULTILINE)}
    blanks = {code: re.findall(r"{(\w+)}", words.message + words.do) for code, words in WORDS.items()}
    assert told == {code: status_of(refuse(code, **dict.fromkeys(blanks[code], "x"))) for code in WORDS}


def test_kinds_of_statements(root: Path) -> None:
    told = re.findall(r"^\| `([a-z_]+)` \| (`[^|]*) \|$", page(root), re.MULTILINE)
    assert {kind for kind, _ in told} == set(PAYLOAD_OF)
    for kind, payload in told:
        fields = set(re.findall(r"`(\w+)`", payload))
        assert fields == set(PAYLOAD_OF[kind].__dataclass_fields__), kind
