"""Test vectors: is what a file says of our bytes true? Goes through every entry of every kind and lists what is not.

A file is a JSON object `{kind: [entry, …]}`; every field of an entry stands in the table of its kind, bytes as hex.
This page holds the framework and the five kinds that any implementation must share; `wire/vectors_own.py` adds ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wire import activation, frames, keys, sealed

# Far above any honest file: a limit on what one command reads into memory.
MAX_BYTES: Final = 64 * 1024 * 1024
# Words about an entry are welcome in any kind and are not checked.
REMARKS: Final = frozenset({"comment", "note"})

Values = Mapping[str, Any]


class MismatchError(ValueError):
    """An entry that is not what it says; the message says where."""


@dataclass(frozen=True, slots=True)
class Hex:
    """A field of bytes; `length` None means any number of them."""

    length: int | None = None

    def read(self, value: object) -> bytes:
        if not isinstance(value, str):
            raise MismatchError("is not a string of hex digits")
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raise MismatchError("is not hex") from None
        if raw.hex() != value.lower():
            raise MismatchError("is not plain hex: two digits a byte and nothing between")
        if self.length is not None and len(raw) != self.length:
            raise MismatchError(f"has {len(raw)} bytes, expected {self.length}")
        return raw


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number of `bits` bits, with or without sign."""

    bits: int
    signed: bool = False

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise MismatchError("is not a whole number")
        lowest, beyond = (-(1 << self.bits - 1), 1 << self.bits - 1) if self.signed else (0, 1 << self.bits)
        if not lowest <= value < beyond:
            raise MismatchError(f"does not fit {self.bits} bits")
        return value


@dataclass(frozen=True, slots=True)
class Json:
    """A field of any JSON type `of`, checked further by its kind."""

    of: type

    def read(self, value: object) -> object:
        if not isinstance(value, self.of) or isinstance(value, bool) is not (self.of is bool):
            raise MismatchError(f"is not of JSON type {self.of.__name__}")
        return value


Field = Hex | Int | Json


@dataclass(frozen=True, slots=True)
class Kind:
    """What an entry of one kind holds, and the function that raises MismatchError or WireError if it is not true."""

    fields: Mapping[str, Field]
    check: Callable[[Values], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: entries looked at per kind, and one line per failure."""

    counts: Mapping[str, int]
    failures: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.failures


def expect(name: str, said: object, found: object) -> None:
    """Raises MismatchError unless what the file says is what we found."""
    if said != found:
        shown = found.hex() if isinstance(found, bytes) else found
        raise MismatchError(f"{name} differs: this implementation has {shown}")


def read_entry(kind: Kind, entry: object) -> Values:
    """The checked values of an entry: every field there, none unknown, each of its type. Raises MismatchError."""
    if not isinstance(entry, dict):
        raise MismatchError("is not an object")
    if missing := [name for name in kind.fields if name not in entry]:
        raise MismatchError(f"lacks {', '.join(missing)}")
    if unknown := sorted(set(entry) - set(kind.fields) - REMARKS):
        raise MismatchError(f"has unknown fields: {', '.join(unknown)}")
    values = {}
    for name, field in kind.fields.items():
        try:
            values[name] = field.read(entry[name])
        except MismatchError as wrong:
            raise MismatchError(f"{name} {wrong}") from None
    return values


def verify_file(text: str | bytes, kinds: Mapping[str, Kind]) -> Outcome:
    """Checks a whole file; never stops at the first failure."""
    try:
        document = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as wrong:
        return Outcome({}, (f"not a JSON file of vectors: {wrong}",))
    if not isinstance(document, dict):
        return Outcome({}, ("not a file of vectors: the outermost value must be an object {kind: [entries]}",))
    counts = {name: len(entries) if isinstance(entries, list) else 0 for name, entries in document.items()}
    failures = [line for name, entries in document.items() for line in _check_kind(name, entries, kinds)]
    if not sum(counts.values()):
        failures.append("the file has no entries: nothing was checked")
    return Outcome(counts, tuple(failures))


def _check_kind(name: str, entries: object, kinds: Mapping[str, Kind]) -> Iterator[str]:
    kind = kinds.get(name)
    if kind is None:
        yield f"{name}: unknown kind (known: {', '.join(kinds)})"
    elif not isinstance(entries, list) or not entries:
        yield f"{name}: has no entries"
    else:
        for number, entry in enumerate(entries, 1):
            try:
                kind.check(read_entry(kind, entry))
            except (ValueError, OverflowError) as wrong:  # MismatchError, WireError, and what no message can hold
                yield f"{name} {number}: {wrong}"


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name given twice would hide what stood under it first."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object has the same name twice")
    return values


# --- The five kinds of the specification ------------------------------------------------------------------


def _check_provenance(v: Values) -> None:
    frame = frames.encode_p(
        v["K_lot"],
        keys.tag_key(v["K_factory"], v["serial"]),
        serial=v["serial"],
        uptime_s=v["uptime_s"],
        boot=v["boot"],
        random2=v["random"],
        status=v["status"],
    )
    expect("frame", v["frame"], frame)
    expect("advertisement", v["advertisement"], frames.advertisement(frame))
    opened = frames.decode_p(v["frame"], v["K_lot"], v["K_factory"])
    said = frames.PFrame(v["serial"], v["uptime_s"], v["boot"], v["random"], v["status"])
    expect("the opened frame", said, opened)


def _check_owner(v: Values) -> None:
    day_public = keys.day_public_key(v["S_o"], v["day"])
    expect("d", v["d"], keys.day_private_key(v["S_o"], v["day"]))
    expect("P", v["P"], day_public)
    expect("f", v["f"], keys.fetch_token(v["S_o"], v["day"]))
    expect("K_own", v["K_own"], keys.own_key(v["S_o"]))
    expect("EID", v["EID"], keys.eid(day_public))


def _check_owned(v: Values) -> None:
    frame = frames.encode_o(v["K_own"], v["EID"], tick=v["tick"], status=v["status"])
    expect("frame", v["frame"], frame)
    if not frames.verify_o(frames.decode_o(v["frame"]), v["K_own"], v["tick"]):
        raise MismatchError("the owner does not recognise the frame")


def _check_activation(v: Values) -> None:
    activation.verify_answer(v["public_key"], v["challenge"], v["answer"])


def _check_sealed_report(v: Values) -> None:
    report = sealed.open_report(v["report"], v["d"])
    expect("EID", sealed.report_eid(v["report"]), keys.eid(keys.public_of_day_key(v["d"])))
    for name in REPORT_FIELDS:
        expect(name, v[name], getattr(report, name))


REPORT_FIELDS: Final[Mapping[str, Field]] = {
    "lat_e7": Int(32, signed=True),
    "lon_e7": Int(32, signed=True),
    "unix_s": Int(32),
    "accuracy_m": Int(16),
    "rssi_dbm": Int(8, signed=True),
    "status": Int(8),
    "tail": Hex(4),
    "gateway_class": Int(8),
}

SHARED_KINDS: Final[Mapping[str, Kind]] = {
    "provenance": Kind(
        {
            "K_factory": Hex(16),
            "K_lot": Hex(16),
            "serial": Int(40),
            "uptime_s": Int(32),
            "boot": Int(16),
            "random": Hex(2),
            "status": Int(8),
            "frame": Hex(frames.FRAME_LEN),
            "advertisement": Hex(frames.ADVERTISEMENT_LEN),
        },
        _check_provenance,
    ),
    "owner": Kind(
        {"S_o": Hex(32), "day": Int(32), "d": Hex(32), "P": Hex(32), "f": Hex(16), "K_own": Hex(16), "EID": Hex(16)},
        _check_owner,
    ),
    "owned": Kind(
        {"K_own": Hex(16), "EID": Hex(16), "tick": Int(32), "status": Int(8), "frame": Hex(frames.FRAME_LEN)},
        _check_owned,
    ),
    "activation": Kind(
        {"public_key": Hex(32), "challenge": Hex(16), "answer": Hex(activation.ANSWER_LEN)}, _check_activation
    ),
    "sealed_report": Kind({"d": Hex(32), "report": Hex(sealed.REPORT_LEN), **REPORT_FIELDS}, _check_sealed_report),
}
