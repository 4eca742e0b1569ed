"""Erlang B, C and A: published figures, what must hold for every load, and a simulation beside."""

import heapq
import math
import random
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporting.planning import erlang
from reporting.planning.erlang import Load, Target

# calls in 30 minutes, handling time, agents: must wait, within 20 s, mean wait, occupancy
PATIENT = [
    (100, 180, 14, 0.1741, 0.8884, 7.84, 0.7143),
    (60, 300, 12, 0.4494, 0.6067, 67.41, 0.8333),
    (60, 300, 13, 0.2853, 0.7664, 28.53, 0.7692),
    (200, 240, 30, 0.4277, 0.6760, 30.79, 0.8889),
    (200, 240, 28, 0.7260, 0.3503, 130.69, 0.9524),
]
# calls in 30 minutes, handling time, agents, patience: must wait, mean wait, abandoned, occupancy
IMPATIENT = [
    (200, 240, 28, 120, 0.3594, 8.03, 0.0669, 0.8887),
    (200, 240, 26, 120, 0.4892, 12.40, 0.1033, 0.9196),
    (60, 300, 10, 90, 0.4129, 14.44, 0.1604, 0.8396),
    (30, 180, 3, 60, 0.4764, 16.63, 0.2772, 0.7228),
]
loads = st.builds(Load, rate=st.floats(0.001, 2), handle_time=st.floats(20, 900)).filter(
    lambda load: 0.05 < load.erlangs < 500
)
patiences = st.floats(5, 3600)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def half_hour(calls: float, handle_time: float) -> Load:
    return Load(calls / 1800, handle_time)


@pytest.mark.parametrize(("calls", "aht", "n", "wait", "level", "asa", "busy"), PATIENT)
def test_erlang_c_gives_the_known_figures(calls, aht, n, wait, level, asa, busy):
    found = erlang.patient(half_hour(calls, aht), n, within=20)
    assert found.must_wait == pytest.approx(wait, abs=5e-5)
    assert found.service_level == pytest.approx(level, abs=5e-5)
    assert found.mean_wait == pytest.approx(asa, abs=5e-3)
    assert found.occupancy == pytest.approx(busy, abs=5e-5)
    assert found.abandoned == 0


@pytest.mark.parametrize(
    ("calls", "aht", "n", "patience", "wait", "asa", "gone", "busy"), IMPATIENT
)
def test_erlang_a_gives_the_known_figures(calls, aht, n, patience, wait, asa, gone, busy):
    found = erlang.impatient(half_hour(calls, aht), n, patience=patience, within=20)
    assert found.must_wait == pytest.approx(wait, abs=5e-5)
    assert found.mean_wait == pytest.approx(asa, abs=5e-3)
    assert found.abandoned == pytest.approx(gone, abs=5e-5)
    assert found.occupancy == pytest.approx(busy, abs=5e-5)


def test_erlang_b_of_small_lines_by_hand():
    assert erlang.erlang_b(2, 0) == 1  # nobody there
    assert erlang.erlang_b(1, 1) == 1 / 2
    assert erlang.erlang_b(1, 2) == pytest.approx((1 / 2) / (1 + 1 + 1 / 2))
    assert erlang.erlang_b(0, 3) == 0


def test_in_overload_erlang_c_has_no_answer_and_erlang_a_has_one():
    load = half_hour(60, 300)  # 10 erlangs
    assert erlang.patient(load, 10, within=20) is None
    assert erlang.patient(load, 7, within=20) is None
    found = erlang.impatient(load, 7, patience=90, within=20)
    assert 0.3 < found.abandoned < 0.4  # 3 of 10 cannot be served
    assert found.occupancy > 0.9


def test_no_calls_and_no_agents():
    assert erlang.patient(Load(0, 180), 0, within=20).service_level == 1
    assert erlang.impatient(Load(0, 180), 0, patience=60, within=20).service_level == 1
    nobody = erlang.impatient(half_hour(60, 300), 0, patience=90, within=20)
    assert (nobody.abandoned, nobody.service_level, nobody.mean_wait) == (1, 0, 90)
    with pytest.raises(ValueError, match="takes some time"):
        Load(1, 0)
    with pytest.raises(ValueError, match="Patience"):
        erlang.impatient(half_hour(60, 300), 3, patience=0, within=20)


@pytest.mark.parametrize("agents", [1, 300, 480, 499, 500, 501, 600, 5000])
@pytest.mark.parametrize("patience", [5, 120, 3600])
def test_a_house_of_500_agents_neither_overflows_nor_drifts(agents, patience):
    load = Load(500 / 180, 180)  # 500 erlangs
    found = erlang.impatient(load, agents, patience=patience, within=36_000)
    assert 0 <= found.occupancy <= 1
    assert found.service_level == pytest.approx(1 - found.abandoned, abs=1e-8)  # served at all
    assert found.abandoned >= 1 - agents / 500 - 1e-9


@unhurried
@given(loads, st.integers(1, 700), patiences, st.floats(0, 900))
def test_who_is_not_served_within_any_time_has_left(load, agents, patience, within):
    found = erlang.impatient(load, agents, patience=patience, within=within)
    ever = erlang.impatient(load, agents, patience=patience, within=80 * 3600)
    assert found.service_level <= ever.service_level + 1e-9
    assert ever.service_level == pytest.approx(1 - ever.abandoned, abs=1e-7)
    at_once = erlang.impatient(load, agents, patience=patience, within=0)
    assert at_once.service_level == pytest.approx(1 - at_once.must_wait, abs=1e-9)


@unhurried
@given(loads, st.integers(1, 600), patiences)
def test_another_agent_makes_nothing_worse(load, agents, patience):
    fewer, more = (
        erlang.impatient(load, n, patience=patience, within=20) for n in (agents, agents + 1)
    )
    assert more.service_level >= fewer.service_level - 1e-9
    assert more.mean_wait <= fewer.mean_wait + 1e-9
    assert more.abandoned <= fewer.abandoned + 1e-9
    assert more.occupancy <= fewer.occupancy + 1e-9
    fewer, more = (erlang.patient(load, n, within=20) for n in (agents, agents + 1))
    if fewer is not None:
        assert more.service_level >= fewer.service_level - 1e-9
        assert more.mean_wait <= fewer.mean_wait + 1e-9


@unhurried
@given(loads, st.integers(1, 40))
def test_callers_who_never_leave_are_those_of_erlang_c(load, spare):
    agents = math.floor(load.erlangs * 1.1) + spare
    without = erlang.patient(load, agents, within=20)
    if without is None:
        return
    found = erlang.impatient(load, agents, patience=1e8, within=20)
    assert found.must_wait == pytest.approx(without.must_wait, abs=1e-3)
    assert found.service_level == pytest.approx(without.service_level, abs=1e-3)
    assert found.abandoned == pytest.approx(0, abs=1e-3)


@unhurried
@given(loads, st.floats(0.1, 0.99), patiences, st.sampled_from([None, 0.6, 0.85]))
def test_the_agents_needed_are_enough_and_one_fewer_is_not(load, share, patience, occupancy):
    target = Target(share=share, within=20, occupancy=occupancy)

    def expected(agents):
        return erlang.impatient(load, agents, patience=patience, within=20)

    found = erlang.needed(expected, target, near=math.ceil(load.erlangs))
    assert target.is_met(expected(found))
    assert found == 0 or not target.is_met(expected(found - 1))


def test_agents_needed_for_a_service_level_a_wait_and_an_occupancy():
    load = half_hour(60, 300)  # 12 agents: 0.6067; 13: 0.7664, 28.53 s, occupancy 0.7692

    def expected(agents):
        return erlang.patient(load, agents, within=20)

    assert erlang.needed(expected, Target(share=0.76)) == 13
    assert erlang.needed(expected, Target(share=0.77)) == 14
    assert erlang.needed(expected, Target(wait=28.6)) == 13
    assert erlang.needed(expected, Target(wait=28.5)) == 14
    assert erlang.needed(expected, Target(share=0.6, occupancy=0.8)) == 13
    assert erlang.needed(expected, Target(occupancy=0.5)) == 20
    assert erlang.needed(lambda agents: None, Target(share=0.5)) is None
    assert erlang.needed(lambda n: erlang.patient(Load(0, 60), n, within=20), Target(0.8)) == 0


def test_shrinkage_is_made_up_for_and_rounded_up():
    assert erlang.rostered(14, 0) == 14
    assert erlang.rostered(14, 0.3) == 20  # 14 / 0.7 = 20 exactly
    assert erlang.rostered(15, 0.3) == 22  # 21.4
    with pytest.raises(ValueError, match="below 1"):
        erlang.rostered(1, 1)


def simulate(load: Load, agents: int, patience: float, within: float, *, calls: int) -> tuple:
    """Serve so many callers in order, one event after the other; with no code of erlang.py."""
    chance = random.Random(20261122)
    now, free = 0.0, agents
    line: deque[tuple[float, float, bool]] = deque()
    ends: list[float] = []
    in_time = gone = counted = 0
    waited = 0.0
    for number in range(calls):
        now += chance.expovariate(load.rate)
        while ends and ends[0] <= now:  # whoever is freed takes the first who is still there
            at = heapq.heappop(ends)
            free += 1
            while line and free:
                came, leaves, counts = line.popleft()
                if leaves < at:
                    gone += counts
                    waited += counts * (leaves - came)
                    continue
                free -= 1
                heapq.heappush(ends, at + chance.expovariate(1 / load.handle_time))
                in_time += counts and at - came <= within
                waited += counts * (at - came)
        counts = number > calls // 20  # after the line has warmed up
        counted += counts
        leaves = now + chance.expovariate(1 / patience)
        if free:
            free -= 1
            heapq.heappush(ends, now + chance.expovariate(1 / load.handle_time))
            in_time += counts
        else:
            line.append((now, leaves, counts))
    return in_time / counted, gone / counted, waited / counted


@pytest.mark.parametrize(("calls", "aht", "n", "patience", "within"), [
    (200, 240, 26, 120, 20), (60, 300, 7, 90, 30), (30, 180, 3, 60, 10), (60, 300, 12, 600, 20),
])  # fmt: skip
def test_a_simulation_meets_the_same_waits(calls, aht, n, patience, within):
    load = half_hour(calls, aht)
    level, gone, waited = simulate(load, n, patience, within, calls=60_000)
    found = erlang.impatient(load, n, patience=patience, within=within)
    assert level == pytest.approx(found.service_level, abs=0.012)
    assert gone == pytest.approx(found.abandoned, abs=0.008)
    assert waited == pytest.approx(found.mean_wait, rel=0.08)
