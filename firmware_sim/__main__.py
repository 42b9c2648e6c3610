"""`python -m firmware_sim`: the factory, a story's past, the live air, and the hands that reach into it.

Here are the only clock and the only dice of this program; everything else is given them.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from firmware_sim import control, factory, live, past
from firmware_sim.bluez import BusUnavailableError
from firmware_sim.factory import FactoryError
from firmware_sim.mqtt import GatewayError
from firmware_sim.story import StoryError, read_story
from firmware_sim.tag import Unit
from wire import gatt

app = typer.Typer(
    help=__doc__.split("\n")[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
_PR_SET_PDEATHSIG: Final = 1
_SHOW_EVERY_S: Final = 0.2

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the live air: buses, door, the tags' memory.")]
TagsOption = Annotated[
    list[Path], typer.Option("--tags", help="Folder that `factory` made, or a folder of such folders. Repeatable.")
]
Serial = Annotated[int, typer.Argument(help="The tag's serial.", metavar="SERIAL")]
DEFAULT_DATA: Final = Path(".hearsight/air")


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


@contextmanager
def _refusals() -> Any:
    """What a person can put right is said in one line."""
    try:
        yield
    except (
        FactoryError,
        StoryError,
        GatewayError,
        past.PastError,
        live.LiveError,
        BusUnavailableError,
    ) as wrong:
        _fail(str(wrong))


# --- Factory ----------------------------------------------------------------------------------------------


@app.command("factory")
def make_lot(
    folder: Annotated[Path, typer.Argument(help="Folder to make; never overwritten.", metavar="DIR")],
    lot: Annotated[str, typer.Option(help="Name of the production lot.")],
    tags: Annotated[int, typer.Option(help="How many tags, at most 5000.")] = 10,
    first_serial: Annotated[int, typer.Option(help="Serial of the first tag; the others follow.")] = 1,
    base_url: Annotated[str, typer.Option(help="Where the printed codes lead: URL/c/#CODE.")] = "http://127.0.0.1:8000",
    server_key: Annotated[str, typer.Option(help="The server's Ed25519 key (hex), so that tags take releases.")] = "",
    shared_secrets: Annotated[
        Path | None, typer.Option("--secrets", help="secrets.json of an earlier lot, to be of the same factory.")
    ] = None,
    silent: Annotated[bool, typer.Option(help="Tags that ship silent until their button is pressed.")] = False,
    fleet: Annotated[bool, typer.Option(help="Tags of a fleet: never privately owned, P frames for life.")] = False,
    made_at: Annotated[str, typer.Option(help="When, ISO 8601; without a zone UTC. Default: now.")] = "",
) -> None:
    """Make a lot of tags: keys, signed manifest, claim codes. Making the same lot again changes nothing."""
    with _refusals():
        mode: factory.BeaconMode = "silent" if silent else "transit_beacon"
        order = factory.Order(lot, tags, first_serial, base_url, _key(server_key), mode, fleet)
        at = datetime.fromtimestamp(_moment(made_at, "--made-at"), UTC)
        made = factory.make_lot(folder, order, secrets.token_bytes, at, shared_secrets)
        word = "made" if made else "was there already"
        print(f"{folder}: lot {lot}, {tags} tags from serial {first_serial}, {word}")


def _key(text: str) -> bytes | None:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise FactoryError("--server-key is not hex") from None
    if len(key) not in (0, 32):
        raise FactoryError("--server-key has 32 bytes (64 hex digits)")
    return key or None


def _units(paths: Iterable[Path]) -> dict[int, Unit]:
    folders: list[Path] = []
    for path in paths:
        nested = sorted(path.glob(f"*/{factory.TAGS}")) if path.is_dir() and not (path / factory.TAGS).exists() else []
        folders += nested or [path]
    return {tag.serial: factory.unit_of(tag) for folder in folders for tag in factory.read_tags(folder)}


# --- Past -------------------------------------------------------------------------------------------------


@app.command("past")
def play_past(
    story: Annotated[Path, typer.Argument(help="The story's file.", metavar="STORY.toml")],
    tags: TagsOption,
    tokens: Annotated[Path, typer.Option(help="Enrolment tokens, one a line, for gateways not yet enrolled.")],
    state: Annotated[Path, typer.Option(help="State file: enrolled gateways and progress. Run again to go on.")],
    shift_weeks: Annotated[int, typer.Option(help="Weeks to add to every date of the story.")] = 0,
    until: Annotated[str, typer.Option(help="End of the past, ISO 8601; without a zone UTC. Default: now.")] = "",
    data: DataOption = DEFAULT_DATA,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Progress as JSON lines on standard output.")] = False,
) -> None:
    """Play a story's past: simulated radio, delivered over MQTT by simulated gateways as late batches.

    Ends with the tags' memory in DATA/nvm, from which `air` goes on. Exit status 1 if the server refused anything.
    """
    with _refusals():
        told = read_story(story, shift_weeks)
        print(f"story {told.id}, seed {seed}", file=sys.stderr)
        with _display(told.id, as_json) as show:
            done = past.play_past(
                told,
                shift_weeks,
                _units(tags),
                _moment(until, "--until"),
                state_file=state,
                data=data,
                tokens=past.read_tokens(tokens),
                dice=secrets.token_bytes,
                seed=seed,
                show=show,
            )
        figures = ", ".join(f"{count} {what}" for what, count in sorted(done.told.items()))
        print(f"story {told.id} is told until {_iso(done.until_s)}: {figures}", file=sys.stderr)
        if wrong := [what for what in done.told if what.startswith(("refused", "sequence_conflict", "receipt_"))]:
            _fail(f"not everything was stored: {', '.join(wrong)}")


def _moment(text: str, option: str) -> float:
    if not text:
        return time.time()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StoryError(f"{option} {text} is not a time like 2026-11-20T09:30:00Z") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="seconds")


@contextmanager
def _display(story: str, as_json: bool) -> Any:
    """A bar for people, lines for programs, five times a second."""
    shown_s = 0.0

    def seldom(show: Callable[[past.Step], None]) -> Callable[[past.Step], None]:
        def shown(step: past.Step) -> None:
            nonlocal shown_s
            if step.at_s >= step.until_s or time.monotonic() - shown_s >= _SHOW_EVERY_S:
                shown_s = time.monotonic()
                show(step)

        return shown

    if as_json:
        yield seldom(lambda step: print(_json_line(story, step), flush=True))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[day]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"story {story}", total=1.0, day="")

        def draw(step: past.Step) -> None:
            bar.update(
                task, completed=_part(step), day=f"{_iso(step.at_s)[:10]}  {step.told.get('batches', 0)} batches"
            )

        yield seldom(draw)


def _part(step: past.Step) -> float:
    return min(1.0, (step.at_s - step.from_s) / (step.until_s - step.from_s))


def _json_line(story: str, step: past.Step) -> str:
    return json.dumps({"story": story, "done": round(_part(step), 4), "at": _iso(step.at_s), **step.told})


# --- Live -------------------------------------------------------------------------------------------------


@app.command("air")
def run_air(
    stories: Annotated[list[Path], typer.Argument(help="Stories whose present is heard.", metavar="STORY.toml...")],
    tags: TagsOption,
    data: DataOption = DEFAULT_DATA,
    shift_weeks: Annotated[int, typer.Option(help="Weeks to add to every date (matters to what has an end).")] = 0,
    foreign_every_s: Annotated[float, typer.Option(min=0.05, help="A stranger's beacon this often.")] = 5.0,
) -> None:
    """Put the tags of stories on the air, live, with one simulated Bluetooth radio for each live gateway.

    For each such gateway DATA/GATEWAY.bus holds the address of its bus: start the real gateway with
    DBUS_SYSTEM_BUS_ADDRESS=$(cat DATA/GATEWAY.bus). Ends on SIGINT, SIGTERM, and with the process that started it.
    """
    _die_with_parent()
    with _refusals():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(_air(stories, tags, data, shift_weeks, foreign_every_s))


async def _air(stories: list[Path], tags: list[Path], data: Path, weeks: int, foreign_every_s: float) -> None:
    wall_s, steady_s = time.time(), time.monotonic()
    air = live.LiveAir(
        [read_story(story, weeks) for story in stories],
        _units(tags),
        data,
        now_s=lambda: wall_s + time.monotonic() - steady_s,
        dice=secrets.token_bytes,
        foreign_every_s=foreign_every_s,
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with control.control(air, data):
        await air.run(stop, lambda: _say_ready(air, data))


def _say_ready(air: live.LiveAir, data: Path) -> None:
    for gateway, radio in sorted(air.radios.items()):
        print(f"{gateway}  DBUS_SYSTEM_BUS_ADDRESS={radio.bus_address}  ({live.bus_file(data, gateway)})")
    print("on the air", flush=True)


def _die_with_parent() -> None:
    """The kernel sends us SIGTERM when whoever started us is gone: no orphan keeps a bus."""
    parent = os.getppid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            raise typer.Exit(1)


def _ask(data: Path, **request: object) -> Any:
    with _refusals():
        return control.ask(data, **request)


@app.command()
def press(serial: Serial, data: DataOption = DEFAULT_DATA) -> None:
    """Press a tag's button: for a minute it consents to be claimed or cleared."""
    print(_ask(data, do="press", serial=serial))


@app.command()
def move(
    serial: Serial,
    place: Annotated[
        str, typer.Argument(help='Live gateways "a,b", "nowhere", or "story" for where the story has it.')
    ],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Carry a tag into the range of these gateways; it feels that it is moved."""
    print(_ask(data, do="move", serial=serial, place=place))


@app.command()
def power(
    serial: Serial,
    state: Annotated[str, typer.Argument(help="on or off", metavar="on|off")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Take a tag's battery out, or put it back: it resumes with its uptime and the next boot number."""
    if state not in ("on", "off"):
        _fail("say on or off")
    print(_ask(data, do="power", serial=serial, on=state == "on"))


@app.command()
def near(serial: Serial, data: DataOption = DEFAULT_DATA) -> None:
    """Have a tag's private owner come by: for half an hour it is near them, and it has the time."""
    print(_ask(data, do="near", serial=serial))


@app.command()
def away(serial: Serial, data: DataOption = DEFAULT_DATA) -> None:
    """Have the owner be gone for half an hour: the tag is separated with its next beacon."""
    print(_ask(data, do="away", serial=serial))


@app.command()
def ring(
    serial: Serial,
    seconds: Annotated[int, typer.Option(min=0, max=gatt.RING_MAX_S, help="How long; 0 to be silent.")] = 10,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Ring a tag, as its owner does to find it under the sofa."""
    print(_ask(data, do="ring", serial=serial, seconds=seconds))


@app.command()
def fault(
    gateway: Annotated[str, typer.Argument(help="A live gateway.", metavar="GATEWAY")],
    name: Annotated[str, typer.Argument(help=", ".join(control.FAULTS), metavar="FAULT")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Do to a gateway's Bluetooth what life does to it."""
    print(_ask(data, do="fault", gateway=gateway, fault=name))


@app.command()
def status(
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """What is on the air now."""
    rows = _ask(data, do="status")
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        power_word = (
            f"boot {row['boot']}, up {row['uptime_s']} s, {row['address']}" if row["power"] else "without power"
        )
        print(
            f"{row['serial']} {row['name']}: {power_word}, {_owner_words(row)}, "
            f"heard by {', '.join(row['heard_by']) or 'nobody'}"
        )


def _owner_words(row: dict[str, Any]) -> str:
    words = "owned" if row["owned"] else "no owner"
    if row["private"]:
        clock = "" if row["clock"] else ", clock lost"
        where = "near its owner" if row["near"] else "away from its owner"
        words = f"privately owned, {where}{clock}, identifiers for {row['days_left']} more days"
    return f"{words}, ringing" if row["rings"] else words


if __name__ == "__main__":
    app()
