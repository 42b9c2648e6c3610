"""The door: `python -m gateway enrol | run | activate | place | status`. Clocks and dice are made here."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.console import Console

from gateway import log
from gateway.clock import steady_clock, wall_clock_ms
from gateway.config import PREFIX, SETTINGS, Settings, settings_from
from gateway.edges import Edges
from gateway.errors import Refusal
from wire.batch import Place, PlaceSource
from wire.frames import NETWORK_ID_LAB

LOCK_FILE: Final = "run.lock"
_SETTINGS_HELP: Final = "\n\n".join(
    f"{PREFIX}{name}: {setting.meaning} (default {setting.default or 'none'})." for name, setting in SETTINGS.items()
)
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A scanning gateway: it hears tags, keeps what it heard on disk, and reports it until the server stored it."
    f"\n\nSettings (environment):\n\n{_SETTINGS_HELP}",
)
console = Console(stderr=False)
errors = Console(stderr=True)


def _edges() -> Edges:
    return Edges(
        steady_ns=steady_clock(),
        wall_ms=wall_clock_ms,
        fresh_id=lambda: secrets.token_bytes(16),
        jitter=random.random,
        log=structlog.get_logger(),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two gateways on one outbox would both number its batches. The kernel drops the lock with the process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(
                "already_running", f"a gateway runs on {folder} already", f"Stop it, or set {PREFIX}DATA to another."
            ) from None
        yield


def runs(folder: Path) -> bool:
    """Whether a gateway runs on this folder now."""
    try:
        with _alone(folder):
            return False
    except Refusal:
        return True


@app.command("enrol")
def enrol_command(
    token: Annotated[str, typer.Argument(help="The one-time token that the operator made; it begins with HS1.")],
    again: Annotated[bool, typer.Option("--again", help="Replace the enrolment that is here.")] = False,
    ca_file: Annotated[Path | None, typer.Option("--ca", help="Certificates (PEM) to trust for the server.")] = None,
) -> None:
    """Join a server: makes this gateway's own key, which never leaves, and pins the server's."""
    from gateway.enrol import enrol

    settings = settings_from(os.environ)
    with _alone(settings.data):
        enrolment = enrol(token, settings.data, again=again, ca_file=ca_file)
    console.print(f"Enrolled as [bold]{enrolment.gateway}[/] ({enrolment.gateway_class.name.lower()}).")
    console.print(f"Broker {enrolment.mqtt_url}, data in {settings.data}. Next: python -m gateway run")


@app.command("run")
def run_command() -> None:
    """Hear and report, until stopped by Ctrl-C or SIGTERM."""
    settings = settings_from(os.environ)
    log.set_up(settings.log_format, settings.log_level)
    with _alone(settings.data):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    from gateway.enrolled import load_enrolment
    from gateway.run import Gateway

    enrolment, key = load_enrolment(settings.data)
    gateway = Gateway(settings, enrolment, key, _edges(), version("hearsight"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await gateway.run(stop)


@app.command("activate")
def activate_command(
    code: Annotated[str, typer.Argument(help="The claim code from the box; hyphens and case do not matter.")],
    server: Annotated[
        str, typer.Option("--server", envvar="HEARSIGHT_SERVER", help="The server's address.")
    ] = "http://127.0.0.1:8000",
    token: Annotated[
        str, typer.Option("--token", envvar="HEARSIGHT_TOKEN", help="A personal API token of your account.")
    ] = "",
    owner_key: Annotated[
        Path | None,
        typer.Option("--owner-key", help="Your owner's key; made at the first use, readable by you only. Keep a copy."),
    ] = None,
    adapter: Annotated[str | None, typer.Option("--adapter", help="Bluetooth adapter, such as hci1.")] = None,
    network_id: Annotated[int, typer.Option("--network-id", help="First byte of the tags' frames.")] = NETWORK_ID_LAB,
    ca_file: Annotated[Path | None, typer.Option("--ca", help="Certificates (PEM) to trust for the server.")] = None,
) -> None:
    """Make a tag yours with this computer's Bluetooth: no gateway needed, only the tag in hand and its code."""
    from gateway.activate import Wish, activate

    settings = settings_from(os.environ)
    if not token:
        raise Refusal(
            "token_missing", "this needs an API token of your account", "Make one on your account's page; see --token."
        )
    if runs(settings.data):
        console.print("[yellow]A gateway runs here and uses the same radio: if connecting fails, stop it.[/]")
    log.set_up(settings.log_format, "error")
    path = owner_key or _owner_key()
    wish = Wish(code, server, token, path, adapter or settings.adapter, network_id, ca_file)
    done = asyncio.run(activate(wish, _edges(), console.print))
    console.print(f"[green]Tag {done.serial} is yours: it has signed.[/] Your owner's key is in {path}; keep a copy.")
    console.print("Whoever doubts it can check the receipt without us:")
    receipt = f"--public-key {done.public_key} --challenge {done.challenge.hex()} --answer {done.answer.hex()}"
    console.print(f"python -m wire verify-receipt {receipt}", soft_wrap=True, highlight=False)


def _owner_key() -> Path:
    """In the person's own configuration, wherever the command is called from."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "hearsight" / "owner.key"


@app.command("place")
def place_command(
    lat: Annotated[float | None, typer.Argument(min=-90, max=90, help="Latitude in degrees.")] = None,
    lon: Annotated[float | None, typer.Argument(min=-180, max=180, help="Longitude in degrees.")] = None,
    accuracy_m: Annotated[int, typer.Option("--accuracy-m", min=0, max=65_535, help="How exact that is.")] = 20,
    unknown: Annotated[bool, typer.Option("--unknown", help="The gateway does not know where it stands.")] = False,
    enrolled: Annotated[bool, typer.Option("--enrolled", help="Back to the place of its enrolment.")] = False,
) -> None:
    """Say where this gateway stands now (-- before a negative number). A running one begins a new batch for it."""
    from gateway.place import forget_place, set_place

    folder = settings_from(os.environ).data
    if enrolled:
        forget_place(folder)
    elif unknown:
        set_place(folder, None)
    elif lat is None or lon is None:
        raise Refusal("place_missing", "a place has a latitude and a longitude", "Or use --unknown or --enrolled.")
    else:
        set_place(folder, Place(round(lat * 1e7), round(lon * 1e7), accuracy_m, PlaceSource.MANUAL))
    console.print("Done; a running gateway notices it within a second.")


@app.command("status")
def status_command(
    as_json: Annotated[bool, typer.Option("--json", help="The whole status, for machines.")] = False,
) -> None:
    """How this gateway is. Exit status 0: it runs and hears; 1: it does not, or nothing was heard lately."""
    from gateway.status import show

    folder = settings_from(os.environ).data
    if not show(folder, running=runs(folder), now_ms=wall_clock_ms(), as_json=as_json, console=console):
        raise typer.Exit(1)


def main(run: Callable[[], object] = app) -> int:
    """Run a command; a refusal is told in three lines and ends with status 1."""
    try:
        run()
    except Refusal as refusal:
        errors.print(f"[red]{refusal.message}[/red]", highlight=False)
        errors.print(f"{refusal.do}  [dim]({refusal.code})[/dim]", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
