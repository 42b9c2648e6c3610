"""docs/settings.md against the tables in the code: every setting is there with its meaning and its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway import config as gateway_config
from server import settings as server_settings
from tests.shape.tree import files, text_of

PAGE = "docs/settings.md"
# Names that stand for a family of settings, or are read by a program's own command line.
NAME = re.compile(r"\bHEARSIGHT_[A-Z][A-Z_]*[A-Z]\b(?!_)")


def server_rows() -> dict[str, str]:
    rows = {}
    for each in fields(server_settings.Settings):
        about = each.metadata
        default = about["otherwise"] or _shown(each.name, each.default)
        secret = " *Secret.*" if about["secret"] else ""
        example = about["example"].replace("|", "\\|")
        rows[server_settings.variable(each.name)] = f"{about['meaning']}{secret} | {default} | `{example}`"
    return rows


def _shown(name: str, default: object) -> str:
    if isinstance(default, Path):
        return f"`{default}`"
    return f"`{default:02x}`" if name == "network_id" else f"`{default}`"


def gateway_rows() -> dict[str, str]:
    return {
        gateway_config.PREFIX + name: f"{setting.meaning[0].upper()}{setting.meaning[1:]}. | "
        + (f"`{setting.default}`" if setting.default else "none")
        for name, setting in gateway_config.SETTINGS.items()
    }


def page_rows() -> dict[str, str]:
    return dict(re.findall(r"^\| `(HEARSIGHT_[A-Z_]+)` \| (.+) \|$", text_of(PAGE), re.MULTILINE))


@pytest.mark.parametrize("rows", [server_rows(), gateway_rows()], ids=["server", "gateway"])
def test_every_setting_stands_on_the_page(rows: dict[str, str]) -> None:
    page = page_rows()
    wrong = [f"| `{name}` | {row} |" for name, row in rows.items() if page.get(name) != row]
    assert not wrong, f"{PAGE} should have these rows:\n" + "\n".join(wrong)


def test_every_name_anywhere_is_a_setting() -> None:
    """A page, a Dockerfile or a script that names a setting nobody reads."""
    known = set(page_rows())
    wrong = []
    for name in files():
        if name.startswith(("tests/", "server/settings.py", "gateway/config.py")) or name.endswith((".png", ".ico")):
            continue
        wrong += [f"{name}: {found}" for found in NAME.findall(text_of(name)) if found not in known]
    assert not wrong, "\n".join(sorted(set(wrong)))
