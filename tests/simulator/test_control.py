"""The control API, the traffic, and the process itself."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from simulator.config import Config, ConfigError
from simulator.phones import BehaviourError, Phones
from simulator.traffic import Plan
from tests.simulator.stage import AGENT, CALLER, DID, HANGUP, conference, on_stage

ROOT = Path(__file__).parents[2]


def test_a_list_of_behaviours_is_used_in_turn():
    phones = Phones({AGENT: [{"action": "busy"}, {"action": "no_answer"}, {"action": "answer"}]})
    assert [phones.next_for(AGENT).action for _ in range(4)] == [
        "busy",
        "no_answer",
        "answer",
        "answer",
    ]
    assert phones.next_for(CALLER).action == "answer"


@pytest.mark.parametrize(
    "behaviour",
    [{"action": "dance"}, {"rings": 3}, {"ring": -1}, {"digits": ["x"]}, {"digits": "1"}, [], 7],
)
def test_a_behaviour_that_makes_no_sense_is_refused(behaviour):
    with pytest.raises(BehaviourError):
        Phones({AGENT: behaviour})


@pytest.mark.parametrize(
    "values",
    [
        {"sped": 2},
        {"speed": 0},
        {"switches": {"after_dial": "perhaps"}},
        {"no_input_post": 1},
        {"numbers": [{"number": DID}]},
        {"numbers": DID},
    ],
)
def test_a_setting_that_makes_no_sense_changes_nothing(values):
    config = Config()
    before = config.as_json()
    with pytest.raises(ConfigError):
        config.change({"seed": 9, **values})
    assert config.as_json() == before


def test_phones_and_switches_can_be_changed_while_it_runs():
    async def play():
        async with on_stage({"/agent": HANGUP}) as stage:
            behaviour = [{"action": "busy"}, {"ring": 1}]
            path = f"/_sim/phones/{AGENT}"
            assert (await stage.request("PUT", path, behaviour))[0] == 200
            first = await stage.call_out("/agent")
            await stage.ended(first)
            second = await stage.call_out("/agent")
            await stage.ended(second)
            assert (first.status, second.status) == ("busy", "completed")
            assert (await stage.request("PUT", path, {"action": "sing"}))[0] == 422
            change = {"after_dial": "continue", "speed": 7}
            status, config, _ = await stage.request("PATCH", "/_sim/config", change)
            assert status == 200
            assert (config["switches"]["after_dial"], config["speed"]) == ("continue", 7)
            assert (await stage.request("PATCH", "/_sim/config", {"after_dial": "?"}))[0] == 422
            assert (await stage.request("PATCH", "/_sim/config", {"port": 1}))[0] == 422

    asyncio.run(play())


def test_the_ledger_forgets_the_oldest_finished_legs_only():
    async def play():
        async with on_stage({"/in": HANGUP, "/hold": [conference()]}, keep_finished=2) as stage:
            held = await stage.call_out("/hold")
            legs = [await stage.call_in() for _ in range(4)]
            await stage.ended(*legs)
            ledger = stage.simulator.exchange.ledger
            assert set(ledger.legs.values()) == {held, legs[2], legs[3]}
            assert set(ledger.by_session) == {leg.session_id for leg in ledger.legs.values()}
            story = await stage.get("/_sim/ledger")
            assert len(story["legs"]) == 3
            after = await stage.get(f"/_sim/ledger?since={time.time() + 1}")
            assert after["legs"] == []

    asyncio.run(play())


def test_a_party_can_be_made_to_hang_up():
    async def play():
        async with on_stage({"/in": [conference()]}) as stage:
            caller = await stage.call_in()
            await stage.until(lambda: caller.member)
            path = f"/_sim/calls/{caller.session_id}"
            status, story, _ = await stage.request("POST", path + "/hangup")
            assert (status, story["status"], story["ended_by"]) == (200, "completed", "phone")
            assert (await stage.get(path))["rooms"][0]["left_at"]

    asyncio.run(play())


def test_posts_are_counted_by_edge_with_their_latencies():
    async def play():
        async with on_stage({"/in": HANGUP}) as stage:
            await stage.ended(await stage.call_in())
            posts = await stage.get("/_sim/posts?edge=voice")
            assert posts["voice"]["count"] == 2
            assert posts["voice"]["p50_ms"] <= posts["voice"]["p99_ms"]
            assert {post["edge"] for post in posts["posts"]} == {"ringing", "completed"}
            assert "posts" not in await stage.get("/_sim/posts?brief=1")

    asyncio.run(play())


def test_a_reset_forgets_everything_without_a_word():
    async def play():
        async with on_stage({"/in": [conference()]}) as stage:
            caller = await stage.call_in()
            await stage.until(lambda: caller.member)
            await stage.request(
                "PATCH", "/_sim/config", {"wallet_minor": 5, "after_room": "hangup"}
            )
            assert (await stage.request("POST", "/_sim/reset"))[0] == 200
            health = await stage.get("/_sim/health")
            assert (health["live"], health["legs"], health["rooms"]) == (0, 0, 0)
            assert health["wallet_minor"] == 1_000_000_00
            assert (await stage.get("/_sim/config"))["switches"]["after_room"] == "continue"
            assert stage.centre.at("/in", "Completed") == []
            await stage.until(lambda: True)
            again = await stage.call_in()
            await stage.until(lambda: again.member)

    asyncio.run(play())


def test_traffic_comes_from_kenyan_numbers_and_stops():
    async def play():
        async with on_stage({"/in": HANGUP}) as stage:
            plan = {"per_minute": 3000, "to": [DID], "digits": ["1", "9"], "withheld": 0.3}
            status, answer, _ = await stage.request("POST", "/_sim/traffic", plan)
            assert (status, answer["running"]) == (200, True)
            ledger = stage.simulator.exchange.ledger
            await stage.until(lambda: ledger.opened >= 20)
            _, answer, _ = await stage.request("POST", "/_sim/traffic", {"stop": True})
            assert answer["running"] is False
            callers = {leg.remote for leg in ledger.legs.values()}
            assert "anonymous" in callers
            assert all(
                one == "anonymous" or (one.startswith("+254") and len(one) == 13) for one in callers
            )
            leg = next(iter(ledger.legs.values()))
            assert leg.behaviour.patience is not None
            assert 40 <= leg.behaviour.patience <= 150
            assert {press.keys for press in leg.behaviour.digits if press} <= {"1", "9"}
            await stage.ended(*ledger.legs.values())

    asyncio.run(play())


def test_traffic_goes_to_numbers_of_the_workspace_only():
    with pytest.raises(ConfigError):
        Plan.from_json({"to": ["+254200000999"]}, {DID})


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_is_and_stops_at_once(ending):
    command = [sys.executable, "-m", "simulator", "--port", "0", "--number", DID]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.strip().removeprefix("simulator ready on ")
            assert url.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(url + "/_sim/health", timeout=5) as answer:
                assert answer.status == 200
            process.send_signal(ending)
            assert process.wait(timeout=5) == 0
        finally:
            process.kill()


def test_a_wrong_configuration_is_said_in_one_line(tmp_path):
    path = tmp_path / "sim.json"
    path.write_text('{"switches": {"encoding": "morse"}}')
    command = [sys.executable, "-m", "simulator", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == "simulator: encoding cannot be 'morse'\n"
