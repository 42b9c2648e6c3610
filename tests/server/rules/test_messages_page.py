"""docs/messages.md against the code: inserts, objections and templates are the ones that there are."""

from __future__ import annotations

from server.rules.inserts import INSERTS
from server.rules.objections import CODES
from server.rules.promise_templates import TEMPLATES
from tests.conftest import ROOT
from tests.server.rules.test_documents import table

PAGE = (ROOT / "docs" / "messages.md").read_text()


def test_inserts() -> None:
    assert table(PAGE, "Inserts") == {name: [each.says, each.needs] for name, each in INSERTS.items()}


def test_objections() -> None:
    assert table(PAGE, "Objections") == {
        code: ["yes" if meaning.stops else "", meaning.means] for code, meaning in CODES.items()
    }


def test_templates() -> None:
    assert table(PAGE, "Promises") == {
        name: [each.what.value, "the next pickup" if each.hours is None else f"{each.hours} h", each.closes]
        for name, each in TEMPLATES.items()
    }
