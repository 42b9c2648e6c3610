"""`python -m owner`: where a tag is and was; claiming, naming, losing, handing it over; one's order.

A token is made on the page *Settings*; `locate`, `history` and `share` of a private tag need none, `phrase` and `open`
no server either. Secrets are asked for or read from standard input, never from the command line.

Exit codes: 0 done; 1 refused, or no place to show, with the reason; 2 wrong usage; 130 interrupted, what is shown is a
part.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from owner import finding, holding, household, private, words
from owner.api import Api, Event, RefusedError
from owner.doors import Doors
from owner.errors import PrivateError
from owner.tagtalk import Edges
from owner.watch import watch as watched

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
console = Console(highlight=False)

Serial = Annotated[int, typer.Argument(help="The tag's serial; `tags` lists them.")]
AsJson = Annotated[bool, typer.Option("--json", help="The server's own answer, for programs.")]


@app.callback()
def _options(
    context: typer.Context,
    token: Annotated[str, typer.Option(envvar="HEARSIGHT_TOKEN", help="Your personal API token.")] = "",
    server: Annotated[str, typer.Option(envvar="HEARSIGHT_SERVER", help="The server's address.")] = (
        "http://127.0.0.1:8000"
    ),
) -> None:
    context.obj = Doors(server, token)


def _show(answer: Any, as_json: bool, text: Any) -> None:
    if as_json:
        print(json.dumps(answer))
    else:
        console.print(text, soft_wrap=True, markup=False)


@app.command()
def tags(context: typer.Context, as_json: AsJson = False) -> None:
    """Every tag of yours: where it is and since when."""
    answer, now = context.obj().get("/tags"), datetime.now(UTC)
    text = "\n\n".join(words.where(tag, now) for tag in answer)
    _show(answer, as_json, text or "You have no tag yet. Claim one: python -m owner claim")


@app.command()
def where(context: typer.Context, serial: Serial, as_json: AsJson = False) -> None:
    """Where one tag is, or why that is not known."""
    answer = context.obj().get(f"/tags/{serial}")
    _show(answer, as_json, words.where(answer, datetime.now(UTC)))


@app.command()
def watch(
    context: typer.Context,
    serial: Serial,
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after it was heard so many times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """One line each time it is heard, within a second of reaching the server; Ctrl-C ends it.

    First comes what is known already, which --count does not count. A line that is cut off is taken up again.
    With --json each line is {"event": ..., "id": ..., "tag": ...}: event is state (what is known), sighting (it was
    heard) or paused (no line to the server for the moment), tag the server's own answer as of `where --json`.
    """
    api = context.obj()
    # Ctrl-C and the end of --for are how it is meant to end.
    with contextlib.suppress(KeyboardInterrupt, TimeoutError):
        asyncio.run(_watch(api, serial, for_s, count, as_json))


async def _watch(api: Api, serial: int, for_s: float | None, count: int | None, as_json: bool) -> None:
    left, paused = count, False
    async with asyncio.timeout(for_s), contextlib.aclosing(watched(api, serial)) as events:
        async for event in events:
            if event.kind == "paused" and paused:
                continue
            paused = event.kind == "paused"
            if as_json:
                print(json.dumps({"event": event.kind, "id": event.id, "tag": event.data or None}), flush=True)
            else:
                _tell(event)
            if event.kind == "sighting" and left is not None:
                left -= 1
                if left == 0:
                    return


def _tell(event: Event) -> None:
    if event.kind == "paused":
        print("Reconnecting – the last line is the last that is known.", file=sys.stderr)
    else:
        print(words.hearing(event.data), flush=True)


@app.command()
def receipt(context: typer.Context, serial: Serial, as_json: AsJson = False) -> None:
    """The activation receipt, as the command that checks it offline."""
    answer = context.obj().get(f"/tags/{serial}/receipt")
    parts = {"--public-key": "tag_public_key", "--challenge": "challenge", "--answer": "answer"}
    told = " ".join(f"{option} {answer[name]}" for option, name in parts.items())
    _show(answer, as_json, f"python -m wire verify-receipt {told}")


@app.command()
def rename(context: typer.Context, serial: Serial, name: str) -> None:
    """Call it by your own word."""
    context.obj().put(f"/tags/{serial}/name", {"name": name})
    print(f"It is called {name} now.")


@app.command()
def lost(
    context: typer.Context,
    serial: Serial,
    message: Annotated[str, typer.Option(help="What a finder reads.")] = "",
    contact: Annotated[str, typer.Option(help="How a finder reaches you; anybody with the tag sees it.")] = "",
) -> None:
    """Report it lost: you get a message when it is heard."""
    context.obj().post(f"/tags/{serial}/lost", {"message": message, "contact": contact})
    print("Reported lost. You get a message when it is heard.")


@app.command()
def found(context: typer.Context, serial: Serial) -> None:
    """It is back."""
    context.obj().post(f"/tags/{serial}/found")
    print("Good that it is back.")


@app.command()
def transfer(context: typer.Context, serial: Serial, to_email: str) -> None:
    """Offer it to another account, which has seven days to accept. A private one they then claim with its code."""
    api = context.obj()
    private = api.get(f"/tags/{serial}").get("private")
    offer = api.post(f"/tags/{serial}/transfer", {"to_email": to_email})
    print(f"{to_email} may accept until {datetime.fromisoformat(offer['until']).astimezone():%d %b %H:%M}.")
    if private:  # the server has no keys to hand over, and the tag goes on with its former owner's identifiers
        print("Your keys do not go with it: give them the code from its box. Until they have claimed it with that code")
        print("they cannot see where it is, and whoever has your keys may still be able to.")


@app.command()
def accept(context: typer.Context) -> None:
    """Take over every tag that is offered to you."""
    api = context.obj()
    for offer in api.get("/transfers"):
        api.post(f"/transfers/{offer['transfer_id']}/accept")
        print(f"Tag {offer['serial']} is yours now.")


@app.command()
def order(context: typer.Context, number: str, as_json: AsJson = False) -> None:
    """Did your order ship, is it alive?"""
    answer = context.obj().get(f"/orders/{number}/customer")
    shown, now = answer["shown"], datetime.now(UTC)
    lines = [shown["sentence"], *(f"  {reason}" for reason in shown["reasons"])]
    if shown["next_text"]:
        lines.append(f"Next: {shown['next_text']}")
    _show(answer, as_json, "\n".join([*lines, f"As of {words.moment(answer['as_of'], now)}."]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


finding.add_to(app, now=lambda: datetime.now(UTC))
holding.add_to(app, Edges(time.time, secrets.token_bytes, time.sleep, _say))
household.add_to(app, secrets.token_bytes)
private.add_to(app, now=lambda: datetime.now(UTC), dice=secrets.token_bytes)


def main() -> None:
    """Exit code 1 for a refusal, told in the server's words, or in ours."""
    try:
        app(prog_name="python -m owner")
    except (RefusedError, PrivateError) as refused:
        print(f"{refused.message}\n{refused.do}".rstrip() + f"\n({refused.code})", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
