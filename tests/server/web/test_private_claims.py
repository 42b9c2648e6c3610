"""Claiming a tag privately over HTTP, with the tag's real firmware on the other end, and every way to cheat at it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from server.notify.words import compose
from server.store.tables import acts, audit, day_keys, metadata, notices, ownership
from tests.server.web.private_owner import PrivateOwner
from tests.server.web.town import HOME, HOME_TRACES, Town
from wire import keys
from wire.activation import answer_challenge
from wire.frames import FrameType, frame_kind
from wire.gatt import Op


def ann_claims(town: Town) -> PrivateOwner:
    return PrivateOwner(town, town.owner(), town.tag())


def test_hash_then_button_then_receipt_then_keys(town: Town) -> None:
    ann = ann_claims(town)
    claim = ann.who.post("/claims", {"claim_hash": keys.claim_hash(ann.k_claim).hex()})
    assert claim["private"] is True
    assert "Private" in claim["private_means"]
    assert "Managed" in claim["managed_means"]
    chosen = ann.who.post(
        f"/claims/{claim['claim_id']}/candidates", {"frames": ["00" * 24, ann.tag.frame(town.now_s).hex()]}
    )
    assert chosen == {"index": 1}
    town.wait(minutes=5)
    ann.whole()
    [mine] = ann.who.get("/tags")
    assert (mine["private"], mine["managed"], mine["last"], mine["battery"]) == (True, False, None, None)
    assert mine["empty"]["code"] == "private"
    assert "private" in mine["managed_note"]
    assert mine["keys_until"] == (town.now + timedelta(days=9)).date().isoformat()
    assert mine["renew_from"] == (town.now - timedelta(days=20)).date().isoformat()
    assert frame_kind(ann.tag.frame(town.now_s)) is FrameType.NEAR_OWNER, "it has its list, and its owner is beside it"
    seen = ann.who.get(f"/claims/{claim['claim_id']}")
    assert (seen["state"], seen["private"]) == ("activated", True)
    assert ann.who.get(f"/tags/{ann.tag.serial}/receipt")["owner_public_key"] == ann.public


def test_either_the_code_or_its_hash(town: Town) -> None:
    ann = ann_claims(town)
    hashed = keys.claim_hash(ann.k_claim).hex()
    for body in ({}, {"code": ann.tag.code, "claim_hash": hashed}):
        ann.who.refused("POST", "/claims", 422, "bad_request", json=body)


def test_steps_of_the_other_kind_are_refused(town: Town) -> None:
    """Above all: of a private claim the server makes no message, for it has no code."""
    ann = ann_claims(town)
    private, managed = ann.begin(), ann.who.post("/claims", {"code": ann.tag.code})["claim_id"]
    assert private != managed
    read = {"nonce": "00" * 8, "owner_public_key": ann.public}
    ann.who.refused("POST", f"/claims/{private}/nonce", 409, "claim_kind", json=read)
    ann.who.refused("POST", f"/claims/{private}/carry", 409, "claim_kind", json={})
    ann.who.refused("POST", f"/claims/{managed}/challenge", 409, "claim_kind", json=read)


def test_from_managed_to_private_and_back(town: Town) -> None:
    ann = ann_claims(town)
    path = f"/tags/{ann.tag.serial}"
    town.claim(ann.who, ann.tag)
    ann.who.put(f"{path}/name", {"name": "Bicycle"})
    town.wait(minutes=5)
    ann.whole()
    mine = ann.who.get(path)
    assert (mine["private"], mine["name"]) == (True, "Bicycle")
    town.wait(minutes=5)
    ann.upload(10)  # the same again
    town.claim(ann.who, ann.tag)
    mine = ann.who.get(path)
    assert (mine["private"], mine["managed"], mine["name"], mine["keys_until"]) == (False, True, "Bicycle", None)
    assert frame_kind(ann.tag.frame(town.now_s)) is FrameType.PROVENANCE, "the tag was told to forget its list"
    with town.house.work() as (tx, _):
        assert tx.execute(select(day_keys)).all() == []
    body = {"first_day": ann.today, "days": ann.days(ann.today, 1)}
    ann.who.refused("PUT", f"{path}/keys", 409, "not_private", json=body)
    # And back with the same secret: yesterday's keys are the same keys.
    town.wait(minutes=5)
    ann.whole()
    assert ann.who.get(path)["private"] is True


def test_a_managed_claim_clears_a_tag_that_was_private_even_under_the_same_key(town: Town) -> None:
    ann = ann_claims(town)
    ann.whole()
    town.wait(minutes=5)
    claim = ann.who.post("/claims", {"code": ann.tag.code})["claim_id"]
    nonce = ann.tag.nonce().nonce
    assert nonce is not None
    ready = ann.who.post(f"/claims/{claim}/nonce", {"nonce": nonce.hex(), "owner_public_key": ann.public})
    assert ready["step"] == "clear"


def test_a_restart_between_challenge_and_answer_makes_no_managed_tag(town: Town) -> None:
    ann = ann_claims(town)
    claim = ann.begin()
    proof = ann.proof(*ann.signed(claim))
    town.house.claims = type(town.house.claims)()
    ann.who.refused("POST", f"/claims/{claim}/answer", 409, "claim_expired", json=proof)
    assert ann.who.get("/tags") == []


def test_sightings_after_a_private_claim_are_read_by_nobody(town: Town) -> None:
    """Until its list has come a tag still sends provenance frames; and old ones may arrive late."""
    ann, agent = ann_claims(town), town.staff()
    path = f"/tags/{ann.tag.serial}"
    town.gateway("gw")
    town.claim(ann.who, ann.tag)
    town.wait(minutes=10)
    town.hear("gw", ann.tag.serial, HOME, [town.now - timedelta(minutes=5)])
    assert ann.who.get(path)["last"] is not None
    ann.whole()
    town.hear("gw", ann.tag.serial, HOME, [town.now + timedelta(seconds=n) for n in (1, 5)])
    town.wait(minutes=1)
    mine = ann.who.get(path)
    assert (mine["last"], mine["heard_at"], mine["age"]) == (None, None, "never")
    assert ann.who.get("/tags") == [mine | {"as_of": ann.who.get("/tags")[0]["as_of"]}]
    period = "?from=2026-11-01T00:00:00Z&to=2026-11-30T00:00:00Z"
    ann.who.refused("GET", f"{path}/history{period}", 409, "private")
    page = ann.who.client.get(f"/t/{ann.tag.serial}", headers=ann.who.headers())
    assert page.status_code == 200
    assert "geo:" not in page.text
    assert not [trace for trace in HOME_TRACES if trace in page.text]
    assert "Show this day" not in page.text
    tags = ann.who.client.get("/", headers=ann.who.headers()).text
    assert "This tag is private" in tags
    assert "Battery" not in tags, "it is said in sealed reports only"
    life = agent.client.get(f"/s/tag/{ann.tag.serial}", headers=agent.headers())
    assert "It is private: only its owner" in life.text
    heard_before = agent.get(f"/support/tags/{ann.tag.serial}")
    assert heard_before["private"] is True
    # Managed again, the time in between stays nobody's.
    town.wait(minutes=5)
    town.claim(ann.who, ann.tag)
    town.wait(minutes=1)
    assert ann.who.get(f"{path}/history{period}")["points"] == []
    with town.house.work() as (tx, now):
        from server.store import sightings

        [row] = sightings.heard(tx, [ann.tag.serial])
        assert row.count == 1, "of before the private claim"
        assert len(sightings.history(tx, ann.tag.serial, now - timedelta(days=1), now)) == 1
        [last] = sightings.last_heard(tx, [ann.tag.serial]).values()
        assert last.heard_at == row.last_at


def test_support_learns_that_and_when_and_no_place(town: Town) -> None:
    ann, agent = ann_claims(town), town.staff()
    town.site("dock")
    from tests.server.web.town import HAMBURG
    from wire.batch import GatewayClass

    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock")
    town.hear("dock-1", ann.tag.serial, HAMBURG, [town.now - timedelta(days=9)])
    ann.whole()
    town.hear("dock-1", ann.tag.serial, HAMBURG, [town.now + timedelta(seconds=3)])
    town.wait(minutes=90)
    with town.house.work() as (tx, _):
        tx.execute(day_keys.update().where(day_keys.c.day == ann.today).values(last_report_at=town.now, reports=1))
    life = agent.get(f"/support/tags/{ann.tag.serial}")
    assert (life["private"], life["heard"]) == (True, True)
    assert [deed["kind"] for deed in life["deeds"]] == ["claimed", "activated"]
    assert [each["from_at"] for each in life["at_our_sites"]] == ["2026-11-13T12:00:00Z"], "of before the claim"
    assert life["last_heard_at"] == life["heard_elsewhere_at"] == "2026-11-22T13:00:00Z"
    page = agent.client.get(f"/s/tag/{ann.tag.serial}", headers=agent.headers()).text
    assert page.count("today between 13:00 and now</time>") == 2
    assert ann.who.get(f"/tags/{ann.tag.serial}")["heard_at"] == "2026-11-22T13:30:00Z"


def test_an_order_whose_tag_became_private_reads_as_before(town: Town) -> None:
    """What was evident stays so; silence is no finding, and where it is read no page shows it was ever heard again."""
    from tests.server.web.test_orders import all_is_well
    from tests.server.web.town import HOME

    operator, who, tag = all_is_well(town)
    town.wait(minutes=5)
    PrivateOwner(town, who, tag).whole()
    before = operator.get("/orders/G-1")
    town.gateway("secret-home-gw", place=HOME)
    town.hear("secret-home-gw", tag.serial, HOME, [town.now + timedelta(hours=n) for n in range(1, 40)])
    town.wait(days=60)
    after = operator.get("/orders/G-1")
    assert (after["findings"], after["shown"]) == ([], before["shown"])
    verdicts = [[(step["step"], step["verdict"]) for step in answer["steps"]] for answer in (before, after)]
    assert verdicts[0] == verdicts[1]
    assert [row for row in after["timeline"] if row["column"] == "heard"] == [
        row for row in before["timeline"] if row["column"] == "heard"
    ]
    agent = town.staff()
    for path in ("/orders/G-1", "/orders/G-1/why", f"/support/tags/{tag.serial}", "/find?q=G-1"):
        assert "secret-home" not in agent.call("GET", path).text, path


def test_release_and_handing_over_end_the_keys(town: Town) -> None:
    ann, ben = ann_claims(town), town.owner("ben@example.com")
    path = f"/tags/{ann.tag.serial}"
    ann.whole()
    offer = ann.who.post(f"{path}/transfer", {"to_email": "ben@example.com"})
    town.wait(minutes=5)
    taken = ben.post(f"/transfers/{offer['transfer_id']}/accept")
    assert (taken["private"], taken["keys_until"], taken["empty"]["code"]) == (True, None, "private")
    assert "code from its box" in taken["empty"]["text"]
    # The tag goes on saying Ann's identifiers; whose it says nobody here can tell: under another one she reads on.
    assert "former owner" in taken["empty"]["text"]
    with town.house.work() as (tx, _):
        told = tx.execute(select(notices).where(notices.c.kind == "transfer_offer")).one()
    assert "claim it at once" in compose(told.kind, told.payload, "UTC").text
    with town.house.work() as (tx, _):
        assert tx.execute(select(day_keys)).all() == []
    body = {"first_day": ann.today, "days": ann.days(ann.today, 1)}
    ann.who.refused("PUT", f"{path}/keys", 404, "tag_unknown", json=body)
    bens = PrivateOwner(town, ben, ann.tag)
    bens.whole()
    assert ben.get(path)["keys_until"] is not None
    ben.post(f"{path}/release")
    with town.house.work() as (tx, _):
        assert tx.execute(select(day_keys)).all() == []


def test_who_hands_a_tag_over_reads_beforehand_what_the_next_owner_sees_of_it(town: Town) -> None:
    private, managed = ann_claims(town), town.tag()
    owned = f"/t/{private.tag.serial}", f"/t/{managed.serial}"
    private.whole()
    town.claim(private.who, managed)
    sealed, open_ = (town.client.get(path, headers=private.who.headers()).text for path in owned)
    assert "Until they have claimed it with that code they cannot see where it is" in sealed
    assert "whoever has your keys may still be able to" in sealed
    only = "only they see where it is"
    assert only not in sealed
    assert only in open_


# --- Attacks -----------------------------------------------------------------------------------------------


def test_a_photographed_code_without_the_tag_owns_nothing_and_blocks_nobody(town: Town) -> None:
    ann = ann_claims(town)
    eve = PrivateOwner(town, town.owner("eve@example.com"), ann.tag)
    claim = eve.begin()
    body = {"nonce": "00" * 8, "owner_public_key": eve.public}
    challenge = eve.who.post(f"/claims/{claim}/challenge", body)["challenge"]
    # Everything but the tag: an answer signed by another key.
    forged = answer_challenge(
        Ed25519PrivateKey.generate(), bytes.fromhex(challenge), serial=ann.tag.serial, boot=1, uptime_s=9,
        owner_hash=keys.owner_hash(bytes.fromhex(eve.public)),
    )  # fmt: skip
    path = f"/claims/{claim}/answer"
    eve.who.refused("POST", path, 422, "receipt_invalid", json=eve.proof(challenge, forged.hex()))
    assert eve.who.get("/tags") == []
    ann.whole()
    eve.who.refused("POST", f"/claims/{claim}/challenge", 409, "claim_taken", json=body)
    keys_of = {"first_day": ann.today, "days": eve.days(ann.today, 1)}
    eve.who.refused("PUT", f"/tags/{ann.tag.serial}/keys", 404, "tag_unknown", json=keys_of)
    assert ann.who.get(f"/tags/{ann.tag.serial}")["private"] is True


def test_a_pending_claim_learns_nothing_of_a_tag_that_somebody_else_claimed_meanwhile(town: Town) -> None:
    """Whoever photographed the code could ask for a quarter of an hour which gateway hears the tag, and under what."""
    ann, thief = ann_claims(town), town.owner("thief@example.com")
    private = thief.post("/claims", {"claim_hash": keys.claim_hash(ann.k_claim).hex()})["claim_id"]
    managed = thief.post("/claims", {"code": ann.tag.code})["claim_id"]
    ann.whole()
    frame = ann.tag.frame(town.now_s).hex()
    for claim in (private, managed):
        thief.refused("POST", f"/claims/{claim}/candidates", 409, "claim_taken", json={"frames": [frame]})
        thief.refused("POST", "/relays", 409, "claim_taken", json={"claim_id": claim, "gateway": "home"})

    class Obliging:
        def carry(self, *_: object) -> str:
            raise AssertionError("it would say which gateway")

    town.house.carrier = Obliging()
    thief.refused("POST", f"/claims/{managed}/carry", 409, "claim_taken", json={})
    page = thief.client.post(f"/c/{managed}/carry", headers=thief.headers(), data={"gateway": ""})
    assert (page.status_code, "claim_taken" in page.text) == (409, True)


def test_the_operator_has_everything_but_the_tag(town: Town) -> None:
    """With the whole database, the server's key and the factory's frame key nobody makes a receipt."""
    ann = ann_claims(town)
    with town.house.work() as (tx, now):
        from server.store import keys as stored
        from server.store import units

        unit = units.by_serial(tx, ann.tag.serial)
        assert unit is not None
        server_key = stored.server_key(tx, town.house.vault, now)
    mallory = PrivateOwner(town, town.owner("operator-as-owner@example.com"), ann.tag)
    claim = mallory.who.post("/claims", {"claim_hash": unit.claim_hash.hex()})["claim_id"]
    body = {"nonce": "00" * 8, "owner_public_key": mallory.public}
    challenge = mallory.who.post(f"/claims/{claim}/challenge", body)["challenge"]
    for key in (server_key, mallory.key):
        answer = answer_challenge(
            key, bytes.fromhex(challenge), serial=unit.serial, boot=1, uptime_s=9,
            owner_hash=keys.owner_hash(bytes.fromhex(mallory.public)),
        )  # fmt: skip
        proof = mallory.proof(challenge, answer.hex())
        mallory.who.refused("POST", f"/claims/{claim}/answer", 422, "receipt_invalid", json=proof)


def test_the_hash_without_the_code_moves_no_tag(town: Town) -> None:
    """Whoever knows the hash gets a challenge; the tag takes no message without the code's MAC."""
    ann = ann_claims(town)
    eve = PrivateOwner(town, town.owner("eve@example.com"), ann.tag)
    claim = eve.begin()
    link = ann.tag.nonce()
    assert link.nonce is not None
    body = {"nonce": link.nonce.hex(), "owner_public_key": eve.public}
    challenge = bytes.fromhex(eve.who.post(f"/claims/{claim}/challenge", body)["challenge"])
    from wire.activation import activation_data
    from wire.gatt import claim_mac, encode_message

    data = activation_data(challenge, keys.owner_hash(bytes.fromhex(eve.public)))
    wrong = encode_message(Op.ACTIVATE, data, claim_mac(secrets.token_bytes(16), link.nonce, Op.ACTIVATE, data))
    ann.tag.press(town.now_s)
    assert ann.tag.write(link, wrong, town.now_s).refused is not None


def test_replayed_answers_and_answers_of_other_claims(town: Town) -> None:
    ann = ann_claims(town)
    eve = PrivateOwner(town, town.owner("eve@example.com"), ann.tag)
    eves = eve.begin()
    claim = ann.begin()
    proof = ann.proof(*ann.signed(claim))
    eve.who.refused("POST", f"/claims/{eves}/answer", 422, "receipt_invalid", json=proof)
    eve.who.refused("POST", f"/claims/{claim}/answer", 404, "claim_unknown", json=proof)
    unsigned = {"answer": proof["answer"]}
    ann.who.refused("POST", f"/claims/{claim}/answer", 422, "owner_key_invalid", json=unsigned)
    first = ann.who.post(f"/claims/{claim}/answer", proof)
    assert ann.who.post(f"/claims/{claim}/answer", proof) == first
    town.wait(minutes=1)
    again = ann.begin()
    ann.who.refused("POST", f"/claims/{again}/answer", 422, "receipt_invalid", json=proof)
    # After a release the old answer begins nothing.
    ann.who.post(f"/tags/{ann.tag.serial}/release")
    assert ann.who.post(f"/claims/{claim}/answer", proof) == first
    assert ann.who.get("/tags") == []


def test_secrets_stand_nowhere(town: Town) -> None:
    """Of a whole private claim: not the code, not the secret, nor what comes from it, in any column of any table."""
    ann = ann_claims(town)
    ann.whole()
    hidden = [ann.k_claim, ann.s_o, keys.own_key(ann.s_o), ann.key.private_bytes_raw()]
    hidden += [keys.day_private_key(ann.s_o, ann.today + n) for n in range(10)]
    hidden += [keys.fetch_token(ann.s_o, ann.today + n) for n in range(10)]
    traces = [trace for each in hidden for trace in (each.hex(), repr(each)[2:-1])] + [ann.tag.code]
    with town.house.work() as (tx, _):
        for table in metadata.sorted_tables:
            for row in tx.execute(select(table)):
                text = " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row)
                assert not any(trace in text for trace in traces), table.name
        assert {row.kind for row in tx.execute(select(acts))} == {"claimed", "activated"}
        assert tx.execute(select(ownership.c.private)).scalars().all() == [True]
        [told] = tx.execute(select(audit.c.detail).where(audit.c.action == "day_keys_put")).scalars()
        assert told == {"first_day": ann.today, "days": 10}
    assert town.house.claims.private(ann.begin()) is True
    assert ann.k_claim not in [held.k_claim for held in town.house.claims._held.values()]
