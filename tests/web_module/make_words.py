"""Makes server/web/static/private-words.js from the list that the Python side uses (PyPI `mnemonic`, BIP-39 English).

Run `python -m tests.web_module.make_words` when the library changes; a test fails until the file agrees.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from owner.phrase import words_beginning

FILE = Path(__file__).resolve().parents[2] / "server" / "web" / "static" / "private-words.js"


def made() -> str:
    """The module's whole text."""
    lines = textwrap.wrap(" ".join(words_beginning("")), 118)
    return "\n".join(
        [
            "// Made by `python -m tests.web_module.make_words`: BIP-39's English list, as the Python side has it.",
            "export const WORDS = `",
            *lines,
            "`.trim().split(/\\s+/);",
            "",
        ]
    )


if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
