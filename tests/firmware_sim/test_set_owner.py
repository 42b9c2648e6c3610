"""Op 02: a whole list or nothing, by whoever may, and by nobody else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from firmware_sim import set_owner as firmware
from firmware_sim.tag import ButtonPress, PowerOff, PowerOn, TagState, lay_down, step, wake_up
from tests.firmware_sim.conftest import make_unit
from tests.firmware_sim.owners import Owner, eids_of, held
from wire import gatt, set_owner
from wire.activation import activation_data
from wire.errors import WireError
from wire.gatt import AttError, Op, Owned

NOW_S = 1_790_000_000.0
DICE = Random(1).randbytes
ANN, BOB = Owner("Ann"), Owner("Bob")


def tag_in_hand(pressed: bool = True, fleet: bool = False) -> TagState:
    state, _ = step(TagState(make_unit(fleet=fleet)), PowerOn(NOW_S - 100), DICE)
    return step(state, ButtonPress(NOW_S - 1), DICE)[0] if pressed else state


def told(state: TagState, owner: Owner = ANN) -> bytes:
    return gatt.decode_reply(owner.ask(state, Op.STATE, b"", NOW_S).reply, Op.STATE)


def test_a_year_in_eight_messages_that_a_gateway_can_carry() -> None:
    state = tag_in_hand()
    first_day, eids = ANN.list(NOW_S, 366)
    assert told(state) == bytes((Owned.NOBODY,))
    turn = ANN.begin(state, first_day, eids, NOW_S)
    counts = [held(turn)]
    for plain in set_owner.split_list(eids):
        sealed = set_owner.seal_step(ANN.k_claim, bytes(8), bytes(12), plain)
        assert len(gatt.encode_message(Op.SET_OWNER, sealed, bytes(8))) <= gatt.MAX_MESSAGE
        turn = ANN.step(turn.state, plain, NOW_S)
        counts.append(held(turn))
        assert told(turn.state) == bytes((Owned.NOBODY,)), "nothing counts before the end"
    assert counts == [0, 61, 122, 183, 244, 305, 366]
    turn = ANN.step(turn.state, set_owner.encode_finish(int(NOW_S)), NOW_S)
    assert held(turn) == 366
    nvm = turn.state.nvm
    assert (nvm.k_own, nvm.owner_hash, nvm.first_day, nvm.eids) == (ANN.k_own, ANN.hash, first_day, eids)
    assert told(turn.state) == bytes((Owned.PRIVATE,)) + ANN.hash + first_day.to_bytes(4, "big") + b"\x01\x6e"
    assert turn.state.ram is not None
    assert turn.state.ram.stage is None


def test_no_list_without_button_code_or_signature() -> None:
    first_day, eids = ANN.list(NOW_S, 3)
    unpressed = ANN.begin(tag_in_hand(pressed=False), first_day, eids, NOW_S)
    assert unpressed.refused is AttError.NO_CONSENT
    late = ANN.begin(tag_in_hand(), first_day, eids, NOW_S + 61)
    assert late.refused is AttError.NO_CONSENT
    wrong_code = Owner("Ann", k_claim=bytes(16)).begin(tag_in_hand(), first_day, eids, NOW_S)
    assert wrong_code.refused is AttError.UNAUTHENTICATED
    other_tag = ANN.begin(tag_in_hand(), first_day, eids, NOW_S, serial=701)
    assert other_tag.refused is AttError.UNAUTHENTICATED
    off = ANN.begin(TagState(make_unit()), first_day, eids, NOW_S)
    assert off.refused is AttError.UNAUTHENTICATED
    for turn in (unpressed, wrong_code, other_tag):
        assert turn.state.ram is not None
        assert turn.state.ram.stage is None


def test_a_begin_is_for_one_nonce() -> None:
    first_day, eids = ANN.list(NOW_S, 3)
    plain = set_owner.encode_begin(
        ANN.key, serial=700, nonce=b"old one!", k_own=ANN.k_own, first_day=first_day, eids=eids
    )
    assert ANN.step(tag_in_hand(), plain, NOW_S).refused is AttError.UNAUTHENTICATED


def test_data_encrypted_for_another_nonce_or_in_the_clear_is_refused() -> None:
    plain = set_owner.encode_finish(int(NOW_S))
    sealed = set_owner.seal_step(ANN.k_claim, b"old one!", bytes(12), plain)
    for data in (sealed, plain, b"", bytes(200)):
        assert ANN.ask(tag_in_hand(), Op.SET_OWNER, data, NOW_S).refused is AttError.UNAUTHENTICATED


def test_neither_k_own_nor_eids_are_readable_on_the_way() -> None:
    first_day, eids = ANN.list(NOW_S, 3)
    nonce = b"carried!"
    begin = set_owner.encode_begin(ANN.key, serial=700, nonce=nonce, k_own=ANN.k_own, first_day=first_day, eids=eids)
    (part,) = set_owner.split_list(eids)
    data = [set_owner.seal_step(ANN.k_claim, nonce, ANN.dice(12), plain) for plain in (begin, part)]
    assert not any(secret in b"".join(data) for secret in (ANN.k_own, eids[:16]))
    streams = [bytes(a ^ b for a, b in zip(d[12:], p, strict=False)) for d, p in zip(data, (begin, part), strict=True)]
    assert streams[0][:30] != streams[1][:30], "a carrier that repeats a nonce gets no key stream twice"


def test_after_a_disconnection_it_goes_on_where_it_was() -> None:
    state = tag_in_hand()
    first_day, eids = ANN.list(NOW_S, 200)
    parts = list(set_owner.split_list(eids))
    turn = ANN.step(ANN.begin(state, first_day, eids, NOW_S).state, parts[0], NOW_S)
    again = ANN.begin(turn.state, first_day, eids, NOW_S + 300)
    assert again.refused is None, "no second press"
    assert held(again) == 61
    repeated = ANN.step(again.state, parts[0], NOW_S + 301)
    assert held(repeated) == 61, "an answer that was lost may be asked for again"
    assert ANN.step(again.state, parts[2], NOW_S + 301).refused is AttError.INVALID_VALUE, "no gap"
    other = ANN.begin(again.state, first_day + 1, eids, NOW_S + 301)
    assert other.refused is AttError.NO_CONSENT, "another list wants another press"
    late = ANN.begin(again.state, first_day, eids, NOW_S + firmware.STAGE_LIFE_S + 1)
    assert late.refused is AttError.NO_CONSENT
    assert ANN.step(again.state, parts[1], NOW_S + firmware.STAGE_LIFE_S).refused is AttError.INVALID_VALUE
    for plain in (*set_owner.split_list(eids, 61), set_owner.encode_finish(int(NOW_S))):
        again = ANN.step(again.state, plain, NOW_S + 301)
    assert again.refused is None
    assert again.state.nvm.eids == eids


def test_when_only_the_last_answer_was_lost_nothing_is_sent_twice() -> None:
    state = ANN.take(tag_in_hand(), NOW_S, 5)
    first_day, eids = ANN.list(NOW_S, 5)
    again = ANN.begin(state, first_day, eids, NOW_S + 3_600)
    assert again.refused is None, "who holds K_own needs no press to repeat what is there"
    assert held(again) == 5
    done = ANN.step(again.state, set_owner.encode_finish(int(NOW_S + 3_600)), NOW_S + 3_600)
    assert held(done) == 5
    assert done.state.nvm.eids == eids


def test_finish_wants_a_whole_and_true_list_and_today_in_it() -> None:
    first_day, eids = ANN.list(NOW_S, 3)
    begun = ANN.begin(tag_in_hand(), first_day, eids, NOW_S).state
    finish = set_owner.encode_finish(int(NOW_S))
    assert ANN.step(begun, finish, NOW_S).refused is AttError.INVALID_VALUE, "nothing is there yet"
    whole = ANN.step(begun, set_owner.encode_part(0, eids), NOW_S).state
    for day in (first_day - 1, first_day + 3):
        outside = ANN.step(whole, set_owner.encode_finish(day * 86_400 + 5), NOW_S)
        assert outside.refused is AttError.INVALID_VALUE
        assert outside.state == whole
    assert ANN.step(whole, set_owner.encode_finish(first_day * 86_400), NOW_S).refused is None
    false = ANN.step(begun, set_owner.encode_part(0, eids_of(BOB.s_o, first_day, 3)), NOW_S).state
    wrong = ANN.step(false, finish, NOW_S)
    assert wrong.refused is AttError.INVALID_VALUE
    assert wrong.state.ram is not None
    assert wrong.state.ram.stage is None, "a false list is forgotten"
    assert wrong.state.nvm == begun.nvm
    assert ANN.step(whole, set_owner.encode_part(3, eids[:16]), NOW_S).refused is AttError.INVALID_VALUE, "one too many"


def test_another_owner_is_refused_until_the_tag_is_cleared() -> None:
    state = ANN.take(tag_in_hand(), NOW_S, 3)
    first_day, eids = BOB.list(NOW_S, 3)
    assert BOB.begin(state, first_day, eids, NOW_S).refused is AttError.INVALID_VALUE
    assert BOB.clear(state, NOW_S).refused is AttError.UNAUTHENTICATED
    assert BOB.ask(state, Op.ACTIVATE, activation_data(bytes(16), BOB.hash), NOW_S).refused is AttError.INVALID_VALUE
    cleared = ANN.clear(state, NOW_S)
    assert cleared.refused is None
    nvm = cleared.state.nvm
    assert (nvm.owner_hash, nvm.k_own, nvm.eids, nvm.clock_offset_s, nvm.tick_said) == (b"", b"", b"", 0, 0)
    assert (nvm.boot, nvm.uptime_s) == (1, 100)
    assert BOB.take(cleared.state, NOW_S, 3).nvm.k_own == BOB.k_own


def test_ones_own_key_with_another_seed_is_not_enough_for_a_private_tag() -> None:
    """The signing key alone does not renew a list: K_own is what the tag was given."""
    state = ANN.take(tag_in_hand(), NOW_S, 3)
    thief = Owner("Ann")
    thief.k_own = BOB.k_own
    assert thief.begin(state, *ANN.list(NOW_S, 3), NOW_S).refused is AttError.INVALID_VALUE


def test_an_activated_tag_becomes_private_by_the_key_of_its_receipt_only() -> None:
    activated = ANN.ask(tag_in_hand(), Op.ACTIVATE, activation_data(bytes(16), ANN.hash), NOW_S).state
    assert told(activated) == bytes((Owned.MANAGED,)) + ANN.hash
    assert BOB.begin(activated, *BOB.list(NOW_S, 3), NOW_S).refused is AttError.INVALID_VALUE
    private = ANN.take(activated, NOW_S, 3)
    assert private.nvm.k_own == ANN.k_own
    repeated = ANN.ask(private, Op.ACTIVATE, activation_data(bytes(16), ANN.hash), NOW_S)
    assert repeated.refused is None, "either order: a receipt can be had afterwards too"
    assert repeated.state.nvm.eids == private.nvm.eids


def test_a_list_is_renewed_by_its_owner_with_a_press() -> None:
    state = ANN.take(tag_in_hand(), NOW_S, 3)
    first_day, eids = ANN.list(NOW_S, 40)
    later_s = NOW_S + 86_400
    assert ANN.begin(state, first_day, eids, later_s).refused is AttError.NO_CONSENT
    renewed = ANN.take(step(state, ButtonPress(later_s), DICE)[0], later_s, 40)
    assert len(renewed.nvm.eids) == 40 * 16
    assert renewed.nvm.first_day == first_day + 1


def test_a_power_loss_on_the_way_ends_the_attempt_and_not_the_owner() -> None:
    state = ANN.take(tag_in_hand(), NOW_S, 3)
    first_day, eids = ANN.list(NOW_S, 40)
    begun = ANN.step(ANN.begin(state, first_day, eids, NOW_S).state, set_owner.encode_part(0, eids), NOW_S).state
    woken, _ = step(step(begun, PowerOff(NOW_S + 1), DICE)[0], PowerOn(NOW_S + 2), DICE)
    assert (woken.nvm.k_own, woken.nvm.eids) == (state.nvm.k_own, state.nvm.eids)
    assert ANN.step(woken, set_owner.encode_finish(int(NOW_S)), NOW_S + 3).refused is AttError.INVALID_VALUE
    asleep = wake_up(begun.unit, lay_down(begun))
    assert asleep == begun, "a simulated tag laid to sleep goes on in the middle"


def test_a_fleet_tag_takes_no_private_owner() -> None:
    fleet = tag_in_hand(fleet=True)
    assert ANN.begin(fleet, *ANN.list(NOW_S, 3), NOW_S).refused is AttError.INVALID_VALUE
    assert ANN.ask(fleet, Op.ACTIVATE, activation_data(bytes(16), ANN.hash), NOW_S).refused is None


@pytest.mark.parametrize("days", [0, 367])
def test_lists_have_limits(days: int) -> None:
    with pytest.raises(WireError, match="1 to 366"):
        set_owner.encode_begin(ANN.key, serial=1, nonce=bytes(8), k_own=ANN.k_own, first_day=1, eids=bytes(16 * days))
    with pytest.raises(WireError, match="1 to 61"):
        set_owner.encode_part(0, bytes(16 * (days and 62)))


@settings(max_examples=60)
@given(st.data())
def test_however_the_steps_come_the_tag_has_a_whole_list_or_its_old_one(data: st.DataObject) -> None:
    """Steps of two owners in any order, with repetitions, disconnections, presses and power losses between them."""
    state = tag_in_hand()
    if data.draw(st.booleans(), label="owned before"):
        state = ANN.take(state, NOW_S, 2)
    first_day, now_s = ANN.list(NOW_S, 1)[0], NOW_S
    lists = {"Ann": eids_of(ANN.s_o, first_day, 70), "Bob": eids_of(BOB.s_o, first_day, 65)}
    finish = set_owner.encode_finish(int(NOW_S))
    for _ in range(data.draw(st.integers(1, 16))):
        now_s += data.draw(st.sampled_from([0.0, 1.0, 30.0, 700.0]))
        owner, before = data.draw(st.sampled_from([ANN, BOB])), state.nvm
        what = data.draw(st.sampled_from([*["on"] * 12, "begin", "first", "second", "finish", "press", "power"]))
        if what == "on":  # what an honest client would say next
            stage = state.ram.stage if state.ram else None
            if stage is None:
                state, _ = step(state, ButtonPress(now_s), DICE)
            else:
                owner = ANN if stage.k_own == ANN.k_own else BOB
            held_now = -1 if stage is None else len(stage.eids) // 16
            what = {-1: "begin", 0: "first", 61: "second"}.get(held_now, "finish")
        eids = lists[owner.name]
        if what == "press":
            state, _ = step(state, ButtonPress(now_s), DICE)
        elif what == "power":
            state = step(step(state, PowerOff(now_s), DICE)[0], PowerOn(now_s), DICE)[0]
        elif what == "begin":
            state = owner.begin(state, first_day, eids, now_s).state
        elif what == "finish":
            state = owner.step(state, finish, now_s).state
        else:
            state = owner.step(state, list(set_owner.split_list(eids))[what == "second"], now_s).state
        nvm = state.nvm
        event(f"owner {(before.k_own == nvm.k_own and 'kept') or 'set'} by {what}")
        kept = (before.k_own, before.eids)
        assert (nvm.k_own, nvm.eids) in {kept, (ANN.k_own, lists["Ann"]), (BOB.k_own, lists["Bob"])}
        assert not before.k_own or nvm.k_own == before.k_own, "an owner is never lost to another"
