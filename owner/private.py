"""The commands of private finding that need no server: recovery phrases, files of sealed reports, what is printed.

Secrets are read from standard input or a file where they can be: a command line is seen by every user of a machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track

from owner import export, keyfile, keys, phrase
from owner.doors import keys_folder, secret_text
from owner.errors import PrivateError
from owner.keys import Ring, TagSecret
from owner.moments import minute_in_words
from owner.reports import MAX_REPORTS, Found, read
from wire.sealed import REPORT_LEN, VERSION

# The server keeps reports for seven days, which touch eight.
LOOK_BACK_DAYS: Final = 8
LOOK_BACK_MAX: Final = 400
# Each report as hex digits and a line's end.
_FILE_MAX: Final = MAX_REPORTS * (2 * REPORT_LEN + 2)
_HEX_LINE: Final = re.compile(rb"[0-9a-fA-F]{%d}" % (2 * REPORT_LEN))
# Below this many nobody waits long enough to wonder.
_PROGRESS_FROM: Final = 2_000
_REASONS_SHOWN: Final = 20


class Form(StrEnum):
    """How the places are shown."""

    TABLE = "table"
    GEOJSON = "geojson"
    GPX = "gpx"
    CSV = "csv"


Keep = Annotated[
    int | None, typer.Option("--keep", min=0, max=2**40 - 1, metavar="SERIAL", help="Write the key file of this tag.")
]


def add_to(app: typer.Typer, now: Callable[[], datetime], dice: Callable[[int], bytes]) -> None:
    """Adds `phrase` and `open`; the clock and the dice come from the door."""
    app.add_typer(_phrase(dice), name="phrase")

    @app.command("open")
    def open_(
        file: Annotated[Path, typer.Argument(help="Sealed reports: 89 bytes each, or a line of hex each.")],
        key_file: Annotated[Path | None, typer.Option("--keys", help="The tag's key file.")] = None,
        share: Annotated[str, typer.Option(help="A share's link, or - for standard input, instead of --keys.")] = "",
        days: Annotated[int, typer.Option(min=1, max=LOOK_BACK_MAX, help="How many days to look back.")] = (
            LOOK_BACK_DAYS
        ),
        form: Annotated[Form, typer.Option("--as", help="What to print.")] = Form.TABLE,
        name: Annotated[str, typer.Option(help="What the tag is called in what is printed.")] = "tag",
    ) -> None:
        """Opens a file of sealed reports and tells where the tag was; what is not believed is told with its reason.

        Ends with 1 if there is no place to show.
        """
        now_s = int(now().timestamp())
        ring = _ring(key_file, share, days, now_s)
        found = read(_reports(file), ring, now_s, watched)
        show(found, form, name.encode(errors="replace").decode())  # a terminal's own bytes may be no text
        if not found.points:
            raise typer.Exit(1)


def _phrase(dice: Callable[[int], bytes]) -> typer.Typer:
    group = typer.Typer(help="A tag's secret as 24 words.", no_args_is_help=True, rich_markup_mode=None)

    @group.command()
    def new(keep: Keep = None) -> None:
        """Makes a new secret and shows it as 24 words, this once."""
        seed = dice(phrase.SEED_LEN)
        kept = _keep(seed, keep)  # first: words of a secret that is then refused would be written down for nothing
        show_phrase(seed)
        print(kept, end="")

    @group.command()
    def check(keep: Keep = None) -> None:
        """Reads a phrase from standard input and says whether it is whole."""
        seed = phrase.seed_of(secret_text("The 24 words"))
        print("This phrase is whole.")
        print(_keep(seed, keep), end="")

    @group.command()
    def words(beginning: Annotated[str, typer.Argument(help="First letters.")] = "") -> None:
        """The words that a phrase is made of."""
        found = phrase.words_beginning(beginning)
        if not found:
            raise PrivateError("phrase_word", "No word of the list begins so.", "Try fewer letters.")
        print("\n".join(found))

    return group


def show_phrase(seed: bytes) -> None:
    """The 24 words, numbered, and what they are."""
    words = phrase.phrase_of(seed).split()
    for row in range(0, len(words), 4):
        print("".join(f"{n + 1:3}. {words[n]:<10}" for n in range(row, row + 4)).rstrip())
    print("Write these words down: whoever has them can read every place of this tag; without them nobody can.")


def _keep(seed: bytes, serial: int | None) -> str:
    """Writes the key file, if one is wanted, and returns the line that says so. Raises PrivateError as `save` does."""
    if serial is None:
        return ""
    return f"Kept in {keyfile.save(keys_folder(), TagSecret(serial, seed))}, for you alone.\n"


def _ring(key_file: Path | None, share: str, days: int, now_s: int) -> Ring:
    if (key_file is None) == (not share):
        raise PrivateError("keys_missing", "There is nothing to open with.", "Give either --keys or --share.")
    if key_file is None:
        return keys.share_ring(keys.read_share(secret_text("The link") if share == "-" else share), now_s)
    today = keys.day_of(now_s)
    return keys.owner_ring(keyfile.load(key_file), range(max(0, today - days + 1), today + 1))


def _reports(file: Path) -> list[bytes]:
    """Sealed reports of a file. Raises PrivateError `file_unreadable`, `file_large`, `file_malformed`."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_MAX + 1)
    except OSError as wrong:
        raise PrivateError("file_unreadable", f"{file} cannot be read: {wrong.strerror}.") from None
    if len(data) > _FILE_MAX:
        raise PrivateError("file_large", f"{file} holds more than {MAX_REPORTS:,} reports.", "Divide it.")
    if data[:1] == bytes((VERSION,)) and len(data) % REPORT_LEN == 0:
        return [data[at : at + REPORT_LEN] for at in range(0, len(data), REPORT_LEN)]
    lines = [line.strip() for line in data.splitlines() if line.strip()]
    wrong_line = next((n for n, line in enumerate(lines, 1) if not _HEX_LINE.fullmatch(line)), None)
    if wrong_line:
        raise PrivateError("file_malformed", f"{file}: report {wrong_line} is not {2 * REPORT_LEN} hex digits.")
    return [bytes.fromhex(line.decode()) for line in lines]


def watched(reports: Sequence[bytes]) -> Iterable[bytes]:
    """Tells the progress of a long look-back, where somebody looks."""
    if len(reports) < _PROGRESS_FROM or not sys.stderr.isatty():
        return reports
    return track(reports, f"Opening {len(reports):,} reports", console=Console(stderr=True), transient=True)


def show(found: Found, form: Form, name: str) -> None:
    if form is Form.TABLE:
        if found.points:
            Console(highlight=False, soft_wrap=True).print(export.table(found), markup=False)
    else:
        made = {Form.GEOJSON: export.geojson, Form.GPX: export.gpx, Form.CSV: export.csv_text}[form]
        sys.stdout.write(made(found, name).rstrip("\n") + "\n")
    for line in remarks(found):
        print(line, file=sys.stderr)


def remarks(found: Found) -> Iterable[str]:
    """What is said beside the places: why there is none, and which reports are not believed."""
    if found.empty:
        yield found.empty_text
    for each in found.refused[:_REASONS_SHOWN]:
        at = f"{minute_in_words(each.unix_s)}: " if each.unix_s is not None else ""
        yield f"Not believed ({each.why}): {at}{each.text}"
    if (more := len(found.refused) - _REASONS_SHOWN) > 0:
        yield f"… and {more} more."
    if found.points and not found.tails_checked:
        yield "Of shared days nobody but the owner can tell a recording or an invention from the tag itself."
