"""`claim`, `ring`, `near`, `renew`, `release` and `household` as a person types them, down to the simulated tag."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from owner import keyfile, phrase, recognise
from owner.api import Api
from owner.keys import TagSecret, claim_bundle, day_of, eids, hand_over
from tests.owner.conftest import SERIAL, Run
from tests.owner.house import House, Json, Owned, no
from tests.owner.near import NearTag
from tests.owner.tag import secret
from wire import keys
from wire.claim_code import encode_claim_code
from wire.frames import FrameType, frame_kind

NUMBER = str(SERIAL)
HERE = ("--gateway", "home")


@pytest.fixture
def code(tag: NearTag) -> str:
    return encode_claim_code(tag.unit.k_claim)


@pytest.fixture
def kept(run: Run, code: str, home: Path) -> keyfile.Kept:
    """After a private claim."""
    done = run("claim", "--private", typed=code)
    assert done.code == 0, done.err
    return keyfile.read(keyfile.path_of(home, SERIAL))


def test_a_private_claim_at_a_terminal(run: Run, house: House, code: str, tag: NearTag, home: Path) -> None:
    done = run("claim", "--private", typed=code + "\n")
    assert done.code == 0, done.err
    kept = keyfile.read(keyfile.path_of(home, SERIAL))
    words = [each for each in done.out.split() if each.isalpha()]
    assert " ".join(words).startswith(phrase.phrase_of(kept.secret.seed).rsplit(" ", 4)[0].split(" ")[0])
    assert f"python -m owner locate {SERIAL}" in done.out
    assert "For half an hour it says that it is near you, and is not reported" in done.out
    tag.clock.ahead_s += 25 * 60
    assert frame_kind(tag.frame()) is FrameType.NEAR_OWNER
    tag.clock.ahead_s += 5 * 60
    assert frame_kind(tag.frame()) is FrameType.OWNED
    assert tag.state.nvm.k_own == kept.secret.own_key
    said = done.out + done.err
    for each in (kept.secret.seed, kept.secret.own_key, tag.unit.k_claim):
        assert each.hex() not in said
    assert code not in said
    assert run("tags").out.count("Only your keys open its places") == 1


def test_one_chooses_and_the_code_is_checked_before_anything_is_asked(run: Run, house: House, code: str) -> None:
    done = run("claim", typed=code)
    assert done.code == 1
    assert "(choice_missing)" in done.err
    assert "loses the places" in done.err
    assert "our server can read" in done.err
    wrong = run("claim", "--private", typed=code[:-1] + ("A" if code[-1] != "A" else "B"))
    assert "(code_mistyped)" in wrong.err
    assert code[:-1] not in wrong.err
    assert not house.asked
    assert "(token_missing)" in run("claim", "--private", typed=code, token="").err


@pytest.mark.parametrize("kind", ["--private", "--managed"])
def test_ctrl_c_in_a_claim_says_that_nothing_is_lost(
    run: Run, house: House, code: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def pressed(*_: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Api, "get", pressed)
        done = run("claim", kind, typed=code)
    assert done.code == 130
    assert "Nothing is lost: run the same command again" in done.err
    assert run("claim", kind, typed=code).code == 0


def test_ring_near_and_silence(run: Run, tag: NearTag, kept: keyfile.Kept) -> None:
    assert run("ring", NUMBER, *HERE, "--seconds", "20").out == "It rings.\n"
    assert tag.state.ram is not None
    assert tag.state.ram.sound_until_at_s == pytest.approx(tag.clock() + 20, abs=5)
    assert run("ring", NUMBER, *HERE, "--seconds", "0").out == "It is silent.\n"
    assert tag.state.ram.sound_until_at_s is None
    assert run("ring", NUMBER, *HERE, "--seconds", "3").code == 2
    tag.clock.ahead_s += 3_000
    assert frame_kind(tag.frame()) is FrameType.OWNED
    done = run("near", NUMBER, *HERE)
    assert done.code == 0, done.err
    assert frame_kind(tag.frame()) is FrameType.NEAR_OWNER


@pytest.mark.parametrize("command", ["ring", "near", "renew"])
def test_of_a_managed_tag_nobody_is_sent_for_a_phrase_that_never_was(run: Run, house: House, command: str) -> None:
    assert "(keys_missing)" in run(command, NUMBER, *HERE).err, "not ours: nobody knows"
    house.owned[SERIAL] = Owned("ann", b"", private=False)
    done = run(command, NUMBER, *HERE)
    assert (done.code, "(tag_managed)" in done.err) == (1, True)
    assert "private tags only" in done.err
    assert "phrase" not in done.err
    house.owned[SERIAL].private = True
    assert "(keys_missing)" in run(command, NUMBER, *HERE).err


def test_a_gateway_must_be_named(run: Run, kept: keyfile.Kept) -> None:
    done = run("ring", NUMBER)
    assert done.code == 1
    assert "(gateway_needed)" in done.err


def test_a_lost_clock_is_found_and_set_right(run: Run, tag: NearTag, kept: keyfile.Kept) -> None:
    """Without power for ten days it goes on in its list where it was, and its owner knows it all the same."""
    tag.clock.ahead_s -= 10 * 86_400
    tag.state = NearTag(SERIAL, tag.clock).state
    own, today = kept.secret, day_of(int(tag.clock()))
    nvm = msgspec.structs.replace(
        tag.state.nvm,
        owner_hash=keys.owner_hash(own.public_key),
        k_own=own.own_key,
        first_day=today,
        eids=b"".join(eids(claim_bundle(own, today))),
        clock_offset_s=int(tag.clock()) - tag.state.nvm.uptime_s,
    )
    tag.state = replace(tag.state, nvm=nvm)
    tag.frame()
    tag.off()
    tag.clock.ahead_s = 0
    tag.on()
    shown = tag.frame()
    assert shown[4:20] == eids(claim_bundle(own, today))[0], "ten days ago"
    done = run("near", NUMBER, *HERE)
    assert done.code == 0, done.err
    assert recognise.position(own, [tag.frame()], int(tag.clock())) == 0
    tag.clock.ahead_s = 3_000
    assert tag.frame()[4:20] == eids(claim_bundle(own, today))[day_of(int(tag.clock())) - today]


def test_the_code_is_asked_for_after_a_restore(
    run: Run, tag: NearTag, kept: keyfile.Kept, code: str, home: Path
) -> None:
    path = keyfile.path_of(home, SERIAL)
    path.unlink()
    assert run("phrase", "check", "--keep", NUMBER, typed=phrase.phrase_of(kept.secret.seed)).code == 0
    wrong = run("ring", NUMBER, *HERE, typed=encode_claim_code(secret("another", 16)))
    assert "Is this the code from this tag's box?" in wrong.err
    assert keyfile.read(path).k_claim is None, "a wrong code is not kept"
    assert run("ring", NUMBER, *HERE, typed=code).code == 0
    assert keyfile.read(path).k_claim == kept.k_claim
    assert run("ring", NUMBER, *HERE).code == 0, "and is not asked for again"


def test_renewal(run: Run, house: House, tag: NearTag, kept: keyfile.Kept, home: Path) -> None:
    done = run("renew", NUMBER, *HERE)
    assert done.code == 0
    assert "There is time" in done.out
    before = kept.span
    assert before is not None
    keyfile.amend(home, keyfile.Kept(kept.secret, kept.k_claim, keyfile.Span(before.first_day - 340, 366)))
    done = run("renew", NUMBER, *HERE)
    assert done.code == 0, done.err
    span = keyfile.read(keyfile.path_of(home, SERIAL)).span
    assert span is not None
    today = day_of(int(tag.clock()))
    assert (span.first_day, span.after) == (before.first_day - 340, today + 366)
    assert tag.state.nvm.first_day == today
    assert tag.state.nvm.k_own == kept.secret.own_key


def test_release_clears_the_tag_when_it_is_near(
    run: Run, house: House, tag: NearTag, kept: keyfile.Kept, home: Path
) -> None:
    done = run("release", NUMBER, "--yes", *HERE)
    assert done.code == 0, done.err
    assert not tag.state.nvm.k_own
    assert frame_kind(tag.frame()) is FrameType.PROVENANCE
    assert SERIAL not in house.owned
    assert not keyfile.path_of(home, SERIAL).exists()
    aside = home / f"{SERIAL}.old-1.json"
    assert keyfile.load(aside) == kept.secret
    assert f"set aside in {aside}." in done.out
    assert "They open reports of days before today" in done.out


def test_before_a_private_tag_is_given_up_one_reads_that_today_goes(
    run: Run, house: House, kept: keyfile.Kept, home: Path
) -> None:
    done = run("release", NUMBER, *HERE, typed="n\n")
    assert done.code == 1
    assert "What it reported privately today can be read no more" in done.out + done.err
    assert SERIAL in house.owned
    keyfile.set_aside(home, SERIAL)
    assert "privately" not in run("release", NUMBER, typed="n\n").out, "a managed one"


def test_private_to_managed_and_back(
    run: Run, house: House, tag: NearTag, kept: keyfile.Kept, code: str, home: Path
) -> None:
    done = run("claim", "--managed", *HERE, typed=code)
    assert done.code == 0, done.err
    assert "managed: our server can read its places" in done.out
    assert "What it reported privately today can be read no more" in done.err
    assert "They open reports of days before today" in done.out
    assert not house.owned[SERIAL].private
    assert frame_kind(tag.frame()) is FrameType.PROVENANCE
    assert not keyfile.path_of(home, SERIAL).exists()
    again = run("claim", "--private", typed=code)
    assert again.code == 0, again.err
    assert keyfile.load(keyfile.path_of(home, SERIAL)) != kept.secret, "a new secret for a new stretch"
    assert house.owned[SERIAL].private


UNPRESSED = {"step": "button_not_pressed", "text": "The button was not pressed. Press it, then try again at once."}
UNHEARD = {"step": "tag_not_heard", "text": "The tag is not heard here just now."}


def test_a_managed_claim_that_the_gateway_gave_up_ends_at_once_and_begins_afresh(
    run: Run, house: House, code: str
) -> None:
    """Each try tells its own steps only, also where the server notes the same refusal in the same place again."""
    house.gives_up = [UNPRESSED, UNHEARD, UNHEARD]
    first = run("claim", "--managed", *HERE, typed=code)
    assert (first.code, first.err.count("Heard.")) == (1, 1)
    assert first.err.endswith(f"{UNPRESSED['text']}\n(button_not_pressed)\n")
    assert first.err.count("try again at once") == 1
    for _ in range(2):
        again = run("claim", "--managed", *HERE, typed=code)
        assert again.code == 1
        assert again.err.endswith(f"{UNHEARD['text']}\n(tag_not_heard)\n")
        assert "Heard." not in again.err
        assert "pressed" not in again.err.partition("when asked.")[2]
    last = run("claim", "--managed", *HERE, typed=code)
    assert last.code == 0, last.err
    assert last.err.count("Heard.") == 1
    assert "not heard" not in last.err
    assert len(house.steps) == 1, "one claim all the while"


def test_claimed_anew_whoever_has_the_old_secret_reads_no_further(
    run: Run, house: House, tag: NearTag, kept: keyfile.Kept, code: str, home: Path
) -> None:
    assert run("claim", "--private", *HERE, typed=code).code == 0
    assert keyfile.load(keyfile.path_of(home, SERIAL)) == kept.secret, "what goes on keeps its secret"
    done = run("claim", "--private", "--anew", *HERE, typed=code)
    assert done.code == 0, done.err
    secret_now = keyfile.load(keyfile.path_of(home, SERIAL))
    assert secret_now != kept.secret
    assert tag.state.nvm.k_own == secret_now.own_key
    tomorrow = day_of(int(tag.clock())) + 1
    assert keys.eid(keys.day_public_key(kept.secret.seed, tomorrow)) not in house.days
    assert keyfile.load(home / f"{SERIAL}.old-1.json") == kept.secret


def test_anew_is_anew_also_after_the_words_were_typed_in(
    run: Run, tag: NearTag, kept: keyfile.Kept, code: str, home: Path
) -> None:
    keyfile.path_of(home, SERIAL).unlink()
    words = phrase.phrase_of(kept.secret.seed)
    assert run("phrase", "check", "--keep", NUMBER, typed=words).code == 0
    assert run("claim", "--private", "--anew", *HERE, typed=code).code == 0
    secret_now = keyfile.load(keyfile.path_of(home, SERIAL))
    assert secret_now != kept.secret
    assert tag.state.nvm.k_own == secret_now.own_key


def test_who_hands_over_a_private_tag_is_told_that_it_goes_without_keys(
    run: Run, house: House, kept: keyfile.Kept
) -> None:
    done = run("transfer", NUMBER, "ben@example.com")
    assert done.code == 0, done.err
    assert "they cannot see where it is, and whoever has your keys may still be able to" in done.out
    house.owned[SERIAL].private = False
    assert run("transfer", NUMBER, "ben@example.com").out.count("\n") == 1


# --- The household ----------------------------------------------------------------------------------------


class Household:
    """What the server does for a household; `swapped`: it gives out a key of its own."""

    def __init__(self) -> None:
        self.public: dict[str, str] = {}
        self.sealed: list[Json] = []
        self.swapped = ""

    def __call__(self, path: str, body: Json) -> Json | None:
        if path == "/household/key" and body:
            self.public["bob"] = body["public_key"]
            return {"email": "bob", "public_key": body["public_key"]}
        if path == "/household/key":
            if not self.public:
                raise no("household_key_unknown")
            return {"email": "bob", "public_key": self.swapped or self.public["bob"]}
        if path.endswith("/household") and body:
            self.sealed.append({"serial": SERIAL, "from_email": "ann", "name": "bag", "sealed": body["sealed"]})
            return {"email": "bob"}
        return self.sealed if path == "/household" else None  # type: ignore[return-value]


def test_a_household_shares_a_tag(
    run: Run, house: House, kept: keyfile.Kept, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = Household()
    house.instead = between
    assert "(household_key_unknown)" in run("household", "give", NUMBER, "bob").err
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "bob"))
    assert "(keys_missing)" in run("household", "take").err
    shown = run("household", "key").out
    assert run("household", "key").out == shown, "made once"
    key_file = tmp_path / "bob" / "hearsight" / "household.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    words = shown.splitlines()[0].removeprefix("Your key's words: ")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    unheard = run("household", "give", NUMBER, "bob")
    assert (unheard.code, between.sealed) == (1, [])
    assert "(words_missing)" in unheard.err
    assert "bob read out the six words" in unheard.err
    assert words not in unheard.out + unheard.err, "pasted back they would compare the server's key with itself"
    given = run("household", "give", NUMBER, "bob", "--words", words)
    assert given.code == 0, given.err
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "bob"))
    taken = run("household", "take")
    assert taken.code == 0, taken.err
    assert phrase.fingerprint(kept.secret.public_key) in taken.out
    assert phrase.fingerprint(kept.secret.public_key) in given.out
    assert keyfile.load(tmp_path / "bob" / "hearsight" / "tags" / f"{SERIAL}.json") == kept.secret
    assert "(keys_given)" in run("renew", NUMBER, "--now", *HERE).err
    private = key_file.read_text()
    assert not [each for each in house.traffic if private.encode() in each or kept.secret.seed.hex().encode() in each]


def test_a_key_that_the_server_swapped_gets_nothing(run: Run, house: House, kept: keyfile.Kept) -> None:
    between = Household()
    house.instead = between
    words = run("household", "key").out.splitlines()[0].removeprefix("Your key's words: ")
    between.swapped = keys.public_of_day_key(secret("the server's own")).hex()
    done = run("household", "give", NUMBER, "bob", "--words", words)
    assert done.code == 1
    assert "(member_key)" in done.err
    assert not between.sealed
    swapped = phrase.fingerprint(bytes.fromhex(between.swapped))
    assert swapped not in done.out + done.err, "not after a comparison that failed, either"


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("swapped", [False, True])
def test_at_a_terminal_the_words_are_typed_and_not_nodded_through(
    run: Run, house: House, kept: keyfile.Kept, monkeypatch: pytest.MonkeyPatch, swapped: bool
) -> None:
    between = Household()
    house.instead = between
    words = run("household", "key").out.splitlines()[0].removeprefix("Your key's words: ")
    between.swapped = keys.public_of_day_key(secret("the server's own")).hex() if swapped else ""
    monkeypatch.setattr(io, "StringIO", Terminal)
    done = run("household", "give", NUMBER, "bob", typed=words + "\n")
    assert (done.code, len(between.sealed)) == ((1, 0) if swapped else (0, 1)), done.err
    served = phrase.fingerprint(bytes.fromhex(between.swapped or between.public["bob"]))
    assert served not in done.out + done.err


def test_what_somebody_else_sealed_does_not_replace_a_secret(
    run: Run, house: House, kept: keyfile.Kept, home: Path
) -> None:
    between = Household()
    house.instead = between
    run("household", "key")
    public = bytes.fromhex(between.public["bob"])
    forged = hand_over(TagSecret(SERIAL, secret("a false one")), public)
    between.sealed.append({"serial": SERIAL, "from_email": "x", "name": "x", "sealed": forged.hex()})
    between.sealed.append({"serial": 5, "from_email": "x", "name": "x", "sealed": forged.hex()})
    done = run("household", "take")
    assert done.code == 1
    assert "(keys_exist)" in done.err
    assert "(handover_serial)" in done.err
    assert keyfile.load(keyfile.path_of(home, SERIAL)) == kept.secret
