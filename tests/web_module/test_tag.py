"""The browser's messages to a tag, its phrases and its files against the vectors and against Python."""

from __future__ import annotations

import hmac
import json
import random
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from owner import export, phrase
from owner.errors import PrivateError
from owner.reports import read
from tests.firmware_sim.conftest import K_CLAIM
from tests.owner.tag import NOON_S, POTSDAM, PrivateTag, secret
from tests.web_module import make_words
from tests.wire.make_vectors import FILE
from tests.wire.make_vectors import K_CLAIM as VECTOR_K_CLAIM
from wire import gatt, keys, set_owner, signing
from wire.activation import answer_challenge
from wire.claim_code import encode_claim_code
from wire.frames import encode_n, encode_o, encode_p, tick_of

pytestmark = pytest.mark.browser
VECTORS = json.loads(FILE.read_text())
TAG = PrivateTag()
SEED = TAG.seed
OWN = keys.own_key(SEED)


# --- Phrases ----------------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_library() -> None:
    assert make_words.FILE.read_text(encoding="utf-8") == make_words.made(), "run python -m tests.web_module.make_words"


def test_phrases(ask) -> None:
    seeds = [bytes(32), b"\xff" * 32, *(secret(f"phrase {n}") for n in range(20))]
    made = ask("(m, seeds) => Promise.all(seeds.map((s) => m.phraseOf(m.unhex(s))))", [each.hex() for each in seeds])
    assert [" ".join(each) for each in made] == [phrase.phrase_of(seed) for seed in seeds]


READ_PHRASES = """(m, texts) => Promise.all(texts.map((text) =>
    m.seedOf(text).then(m.hex, (wrong) => [wrong.code, wrong.place ?? wrong.count ?? null, wrong.near ?? []])))"""


def in_python(text: str) -> str:
    try:
        return phrase.seed_of(text).hex()
    except PrivateError as wrong:
        return wrong.code


def test_what_people_type_is_read_as_python_reads_it(ask) -> None:
    words = phrase.phrase_of(SEED).split()
    texts = [
        " ".join(words),
        "\n".join(f"{n}. {word.upper()}," for n, word in enumerate(words, 1)),
        " ".join(word[:4] for word in words),
        " ".join(words[:-1]),
        "",
        "word " * 1_000,
        " ".join([*words[:6], "abandom", *words[7:]]),
        " ".join([*words[:2], words[3], words[2], *words[4:]]),
        " ".join(["ab", *words[1:]]),
    ]
    read_here = ask(READ_PHRASES, texts)
    assert [each if isinstance(each, str) else each[0] for each in read_here] == [in_python(each) for each in texts]
    ((code, place, near),) = ask(READ_PHRASES, texts[6:7])
    assert (code, place, near[0]) == ("phrase_word", 7, "abandon")
    assert ask(READ_PHRASES, texts[3:4]) == [["phrase_words", 23, []]]


# --- Messages ---------------------------------------------------------------------------------------------


def test_claim_codes(ask) -> None:
    vectors = VECTORS["claim_code"]
    codes = [each["code"] for each in vectors] + [f" {encode_claim_code(K_CLAIM).lower().replace('0', 'o')} "]
    function = """(m, codes) => Promise.all(codes.map(async (code) => {
        try { const key = m.claimKey(code); return [m.hex(key), m.hex(await m.claimHash(key))]; }
        catch (wrong) { return wrong.code; }
    }))"""
    wanted = [bytes.fromhex(each["K_claim"]) for each in vectors] + [K_CLAIM]
    assert ask(function, codes) == [[key.hex(), keys.claim_hash(key).hex()] for key in wanted]
    code = encode_claim_code(K_CLAIM)
    wrong = [code[:n] + ("A" if code[n] != "A" else "B") + code[n + 1 :] for n in range(len(code)) if code[n] != "-"]
    assert set(ask(function, ["", code[:-1], code + "0", "ä" * 27, "0" * 100, *wrong])) == {"code_mistyped"}


def test_messages_of_all_vectors(ask) -> None:
    """MACs, encrypted steps and their keys: byte for byte."""
    gatts = [each for each in VECTORS["gatt"] if "K_claim" in each]
    function = """(m, all) => Promise.all(all.map(async (v) => m.hex(
        await m.message(m.unhex(v.K_claim), m.unhex(v.nonce), v.op, m.unhex(v.data)))))"""
    assert gatts
    assert ask(function, gatts) == [each["message"] for each in gatts]
    function = """(m, all) => Promise.all(all.map(async (v) => {
        const [k, nonce] = [m.unhex(v.K_claim), m.unhex(v.nonce)];
        const data = await m.sealStep(k, nonce, m.unhex(v.plain), m.unhex(v.iv));
        const sent = m.hex(await m.message(k, nonce, 2, data));
        return [m.hex(await m.stepKey(k, nonce)), m.hex(data), sent, m.heldOf(m.replyData(m.unhex(v.reply), 2))];
    }))"""
    steps = VECTORS["set_owner"]
    assert ask(function, steps) == [[v["key"], v["data"], v["message"], v["held"]] for v in steps]


def test_a_list_and_the_owners_proofs(ask) -> None:
    function = """async (m, { list, proofs, seed }) => {
        const signer = await m.signerOf(m.unhex(seed)), eids = m.unhex(list.EIDs), p = proofs;
        const begin = await m.beginStep(signer, { serial: list.serial, nonce: m.unhex(list.nonce),
            own: m.unhex(list.K_own), firstDay: list.first_day, eids });
        const [own, nonce] = [m.unhex(p.K_own), m.unhex(p.nonce)];
        return [begin, m.partStep(0, eids), m.finishStep(list.unix_s), await m.nearData(own, nonce, p.unix_s),
            await m.ringData(own, nonce, p.seconds), await m.clearData(own, nonce)].map(m.hex);
    }"""
    (said,), (proofs,) = VECTORS["set_owner_list"], VECTORS["owner_proofs"]
    begin, *rest = ask(function, {"list": said, "proofs": proofs, "seed": SEED.hex()})
    assert rest == [said["part"], said["finish"], proofs["near"], proofs["ring"], proofs["clear"]]
    key = Ed25519PrivateKey.from_private_bytes(hmac.digest(SEED, b"sign\x01", "sha256"))
    wanted = set_owner.encode_begin(
        key, serial=said["serial"], nonce=bytes.fromhex(said["nonce"]), k_own=bytes.fromhex(said["K_own"]),
        first_day=said["first_day"], eids=bytes.fromhex(said["EIDs"]),
    )  # fmt: skip
    assert begin == wanted.hex()
    signed = set_owner.decode_step(bytes.fromhex(begin))
    assert isinstance(signed, set_owner.Begin)
    set_owner.verify_begin(signed, said["serial"], bytes.fromhex(said["nonce"]))


def test_long_lists_are_cut_as_python_cuts_them(ask) -> None:
    eids = random.Random(1).randbytes(16 * 366)
    firsts = list(range(0, 366, set_owner.PART_EIDS))
    function = "(m, { eids, firsts }) => firsts.map((first) => m.hex(m.partStep(first, m.unhex(eids))))"
    made = ask(function, {"eids": eids.hex(), "firsts": firsts})
    assert [bytes.fromhex(each) for each in made] == list(set_owner.split_list(eids))


def test_the_owners_signature(ask) -> None:
    function = """async (m, { seed, challenge }) => {
        const signer = await m.signerOf(m.unhex(seed));
        const made = [signer.publicKey, signer.hash, await m.signChallenge(signer, m.unhex(challenge))];
        return made.map(m.hex);
    }"""
    challenge = secret("challenge", 16)
    public, hashed, signature = map(bytes.fromhex, ask(function, {"seed": SEED.hex(), "challenge": challenge.hex()}))
    assert hashed == keys.owner_hash(public)
    domain = signing.Domain.OWNER_CHALLENGE
    assert signing.verify(Ed25519PublicKey.from_public_bytes(public), domain, signature + challenge) == challenge


def test_an_answer_is_of_this_tag_for_this_owner_and_challenge(ask) -> None:
    key, challenge, hashed = Ed25519PrivateKey.generate(), secret("challenge", 16), secret("hash", 16)
    public = key.public_key().public_bytes_raw()
    answer = answer_challenge(key, challenge, serial=8_000_000_017, boot=3, uptime_s=9, owner_hash=hashed)
    function = """(m, all) => Promise.all(all.map(({ answer, challenge, serial, ownerHash, tagKey }) =>
        m.checkAnswer(m.unhex(answer), m.unhex(challenge), { serial, ownerHash: m.unhex(ownerHash),
            tagKey: m.unhex(tagKey) }).then(() => "right", (wrong) => wrong.code)))"""
    right: dict[str, Any] = {
        "answer": answer.hex(), "challenge": challenge.hex(), "serial": 8_000_000_017, "ownerHash": hashed.hex(),
        "tagKey": public.hex(),
    }  # fmt: skip
    wrong = [
        {**right, "answer": answer[:-1].hex()},
        {**right, "answer": (answer[:-1] + bytes([answer[-1] ^ 1])).hex()},
        {**right, "challenge": bytes(16).hex()},
        {**right, "serial": 8_000_000_018},
        {**right, "ownerHash": bytes(16).hex()},
        {**right, "tagKey": Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()},
    ]
    assert ask(function, [right, *wrong]) == ["right", *["receipt_invalid"] * len(wrong)]


def test_the_tags_frame_is_found_in_the_air(ask) -> None:
    day, tick = NOON_S // 86_400, tick_of(NOON_S)
    eid = keys.eid(keys.day_public_key(SEED, day))
    stranger = keys.own_key(secret("stranger"))
    p_frame = encode_p(bytes(16), bytes(16), serial=1, uptime_s=1, boot=1, random2=bytes(2), status=0)
    others = [p_frame, encode_o(stranger, bytes(16), tick=tick, status=0), encode_n(
        stranger, tick=tick, random12=bytes(12), status=0)]  # fmt: skip
    mine = {
        "separated": encode_o(OWN, eid, tick=tick, status=0),
        "near": encode_n(OWN, tick=tick - 2, random12=bytes(12), status=0),
        "unlisted": encode_o(OWN, keys.unlisted_eid(OWN, day), tick=tick, status=0),
    }
    function = """async (m, { own, eids, nowS, skies }) => Promise.all(skies.map(async (frames) =>
        frames.indexOf(await m.frameOf(frames, m.unhex(own), new Set(eids), nowS))))"""
    skies = [[frame.hex() for frame in (*others, each)] for each in mine.values()]
    asked = {"own": OWN.hex(), "eids": [eid.hex()], "nowS": NOON_S, "skies": [*skies, skies[0][:-1]]}
    assert ask(function, asked) == [3, 3, 3, -1]
    (unlisted,) = [each for each in VECTORS["unlisted_day"] if each["day"]]
    listed = "(m, v) => m.unlistedEid(m.unhex(v.K_own), v.day).then(m.hex)"
    assert ask(listed, unlisted) == unlisted["EID"]


def test_replies(ask) -> None:
    function = """(m, replies) => replies.map((reply) => {
        try { return m.hex(m.replyData(m.unhex(reply), 5)); } catch (wrong) { return wrong.code; }
    })"""
    right = gatt.encode_reply(5, b"\1\2").hex()
    assert ask(function, [right, right + "00", right[:-2], "", "020000"]) == ["0102", *["wrong_reply"] * 4]
    assert VECTOR_K_CLAIM != K_CLAIM


# --- Files, the plan, the store ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ann's bag, red", '<&"> \x00\x1b', "=1+1", " -2", "\u200b=1", "a\nb"])
def test_files_are_those_of_python(ask, name: str) -> None:
    reports = [TAG.report(NOON_S, POTSDAM, status=0xC0), TAG.report(NOON_S + 3_600, status=0x28)]
    now_s = NOON_S + 7_200
    function = """async (m, { seed, firstDay, reports, nowS, name }) => {
        const ring = await m.ownerRing(m.unhex(seed), firstDay, 8);
        const { points } = await m.read(reports.map(m.unhex), ring, nowS);
        return [m.csv(points, name), m.gpx(points, name), m.geojson(points, name)];
    }"""
    given = {"seed": SEED.hex(), "firstDay": NOON_S // 86_400 - 7, "reports": [r.hex() for r in reports]}
    csv, gpx, geojson = ask(function, {**given, "nowS": now_s, "name": name})
    found = read(reports, TAG.ring(), now_s)
    assert len(found.points) == 2
    assert csv == export.csv_text(found, name)
    assert gpx == export.gpx(found, name)
    assert json.loads(geojson) == json.loads(export.geojson(found, name))


def test_the_plan_has_a_true_scale_and_knows_no_date_line(ask) -> None:
    """Two places 1,113 m apart, across the date line: as far apart on the plan as its bar says."""
    function = """(m, points) => {
        const svg = m.plan(points), [one, other] = svg.querySelectorAll("circle.dot");
        const apart = Math.abs(one.getAttribute("cx") - other.getAttribute("cx"));
        const bar = Number(/h([\\d.]+)/.exec(svg.querySelector("path.bar").getAttribute("d"))[1]);
        return [apart / bar, svg.querySelector("text").textContent, m.plan([])];
    }"""
    points = [{"lat": 0, "lon": lon, "accuracyM": 35} for lon in (179.995, -179.995)]
    ratio, bar, nothing = ask(function, points)
    metres = {"100 m": 100, "200 m": 200, "500 m": 500}[bar]
    assert ratio * metres == pytest.approx(1_113.2, rel=0.01)
    assert nothing is None


def test_the_plan_draws_a_way_only_between_reports_of_ten_minutes(ask) -> None:
    function = """(m, points) => m.plan(points).querySelector("path.way")?.getAttribute("d").match(/L/g).length ?? 0"""
    moments = [0, 600, 1_201, 1_300, 90_000]
    points = [{"lat": 0.001 * n, "lon": 0, "accuracyM": 35, "unixS": moment} for n, moment in enumerate(moments)]
    assert ask(function, points) == 2
    assert ask(function, points[3:]) == 0


def test_a_secret_is_never_overwritten_by_another(ask) -> None:
    function = """async (m, seeds) => {
        const [one, other] = seeds.map((each) => m.entry(7, m.unhex(each)));
        await m.keep(one);
        const refused = await m.keep(other).then(() => "kept", (wrong) => wrong.code);
        await m.keep({ ...one, firstDay: 5 });
        const held = await m.find(7), many = (await m.all()).length;
        await m.forget(7);
        return [refused, m.hex(held.seed), held.firstDay, many, await m.find(7) ?? null];
    }"""
    seeds = [SEED.hex(), secret("another").hex()]
    assert ask(function, seeds) == ["other_secret", seeds[0], 5, 1, None]


def test_of_two_secrets_kept_at_once_one_is_refused(ask) -> None:
    """Two tabs claim the same tag."""
    function = """async (m, seeds) => {
        const both = seeds.map((each) => m.keep(m.entry(8, m.unhex(each))));
        const told = (await Promise.allSettled(both)).map(({ status, reason }) => reason?.code ?? status);
        const held = m.hex((await m.find(8)).seed);
        await m.forget(8);
        return [told, held];
    }"""
    seeds = [SEED.hex(), secret("another").hex()]
    assert ask(function, seeds) == [["fulfilled", "other_secret"], seeds[0]]


def test_a_secret_is_kept_although_nobody_answers_whether_it_may_stay(ask) -> None:
    """Firefox asks the person whether a site may keep its data, and waits for ever."""
    function = """async (m, seed) => {
        const asks = navigator.storage.persist;
        navigator.storage.persist = () => new Promise(() => {});
        const patience = new Promise((resolve) => setTimeout(() => resolve("waits"), 3_000));
        const told = await Promise.race([m.keep(m.entry(9, m.unhex(seed))).then(() => "kept"), patience]);
        navigator.storage.persist = asks;
        await m.forget(9);
        return told;
    }"""
    assert ask(function, SEED.hex()) == "kept"


def test_nothing_is_loaded_from_elsewhere(root_of_static: Path) -> None:
    for path in root_of_static.glob("private*.js"):
        text = path.read_text(encoding="utf-8").replace("http://www.topografix.com/GPX/1/1", "")
        assert "://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
        assert "innerHTML" not in text, path.name
