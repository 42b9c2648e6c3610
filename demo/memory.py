"""What the demo remembers between two starts: passwords it made, tokens, and which steps are done."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Memory:
    """A small JSON file (0600), written after each step, so that an interrupted set-up goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, name: str, work: Callable[..., Any], *args: Any) -> Any:
        """The result of a step that is done only once: `work(*args)`."""
        if name not in self._known:
            self._known[name] = work(*args)
            self._write()
        return self._known[name]

    def done(self, name: str) -> bool:
        return name in self._known

    def password(self, who: str) -> str:
        """A password made for this demo alone; it stands in the closing words."""
        made: str = self.once(f"password {who}", secrets.token_urlsafe, 12)
        return made

    def _write(self) -> None:
        half = self._path.with_suffix(".new")
        half.touch(mode=0o600)
        half.write_text(json.dumps(self._known, indent=1))
        half.replace(self._path)
