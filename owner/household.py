"""A household shares a private tag for good: `household key`, `give` and `take`.

The tag's secret is sealed to the member's own key. A server could give its own key for the member's, and anybody can
seal something to a member: so each side has six words, and the two people compare them by another way. Before
anything is sealed the giver types in what the member reads out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from owner import keyfile, keys, phrase
from owner.api import foreign
from owner.doors import keys_folder
from owner.errors import PrivateError
from owner.finding import Serial
from owner.keys import TagSecret
from wire.household import HANDOVER_LEN
from wire.keys import public_of_day_key

KEY_LEN: Final = 32
_HEX: Final = re.compile(r"[0-9a-f]+")


def add_to(app: typer.Typer, dice: Callable[[int], bytes]) -> None:
    """Adds the commands; the dice come from the door."""
    group = typer.Typer(
        help="Sharing a private tag for good, with people you live with.", no_args_is_help=True, rich_markup_mode=None
    )
    app.add_typer(group, name="household")

    @group.command()
    def key(context: typer.Context) -> None:
        """Makes your household key, once, gives its public half to the server, and shows its six words."""
        public = public_of_day_key(_own_key(dice))
        context.obj().put("/household/key", {"public_key": public.hex()})
        print(f"Your key's words: {phrase.fingerprint(public)}")
        print("Whoever shares a tag with you sees the same words, if it is your key. Read them out to one another.")

    @group.command()
    def give(
        context: typer.Context,
        serial: Serial,
        email: Annotated[str, typer.Argument(help="The member's account.")],
        words: Annotated[str, typer.Option(help="The six words that they read out to you; else you are asked.")] = "",
    ) -> None:
        """Seals a tag's secret to a member's key. It cannot be taken back: they read every place, like you."""
        secret = keyfile.load(keyfile.path_of(keys_folder(), serial))
        api = context.obj()
        public = _hex(api.get("/household/key", email=email).get("public_key"), KEY_LEN)
        _compare(email, phrase.fingerprint(public), words)
        api.post(f"/tags/{serial}/household", {"email": email, "sealed": keys.hand_over(secret, public).hex()})
        print(f"{email} gets it with: python -m owner household take")
        print(f"The tag's words, which they will see, too: {phrase.fingerprint(secret.public_key)}")

    @group.command()
    def take(context: typer.Context) -> None:
        """Opens what others sealed to your key, and keeps it. Compare each tag's six words with who gave it to you."""
        own = _key_file()
        private = bytes.fromhex(_read_key(own))
        shared = context.obj().get("/household")
        if not shared:
            print("Nobody shares a tag with you.")
        failed = False
        for each in shared:
            failed |= not _take(each, private)
        if failed:
            raise typer.Exit(1)


def _take(each: Any, private: bytes) -> bool:
    """One tag; whether it is kept now. A refusal of one must not keep the others out."""
    try:
        serial, giver = int(each["serial"]), str(each["from_email"])
    except (KeyError, TypeError, ValueError):
        raise foreign() from None
    try:
        secret: TagSecret = keys.take_over(_hex(each.get("sealed"), HANDOVER_LEN), private, serial)
        path = keyfile.save(keys_folder(), secret, keyfile.Origin.GIVEN)
    except PrivateError as wrong:
        print(f"Tag {serial} from {giver}: {wrong.message} {wrong.do} ({wrong.code})", file=sys.stderr)
        return False
    print(f"Tag {serial} from {giver} is kept in {path}. Its words: {phrase.fingerprint(secret.public_key)}")
    return True


def _compare(email: str, served: str, heard: str) -> None:
    """The words of the server's key against those that the member reads from their own screen.

    The server's are never shown: whoever said yes to them, or pasted them back, would have compared nothing.
    """
    if not heard and sys.stdin.isatty():
        heard = str(typer.prompt(f"The six words that {email} reads to you from their own screen", err=True))
    if not heard:
        text = f"Have {email} read out the six words that `household key` shows them, and give them with --words."
        raise PrivateError("words_missing", "The six words must be compared.", text)
    if heard.lower().split() != served.split():
        text = f"The key that the server gives for {email} has other words; nothing was given."
        raise PrivateError(
            "member_key", text, "Have them run `household key` and read its words to you, and try again."
        )


def _key_file() -> Path:
    return keys_folder().parent / "household.key"


def _own_key(dice: Callable[[int], bytes]) -> bytes:
    """The private half, made when there is none. Raises PrivateError as `keyfile` does."""
    path = _key_file()
    if not path.exists():
        try:
            part = keyfile.write_part(path.parent, path.stem, dice(KEY_LEN).hex().encode())
            try:
                os.link(part, path)  # never over one that somebody made meanwhile
            finally:
                part.unlink()
        except OSError as wrong:
            raise PrivateError("keys_unwritable", f"{path.parent} cannot be written: {wrong.strerror}.") from None
    return bytes.fromhex(_read_key(path))


def _read_key(path: Path) -> str:
    if not path.exists():
        raise PrivateError("keys_missing", "You have no household key.", "Make one: python -m owner household key")
    text = keyfile.read_bytes(path).decode("ascii", "replace").strip()
    if len(text) != 2 * KEY_LEN or not _HEX.fullmatch(text):
        raise PrivateError("keys_malformed", f"{path} is no household key.", "Move it away and make a new one.")
    return text


def _hex(text: object, length: int) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text.lower()):
        raise foreign()
    return bytes.fromhex(text)
