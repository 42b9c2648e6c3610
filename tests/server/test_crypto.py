"""Secrets under the master key: what opens them, what does not, and a rotation that misses nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, LargeBinary, text

from server import wiring
from server.refusal import Refusal
from server.rules.authority import Role
from server.settings import load
from server.store import accounts, db, inbox, keys
from server.store.crypto import Vault
from server.store.inbox import Arrived
from server.store.tables import metadata

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32

# Binary columns that the master key does not seal: public, hashes of what is secret, or sealed by somebody else.
OPEN = {
    "sessions.token_hash", "api_tokens.token_hash", "password_resets.token_hash", "order_links.token_hash",
    "enrolment_tokens.secret_hash", "factory_keys.public_key", "manifests.sha256", "units.public_key",
    "units.claim_hash", "gateways.public_key", "outboxes.outbox_id", "batches.outbox_id", "batches.body_sha256",
    "dead_letters.payload", "unresolved_frames.frame", "challenges.challenge", "challenges.owner_hash",
    "challenges.owner_public_key", "challenges.answer", "ownership.owner_hash",
    "mail_in.message_hash",
    # Private finding: public keys and what is made of them; SHA-256 of a fetch token.
    "accounts.household_key", "day_keys.eid", "day_keys.public_key", "day_keys.fetch_hash", "sealed_reports.eid",
    # Sealed by others, to keys that we do not have.
    "sealed_reports.sealed", "handovers.sealed",
}  # fmt: skip


def vault(key: bytes, old: bytes | None = None) -> Vault:
    return Vault(key, wiring.dice, old)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_again(value: bytes, what: str) -> None:
    here = vault(NEW)
    sealed = here.seal(what, value)
    assert here.open(what, sealed) == value
    assert len(value) < 8 or value not in sealed
    assert here.seal(what, value) != sealed


@pytest.mark.parametrize("at", [0, 1, 5, 17, -1])
def test_a_changed_or_moved_value_does_not_open(at: int) -> None:
    sealed = bytearray(vault(NEW).seal("a.b/1", b"secret"))
    with pytest.raises(Refusal, match="changed or moved"):
        vault(NEW).open("a.b/2", bytes(sealed))
    sealed[at] ^= 1
    with pytest.raises(Refusal) as refused:
        vault(NEW).open("a.b/1", bytes(sealed))
    assert refused.value.code == "master_key_wrong"


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_one_way(noise: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        vault(NEW).open("a.b", noise)
    assert refused.value.code == "master_key_wrong"


def test_every_binary_column_is_sealed_or_known_to_be_open() -> None:
    binary = {
        f"{t.name}.{c.name}" for t in metadata.tables.values() for c in t.columns if isinstance(c.type, LargeBinary)
    }
    sealed = {each.what("").rstrip("/") for each in keys.ALL_SEALED}
    assert binary == sealed | OPEN


def fill(engine: Engine, here: Vault) -> None:
    """A value in every sealed column."""
    with db.transaction(engine) as tx:
        keys.server_key(tx, here, NOW)
        keys.keep_secret(tx, here, keys.K_FACTORY, b"f" * 16, NOW)
        keys.add_lot(tx, here, "lot-1", b"1" * 16, NOW)
        keys.add_lot(tx, here, "lot-2", b"2" * 16, NOW)
        account = accounts.add(tx, "a@example.org", "A", Role.OWNER, "UTC", NOW)
        assert account
        accounts.change(tx, account.no, custodial_key=here.seal(keys.CUSTODIAL_KEY.what(), b"custodial"))
        address, secret = (here.seal(each.what(), b"x") for each in (keys.CHANNEL_ADDRESS, keys.CHANNEL_SECRET))
        channel = {"account": account.no, "address": address, "secret": secret, "now": NOW}
        tx.execute(
            text("insert into channels (account_no, kind, address, secret, made_at) "
                 "values (:account, 'webhook', :address, :secret, :now)"), channel,
        )  # fmt: skip
        tx.execute(
            text("insert into orders "
                 "(number, email, customer_name, ship_to, placed_at, zone, profile, source, learnt_at) "
                 "values ('1', 'e', 'n', '{}', :now, 'UTC', 'p', 'shop', :now)"), {"now": NOW},
        )  # fmt: skip
        slot = {"sealed": here.seal(keys.PERSONALISATION.what(), b"for Ann")}
        tx.execute(
            text("insert into slots (slot, order_number, line, unit, sku, title, personalisation) "
                 "values ('1/1/1', '1', 1, 1, 's', 't', :sealed)"), slot,
        )  # fmt: skip
        inbox.put(tx, Arrived("shop", "msg_1", NOW, here.seal(keys.WEBHOOK_BODY.what(), b"{}")))
        contact = {"sealed": here.seal(keys.CONTACT_WORDS.what(), b"where is it?"), "now": NOW}
        tx.execute(
            text("insert into statements (order_number, slots, kind, said_at, latest, zone, by, source, via, payload, "
                 "natural_key, learnt_at) "
                 "values ('1', '{}', 'contact', :now, :now, 'UTC', 'b', 'customer', 'page', '{}', '1|k', :now)"),
            contact,
        )  # fmt: skip
        tx.execute(text("insert into contact_words select no, :sealed, true from statements"), contact)
        letter = {"sealed": here.seal(keys.MAIL_IN_LETTER.what(), b"where is it?"), "now": NOW}
        tx.execute(
            text("insert into mail_in (message_hash, received_at, outcome, letter, candidates, attachments) "
                 "values ('\\x00', :now, 'waits', :sealed, '{}', 0)"), letter,
        )  # fmt: skip


def test_rotation_renews_every_column(engine: Engine) -> None:
    fill(engine, vault(OLD))
    with db.transaction(engine) as tx:
        before = keys.server_key(tx, vault(OLD), NOW).private_bytes_raw()
        renewed = keys.rotate(tx, vault(NEW, OLD))
    assert all(count >= 1 for count in renewed.values()), renewed
    only_new = vault(NEW)
    with db.transaction(engine) as tx:
        assert keys.server_key(tx, only_new, NOW).private_bytes_raw() == before
        assert [lot.k_lot for lot in keys.live_lots(tx, only_new)] == [b"2" * 16, b"1" * 16]
        for each in keys.ALL_SEALED:
            rows = tx.execute(
                text(f"select {each.column.name} from {each.column.table} where {each.column.name} is not null")
            )
            assert all(only_new.is_current(row[0]) for row in rows)
        assert set(keys.rotate(tx, vault(NEW, OLD)).values()) == {0}


def test_a_rotation_without_the_old_key_changes_nothing(engine: Engine) -> None:
    fill(engine, vault(OLD))
    with pytest.raises(Refusal), db.transaction(engine) as tx:
        keys.rotate(tx, vault(NEW))
    with db.transaction(engine) as tx:
        assert keys.k_factory(tx, vault(OLD)) == b"f" * 16


def test_the_key_of_the_data_folder_is_made_once(engine: Engine, tmp_path) -> None:
    told = load({"HEARSIGHT_DATA": str(tmp_path / "data")})
    with db.transaction(engine) as tx:
        first = keys.server_key(tx, wiring.vault(told, tx), NOW).private_bytes_raw()
    path = told.data / wiring.MASTER_KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    with db.transaction(engine) as tx:
        assert keys.server_key(tx, wiring.vault(told, tx), NOW).private_bytes_raw() == first
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(Refusal) as refused, db.transaction(engine) as tx:
        wiring.vault(told, tx)
    assert refused.value.code == "master_key_missing"
    assert not path.exists(), "a new key in place of a lost one would only hide the loss"
    path.write_text("not a key")
    with pytest.raises(Refusal) as refused, db.transaction(engine) as tx:
        wiring.vault(told, tx)
    assert refused.value.code == "master_key_broken"
