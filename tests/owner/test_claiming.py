"""A whole private claim against the simulated tag and an honest server: cut off, resumed, and silent about secrets."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from owner import claiming, keyfile, phrase
from owner.api import Api, RefusedError
from owner.errors import PrivateError
from owner.keyfile import Kept
from owner.keys import TagSecret, day_of
from owner.radio import RelayRadio
from owner.tagtalk import LINKS_MAX, Edges
from tests.owner.house import House, served
from tests.owner.near import Clock, LoopRadio, NearTag, edges
from tests.owner.tag import secret
from wire import keys as wire_keys
from wire.claim_code import encode_claim_code
from wire.frames import FrameType, frame_kind

SERIAL = 8_000_000_017


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tag(clock: Clock) -> NearTag:
    return NearTag(SERIAL, clock)


@pytest.fixture
def house(tag: NearTag, clock: Clock) -> Iterator[House]:
    with served(House([NearTag(SERIAL + 1, clock), tag])) as open_house:
        yield open_house


class Claimer:
    """Somebody with a token, a folder for keys, and the tag in hand."""

    def __init__(self, house: House, tag: NearTag, folder: Path, token: str = "ann", seed: int = 1) -> None:
        self.api, self.tag, self.folder = Api(house.url, token), tag, folder
        self.edges, self.told = edges(tag.clock, tag, seed=seed)
        self.shown: list[str] = []

    def claim(self, k_claim: bytes | None = None, gateway: str | None = None) -> Kept:
        return claiming.claim_privately(
            self.api,
            self.folder,
            k_claim or self.tag.unit.k_claim,
            lambda about: RelayRadio(self.api, about, gateway),
            self.edges,
            self._show,
        )

    def _show(self, made: TagSecret) -> None:
        assert keyfile.load(keyfile.path_of(self.folder, made.serial)) == made, "on disk before it is shown"
        self.shown.append(phrase.phrase_of(made.seed))


@pytest.fixture
def ann(house: House, tag: NearTag, tmp_path: Path) -> Claimer:
    return Claimer(house, tag, tmp_path / "ann")


def test_a_private_claim_from_code_to_frames(ann: Claimer, house: House, tag: NearTag, clock: Clock) -> None:
    kept = ann.claim()
    today = day_of(int(clock()))
    assert house.owned[SERIAL].private
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert tag.state.nvm.owner_hash == wire_keys.owner_hash(kept.secret.public_key)
    assert tag.state.nvm.first_day == today
    assert len(tag.state.nvm.eids) == 366 * 16
    assert {each.day for each in house.days.values()} == set(range(today, today + 366))
    assert keyfile.read(keyfile.path_of(ann.folder, SERIAL)) == kept
    assert kept.k_claim == tag.unit.k_claim
    assert phrase.seed_of(ann.shown[0]) == kept.secret.seed
    assert any("press it now" in line for line in ann.told)
    assert frame_kind(tag.frame()) is FrameType.NEAR_OWNER
    clock.ahead_s += 31 * 60
    assert frame_kind(tag.frame()) is FrameType.OWNED


def test_what_leaves_the_machine_holds_no_secret(ann: Claimer, house: House, tag: NearTag) -> None:
    """Every request of a whole claim, with headers, raw and with each hex or base64 text in it opened."""
    kept = ann.claim()
    seed, today = kept.secret.seed, day_of(int(tag.clock()))
    days = range(today - 1, today + 367)
    secrets = {
        "S_o": seed,
        "K_own": kept.secret.own_key,
        "K_claim": tag.unit.k_claim,
        "signing seed": wire_keys.owner_signing_seed(seed),
        **{f"d of {day}": wire_keys.day_private_key(seed, day) for day in days},
        **{f"f of {day}": wire_keys.fetch_token(seed, day) for day in days},
    }
    said = b"\n".join(each for request in house.traffic for each in opened(request))
    assert len(house.traffic) > 20
    assert wire_keys.day_public_key(seed, today) in said, "the search sees through base64"
    assert wire_keys.claim_hash(tag.unit.k_claim) in said, "and through hex"
    shown = said.lower()
    for name, value in secrets.items():
        assert value not in said, name
        assert value.hex().encode() not in shown, name
        for shift in range(3):  # wherever in a longer text it would begin
            inner = base64.b64encode(bytes(shift) + value)[4 if shift else 0 : -4]
            assert inner not in said, name
            assert inner.translate(bytes.maketrans(b"+/", b"-_")) not in said, name
    assert encode_claim_code(tag.unit.k_claim).encode() not in said
    assert not [word for word in ann.shown if word.encode() in said]


def opened(request: bytes) -> Iterator[bytes]:
    yield request
    body = request.rpartition(b"\n")[2]
    for text in strings(json.loads(body)) if body.startswith(b"{") else ():
        with contextlib.suppress(ValueError):
            yield bytes.fromhex(text)
        with contextlib.suppress(ValueError):
            yield base64.b64decode(text, validate=True)


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


# 1 is waiting for the button, 2 the activation, 3 the list's begin, then six parts and the finish.
@pytest.mark.parametrize("at", [1, 2, 3, 6, 10])
@pytest.mark.parametrize("how", ["breaks", "deaf"])
def test_a_link_that_breaks_anywhere_is_taken_up_again(
    ann: Claimer, house: House, tag: NearTag, at: int, how: str
) -> None:
    house.radio = lambda *tags: LoopRadio(*tags, **{how: frozenset({at})})
    kept = ann.claim()
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert len(tag.state.nvm.eids) == 366 * 16


def test_a_link_that_never_holds_is_given_up_and_the_next_run_goes_on(ann: Claimer, house: House, tag: NearTag) -> None:
    radios = []

    def radio(*tags: NearTag) -> LoopRadio:
        radios.append(LoopRadio(*tags, breaks=frozenset(range(5, 5 + 2 * LINKS_MAX))))
        return radios[0]

    house.radio = radio
    with pytest.raises(RefusedError, match="broke"):
        ann.claim()
    assert house.owned[SERIAL].private, "the tag had signed"
    assert not tag.state.nvm.k_own
    radios[0].breaks = frozenset()
    with pytest.raises(RefusedError, match="gateway_needed"):
        ann.claim()
    kept = ann.claim(gateway="home")
    assert len(set(ann.shown)) == 1, "the same secret"
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert not any("earlier claim" in line for line in ann.told)
    before = len(house.asked)
    assert ann.claim(gateway="home") == kept
    assert not [path for path in house.asked[before:] if path.endswith("/challenge")], "it is signed already"


def test_a_list_that_was_cut_off_is_not_sent_twice(ann: Claimer, house: House, tag: NearTag) -> None:
    radios: list[LoopRadio] = []

    def radio(*tags: NearTag) -> LoopRadio:
        radios.append(LoopRadio(*tags, breaks=frozenset({7})))
        return radios[0]

    house.radio = radio
    ann.claim()
    long = [message for message in radios[0].carried if len(message) > 900]
    assert len(long) == 7, "six parts, and the one that broke once more"


def test_the_button_is_waited_for_and_not_for_ever(house: House, tag: NearTag, tmp_path: Path) -> None:
    nobody = Claimer(house, tag, tmp_path)
    still, _ = edges(tag.clock)
    nobody.edges = Edges(tag.clock, still.dice, lambda _: None, nobody.told.append)
    with pytest.raises(RefusedError) as refused:
        nobody.claim()
    assert refused.value.code == "button_not_pressed"
    assert not tag.state.nvm.owner_hash
    assert nobody.told.count("The tag waits for its button: press it now.") == 1


def test_a_tag_of_a_former_owner_forgets_them(ann: Claimer, house: House, tag: NearTag, tmp_path: Path) -> None:
    """Released without being cleared it still says the former owner's identifiers, which nobody here knows."""
    ann.claim()
    tag.clock.ahead_s += 3_600
    del house.owned[SERIAL]
    bob = Claimer(house, tag, tmp_path / "bob", "bob", seed=2)
    kept = bob.claim()
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert any("forgotten its former owner" in line for line in bob.told)


def test_the_same_person_gets_a_new_secret_after_a_release(ann: Claimer, house: House, tag: NearTag) -> None:
    """Whoever was given the old one must not read what comes now."""
    first = ann.claim()
    del house.owned[SERIAL]
    ann.edges.wait(3_600)
    second = ann.claim()
    assert second.secret.seed != first.secret.seed
    assert keyfile.load(ann.folder / f"{SERIAL}.old-1.json") == first.secret


@pytest.mark.parametrize("handed_over", [False, True])
def test_nobody_claims_with_a_secret_that_somebody_else_gave_them(
    ann: Claimer, house: House, tag: NearTag, tmp_path: Path, handed_over: bool
) -> None:
    """A household shares a tag, later it is handed over, or released: the giver must not read what comes now."""
    given = ann.claim().secret
    bob = Claimer(house, tag, tmp_path / "bob", "bob", seed=2)
    keyfile.save(bob.folder, given, keyfile.Origin.GIVEN)
    if handed_over:
        house.owned[SERIAL].account = "bob"
    else:
        del house.owned[SERIAL]
    tag.clock.ahead_s += 3_600
    kept = bob.claim(gateway="home")
    assert kept.secret.seed != given.seed
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert keyfile.load(bob.folder / f"{SERIAL}.old-1.json") == given
    assert keyfile.read(keyfile.path_of(bob.folder, SERIAL)).origin is None


def test_a_server_that_names_another_tag_does_not_mix_two_key_files(ann: Claimer, house: House, tag: NearTag) -> None:
    other = Kept(TagSecret(5, secret("another tag")), secret("its code", 16))
    keyfile.save(ann.folder, other.secret)
    keyfile.amend(ann.folder, other)
    house.instead = lambda path, _: {"claim_id": "x", "serial": 5} if path == "/claims" else None
    with pytest.raises(PrivateError) as refused:
        ann.claim()
    assert refused.value.code == "keys_code"
    assert keyfile.read(keyfile.path_of(ann.folder, 5)) == other


def test_lost_keys_are_replaced_and_today_is_said_to_be_lost(
    ann: Claimer, house: House, tag: NearTag, tmp_path: Path
) -> None:
    ann.claim()
    again = Claimer(house, tag, tmp_path / "new machine", "ann", seed=3)
    kept = again.claim(gateway="home")
    assert tag.state.nvm.k_own == kept.secret.own_key
    assert any("from tomorrow" in line for line in again.told)
    tomorrow = day_of(int(tag.clock())) + 1
    assert wire_keys.eid(wire_keys.day_public_key(kept.secret.seed, tomorrow)) in house.days


def test_a_new_secret_for_an_owned_tag_survives_being_cut_off(
    ann: Claimer, house: House, tag: NearTag, tmp_path: Path
) -> None:
    """The server calls the tag ours, by the old secret: the tag still has to sign for the new one."""
    ann.claim()
    again = Claimer(house, tag, tmp_path / "new machine", "ann", seed=3)
    house.instead = lambda path, _: {"challenge": "", "release": ""} if path.endswith("challenge") else None
    with pytest.raises(RefusedError):
        again.claim(gateway="home")
    house.instead = lambda _path, _body: None
    kept = again.claim(gateway="home")
    assert again.shown[0] == again.shown[1]
    assert tag.state.nvm.k_own == kept.secret.own_key


def test_a_server_that_lies_gets_nothing_signed(ann: Claimer, house: House, tag: NearTag) -> None:
    for path, lie in (
        ("/claims", {"claim_id": "../x", "serial": SERIAL}),
        ("/claims", {"claim_id": "x", "serial": "8"}),
        ("challenge", {"challenge": "00", "release": None}),
        ("challenge", {"challenge": None, "release": "00"}),
        ("challenge", {}),
        ("/relays", {"relay_id": "../tags", "frames": []}),
        ("/relays", {"relay_id": "r", "frames": "zz"}),
        ("connect", {"nonce": "00"}),
        ("candidates", {"index": 7}),
    ):
        house.instead = lambda asked, _body, path=path, lie=lie: lie if asked.endswith(path) else None  # type: ignore[misc]
        with pytest.raises(RefusedError) as refused:
            ann.claim()
        assert refused.value.code == "server_error", (path, lie)
    assert not tag.state.nvm.owner_hash


def test_a_claim_for_another_serial_is_refused_by_the_tag(ann: Claimer, house: House, tag: NearTag) -> None:
    """The server names another tag: the receipt does not fit, and nothing is uploaded."""
    house.instead = lambda path, _: {"claim_id": "x", "serial": 5} if path == "/claims" else None
    house._claims["x"] = tag, "ann"
    with pytest.raises(PrivateError) as refused:
        ann.claim()
    assert refused.value.code == "receipt_invalid"
    assert "POST /claims/x/answer" not in house.asked
    assert not house.days


def test_a_wrong_code_is_the_servers_to_refuse(ann: Claimer) -> None:
    with pytest.raises(RefusedError) as refused:
        ann.claim(secret("another", 16))
    assert refused.value.code == "code_unknown"
    assert not list(ann.folder.glob("*")) if ann.folder.exists() else True


def test_claim_taken_leaves_no_key_file(ann: Claimer, house: House, tag: NearTag, tmp_path: Path) -> None:
    ann.claim()
    bob = Claimer(house, tag, tmp_path / "bob", "bob")
    with pytest.raises(RefusedError) as refused:
        bob.claim()
    assert refused.value.code == "claim_taken"
    assert not bob.folder.exists()
