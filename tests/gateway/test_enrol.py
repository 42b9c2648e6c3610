"""Enrolment: the key is made here and stays here, only the pinned server is believed, and nothing is half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.enrol import enrol
from gateway.enrolled import GATEWAY_FILE, IDENTITY_FILE, PENDING_FILE, load_enrolment, load_key
from gateway.errors import Refusal
from gateway.place import Places, forget_place, set_place
from tests.gateway.server import GATEWAY, TestServer
from wire.batch import GatewayClass, Place, PlaceSource
from wire.enrolment import EnrolReply, EnrolToken, encode_enrol_reply, encode_token
from wire.signing import Domain, sign

PLACE = Place(-338_567_890, 1_512_153_210, 25, PlaceSource.FIXED)


@pytest.fixture
def web() -> Iterator[TestServer]:
    server = TestServer("mqtts://broker.example:8883", place=PLACE, password='a "quoted" \\ pass\u00e9')
    yield server
    server.close()


def refused(token: str, folder: Path, *, again: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        enrol(token, folder, again=again)
    return caught.value


def test_what_enrolment_leaves_is_read_back(tmp_path: Path, web: TestServer) -> None:
    done = enrol(web.token, tmp_path)
    enrolment, key = load_enrolment(tmp_path)
    assert enrolment == done
    assert (enrolment.gateway, enrolment.gateway_class, enrolment.network_id) == (GATEWAY, GatewayClass.OWN_SITE, 0xF0)
    assert (enrolment.place, enrolment.mqtt_password) == (PLACE, web.password)
    assert key.public_key().public_bytes_raw() == web.gateway_key == enrolment.public_key
    assert enrolment.server_public_key == web.key.public_key().public_bytes_raw()
    assert web.password not in repr(enrolment)
    for name in (GATEWAY_FILE, IDENTITY_FILE):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / PENDING_FILE).exists()


def test_an_enrolled_gateway_is_not_replaced_by_mistake(tmp_path: Path, web: TestServer) -> None:
    enrol(web.token, tmp_path)
    before = web.gateway_key
    assert refused(web.token, tmp_path).code == "already_enrolled"
    enrol(web.token, tmp_path, again=True)
    assert web.gateway_key != before, "a new enrolment has a new key"


@pytest.mark.parametrize("token", ["", "HS1.", "HS1.abc", "hello", "HS2.lLZodHRw"])
def test_a_mangled_token_is_told_so(tmp_path: Path, token: str) -> None:
    assert refused(token, tmp_path).code == "token_malformed"


def test_a_token_that_was_used_is_refused_in_the_servers_words(tmp_path: Path, web: TestServer) -> None:
    key = web.key.public_key().public_bytes_raw()
    refusal = refused(encode_token(EnrolToken(web.url, GATEWAY, bytes(16), key)), tmp_path)
    assert (refusal.code, refusal.do) == ("enrolment_refused", "Ask for a new one.")
    assert not (tmp_path / GATEWAY_FILE).exists()


@pytest.mark.parametrize(
    "answer", [(200, b"hello"), (200, b""), (500, b"<html>"), (200, b"x" * 100_000), (302, b"elsewhere")]
)
def test_nonsense_for_an_answer(tmp_path: Path, web: TestServer, answer: tuple[int, bytes]) -> None:
    web.enrol_answer = answer
    assert refused(web.token, tmp_path).code in ("reply_not_believed", "server_error")
    assert not (tmp_path / GATEWAY_FILE).exists()


def test_a_server_that_is_not_the_one_of_the_token_is_not_believed(tmp_path: Path, web: TestServer) -> None:
    token = web.token
    web.key = Ed25519PrivateKey.generate()
    assert refused(token, tmp_path).code == "reply_not_believed"
    assert not (tmp_path / GATEWAY_FILE).exists()


def test_a_reply_for_another_gateway_is_not_believed(tmp_path: Path, web: TestServer) -> None:
    enrol(web.token, tmp_path / "other")
    assert web.gateway_key is not None
    recorded = EnrolReply(GATEWAY, web.gateway_key, "mqtt://x", "u", "p", GatewayClass.CROWD, 0xF0)
    web.enrol_answer = (200, sign(web.key, Domain.ENROL_REPLY, encode_enrol_reply(recorded)))
    assert refused(web.token, tmp_path / "mine").code == "reply_not_believed"


def test_nobody_at_home(tmp_path: Path, web: TestServer) -> None:
    key = web.key.public_key().public_bytes_raw()
    assert refused(encode_token(EnrolToken("http://127.0.0.1:1", GATEWAY, bytes(16), key)), tmp_path).code == (
        "server_unreachable"
    )


def test_cut_off_before_the_answer_the_same_key_is_offered_again(tmp_path: Path, web: TestServer) -> None:
    web.enrol_answer = (503, b"")
    refused(web.token, tmp_path)
    pending = load_key(tmp_path / PENDING_FILE).public_key().public_bytes_raw()
    web.enrol_answer = None
    enrol(web.token, tmp_path)
    assert web.gateway_key == pending


def test_cut_off_between_its_two_files_it_is_finished_at_the_next_start(tmp_path: Path, web: TestServer) -> None:
    enrol(web.token, tmp_path)
    (tmp_path / IDENTITY_FILE).rename(tmp_path / PENDING_FILE)
    load_enrolment(tmp_path)
    assert (tmp_path / IDENTITY_FILE).exists()


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda folder: (folder / GATEWAY_FILE).unlink(), "not_enrolled"),
        (lambda folder: (folder / GATEWAY_FILE).write_text("gateway = 7"), "enrolment_broken"),
        (lambda folder: (folder / GATEWAY_FILE).write_bytes(b"\xff\xfe"), "enrolment_broken"),
        (lambda folder: (folder / IDENTITY_FILE).unlink(), "identity_missing"),
        (lambda folder: (folder / IDENTITY_FILE).write_text("no key"), "key_broken"),
    ],
)
def test_broken_files_are_told_with_what_to_do(tmp_path: Path, web: TestServer, break_it, code: str) -> None:
    enrol(web.token, tmp_path)
    break_it(tmp_path)
    with pytest.raises(Refusal) as caught:
        load_enrolment(tmp_path)
    assert caught.value.code == code
    assert caught.value.do


def test_places_enrolled_set_by_hand_unknown_and_broken(tmp_path: Path) -> None:
    places = Places(tmp_path, PLACE)
    assert places.look() == PLACE
    by_hand = Place(525_200_001, -134_000_009, 7, PlaceSource.MANUAL)
    set_place(tmp_path, by_hand)
    assert places.look() == by_hand
    set_place(tmp_path, None)
    assert places.look() is None
    (tmp_path / "place.toml").write_text("[place]\nlat = 100")
    with pytest.raises(Refusal):
        places.look()
    assert places.look() is None, "told once, then the last place stays"
    forget_place(tmp_path)
    assert places.look() == PLACE


def test_the_reply_is_json_of_nobody_but_us(tmp_path: Path, web: TestServer) -> None:
    """What a person sees of a refusal is the server's own code, message and advice."""
    told = {"error": {"code": "too_many", "message": "Slowly.", "do": "Wait a minute.", "reference": "x"}}
    web.enrol_answer = (429, json.dumps(told).encode())
    refusal = refused(web.token, tmp_path)
    assert (refusal.code, refusal.message, refusal.do) == ("too_many", "Slowly.", "Wait a minute.")
