"""Commands are believed once, while fresh, from the pinned key; answers only count upwards."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from gateway.carry import AHEAD_MAX_MS, Dialogue, candidates
from gateway.collector import Candidate
from tests.gateway.air import frame
from wire.command import MAX_CANDIDATES, Command, Failed, Find, decode_answer, encode_command
from wire.errors import WireError
from wire.signing import Domain, sign, verify

GATEWAY, SERVER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
SESSION = bytes(16)
NOW_MS = 1_700_000_000_000


def dialogue(last_command: int = -1) -> Dialogue:
    return Dialogue("dock-1", GATEWAY, SERVER.public_key(), last_command)


def command(
    sequence: int = 1,
    expires_ms: int = NOW_MS + 1_000,
    gateway: str = "dock-1",
    key: Ed25519PrivateKey = SERVER,
    domain: Domain = Domain.COMMAND,
) -> bytes:
    return sign(key, domain, encode_command(Command(gateway, sequence, expires_ms, Find(SESSION))))


def test_a_fresh_command_of_the_server_is_opened() -> None:
    assert dialogue().open(command(), NOW_MS).body == Find(SESSION)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (command(key=GATEWAY), "signature"),
        (command(domain=Domain.ANSWER), "signature"),
        (command(gateway="dock-2"), "command_gateway"),
        (command(expires_ms=NOW_MS), "command_expired"),
        (command(expires_ms=NOW_MS + AHEAD_MAX_MS + 1), "command_ahead"),
        (sign(SERVER, Domain.COMMAND, b"\x95"), "malformed"),
        (b"", "truncated"),
    ],
)
def test_anything_else_is_refused_with_its_code(payload: bytes, code: str) -> None:
    ours = dialogue()
    with pytest.raises(WireError) as caught:
        ours.open(payload, NOW_MS)
    assert caught.value.code == code
    assert ours.last_command == -1, "a refused command uses up no number"


def test_a_repeated_or_older_command_is_refused_also_after_a_restart() -> None:
    first = dialogue()
    first.open(command(7), NOW_MS)
    for again in (first, dialogue(last_command=first.last_command)):
        for sequence in (7, 6):
            with pytest.raises(WireError) as caught:
                again.open(command(sequence), NOW_MS)
            assert caught.value.code == "command_repeated"
        again.open(command(8), NOW_MS)


@given(st.lists(st.integers(0, NOW_MS), min_size=1, max_size=20))
def test_answers_count_upwards_whatever_the_clock_does(clocks: list[int]) -> None:
    ours = dialogue()
    answers = [decode_answer(verify(GATEWAY.public_key(), Domain.ANSWER, ours.answer(Failed(SESSION, "x"), now)))
               for now in clocks]  # fmt: skip
    sequences = [answer.sequence for answer in answers]
    assert all(a < b for a, b in itertools.pairwise(sequences))


def test_no_more_candidates_than_a_command_holds() -> None:
    near = [Candidate(str(n), frame(n), -n, 0) for n in range(100)]
    assert candidates(SESSION, near).frames == tuple(frame(n) for n in range(MAX_CANDIDATES))
