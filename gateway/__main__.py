"""The door: `python -m gateway enrol | run | activate | place | status`. Clocks and dice are made here."""

from __future__ import annotations

import asyncio
import fcntl
import gc
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
    # What was made until here stays for ever: the garbage collector need not look at it at every ten-thousandth advert.
    gc.freeze()
    await gateway.run(stop)


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
