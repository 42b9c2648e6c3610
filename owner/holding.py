"""The commands for a tag within reach: `claim`, `ring`, `near`, `renew`, `release`.

A tag is reached through a gateway. What is said to it is made here: the server and the gateway carry bytes that they
can neither read nor make.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from owner import claiming, keyfile
from owner.api import Api, RefusedError
from owner.doors import Doors, keys_folder, secret_text
from owner.errors import PrivateError
from owner.finding import INTERRUPTED, Serial
from owner.keyfile import Kept
from owner.keys import TagSecret, day_of, renewal
from owner.moments import day_in_words
from owner.private import show_phrase
from owner.radio import RelayRadio
from owner.tagtalk import Edges, TagTalk
from wire.claim_code import decode_claim_code
from wire.errors import WireError
from wire.gatt import RING_MAX_S, RING_MIN_S

PRIVATE: str = "Private: only your keys open its places; whoever loses the keys and the 24 words loses the places."
MANAGED: str = "Managed: our server can read its places, and can help you when you have lost everything else."
# The server forgets the days from today on at once, and with them what was sealed to them.
TODAY_GOES: str = "What it reported privately today can be read no more from then on."


class Kind(StrEnum):
    """Who opens the places of a tag."""

    PRIVATE = "private"
    MANAGED = "managed"


Gateway = Annotated[
    str | None, typer.Option("--gateway", help="The gateway that the tag is near; else the one that heard it last.")
]


def add_to(app: typer.Typer, edges: Edges) -> None:
    """Adds the commands; clock, dice, waiting and the voice come from the door."""
    _add_claim(app, edges)
    _add_talk(app, edges)


def _resumable(command: Callable[..., None]) -> Callable[..., None]:
    """Ctrl-C in what goes on when it is run again is told as that, and not met with silence."""

    @functools.wraps(command)
    def told(*arguments: Any, **named: Any) -> None:
        try:
            command(*arguments, **named)
        except KeyboardInterrupt:
            print("\nInterrupted. Nothing is lost: run the same command again, and it goes on.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return told


def _add_claim(app: typer.Typer, edges: Edges) -> None:

    @app.command()
    @_resumable
    def claim(
        context: typer.Context,
        private: Annotated[bool | None, typer.Option("--private/--managed", help="Who opens its places.")] = None,
        gateway: Gateway = None,
        anew: Annotated[bool, typer.Option("--anew", help="With a new secret: somebody else may have yours.")] = False,
    ) -> None:
        """Makes a tag yours: the code from its box (asked for, or on standard input), a gateway near, its button.

        Private: only your keys open its places; whoever loses the keys and the 24 words loses the places.
        Managed: our server can read its places, and can help you when you have lost everything else.

        Cut off, it goes on when it is run again. Claimed the other way, a tag of yours changes over; from private to
        managed, what it reported today (UTC) can be read no more.
        """
        kind = _asked(private)
        code = secret_text("The code from the box")
        k_claim = _k_claim(code)
        if kind is Kind.MANAGED:
            _claim_managed(context.obj, code.strip(), k_claim, gateway, edges)
            return
        api = context.obj()
        kept = claiming.claim_privately(
            api, keys_folder(), k_claim, lambda about: RelayRadio(api, about, gateway), edges, _show, anew=anew
        )
        assert kept.span is not None, "a finished claim has its days"
        print(f"Tag {kept.secret.serial} is yours, privately, with keys until {day_in_words(kept.span.after - 1)}.")
        print(f"Find it: python -m owner locate {kept.secret.serial}")
        print("For half an hour it says that it is near you, and is not reported: there are no places before that.")

    @app.command()
    def release(
        context: typer.Context,
        serial: Serial,
        gateway: Gateway = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ) -> None:
        """Gives a tag up for good: whoever has its code can claim it. With --gateway a private one forgets you at once.

        Without, it says the identifiers that you gave it until its next owner clears it. Either way what it reported
        privately today (UTC) can be read no more; your keys open the days before.
        """
        ours = keyfile.path_of(keys_folder(), serial).exists()
        if not yes:
            typer.confirm(f"{TODAY_GOES if ours else ''} Give up tag {serial} for good?".lstrip(), abort=True)
        if ours and gateway:
            with _talking(context.obj, serial, gateway, edges) as (talk, kept):
                talk.clear(kept.secret)
        context.obj().post(f"/tags/{serial}/release")
        print(f"Tag {serial} is released.")
        if ours:
            _set_aside(serial)


def _add_talk(app: typer.Typer, edges: Edges) -> None:
    @app.command()
    def ring(
        context: typer.Context,
        serial: Serial,
        gateway: Gateway = None,
        seconds: Annotated[
            int, typer.Option(min=0, max=RING_MAX_S, help=f"So long: {RING_MIN_S} to {RING_MAX_S}; 0 to be silent.")
        ] = 10,
    ) -> None:
        """Lets a private tag near a gateway ring."""
        if 0 < seconds < RING_MIN_S:
            raise typer.BadParameter(f"at least {RING_MIN_S} s, or 0 to be silent")
        with _talking(context.obj, serial, gateway, edges) as (talk, kept):
            talk.ring(kept.secret, seconds)
        print("It rings." if seconds else "It is silent.")

    @app.command()
    def near(context: typer.Context, serial: Serial, gateway: Gateway = None) -> None:
        """Tells a private tag that you are here, and the time: for half an hour no gateway reports it."""
        with _talking(context.obj, serial, gateway, edges) as (talk, kept):
            talk.near(kept.secret)
        print("It knows that you are here, and what time it is. For half an hour it says so, and is not reported.")

    @app.command()
    def renew(
        context: typer.Context,
        serial: Serial,
        gateway: Gateway = None,
        early: Annotated[bool, typer.Option("--now", help="Also if there is time yet.")] = False,
    ) -> None:
        """Gives a private tag and the server the next year of days. The 24 words stay the same."""
        api = context.obj()
        kept = _keys(api, serial)
        if kept.origin is keyfile.Origin.GIVEN:
            text = f"The keys of tag {serial} are somebody else's, who shared them with you and would read on."
            raise PrivateError("keys_given", text, "If it is yours now, claim it with the code from its box.")
        span = kept.span
        today = day_of(int(edges.now_s()))
        if span and not early and renewal(span.first_day, span.days, today) is None:
            print(f"There is time: its list of days ends with {day_in_words(span.after - 1)}. (--now does it anyway.)")
            return
        with _talking(context.obj, serial, gateway, edges) as (talk, kept):
            kept = claiming.give_days(api, keys_folder(), kept, talk, edges)
        assert kept.span is not None, "a renewal has its days"
        print(f"Tag {serial} has keys until {day_in_words(kept.span.after - 1)}.")


def _asked(private: bool | None) -> Kind:
    if private is not None:
        return Kind.PRIVATE if private else Kind.MANAGED
    if not sys.stdin.isatty():
        raise PrivateError("choice_missing", "Private or managed?", f"Say --private or --managed. {PRIVATE} {MANAGED}")
    print(f"{PRIVATE}\n{MANAGED}\nYou can change it later.", file=sys.stderr)
    return Kind(typer.prompt("private or managed", type=Kind, err=True))


def _k_claim(code: str) -> bytes:
    try:
        return decode_claim_code(code)
    except WireError as wrong:
        raise PrivateError(wrong.code, str(wrong), "Compare it with the code in the box, letter by letter.") from None


def _show(secret: TagSecret) -> None:
    """The phrase, before the tag learns anything: a claim that is cut off must not leave a tag that nobody can read."""
    show_phrase(secret.seed)
    print(f"They are also kept in {keyfile.path_of(keys_folder(), secret.serial)}, for you alone.", flush=True)
    if sys.stdin.isatty():
        typer.prompt("Written down? Press Enter", default="", show_default=False, err=True)


def _claim_managed(doors: Doors, code: str, k_claim: bytes, gateway: str | None, edges: Edges) -> None:
    api, kept = doors(), _of_code(k_claim)
    if kept:
        print(f"It becomes managed. {TODAY_GOES}", file=sys.stderr, flush=True)
    serial = claiming.claim_managed(
        api, code, k_claim, kept.secret if kept else None, lambda about: RelayRadio(api, about, gateway), gateway, edges
    )
    print(f"Tag {serial} is yours, managed: our server can read its places and shows them to you only.")
    if kept:
        _set_aside(serial)


def _set_aside(serial: int) -> None:
    aside = keyfile.set_aside(keys_folder(), serial)
    print(f"Its keys are set aside in {aside}.")
    print("They open reports of days before today (UTC), as long as the server keeps them: seven days.")


def _of_code(k_claim: bytes) -> Kept | None:
    """The key file that was made with this code."""
    for path in sorted(keys_folder().glob("*.json")):
        if path.stem.isdigit() and (kept := keyfile.read(path)).k_claim == k_claim:
            return kept
    return None


def _keys(api: Api, serial: int) -> Kept:
    """The tag's keys. Raises PrivateError as `keyfile.read` does, and `tag_managed`: there never were any."""
    path = keyfile.path_of(keys_folder(), serial)
    if not path.exists() and _is_managed(api, serial):
        text = f"Tag {serial} is managed: `ring`, `near` and `renew` are for private tags only."
        raise PrivateError("tag_managed", text, f"Where it is: python -m owner locate {serial}")
    return keyfile.read(path)


def _is_managed(api: Api, serial: int) -> bool:
    try:
        return api.get(f"/tags/{serial}").get("private") is False
    except RefusedError:  # then nobody knows, and that the keys are missing is true all the same
        return False


@contextmanager
def _talking(doors: Doors, serial: int, gateway: str | None, edges: Edges) -> Iterator[tuple[TagTalk, Kept]]:
    """The tag, within reach of a gateway. A code that had to be typed is kept once the tag has taken it."""
    api = doors()
    kept = _keys(api, serial)
    k_claim = kept.k_claim or _k_claim(secret_text("The code from the box (it is not in the key file yet)"))
    kept_now = replace(kept, k_claim=k_claim)
    talk = TagTalk(RelayRadio(api, {"serial": serial}, gateway), k_claim, claiming.finder(kept.secret, edges), edges)
    try:
        yield talk, kept_now
    except RefusedError as refused:
        if refused.code == "tag_refused" and not kept.k_claim:
            raise RefusedError(refused.code, refused.message, "Is this the code from this tag's box?") from None
        raise
    finally:
        talk.close()
    if not kept.k_claim:
        keyfile.amend(keys_folder(), replace(_keys(api, serial), k_claim=k_claim))
