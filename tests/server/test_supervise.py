"""The end of a crew: however many of its programs hang, it takes as long as for one."""

from __future__ import annotations

from server.supervise import END_S, Crew, Program, Watched


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Hanging(Program):
    """Takes all the time that it is given."""

    alive = False  # so that nothing is asked of a process

    def __init__(self, clock: Clock) -> None:
        super().__init__([], {})
        self._clock = clock

    def stop(self, patience_s: float = END_S) -> None:
        self._clock.now_s += patience_s


def test_programs_that_hang_share_the_time_that_one_is_given() -> None:
    """Sixteen workers on a database that does not answer would keep `up` for two minutes, and Docker kills after ten
    seconds: then nobody would end PostgreSQL in order.
    """
    clock = Clock()
    crew = Crew(clock, parts=[Watched(f"ingest-{n}", Hanging(clock)) for n in range(16)])
    crew.stop()
    assert clock.now_s == 1_000.0 + END_S
