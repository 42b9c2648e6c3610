"""The commands that look for a tag: `locate`, `history`, and `share make|read|open`.

With a key file the places come from sealed reports that only this machine opens, and the server is not told who asks.
Without one the tag is managed, and the server says where it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from owner import answer, keyfile, keys, words
from owner.api import Api, RefusedError
from owner.client import Fetched, Progress, Stop, fetch, look_back
from owner.doors import Doors, keys_folder, secret_text
from owner.errors import PrivateError
from owner.keyfile import Kept
from owner.keys import DAY_S, Ring, day_of
from owner.moments import day_in_words, late_in_words, minute_in_words
from owner.private import LOOK_BACK_DAYS, Form, remarks, show, watched
from owner.reports import Found, read
from wire.share import MAX_DAYS, Share, SharedDay

# The command was interrupted, and what it printed is a part: as a shell says it of Ctrl-C.
INTERRUPTED: Final = 130
LOOK_BACK_MAX: Final = 31
# A share that nobody looked at within a week of its last day finds no reports any more.
SHARE_ENDS_DAYS: Final = 7

Serial = Annotated[int, typer.Argument(min=0, max=2**40 - 1, help="The tag's serial; `tags` lists them.")]
KeyFile = Annotated[Path | None, typer.Option("--keys", help="A key file that is kept elsewhere.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
As = Annotated[Form, typer.Option("--as", help="What to print.")]


def add_to(app: typer.Typer, now: Callable[[], datetime]) -> None:
    """Adds the commands; the clock comes from the door."""

    @app.command()
    def locate(
        context: typer.Context,
        serial: Serial,
        days: Annotated[int, typer.Option(min=1, max=LOOK_BACK_MAX, help="How far back.")] = LOOK_BACK_DAYS,
        key_file: KeyFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Where a tag is: opened here with your keys if it is private, as the server says it if it is managed.

        Ends with 1 if there is no place, which is always explained; with 130 if Ctrl-C cut it short.
        """
        kept = _kept(context.obj, serial, key_file)
        if kept is None:
            told = context.obj().get(f"/tags/{serial}")
            print(json.dumps(told) if as_json else words.where(told, now()))
            raise typer.Exit(0 if told["last"] else 1)
        now_s = int(now().timestamp())
        found, fetched = _look(context.obj.anybody(), kept, days, now_s)
        if as_json:
            print(json.dumps(answer.as_json(serial, found, not fetched.missing)))
        else:
            if found.points:
                print(answer.where(serial, found, now_s))
            _remark(found, fetched, kept, now_s)
        _end(found, fetched)

    @app.command()
    def history(
        context: typer.Context,
        serial: Serial,
        days: Annotated[int, typer.Option(min=1, max=LOOK_BACK_MAX, help="How far back.")] = 1,
        form: As = Form.TABLE,
        name: Annotated[str, typer.Option(help="What the tag is called in what is printed.")] = "",
        key_file: KeyFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Where it was, newest first: each report of a private tag, the stays of a managed one.

        Ends as `locate` does.
        """
        kept = _kept(context.obj, serial, key_file)
        if kept is None:
            _managed_history(context.obj(), serial, days, form, as_json, now())
            return
        now_s = int(now().timestamp())
        found, fetched = _look(context.obj.anybody(), kept, days, now_s)
        if as_json:
            print(json.dumps(answer.as_json(serial, found, not fetched.missing)))
        else:
            show(found, form, name.encode(errors="replace").decode() or f"Tag {serial}")
            _remark_notes(fetched, kept, now_s)
        _end(found, fetched)

    app.add_typer(_share(now), name="share")


def _share(now: Callable[[], datetime]) -> typer.Typer:
    group = typer.Typer(help="Some days of a tag for somebody else.", no_args_is_help=True, rich_markup_mode=None)

    @group.command()
    def make(
        context: typer.Context,
        serial: Serial,
        first: Annotated[
            datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day (UTC); else today.")
        ] = None,
        days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="So many days.")] = 1,
        ends: Annotated[
            datetime | None,
            typer.Option(formats=["%Y-%m-%d"], help="The day (UTC) from which it cannot be read; else a week after."),
        ] = None,
        key_file: KeyFile = None,
    ) -> None:
        """A link by which somebody sees where the tag is on these days, and on no others."""
        kept = _kept(context.obj, serial, key_file)
        if kept is None:
            raise PrivateError("keys_missing", "A managed tag has no keys to share.", "Claim it privately first.")
        first_day = day_of(int((first.replace(tzinfo=UTC) if first else now()).timestamp()))
        ends_s = (first_day + days + SHARE_ENDS_DAYS) * DAY_S
        if ends:
            ends_s = int(ends.replace(tzinfo=UTC).timestamp())
        fragment = keys.share_days(kept.secret, first_day, days, ends_s)
        _refuse_in_vain(kept, first_day, ends_s, int(now().timestamp()))
        print(f"{context.obj.server.rstrip('/')}/shared#{fragment}")
        print(
            f"Whoever has this link sees the places of {days} day(s) from {day_in_words(first_day)} (UTC), until "
            f"{minute_in_words(ends_s)}. Nothing takes it back; it opens no other day.",
            file=sys.stderr,
        )

    @group.command("read")
    def read_(fragment: Annotated[str, typer.Argument(help="- reads the link, or what follows its #.")] = "-") -> None:
        """Which days a share holds and when it ends, without asking anybody. Ends with 1 if it has ended."""
        held = keys.read_share(secret_text("The link") if fragment == "-" else fragment)
        now_s = int(now().timestamp())
        first_day, last_day = day_in_words(held.days[0].day), day_in_words(held.days[-1].day)
        print(
            f"Days (UTC): {len(held.days)}, {first_day} to {last_day}. The share ends {minute_in_words(held.ends_s)}."
        )
        keys.share_ring(held, now_s)  # refuses one that has ended
        print(f"It can be read for {late_in_words(held.ends_s - now_s)} more.")

    @group.command("open")
    def open_(
        context: typer.Context,
        form: As = Form.TABLE,
        name: Annotated[str, typer.Option(help="What the tag is called in what is printed.")] = "shared tag",
    ) -> None:
        """Where a tag was on the days that somebody shared: the link is read from standard input.

        The reports come from the server that the link names. Ends as `locate` does.
        """
        link = secret_text("The link").strip()
        held = keys.read_share(link)
        now_s = int(now().timestamp())
        ring = keys.share_ring(held, now_s)
        found, fetched = _opened(Api(_server(link) or context.obj.server), _begun(held, now_s), ring, now_s)
        found = answer.explained(found, fetched, None, now_s)
        show(found, form, name.encode(errors="replace").decode())
        _remark_notes(fetched, None, now_s)
        _end(found, fetched)

    return group


def _refuse_in_vain(kept: Kept, first_day: int, ends_s: int, now_s: int) -> None:
    """Refuses a link that could show nothing: whoever gets it cannot tell that from a tag that nobody heard."""
    if ends_s <= now_s:
        text = f"Such a share has ended already, {minute_in_words(ends_s)}: nobody could read it."
        raise PrivateError("share_end", text, "Name later days with --from, or a later end with --ends.")
    if kept.span and first_day >= kept.span.after:
        text = f"The tag's keys end with {day_in_words(kept.span.after - 1)}: on these days nobody can report it."
        raise PrivateError(
            "share_days", text, f"Renew it first (renew {kept.secret.serial} --now), or share days before."
        )


def _begun(held: Share, now_s: int) -> list[SharedDay]:
    """The days of a share that anybody can have heard the tag on."""
    until = look_back(now_s, 1)[-1]
    return [each for each in held.days if each.day <= until]


def _server(link: str) -> str:
    """Where a link leads; "" for a bare fragment."""
    parts = urlsplit(link.partition("#")[0])
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


def _kept(doors: Doors, serial: int, key_file: Path | None) -> Kept | None:
    """The keys of a private tag; None if there are none, and the server does not say that there should be."""
    path = key_file or keyfile.path_of(keys_folder(), serial)
    if key_file or path.exists():
        kept = keyfile.read(path)
        if kept.secret.serial != serial:
            raise PrivateError("keys_serial", f"{path} is of tag {kept.secret.serial}.", "Name that tag, or its file.")
        return kept
    told = doors().get(f"/tags/{serial}") if doors.token else {}
    if told.get("private") and told.get("keys_until") is None:  # handed over, so that there never were words
        raise PrivateError(
            "keys_missing",
            f"Tag {serial} is private, and has no keys of yours: it was handed over to you, or its claim was cut off.",
            "Claim it with the code from its box: python -m owner claim --private",
        )
    if told.get("private"):
        raise PrivateError(
            "keys_missing",
            f"Tag {serial} is private, and its keys are not on this machine.",
            f"Restore them from the 24 words: python -m owner phrase check --keep {serial}",
        )
    return None


def _look(server: Api, kept: Kept, days: int, now_s: int) -> tuple[Found, Fetched]:
    """A look-back with the owner's keys. Days before the claim have no keys, and are not asked for."""
    begins = kept.span.first_day if kept.span else 0
    asked = [day for day in look_back(now_s, days) if day >= begins]
    shared = [kept.secret.day(day) for day in asked]
    found, fetched = _opened(server, shared, keys.owner_ring(kept.secret, asked), now_s)
    begun = kept.origin is keyfile.Origin.BEGUN
    return answer.explained(found, fetched, kept.span, now_s, begun=begun), fetched


def _opened(server: Api, days: Sequence[SharedDay], ring: Ring, now_s: int) -> tuple[Found, Fetched]:
    stop = Stop()
    try:
        with stop.watched(), _progress(len(days)) as told:
            fetched = fetch(server, days, stop, told)
            stop.asked = False  # what came is opened all the same, until somebody has enough of that, too
            found = read(fetched.reports, ring, now_s, lambda every: stop.until(watched(every)))
    except RefusedError as refused:
        raise RefusedError(
            refused.code, f"No locations, because they could not be asked for. {refused.message}", refused.do
        ) from None
    if stop.asked:  # the reports are here, and were not all opened
        fetched.interrupted, fetched.missing = True, sorted(each.day for each in days)
    return found, fetched


@contextmanager
def _progress(days: int) -> Iterator[Progress]:
    """A bar while days are fetched, where somebody looks and there are enough of them to wonder."""
    if days <= LOOK_BACK_DAYS or not sys.stderr.isatty():
        yield lambda _days, _reports: None
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Asking for {days} days (Ctrl-C: what is here)", total=days)
        yield lambda done, _reports: bar.update(task, completed=done)


def _remark(found: Found, fetched: Fetched, kept: Kept, now_s: int) -> None:
    for line in remarks(found):
        print(line, file=sys.stderr)
    _remark_notes(fetched, kept, now_s)


def _remark_notes(fetched: Fetched, kept: Kept | None, now_s: int) -> None:
    for line in answer.notes(fetched, kept.span if kept else None, now_s):
        print(line, file=sys.stderr)


def _end(found: Found, fetched: Fetched) -> None:
    if fetched.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not found.points:
        raise typer.Exit(1)


def _managed_history(api: Api, serial: int, days: int, form: Form, as_json: bool, at: datetime) -> None:
    if form is not Form.TABLE:
        text = "The places of a managed tag come from the server, as a table or with --json."
        raise PrivateError("managed_form", text, "GeoJSON, GPX and CSV are made of a private tag's own reports.")
    period = {"from": (at - timedelta(days=days)).isoformat(), "to": at.isoformat()}
    told = api.get(f"/tags/{serial}/history", **period)
    if as_json:
        print(json.dumps(told))
    else:
        shown = told["empty"]["text"] if told["empty"] else words.history(told)
        Console(highlight=False).print(shown, soft_wrap=True, markup=False)
