"""docs/intake.md against the code: the table of codes, the columns of files, what a shop may say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.carriers.codes import CODES
from server.service import shop
from server.service.imports import KINDS


def section(root: Path, heading: str) -> str:
    page = (root / "docs" / "intake.md").read_text(encoding="utf-8")
    return re.split(r"\n#+ ", page.split(f" {heading}\n", 1)[1], maxsplit=1)[0]


def test_codes(root: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", section(root, "Codes"), re.MULTILINE)
    told = {
        (status, detail): physical
        for status, in_hand, by_word in rows
        for cell, physical in ((in_hand, True), (by_word, False))
        for detail in re.findall(r"`(\w+)`", cell)
    }
    assert told == {code: means.physical for code, means in CODES.items()}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_columns(root: Path, kind: str) -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (yes|) *\| (.+) \|$", section(root, f"Columns of {kind}"), re.MULTILINE)
    assert rows == [(each.name, "yes" if each.required else "", each.meaning) for each in KINDS[kind].columns]


def test_what_a_shop_may_say(root: Path) -> None:
    told = section(root, "The shop's webhook").rpartition("of the kinds")[2]
    assert set(re.findall(r"`(\w+)`", told)) == set(shop.SAYS)
