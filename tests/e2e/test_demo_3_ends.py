"""How the demo ends: by Ctrl-C, by kill -9, and how it begins again. Last of the demo's files, because it stops it."""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import Demo, processes_of, start_demo

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
CUSTOMER, TAG = "rowan.ellery@example.org", 7001001


def test_ctrl_c_leaves_no_process_and_a_second_start_keeps_the_data(demo: Demo) -> None:
    receipt = demo.api(CUSTOMER).get(f"/tags/{TAG}/receipt").json()
    assert demo.stop() == 0
    assert processes_of(demo.data) == []
    again = start_demo(demo.data, demo.port)
    demo.child = again.child
    demo.wait_ready()
    assert demo.api(CUSTOMER).get(f"/tags/{TAG}/receipt").json() == receipt


def test_a_killed_demo_leaves_no_process_either(demo: Demo) -> None:
    demo.child.kill()
    demo.child.wait()
    until = time.monotonic() + 30
    while left := processes_of(demo.data):
        assert time.monotonic() < until, left
        time.sleep(0.2)
