"""How far a gateway trusts its clock, and that a clock that is set while we listen stamps the window right."""

from __future__ import annotations

import pytest

from gateway.clock import RELEASED_MS, WallClock, kernel_synchronised, steady_clock, wall_clock_ms
from gateway.collector import Collector
from gateway.config import ClockSetting
from tests.gateway.air import NETWORK, frame
from wire.batch import Clock

NOW_MS = RELEASED_MS + 10**9


class Machine:
    """A machine whose two clocks a test may turn."""

    def __init__(self, synchronised: bool | None, setting: ClockSetting | None = None) -> None:
        self.steady_ms, self.wall_ms, self.synchronised = 5_000, NOW_MS, synchronised
        self.clock = WallClock(
            lambda: self.steady_ms * 1_000_000,
            lambda: self.wall_ms,
            setting or ClockSetting(),
            lambda: self.synchronised,
        )

    def pass_ms(self, ms: int) -> None:
        self.steady_ms += ms
        self.wall_ms += ms


@pytest.mark.parametrize(("synchronised", "quality"), [(True, Clock.GOOD), (False, Clock.UNSURE), (None, Clock.UNSURE)])
def test_the_kernel_is_asked(synchronised: bool | None, quality: Clock) -> None:
    assert Machine(synchronised).clock.judge().quality is quality


def test_somebody_who_knows_the_machine_is_believed_and_quoted() -> None:
    judged = Machine(None, ClockSetting(Clock.GOOD, "the host keeps it")).clock.judge()
    assert (judged.quality, judged.reason) == (Clock.GOOD, "set by hand: the host keeps it")


def test_a_clock_that_was_never_set_is_bad_whatever_somebody_says() -> None:
    machine = Machine(True, ClockSetting(Clock.GOOD, "really"))
    machine.wall_ms = RELEASED_MS - 1
    assert machine.clock.judge().quality is Clock.BAD


def test_a_clock_behind_the_last_batch_is_bad() -> None:
    machine = Machine(True)
    assert machine.clock.judge(not_before_ms=NOW_MS + 1).quality is Clock.BAD
    assert machine.clock.judge(not_before_ms=NOW_MS).quality is Clock.GOOD


def test_a_step_that_nobody_vouches_for_makes_the_window_unsure() -> None:
    machine = Machine(False, ClockSetting(Clock.GOOD, "by hand"))
    assert machine.clock.judge().quality is Clock.GOOD
    machine.pass_ms(60_000)
    machine.wall_ms += 5_000
    assert machine.clock.judge().quality is Clock.UNSURE
    machine.pass_ms(60_000)
    assert machine.clock.judge().quality is Clock.GOOD


def test_a_step_by_a_synchronised_kernel_is_the_truth() -> None:
    machine = Machine(False)
    machine.clock.judge()
    machine.wall_ms += 86_400_000
    machine.synchronised = True
    assert machine.clock.judge().quality is Clock.GOOD


def test_a_clock_set_while_a_window_is_open_stamps_all_of_it_right() -> None:
    """The Raspberry Pi without a battery clock: it wakes in the past, hears a tag, and then hears from NTP."""
    machine = Machine(False)
    table = Collector(network_id=NETWORK, now_ns=machine.steady_ms * 1_000_000)
    table.hear("A", frame(1), -60, machine.steady_ms * 1_000_000)
    machine.pass_ms(30_000)
    machine.wall_ms += 7 * 86_400_000
    machine.synchronised = True
    judged = machine.clock.judge()
    (seen,) = table.take(machine.steady_ms * 1_000_000, judged.offset_ms).sightings
    assert seen.last_ms == machine.wall_ms - 30_000


def test_this_machine_can_be_asked() -> None:
    assert kernel_synchronised() in (True, False, None)
    steady = steady_clock()
    assert steady() <= steady()
    assert wall_clock_ms() > RELEASED_MS
