"""Any of our processes may die at any moment: half a minute later all agree with the provider."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest

from tests.acceptance.centre import Centre, phone
from tests.acceptance.outage import Blow, Outage, killing, moments
from tests.acceptance.own_stack import PARTS, OwnStack


def test_web_is_killed(own_centre: Centre):
    """Its supervisor too, so that requests find nobody for some seconds."""
    _endure(own_centre, 3, killing("web"), unanswered=True)


def test_worker_and_beat_are_killed(own_centre: Centre):
    _endure(own_centre, 5, killing("worker"), killing("beat"))


@pytest.mark.long
def test_redis_is_killed_and_comes_back_empty(own_centre: Centre):
    _endure(own_centre, 7, _lose_redis, _lose_redis)


def test_without_a_database_callers_are_kept_and_served_when_it_is_back(own_centre: Centre):
    """Every voice webhook has the static plan within a second; events are asked for again."""
    centre = own_centre
    centre.switch(no_input_post=False)  # the plan's pause is over: the caller is redirected
    queue = centre.queue(wrap_up_seconds=0)
    for _ in range(4):
        centre.agent(queue)
    patient: dict[str, Any] = {"patience": 60, "talk": 1.2}
    callers = [centre.call_in(queue, **patient) for _ in range(3)]
    own_stack = _own(own_centre)
    with own_stack.without("PostgreSQL"):
        gone_at = time.time()
        while time.time() < gone_at + 5:
            callers.append(centre.call_in(queue, **patient))
            time.sleep(0.2)
        back_at = time.time()
    own_stack.until_up()
    centre.until(
        lambda: all(centre.status(one) == "completed" for one in callers), "all served", 60
    )
    posts = [one for one in _posts(centre, gone_at) if one["at"] < back_at]
    voice = [one for one in posts if one["edge"] in {"ringing", "redirect", "digits", "answered"}]
    assert len(voice) >= 20
    assert {one["status"] for one in voice} == {200}
    slowest = max(one["ms"] for one in voice)
    print(f"{len(voice)} voice webhooks without a database, the slowest {slowest:.0f} ms")
    assert slowest < 1000
    refused = [one for one in posts if one["edge"] == "event"]
    assert {one["status"] for one in refused if one["at"] > gone_at + 0.2} == {503}
    kept = [one for one in callers if any("connecting" in said for said in centre.heard(one))]
    assert len(kept) >= 20
    resumed = [one for one in _posts(centre, gone_at) if "resume=1" in one["url"]]
    assert len(resumed) >= len(kept)
    centre.over(*callers, seconds=30, legs=False)


@pytest.mark.long
def test_without_redis_worker_and_beat_an_agent_who_becomes_free_is_rung(own_centre: Centre):
    """The web processes stand in: placing, hanging up, and what the sweep finds."""
    centre = own_centre
    queue = centre.queue(ring_timeout=3, max_wait_seconds=60)
    agent = centre.agent(
        queue, presence="break", answers=[phone(action="no_answer"), phone(ring=0.3)]
    )
    first = centre.call_in(queue, patience=60, talk=1)
    second = centre.call_in(queue, patience=60, talk=1)
    centre.until_offerable(second)
    own_stack = _own(own_centre)
    with own_stack.without("Valkey", "worker", "beat"):
        began = time.monotonic()
        time.sleep(1)
        centre.present(agent)
        centre.until_rings(agent.destination, seconds=5)
        # Not answered: the ringing is ended by a deadline, which the sweep alone looks at.
        centre.until(
            lambda: centre.legs_to(agent.destination)[0]["status"] != "ringing", "rung off", 8
        )
        assert centre.legs_to(agent.destination)[0]["ended_by"] == "api"
        centre.present(agent, "break")
        centre.present(agent)
        centre.until_status(first, "connected", "completed", seconds=5)
        centre.until_status(first, "completed", seconds=5)
        centre.until_status(second, "connected", "completed", seconds=10)  # wrap-up has ended
        health = own_stack.health()
        assert health["status"] == "degraded"
        assert "by the web processes" in health["sweep"]
        while time.monotonic() - began < 15:
            time.sleep(0.2)
        alerts = centre.api("GET", "/api/live/")["alerts"]
        assert [one["kind"] for one in alerts] == ["standing_in"]
        centre.over(first, second, seconds=30)
    own_stack.until_up()
    centre.until(lambda: not centre.api("GET", "/api/live/")["alerts"], "the alert is withdrawn")
    assert len(centre.legs_to(agent.destination)) == 3


@pytest.mark.long
def test_two_beats_and_two_workers_do_no_harm(own_centre: Centre):
    own_stack = _own(own_centre)
    environment = {**own_stack._environment, "PYTHONUNBUFFERED": "1"}
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "callcenter"]
    second_beat = [*celery, "beat", "-s", str(own_stack.place.directory / "beat"), "--pidfile="]
    second_worker = [*celery, "worker", "-P", "threads", "-c", "8", "--without-mingle"]
    more = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in (second_beat, second_worker)
    ]
    try:
        time.sleep(3)
        _endure(own_centre, 43)
        assert [one.poll() for one in more] == [None, None]
        assert _most_offers_at_once(own_stack) == 1
    finally:
        for one in more:
            one.terminate()
        for one in more:
            one.wait(30)


def test_the_host_restarts_with_calls_in_every_state(own_centre: Centre):
    """All processes at once, PostgreSQL and Valkey too; then the same command as before."""
    _endure(own_centre, 11, _restart, unanswered=True)


@pytest.mark.long
def test_postgresql_is_killed(own_centre: Centre):
    _endure(own_centre, 13, killing("PostgreSQL"))


@pytest.mark.long
def test_one_web_process_or_only_the_head_of_a_part_is_killed(own_centre: Centre):
    def heads(stack: OwnStack) -> None:
        for name in ("web", "PostgreSQL", "worker"):
            stack.kill(name, whole=False)

    _endure(own_centre, 17, OwnStack.kill_one_web_process, heads, unanswered=True, callers=24)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(500, 506))
def test_anything_is_killed_again_and_again(own_centre: Centre, seed: int):
    """Several blows, each to one part or to two at once."""
    draw = random.Random(seed)
    blows = [killing(*draw.sample(PARTS, draw.choice([1, 1, 2]))) for _ in range(4)]
    _endure(own_centre, seed, *blows, callers=50, seconds=25, unanswered=True)


def _endure(
    centre: Centre,
    seed: int,
    *blows: Blow,
    unanswered: bool = False,
    callers: int = 14,
    seconds: float = 6,
) -> None:
    whens = moments(seed, len(blows), first=seconds / 4, last=seconds * 3 / 4)
    timed = list(zip(whens, blows, strict=True))
    outage = Outage(
        centre, seed, callers=callers, seconds=seconds, clicks=2, blows=timed, unanswered=unanswered
    )
    outage.endure()


def _lose_redis(stack: OwnStack) -> None:
    stack.kill("Valkey")
    stack.lose_valkeys_data()


def _restart(stack: OwnStack) -> None:
    stack.pull_the_plug()
    stack.launcher.start()
    stack.until_up()


def _own(centre: Centre) -> OwnStack:
    assert isinstance(centre.stack, OwnStack)
    return centre.stack


def _posts(centre: Centre, since: float) -> list[dict[str, Any]]:
    return list(centre.sim("GET", f"/posts?since={since}")["posts"])


def _most_offers_at_once(stack: OwnStack) -> int:
    """The most offers that any one call or agent had at a time."""
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            """
            SELECT max((SELECT count(*) FROM queues_offer b
                        WHERE (b.agent_id = a.agent_id OR b.call_id = a.call_id)
                        AND b.created_at <= a.created_at
                        AND coalesce(b.ended_at, 'infinity') > a.created_at))
            FROM queues_offer a
            """
        ).fetchone()
        assert row
        return int(row[0])
