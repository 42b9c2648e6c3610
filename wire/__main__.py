"""`python -m wire`: checks other people's bytes, offline and without a database.

verify FILE checks a file of test vectors; verify-receipt checks one activation receipt. Exit status 0: all true,
1: something is not, 2: the command line was not understood.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from wire.activation import ANSWER_LEN, CHALLENGE_LEN, ActivationAnswer, verify_answer
from wire.errors import WireError
from wire.vectors import MAX_BYTES, Hex, MismatchError, Outcome, verify_file
from wire.vectors_own import ALL_KINDS

# A wrong implementation fails everywhere: after this many lines the rest is only counted.
FAILURES_SHOWN = 200
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def parser() -> argparse.ArgumentParser:
    """The command line; its help is the manual."""
    top = argparse.ArgumentParser(
        prog="python -m wire",
        description="Checks bytes against the wire format (docs/wire-format.md). Needs no server and no network.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify = commands.add_parser(
        "verify",
        help="check a file of test vectors",
        description="Goes through every entry of a JSON file {kind: [entry, …]} such as docs/vectors.json, lists every "
        "failure and counts each kind. Exit status 1 on any failure, unknown kind, missing field or empty file.",
        epilog=f"Kinds: {', '.join(ALL_KINDS)}.",
    )
    verify.add_argument("file", type=Path, metavar="FILE", help="the file of vectors")
    receipt = commands.add_parser(
        "verify-receipt",
        help="check one activation receipt",
        description="Checks that the tag with this public key (it stands in the factory's signed manifest) gave this "
        "answer to this challenge, and says what the tag stated. Exit status 1 if it did not.",
    )
    receipt.add_argument("--public-key", required=True, metavar="HEX", help="the tag's Ed25519 key, 32 bytes")
    receipt.add_argument("--challenge", required=True, metavar="HEX", help=f"the challenge, {CHALLENGE_LEN} bytes")
    receipt.add_argument("--answer", required=True, metavar="HEX", help=f"the tag's answer, {ANSWER_LEN} bytes")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name in a file may be no text that a terminal knows
    chosen = parser().parse_args(arguments)
    if chosen.command == "verify":
        return verify(chosen.file)
    return verify_receipt(chosen.public_key, chosen.challenge, chosen.answer)


def verify(file: Path) -> int:
    """Checks a file and says what was found."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as wrong:
        return _fail(f"{file} cannot be read: {wrong.strerror}")
    if len(text) > MAX_BYTES:
        return _fail(f"{file} is larger than {MAX_BYTES} bytes: split it")
    outcome = verify_file(text, ALL_KINDS)
    _print_outcome(outcome)
    return 0 if outcome.good else 1


def _print_outcome(outcome: Outcome) -> None:
    for line in outcome.failures[:FAILURES_SHOWN]:
        print(f"FAILED  {line}")
    if (hidden := len(outcome.failures) - FAILURES_SHOWN) > 0:
        print(f"FAILED  … and {hidden} more")
    for kind, count in outcome.counts.items():
        print(f"{kind:16} {count:7}")
    print(f"{sum(outcome.counts.values())} entries, {len(outcome.failures)} failures")


def verify_receipt(public_key: str, challenge: str, answer: str) -> int:
    """Checks one receipt and says what the tag stated."""
    try:
        stated = verify_answer(
            _bytes("--public-key", public_key, 32),
            _bytes("--challenge", challenge, CHALLENGE_LEN),
            _bytes("--answer", answer, ANSWER_LEN),
        )
    except WireError as wrong:
        return _fail(f"NOT VALID ({wrong.code}): {wrong}")
    except MismatchError as wrong:
        return _fail(f"NOT VALID (malformed): {wrong}")
    print("VALID: the tag with this public key gave this answer to this challenge.")
    print("\n".join(stated_in_words(stated)))
    return 0


def stated_in_words(stated: ActivationAnswer) -> list[str]:
    """What a tag stated, a line for each thing."""
    return [
        f"serial      {stated.serial} (hex {stated.serial:010x})",
        f"boot        {stated.boot}: power-up number {stated.boot} of its life",
        f"uptime      {duration_in_words(stated.uptime_s)} of running in all ({stated.uptime_s} s)",
        f"owner hash  {stated.owner_hash.hex()}: names the owner's key, not the owner",
    ]


def duration_in_words(seconds: int) -> str:
    """The two largest units of a duration: "34 days 18 hours"."""
    parts = []
    for size, name in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "0 seconds"


def _bytes(option: str, text: str, length: int) -> bytes:
    try:
        return Hex(length).read(text.strip())
    except MismatchError as wrong:
        raise MismatchError(f"{option} {wrong}") from None


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
