"""Claiming a tag over HTTP, with the tag's real firmware on the other end."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.server.web.town import Somebody, Tag, Town
from wire.activation import answer_challenge, verify_answer
from wire.gatt import Op, decode_reply
from wire.keys import owner_hash
from wire.signing import SIGNATURE_LEN, Domain, sign


def test_code_then_button_then_receipt(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    assert ann.get("/tags") == []
    receipt = town.claim(ann, tag)
    assert receipt["serial"] == tag.serial
    stated = verify_answer(
        bytes.fromhex(receipt["tag_public_key"]),
        bytes.fromhex(receipt["challenge"]),
        bytes.fromhex(receipt["answer"]),
    )
    assert stated.serial == tag.serial
    [mine] = ann.get("/tags")
    assert mine["serial"] == tag.serial
    assert mine["managed"] is True
    assert mine["empty"]["code"] in ("never_heard", "no_gateway_up")
    assert ann.get(f"/tags/{tag.serial}/receipt") == receipt


def test_steps_can_be_watched(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})
    assert claim["state"] == "pending"
    town.claim(ann, tag)
    seen = ann.get(f"/claims/{claim['claim_id']}")
    assert seen["state"] == "activated"
    assert [step["step"] for step in seen["steps"]] == ["code_accepted", "heard", "asked", "activated"]


def test_mistyped_and_unknown_codes(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    last = tag.code[-1]
    wrong = tag.code[:-1] + ("0" if last != "0" else "1")
    ann.refused("POST", "/claims", 422, "code_mistyped", json={"code": wrong})
    from wire.claim_code import encode_claim_code

    ann.refused("POST", "/claims", 404, "code_unknown", json={"code": encode_claim_code(secrets.token_bytes(16))})


def test_second_claim_of_an_owned_tag(town: Town) -> None:
    ann, ben, tag = town.owner(), town.owner("ben@example.com"), town.tag()
    town.claim(ann, tag)
    ben.refused("POST", "/claims", 409, "claim_taken", json={"code": tag.code})


def test_a_pending_claim_blocks_nobody_and_the_first_receipt_wins(town: Town) -> None:
    ann, ben, tag = town.owner(), town.owner("ben@example.com"), town.tag()
    bens = ben.post("/claims", {"code": tag.code})["claim_id"]
    link = tag.nonce()
    ready = _nonce(ben, bens, link)
    town.claim(ann, tag)
    # The tag itself refuses another owner, and so does the server.
    tag.press(town.now_s)
    assert tag.write(link, bytes.fromhex(ready["write"]), town.now_s).refused is not None
    ben.refused("POST", f"/claims/{bens}/nonce", 409, "claim_taken", json={"nonce": "00" * 8})
    assert [each["serial"] for each in ann.get("/tags")] == [tag.serial]
    assert ben.get("/tags") == []


def _nonce(who: Somebody, claim_id: str, link: object, **more: object) -> dict[str, str]:
    nonce = link.nonce  # type: ignore[attr-defined]
    ready: dict[str, str] = who.post(f"/claims/{claim_id}/nonce", {"nonce": nonce.hex(), **more})
    return ready


def _answer(town: Town, who: Somebody, claim_id: str, tag: Tag, **more: object) -> tuple[dict[str, str], bytes]:
    link = tag.nonce()
    ready = _nonce(who, claim_id, link, **more)
    tag.press(town.now_s)
    turn = tag.write(link, bytes.fromhex(ready["write"]), town.now_s)
    return ready, decode_reply(turn.reply, Op.ACTIVATE)


def test_activation_with_a_wrong_signature(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    _, answer = _answer(town, ann, claim, tag)
    forged = answer[:-1] + bytes((answer[-1] ^ 1,))
    ann.refused("POST", f"/claims/{claim}/answer", 422, "receipt_invalid", json={"answer": forged.hex()})
    assert ann.get("/tags") == []
    ann.post(f"/claims/{claim}/answer", {"answer": answer.hex()})
    assert len(ann.get("/tags")) == 1


def test_activation_with_an_old_challenge(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    _, answer = _answer(town, ann, claim, tag)
    town.wait(minutes=15)
    ann.refused("POST", f"/claims/{claim}/answer", 409, "challenge_old", json={"answer": answer.hex()})
    assert ann.get("/tags") == []


def test_an_answer_to_another_claims_challenge(town: Town) -> None:
    ann, tag, other = town.owner(), town.tag(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    others = ann.post("/claims", {"code": other.code})["claim_id"]
    _, answer = _answer(town, ann, claim, tag)
    ann.refused("POST", f"/claims/{others}/answer", 422, "receipt_invalid", json={"answer": answer.hex()})


def test_the_same_answer_again_gives_the_stored_result(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    _, answer = _answer(town, ann, claim, tag)
    first = ann.post(f"/claims/{claim}/answer", {"answer": answer.hex()})
    town.wait(hours=1)
    assert ann.post(f"/claims/{claim}/answer", {"answer": answer.hex()}) == first
    assert len(ann.get("/tags")) == 1


def test_the_same_owner_may_activate_again_at_once(town: Town) -> None:
    """The code of a finished claim is forgotten; typed again it opens a new claim."""
    ann, tag = town.owner(), town.tag()
    first = town.claim(ann, tag)
    town.wait(minutes=2)
    second = town.claim(ann, tag)
    assert second["challenge"] != first["challenge"]
    assert [each["serial"] for each in ann.get("/tags")] == [tag.serial]


def test_a_claim_ends_after_a_quarter_of_an_hour(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    town.wait(minutes=15)
    ann.refused("POST", f"/claims/{claim}/nonce", 409, "claim_expired", json={"nonce": "00" * 8})
    assert ann.get(f"/claims/{claim}")["state"] == "expired"
    assert town.house.claims.steps(claim)
    ann.post("/claims", {"code": town.tag().code})
    assert not town.house.claims.steps(claim)  # forgotten, its key too


def test_claims_are_their_accounts_own(town: Town) -> None:
    ann, ben, tag = town.owner(), town.owner("ben@example.com"), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    ben.refused("GET", f"/claims/{claim}", 404, "claim_unknown")
    ben.refused("POST", f"/claims/{claim}/nonce", 404, "claim_unknown", json={"nonce": "00" * 8})
    ben.refused("POST", f"/claims/{claim}/answer", 404, "claim_unknown", json={"answer": "00" * 91})


def test_only_the_claimed_tags_frame_is_chosen(town: Town) -> None:
    ann, tag, other = town.owner(), town.tag(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    strange = secrets.token_bytes(24).hex()
    near = [other.frame(town.now_s).hex(), strange]
    ann.refused("POST", f"/claims/{claim}/candidates", 409, "tag_not_heard", json={"frames": near})
    chosen = ann.post(f"/claims/{claim}/candidates", {"frames": [*near, tag.frame(town.now_s).hex()]})
    assert chosen == {"index": 2}


def test_a_client_with_its_own_key_signs_the_challenge(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    ready, answer = _answer(town, ann, claim, tag, owner_public_key=public)
    path = f"/claims/{claim}/answer"
    ann.refused("POST", path, 422, "owner_key_invalid", json={"answer": answer.hex()})
    wrong = sign(Ed25519PrivateKey.generate(), Domain.OWNER_CHALLENGE, bytes.fromhex(ready["challenge"]))
    body = {"answer": answer.hex(), "owner_signature": wrong[:SIGNATURE_LEN].hex()}
    ann.refused("POST", path, 422, "owner_key_invalid", json=body)
    right = sign(key, Domain.OWNER_CHALLENGE, bytes.fromhex(ready["challenge"]))[:SIGNATURE_LEN]
    receipt = ann.post(path, {"answer": answer.hex(), "owner_signature": right.hex()})
    assert receipt["owner_public_key"] == public


def test_a_released_tag_forgets_its_former_owner_first(town: Town) -> None:
    ann, ben, tag = town.owner(), town.owner("ben@example.com"), town.tag()
    town.claim(ann, tag)
    ann.post(f"/tags/{tag.serial}/release")
    assert ann.get("/tags") == []
    held = tag.state.nvm.owner_hash
    town.wait(minutes=5)
    town.claim(ben, tag)
    assert tag.state.nvm.owner_hash != held
    assert [each["serial"] for each in ben.get("/tags")] == [tag.serial]


def test_without_a_line_to_gateways_nothing_can_be_carried(town: Town) -> None:
    ann, tag = town.owner(), town.tag()
    claim = ann.post("/claims", {"code": tag.code})["claim_id"]
    ann.refused("POST", f"/claims/{claim}/carry", 503, "gateway_unreachable", json={})


def test_too_many_claims_at_once(town: Town) -> None:
    ann = town.owner()
    for _ in range(20):
        ann.post("/claims", {"code": town.tag().code})
    refused = ann.call("POST", "/claims", json={"code": town.tag().code})
    assert refused.status_code == 429


def test_the_code_is_written_nowhere(town: Town) -> None:
    """No column of any table holds the key from the box, in any spelling."""
    from sqlalchemy import select

    from server.store.tables import metadata

    ann, tag = town.owner(), town.tag()
    town.claim(ann, tag)
    k_claim = tag.state.unit.k_claim
    traces = (k_claim.hex(), tag.code, tag.code.replace("-", ""), repr(k_claim)[2:-1])
    with town.house.work() as (tx, _):
        for table in metadata.sorted_tables:
            for row in tx.execute(select(table)):
                for value in row:
                    text = value.hex() if isinstance(value, bytes) else str(value)
                    assert not any(trace in text for trace in traces), table.name


def test_two_receipts_at_once_make_one_owner(town: Town) -> None:
    """Whoever commits first: the tag's key answers both challenges here, which no tag does."""
    tag, people = town.tag(), [town.owner(f"p{n}@example.com") for n in range(4)]
    unit, waiting = tag.state.unit, []
    for who in people:
        claim = who.post("/claims", {"code": tag.code})["claim_id"]
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        ready = _nonce(who, claim, tag.nonce(), owner_public_key=public.hex())
        challenge = bytes.fromhex(ready["challenge"])
        answer = answer_challenge(
            unit.private_key, challenge, serial=unit.serial, boot=1, uptime_s=9, owner_hash=owner_hash(public)
        )
        signature = sign(key, Domain.OWNER_CHALLENGE, challenge)[:SIGNATURE_LEN]
        body = {"answer": answer.hex(), "owner_signature": signature.hex()}
        waiting += [(who, f"/claims/{claim}/answer", body)] * 2
    with ThreadPoolExecutor(len(waiting)) as pool:
        answers = list(pool.map(lambda each: each[0].call("POST", each[1], json=each[2]), waiting))
    winners = {answer.text for answer in answers if answer.status_code == 200}
    refused = [answer.json()["error"]["code"] for answer in answers if answer.status_code != 200]
    assert len(winners) == 1
    assert refused == ["claim_taken"] * 6
    assert sorted(len(who.get("/tags")) for who in people) == [0, 0, 0, 1]
