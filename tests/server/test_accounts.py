"""Signing in, throttling, sessions, reset links, API tokens, roles: what works, and what nobody can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from sqlalchemy import Engine, text

from server import wiring
from server.refusal import Refusal
from server.rules.authority import Role
from server.service import accounts, people
from server.service.accounts import Passwords, caller
from server.store import accounts as stored_accounts
from server.store import db
from server.store.accounts import Account

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = "correct horse battery"
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def ann(engine: Engine) -> Account:
    return make(engine, "ann@example.org")


def make(engine: Engine, email: str, role: Role = Role.OWNER) -> Account:
    hashed = QUICK.hash(GOOD, email)
    with db.transaction(engine) as tx:
        account = people.create(tx, email, "Ann", role, NOW, actor="cli")
        accounts.set_password(tx, account, hashed, NOW, actor="cli")
    return account


def sign_in(
    engine: Engine, email: str, password: str, now: datetime = NOW, address: str = "192.0.2.1"
) -> accounts.SignedIn:
    return accounts.sign_in(engine, QUICK, wiring.dice, email, password, address, now)


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refused:
        work()
    return refused.value.code


def test_signing_in_and_out(engine: Engine, ann: Account) -> None:
    signed = sign_in(engine, " Ann@Example.org ", GOOD)
    with db.transaction(engine) as tx:
        session = accounts.session(tx, signed.token, NOW)
        assert session
        assert (session.account.email, session.csrf) == (ann.email, signed.csrf)
        assert accounts.session(tx, signed.token, NOW + accounts.SESSION_LIFETIME) is None
        assert accounts.session(tx, signed.token + "x", NOW) is None
        kept = tx.execute(text("select token_hash, csrf from sessions")).one()
        assert signed.token.encode() not in bytes(kept.token_hash)
        accounts.sign_out(tx, signed.token, NOW)
        assert accounts.session(tx, signed.token, NOW) is None


def test_wrong_unknown_disabled_and_passwordless_are_one_answer(engine: Engine, ann: Account) -> None:
    with db.transaction(engine) as tx:
        people.create(tx, "new@example.org", "", Role.OWNER, NOW, actor="cli")
    make(engine, "gone@example.org")
    with db.transaction(engine) as tx:
        people.disable(tx, "gone@example.org", NOW, actor="cli")
    told = set()
    for email, password in (
        (ann.email, "wrong horse battery"), ("nobody@example.org", GOOD), ("new@example.org", GOOD),
        ("gone@example.org", GOOD), ("not an address", GOOD), (ann.email, ""), (ann.email, "x" * 100_000),
    ):  # fmt: skip
        with pytest.raises(Refusal) as refused:
            sign_in(engine, email, password)
        told.add((refused.value.code, refused.value.message, refused.value.do))
    assert [code for code, *_ in told] == ["sign_in_failed"]


class Counted(PasswordHasher):
    """Notes what each hash costs: the parameters, salt and length included, under which it is made or compared."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=128, parallelism=1)
        self.done: list[tuple[str, Parameters]] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        made = super().hash(password, salt=salt)
        self.done.append(("made", extract_parameters(made)))
        return made

    def verify(self, stored: str | bytes, password: str | bytes) -> Literal[True]:
        self.done.append(("compared", extract_parameters(str(stored))))
        return super().verify(stored, password)


def test_an_unknown_address_costs_the_same_hashing_as_a_known_one(engine: Engine, ann: Account) -> None:
    """Hashing is what takes the time of a refusal, so who hashes the same cannot be told apart by a watch."""
    counted = Counted()
    passwords = Passwords(counted)
    with db.transaction(engine) as tx:
        accounts.set_password(tx, ann, passwords.hash(GOOD), NOW, actor="cli")
        people.create(tx, "new@example.org", "", Role.OWNER, NOW, actor="cli")

    def cost(email: str, password: str = "wrong horse battery") -> list[tuple[str, Parameters]]:
        counted.done.clear()
        with pytest.raises(Refusal):
            accounts.sign_in(engine, passwords, wiring.dice, email, password, "192.0.2.1", NOW)
        return list(counted.done)

    real = extract_parameters(counted.hash(GOOD))
    cost("nobody@example.org")  # the one hash of nobody's password is made when it is first needed
    assert cost(ann.email) == [("compared", real)]
    for email in ("nobody@example.org", "new@example.org", "not an address"):
        assert cost(email) == cost(email, GOOD) == [("compared", real)], email


def test_ten_wrong_passwords_and_the_right_one_has_to_wait(engine: Engine, ann: Account) -> None:
    for minute in range(10):
        at = NOW + timedelta(minutes=minute)
        assert code_of(partial(sign_in, engine, ann.email, "wrong horse battery", at)) == "sign_in_failed"
    at = NOW + timedelta(minutes=10)
    with pytest.raises(Refusal) as refused:
        sign_in(engine, ann.email, GOOD, at, address="198.51.100.7")
    assert refused.value.code == "sign_in_throttled"
    assert "300 seconds" in refused.value.do
    assert sign_in(engine, ann.email, GOOD, NOW + timedelta(minutes=15, seconds=1)).account.no == ann.no


def test_an_unknown_address_is_throttled_like_a_known_one(engine: Engine) -> None:
    codes = [code_of(lambda: sign_in(engine, "nobody@example.org", GOOD)) for _ in range(11)]
    assert codes == ["sign_in_failed"] * 10 + ["sign_in_throttled"]


def test_one_network_address_cannot_try_everybody(engine: Engine, ann: Account) -> None:
    for n in range(50):
        code_of(partial(sign_in, engine, f"a{n}@example.org", GOOD, address=f"2001:db8::{n:x}"))
    assert code_of(lambda: sign_in(engine, ann.email, GOOD, address="2001:db8::ffff")) == "sign_in_throttled"
    assert sign_in(engine, ann.email, GOOD, address="2001:db8:0:1::1").account.no == ann.no


def test_a_success_forgets_the_accounts_failures(engine: Engine, ann: Account) -> None:
    for _ in range(3):
        for _ in range(9):
            code_of(lambda: sign_in(engine, ann.email, "wrong horse battery"))
        sign_in(engine, ann.email, GOOD)


def test_attempts_at_the_same_moment_are_all_counted(engine: Engine) -> None:
    """The second one waits for the first, which nobody but itself can see yet."""
    since = NOW - timedelta(minutes=15)
    with ThreadPoolExecutor(1) as pool:

        def second() -> object:
            with db.transaction(engine) as tx:
                return stored_accounts.count_attempts(tx, [("account x", 1)], since, NOW)

        with db.transaction(engine) as tx:
            assert stored_accounts.count_attempts(tx, [("account x", 1)], since, NOW) is None
            waiting = pool.submit(second)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(10) == ("account x", NOW)


def test_old_hashes_are_renewed_at_sign_in(engine: Engine, ann: Account) -> None:
    better = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    accounts.sign_in(engine, better, wiring.dice, ann.email, GOOD, "192.0.2.1", NOW)
    with db.transaction(engine) as tx:
        stored = people.existing(tx, ann.email).password_hash
    assert stored
    assert stored.startswith("$argon2id$")
    assert not better.outdated(stored)


@pytest.mark.parametrize("password", ["short", "a" * 40, "ababababababab", "x ann@example.org x", "q" * 1025])
def test_weak_passwords(password: str) -> None:
    assert code_of(lambda: QUICK.hash(password, "ann@example.org")) == "password_weak"


def test_a_new_password_ends_every_session(engine: Engine, ann: Account) -> None:
    other = sign_in(engine, ann.email, GOOD)
    who = caller(ann)
    assert (
        code_of(lambda: accounts.change_password(engine, QUICK, wiring.dice, who, "wrong", GOOD, NOW))
        == "sign_in_failed"
    )
    new = accounts.change_password(engine, QUICK, wiring.dice, who, GOOD, "another horse battery", NOW)
    with db.transaction(engine) as tx:
        assert accounts.session(tx, other.token, NOW) is None
        assert accounts.session(tx, new.token, NOW) is not None
    assert code_of(lambda: sign_in(engine, ann.email, GOOD)) == "sign_in_failed"


def test_a_reset_link_works_once_and_not_for_long(engine: Engine, ann: Account) -> None:
    session = sign_in(engine, ann.email, GOOD)
    with db.transaction(engine) as tx:
        program, _ = accounts.new_api_token(tx, wiring.dice, accounts.caller(ann), "a thief's", NOW)
        assert accounts.ask_reset(tx, wiring.dice, "nobody@example.org", NOW) is None
        first = accounts.ask_reset(tx, wiring.dice, ann.email, NOW)
        second = accounts.ask_reset(tx, wiring.dice, ann.email.upper(), NOW)
    assert first
    assert second
    late = NOW + accounts.RESET_LIFETIME
    assert (
        code_of(lambda: accounts.reset_password(engine, QUICK, first.token, "another horse 1", late)) == "reset_invalid"
    )
    assert code_of(lambda: accounts.reset_password(engine, QUICK, first.token, "weak", NOW)) == "password_weak"
    accounts.reset_password(engine, QUICK, first.token, "another@horse 1", NOW)
    for token in (first.token, second.token, "nonsense"):
        work = partial(accounts.reset_password, engine, QUICK, token, "another horse 2", NOW)
        assert code_of(work) == "reset_invalid"
    with db.transaction(engine) as tx:
        assert accounts.session(tx, session.token, NOW) is None
        assert accounts.account_of_api_token(tx, program, NOW) is None
    assert sign_in(engine, ann.email, "another@horse 1").account.no == ann.no


def test_a_mailbox_is_not_flooded_with_links(engine: Engine, ann: Account) -> None:
    with db.transaction(engine) as tx:
        links = [accounts.ask_reset(tx, wiring.dice, ann.email, NOW) for _ in range(5)]
        assert [link is not None for link in links] == [True] * 3 + [False] * 2
        assert accounts.ask_reset(tx, wiring.dice, ann.email, NOW + accounts.RESET_LIFETIME) is not None


def test_api_tokens(engine: Engine, ann: Account) -> None:
    who = caller(ann)
    with db.transaction(engine) as tx:
        token, listed = accounts.new_api_token(tx, wiring.dice, who, "laptop", NOW, NOW + timedelta(days=1))
        assert token.startswith("hsp_")
        found = accounts.account_of_api_token(tx, token, NOW + timedelta(hours=1))
        assert found
        assert found.no == ann.no
        assert accounts.account_of_api_token(tx, token, NOW + timedelta(days=1)) is None
        assert accounts.account_of_api_token(tx, token[:-1], NOW) is None
        assert accounts.account_of_api_token(tx, "", NOW) is None
        assert accounts.api_tokens(tx, who)[0].last_used_at == NOW + timedelta(hours=1)
        everything = tx.execute(text("select t::text from api_tokens t")).scalars().all()
        assert token not in "".join(everything)
        accounts.revoke_api_token(tx, who, listed.no, NOW)
        assert accounts.account_of_api_token(tx, token, NOW) is None
    with db.transaction(engine) as tx:
        assert code_of(lambda: accounts.revoke_api_token(tx, who, listed.no, NOW)) == "token_unknown"
        assert code_of(lambda: accounts.new_api_token(tx, wiring.dice, who, "x", NOW, NOW)) == "token_expiry"


def test_nobody_revokes_anothers_token(engine: Engine, ann: Account) -> None:
    bob = make(engine, "bob@example.org", Role.OPERATOR)
    with db.transaction(engine) as tx:
        token, listed = accounts.new_api_token(tx, wiring.dice, caller(ann), "x", NOW)
        assert code_of(lambda: accounts.revoke_api_token(tx, caller(bob), listed.no, NOW)) == "token_unknown"
        assert accounts.account_of_api_token(tx, token, NOW)


def test_a_disabled_account_is_out_at_once(engine: Engine, ann: Account) -> None:
    signed = sign_in(engine, ann.email, GOOD)
    with db.transaction(engine) as tx:
        token, _ = accounts.new_api_token(tx, wiring.dice, caller(ann), "x", NOW)
        people.disable(tx, ann.email, NOW, actor="cli")
        assert accounts.session(tx, signed.token, NOW) is None
        assert accounts.account_of_api_token(tx, token, NOW) is None
        people.enable(tx, ann.email, NOW, actor="cli")
        assert accounts.account_of_api_token(tx, token, NOW) is None, "ended is ended"
    assert sign_in(engine, ann.email, GOOD).account.no == ann.no


def test_the_last_operator_stays(engine: Engine) -> None:
    make(engine, "op@example.org", Role.OPERATOR)
    with db.transaction(engine) as tx:
        assert code_of(lambda: people.disable(tx, "op@example.org", NOW, actor="cli")) == "last_operator"
        assert code_of(lambda: people.set_role(tx, "op@example.org", Role.AGENT, NOW, actor="cli")) == "last_operator"
    make(engine, "two@example.org", Role.OPERATOR)
    with db.transaction(engine) as tx:
        assert people.set_role(tx, "op@example.org", Role.AGENT, NOW, actor="cli").role is Role.AGENT


@pytest.mark.parametrize("email", ["", "x", "a b@c", "a@b@c", "a\n@b", "a" * 70 + "@b", "<a@b>", "a@"])
def test_addresses_that_are_none(engine: Engine, email: str) -> None:
    with db.transaction(engine) as tx:
        assert code_of(lambda: people.create(tx, email, "", Role.OWNER, NOW, actor="cli")) == "email_invalid"


def test_one_address_one_account(engine: Engine, ann: Account) -> None:
    with db.transaction(engine) as tx:
        again = partial(people.create, tx, "ANN@example.org", "", Role.OWNER, NOW, actor="cli")
        assert code_of(again) == "email_taken"
        for zone in ("Mars", "Europe", "../etc/passwd", "", "\0"):
            other = partial(people.create, tx, "b@example.org", "", Role.OWNER, NOW, actor="cli", zone=zone)
            assert code_of(other) == "zone_unknown"


def test_the_audit_tells_who_did_what(engine: Engine, ann: Account) -> None:
    from server.store import audit

    with db.transaction(engine) as tx:
        people.set_role(tx, ann.email, Role.AGENT, NOW, actor="op@example.org")
        entries = audit.of_subject(tx, f"account:{ann.email}")
    assert [entry.action for entry in entries] == ["role_set", "password_set", "account_made"]
    assert entries[0].actor == "op@example.org"
    assert GOOD not in repr(entries)
