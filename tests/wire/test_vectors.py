"""The vectors, another implementation's and our own, and the command that checks them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wire import make_vectors
from wire import __main__ as command
from wire.vectors import SHARED_KINDS, verify_file
from wire.vectors_own import ALL_KINDS

DESIGN = Path(__file__).with_name("vectors_design.json")
BOTH = [DESIGN, make_vectors.FILE]


def load(path: Path) -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return loaded


@pytest.mark.parametrize("path", BOTH, ids=lambda path: path.name)
def test_vectors_are_true(path: Path) -> None:
    outcome = verify_file(path.read_bytes(), ALL_KINDS)
    assert outcome.failures == ()
    assert set(SHARED_KINDS) <= set(outcome.counts)


def test_our_vectors_hold_every_kind() -> None:
    assert set(load(make_vectors.FILE)) == set(ALL_KINDS)


def test_the_published_file_is_what_the_code_makes() -> None:
    assert make_vectors.make() == load(make_vectors.FILE), "run python -m tests.wire.make_vectors"


def one_entry_changed() -> list[tuple[str, str]]:
    return [(kind, field) for kind in ALL_KINDS for field in ALL_KINDS[kind].fields]


# Fields that are neither numbers nor hex: objects, lists and texts with a meaning of their own.
NO_DIGITS = {"value", "heard", "chunks", "serials", "file", "token", "code"}


@pytest.mark.parametrize(("kind", "field"), one_entry_changed())
def test_a_missing_field_is_a_failure(kind: str, field: str) -> None:
    entries = load(make_vectors.FILE)[kind]
    del entries[-1][field]
    assert not verify_file(json.dumps({kind: entries}), ALL_KINDS).good


@pytest.mark.parametrize(("kind", "field"), one_entry_changed())
@pytest.mark.parametrize("wrong", [None, True, 1.5, -1, 2**70, "zz", "\ud800", [], {}, "0", "F0 F0"])
def test_a_malformed_value_is_a_failure(kind: str, field: str, wrong: object) -> None:
    entries = load(make_vectors.FILE)[kind]
    is_true = entries[-1][field] == wrong
    entries[-1][field] = wrong
    assert verify_file(json.dumps({kind: entries}), ALL_KINDS).good is is_true


@pytest.mark.parametrize(("kind", "field"), [(k, f) for k, f in one_entry_changed() if f not in NO_DIGITS])
def test_one_changed_digit_is_a_failure(kind: str, field: str) -> None:
    """Each digit of each hex field, and each number plus one: nothing in a vector is unchecked."""
    entry = load(make_vectors.FILE)[kind][-1]
    value = entry[field]
    if isinstance(value, int):
        changed: list[object] = [value + 1, value - 1]
    else:
        places = range(0, len(value), max(1, len(value) // 40))
        changed = [value[:n] + ("0" if value[n] != "0" else "1") + value[n + 1 :] for n in places]
    for wrong in changed:
        if field == "d" and str(wrong)[2:-2] == value[2:-2]:
            continue  # X25519 clamps the first and the last byte of a private key
        outcome = verify_file(json.dumps({kind: [{**entry, field: wrong}]}), ALL_KINDS)
        assert not outcome.good, (kind, field, wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "{",
        '{"owner": []}',
        '{"owner": {}}',
        '{"owner": [7]}',
        '{"unheard_of": [{}]}',
        "[" * 100_000,
        '{"owner": [], "owner": []}',
    ],
)
def test_a_file_without_true_entries_is_a_failure(text: str) -> None:
    assert not verify_file(text, ALL_KINDS).good


def test_an_unknown_field_is_a_failure_and_a_remark_is_not() -> None:
    entry = load(DESIGN)["owned"][0]
    assert verify_file(json.dumps({"owned": [{**entry, "comment": "by another"}]}), ALL_KINDS).good
    assert not verify_file(json.dumps({"owned": [{**entry, "extra": 1}]}), ALL_KINDS).good


def test_a_wrong_entry_does_not_hide_the_next() -> None:
    entries = load(DESIGN)["provenance"]
    for entry in entries[:2]:
        entry["status"] ^= 0x20
    outcome = verify_file(json.dumps({"provenance": entries, "nonsense": [1]}), ALL_KINDS)
    assert len(outcome.failures) == 3
    assert outcome.counts == {"provenance": 3, "nonsense": 1}


# --- The command ------------------------------------------------------------------------------------------


def test_verify_as_a_program(root: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "wire", *arguments]
        return subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=60)

    good = run("verify", str(DESIGN))
    assert good.returncode == 0
    assert "15 entries, 0 failures" in good.stdout
    wrong = tmp_path / "wrong.json"
    wrong.write_text(DESIGN.read_text().replace('"status": 64', '"status": 65'))
    assert run("verify", str(wrong)).returncode == 1
    assert run("verify", str(tmp_path / "absent.json")).returncode == 1
    assert run("verify", str(tmp_path)).returncode == 1
    assert run().returncode == 2
    assert "verify-receipt" in run("--help").stdout


def receipt_arguments(**changed: str) -> list[str]:
    entry = {**load(DESIGN)["activation"][0], **changed}
    return [
        "verify-receipt",
        "--public-key",
        entry["public_key"],
        "--challenge",
        entry["challenge"],
        "--answer",
        entry["answer"],
    ]


def test_verify_receipt_says_what_the_tag_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(receipt_arguments()) == 0
    said = capsys.readouterr().out
    assert "318165647933" in said
    assert "43951" in said
    assert "34767 days 23 hours" in said
    assert "206a3ba9b8166f6be00a211262fe9f8c" in said


@pytest.mark.parametrize(
    "changed",
    [{"challenge": "00" * 16}, {"challenge": "00" * 15}, {"answer": "00" * 91}, {"public_key": "xyz"}, {"answer": ""}],
)
def test_verify_receipt_refuses(changed: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(receipt_arguments(**changed)) == 1
    assert "NOT VALID" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (61, "1 minute 1 second"), (3_600, "1 hour"), (90_061, "1 day 1 hour")],
)
def test_durations_in_words(seconds: int, words: str) -> None:
    assert command.duration_in_words(seconds) == words
