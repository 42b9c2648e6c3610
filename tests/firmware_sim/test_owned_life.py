"""The whole life of an owned tag, in any order: no owner lost, one face under an address, no quarter told wrongly."""

from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware_sim.claim import Turn
from firmware_sim.owned import NEAR_S
from firmware_sim.tag import (
    OWNED_INTERVAL_S,
    TRANSIT_INTERVAL_S,
    Advertise,
    ButtonPress,
    Event,
    Moved,
    NewBattery,
    PowerOff,
    PowerOn,
    TagState,
    Tick,
    step,
)
from tests.firmware_sim.conftest import K_FACTORY, K_LOT, SERVER, make_unit
from tests.firmware_sim.owners import Owner
from wire import gatt
from wire.activation import activation_data
from wire.frames import FrameType, Status, day_of_tick, decode_o, decode_p, frame_kind, tick_of, verify_n, verify_o
from wire.gatt import ClearProof, Op
from wire.keys import day_public_key, eid, unlisted_eid

NOON_S = 20_720.5 * 86_400
MOST_DRIFT = 100e-6
OWNERS = {name: Owner(name) for name in ("Ann", "Bob")}
SEEN: Counter[str] = Counter()


class OwnedLife(RuleBasedStateMachine):
    """The model: who owns the tag, when they were last there and what time they said it was."""

    @initialize(seed=st.integers(0, 2**32), drift=st.floats(-100, 100), days=st.sampled_from([0, 2, 40, 40]))
    def make(self, seed: int, drift: float, days: int) -> None:
        self.dice = Random(seed).randbytes
        self.state, self.now_s = TagState(make_unit(drift_ppm=drift)), NOON_S
        self.happen(PowerOn(self.now_s))
        self.private: Owner | None = None
        self.managed: Owner | None = None
        self.days = (0, 0)
        self.told = (self.now_s, self.now_s)  # when somebody last set the clock, and to what
        self.near_until_s = float("-inf")
        self.lost = False
        self.faces: dict[str, tuple[FrameType, bytes]] = {}
        self.last: tuple[float, int, Advertise] | None = None
        self.lost_ticks: dict[int, int] = {}  # tick → boot, since the owner was last there
        self.tick = -1
        if days:
            self.somebody_claims_it("Ann", days)

    # --- What happens --------------------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        boots = self.state.nvm.boot
        self.state, outputs = step(self.state, event, self.dice)
        if self.state.nvm.boot != boots and boots:
            self.lost, self.near_until_s = self.private is not None, float("-inf")
        for advert in outputs:
            self.hear(advert)

    @rule(
        seconds=st.one_of(
            st.floats(0, 60), st.floats(0, 2_000), st.floats(0, 90_000), st.floats(0, 40 * 86_400), st.just(900.0)
        )
    )
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.happen(Tick(self.now_s))

    @rule(beacons=st.integers(1, 5))
    def it_beacons(self, beacons: int) -> None:
        for _ in range(beacons):
            if self.state.ram is not None:
                self.now_s = max(self.now_s, self.state.ram.next_beacon_at_s)
                self.happen(Tick(self.now_s))

    @rule(times=st.integers(1, 30), every_s=st.sampled_from([31.0, 450.0, 1_800.0, 7_200.0]))
    def it_lies_about(self, times: int, every_s: float) -> None:
        for _ in range(times):
            self.time_passes(every_s)

    @rule(makes=st.sampled_from([PowerOff, PowerOn, PowerOn, NewBattery, ButtonPress, Moved]))
    def something_happens(self, makes: type[Event]) -> None:
        self.happen(makes(self.now_s))

    @rule(off_s=st.one_of(st.floats(0, 60), st.floats(0, 200_000)))
    def the_battery_falls_out_and_is_put_back(self, off_s: float) -> None:
        self.happen(PowerOff(self.now_s))
        self.now_s += off_s
        self.happen(PowerOn(self.now_s))

    # --- Whoever comes by ----------------------------------------------------------------------------------

    @precondition(lambda self: self.state.ram is not None)
    @rule(name=st.sampled_from(list(OWNERS)), days=st.sampled_from([1, 2, 40]))
    def somebody_claims_it(self, name: str, days: int) -> None:
        """The whole way, button included."""
        owner = OWNERS[name]
        self.happen(ButtonPress(self.now_s))
        first_day, eids = owner.list(self.now_s, days)
        held = self.private or self.managed
        begun = owner.begin(self.state, first_day, eids, self.now_s)
        assert (begun.refused is None) is (held in (None, owner))
        if begun.refused is None:
            self.state = owner.take(self.state, self.now_s, days)
            self.private = self.managed = owner
            self.days = (first_day, days)
            self.owner_was_there(self.now_s)
            SEEN["claimed"] += 1

    @precondition(lambda self: self.state.ram is not None)
    @rule(name=st.sampled_from(list(OWNERS)))
    def somebody_begins_and_leaves(self, name: str) -> None:
        turn = OWNERS[name].begin(self.state, *OWNERS[name].list(self.now_s, 70), self.now_s)
        self.state = turn.state

    @precondition(lambda self: self.state.ram is not None)
    @rule(
        name=st.sampled_from(["Ann", "Ann", "Bob"]),
        off_s=st.sampled_from([0.0, 0.0, 0.0, 100.0, -100.0, -2_000.0, 90_000.0]),
    )
    def somebody_says_they_are_near(self, name: str, off_s: float) -> None:
        """Their phone's clock may be wrong."""
        turn = OWNERS[name].near(self.state, self.now_s, self.now_s + off_s)
        assert (turn.refused is None) is (self.private is OWNERS[name])
        if turn.refused is None:
            self.state = turn.state
            self.owner_was_there(self.now_s + off_s)
            SEEN["near"] += 1

    @precondition(lambda self: self.state.ram is not None)
    @rule(who=st.sampled_from(["Bob", "Bob", "Bob", "Ann", "server"]))
    def somebody_clears_it(self, who: str) -> None:
        self.happen(ButtonPress(self.now_s))
        if who == "server":
            nonce = self.dice(8)
            data = bytes((ClearProof.RELEASE,)) + SERVER.sign(gatt.release_message(700, nonce))
            turn = OWNERS["Ann"].ask(self.state, Op.CLEAR, data, self.now_s, nonce)
        else:
            turn = OWNERS[who].clear(self.state, self.now_s)
        assert (turn.refused is None) is (who == "server" or self.private is OWNERS[who])
        self.cleared(turn)

    @precondition(lambda self: self.state.ram is not None)
    @rule(name=st.sampled_from(list(OWNERS)))
    def somebody_activates_it(self, name: str) -> None:
        self.happen(ButtonPress(self.now_s))
        owner = OWNERS[name]
        turn = owner.ask(self.state, Op.ACTIVATE, activation_data(bytes(16), owner.hash), self.now_s)
        held = self.private or self.managed
        assert (turn.refused is None) is (held in (None, owner))
        if turn.refused is None:
            self.state, self.managed = turn.state, owner

    def cleared(self, turn: Turn) -> None:
        self.state = turn.state
        if turn.refused is None:
            self.private = self.managed = None
            self.near_until_s, self.lost, self.tick = float("-inf"), False, -1
            self.lost_ticks.clear()

    def owner_was_there(self, said_s: float) -> None:
        self.told, self.near_until_s, self.lost = (self.now_s, said_s), self.now_s + NEAR_S, False
        self.lost_ticks.clear()
        if self.tick > tick_of(int(said_s)) + 1:
            self.tick = -1  # it had been wrong, and the truth counts from now on

    # --- What the air hears ----------------------------------------------------------------------------------

    def hear(self, advert: Advertise) -> None:
        kind, frame, boot = frame_kind(advert.frame), advert.frame, self.state.nvm.boot
        note(f"{self.now_s - NOON_S:.1f} {kind.name} {advert.address} {frame.hex()}")
        SEEN[kind.name] += 1
        near = self.now_s < self.near_until_s
        wanted = (FrameType.NEAR_OWNER if near else FrameType.OWNED) if self.private else FrameType.PROVENANCE
        assert kind is wanted, "P frames for no private owner, N frames for half an hour"
        assert frame[1] == (kind is FrameType.NEAR_OWNER)
        if self.last and self.last[1] == boot:
            assert self.now_s - self.last[0] >= TRANSIT_INTERVAL_S
            if self.private and frame_kind(self.last[2].frame) is not FrameType.PROVENANCE:
                assert self.now_s - self.last[0] >= OWNED_INTERVAL_S
        status = Status.from_byte(frame[3])
        assert status.clock_lost is (self.lost and self.private is not None)
        if self.private is not None:
            self.check_quarter(frame, self.private, boot)
        else:
            assert decode_p(frame, K_LOT, K_FACTORY).serial == 700
        self.check_face(advert, kind)
        self.last = (self.now_s, boot, advert)

    def check_quarter(self, frame: bytes, owner: Owner, boot: int) -> None:
        tick = self.state.nvm.tick_said
        assert tick >= self.tick, "time does not run backwards"
        if not self.lost:
            since_s = self.now_s - self.told[0]
            right = tick_of(int(self.told[1] + since_s))
            assert abs(tick - right) <= 1 + ceil(since_s * MOST_DRIFT / 900)
        else:
            assert self.lost_ticks.setdefault(tick, boot) == boot, "no quarter is told again after a power loss"
        if frame[1]:
            assert verify_n(frame, owner.k_own, tick)
        else:
            opened, day = decode_o(frame), day_of_tick(tick)
            assert verify_o(opened, owner.k_own, tick)
            listed = self.days[0] <= day < sum(self.days)
            assert opened.eid == (eid(day_public_key(owner.s_o, day)) if listed else unlisted_eid(owner.k_own, day))
            SEEN["listed" if listed else "unlisted"] += 1
        self.tick = tick

    def check_face(self, advert: Advertise, kind: FrameType) -> None:
        varying = {
            FrameType.PROVENANCE: b"",
            FrameType.OWNED: advert.frame[4:20],
            FrameType.NEAR_OWNER: advert.frame[4:],
        }
        face = (kind, varying[kind])
        assert self.faces.setdefault(advert.address, face) == face, "one address, one face"
        if self.last is not None and self.last[1] == self.state.nvm.boot and kind is not FrameType.PROVENANCE:
            before = self.last[2]
            kept = self.faces[before.address] == face
            assert kept is (before.address == advert.address), "an address changes with its face, and only then"

    # --- What is kept ----------------------------------------------------------------------------------------

    @invariant()
    def no_owner_is_lost(self) -> None:
        nvm = self.state.nvm
        assert nvm.k_own == (self.private.k_own if self.private else b"")
        assert nvm.owner_hash == (self.managed.hash if self.managed else b"")
        assert len(nvm.eids) == (16 * self.days[1] if self.private else 0)


OwnedLife.TestCase.settings = settings(stateful_step_count=40)
TestOwnedLife = OwnedLife.TestCase
