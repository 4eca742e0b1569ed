"""What is posted: encodings, labels, signatures, events, faults."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time

import pytest

from simulator.webhooks import rides, sign
from tests.simulator.stage import AGENT, CALLER, DID, HANGUP, Post, Turns, conference, on_stage


def test_a_signature_is_made_as_the_contract_says():
    body = b'{"kind":"call.started"}'
    expected = hmac.new(b"s3cret", body + b".1795334400", hashlib.sha256).hexdigest()
    assert sign("s3cret", body, 1795334400) == f"t=1795334400,v1={expected}"


def signed_right(post: Post, secret: str) -> bool:
    t, v1 = (part.partition("=")[2] for part in post.headers["X-Sautikit-Signature"].split(","))
    expected = hmac.new(secret.encode(), post.raw + b"." + t.encode(), hashlib.sha256)
    return abs(time.time() - int(t)) < 5 and hmac.compare_digest(v1, expected.hexdigest())


def test_everything_posted_is_signed_with_the_newest_secret():
    async def play():
        def hold(post: Post):
            url = f"http://{post.headers['Host']}/room"
            return [conference(statusEventsCallbackUrl=url, statusEvents="join leave")]

        replies = {"/in": hold}
        async with on_stage(replies, signing_secrets=["new", "old"]) as stage:
            await stage.ended(await stage.call_in(patience=2))
            paths = {post.path for post in stage.centre.posts}
            assert paths == {"/in", "/events", "/room"}
            for post in stage.centre.posts:
                assert signed_right(post, "new"), post.path
                assert not signed_right(post, "old")

    asyncio.run(play())


def test_without_a_secret_nothing_is_signed():
    async def play():
        async with on_stage({"/in": HANGUP}) as stage:
            await stage.ended(await stage.call_in())
            assert stage.centre.posts
            for post in stage.centre.posts:
                assert "X-Sautikit-Signature" not in post.headers
                assert post.headers["User-Agent"] == "Sautikit-VoiceProxy"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("form", {"callerNumber": CALLER, "destinationNumber": DID, "isActive": "1"}),
        ("json", {"callerNumber": CALLER, "destinationNumber": DID, "isActive": 1}),
        ("seed", {"From": CALLER, "To": DID, "status": "ringing"}),
    ],
)
def test_a_first_post_in_each_encoding(encoding, expected):
    async def play():
        async with on_stage({"/in": [{"say": {"text": "a"}}]}, encoding=encoding) as stage:
            caller = await stage.call_in()
            await stage.until(lambda: stage.centre.at("/in"))
            first = stage.centre.at("/in")[0]
            handle = "CallId" if encoding == "seed" else "sessionId"
            assert {**first.fields, **expected, handle: caller.session_id} == first.fields
            if encoding != "seed":
                assert (first.state, first.fields["direction"]) == ("Ringing", "Inbound")

    asyncio.run(play())


@pytest.mark.parametrize(
    ("how", "query"),
    [
        ("append", "queue=7&clientRequestId=att-1"),
        ("second_mark", "queue=7?clientRequestId=att-1"),
        ("off", "queue=7"),
    ],
)
def test_the_label_rides_the_voice_url_and_the_body(how, query):
    async def play():
        settings = {"client_request_id_query": how, "phones": {AGENT: {"ring": 1}}}
        async with on_stage({"/agent": HANGUP}, **settings) as stage:
            leg = await stage.call_out("/agent?queue=7", client_request_id="att-1")
            await stage.ended(leg)
            first, last = stage.centre.at("/agent")
            assert (first.state, last.state) == ("Answered", "Completed")
            for post in (first, last):
                assert post.query == query
                assert post.fields["clientRequestId"] == "att-1"
                assert (post.fields["callerNumber"], post.fields["destinationNumber"]) == (
                    DID,
                    AGENT,
                )

    asyncio.run(play())


@pytest.mark.parametrize("label", ["a b", "a,b", '{"a"}', "'a'", ""])
def test_some_labels_do_not_ride(label):
    assert not rides(label)


def test_status_posts_follow_a_call_that_asked_for_them():
    async def play():
        phones = {AGENT: {"ring": 1}}
        async with on_stage({"/agent": HANGUP}, phones=phones) as stage:
            url = stage.centre.url
            body = {
                "from": DID,
                "to": AGENT,
                "action_url": url + "/agent",
                "status_url": url + "/status",
            }
            _, answer, _ = await stage.request("POST", "/v1/calls", body)
            await stage.ended(stage.leg(answer["call_id"]))
            statuses = {post.fields["status"] for post in stage.centre.at("/status")}
            assert statuses == {"ringing", "answered", "completed"}
            assert len(stage.centre.at("/status")) == 3

    asyncio.run(play())


def test_an_event_is_repeated_until_it_is_taken():
    async def play():
        replies = {"/in": HANGUP, "/events": Turns(503, 500, 200)}
        async with on_stage(replies) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            sent: dict[str, set[str]] = {}
            for post in stage.centre.at("/events"):
                headers = post.headers
                assert post.fields["event_id"] == headers["X-Sautikit-Event-Id"]
                kinds = sent.setdefault(headers["X-Sautikit-Event-Kind"], set())
                kinds.add(post.fields["event_id"])
            assert set(sent) == {"call.started", "call.failed"}
            assert all(len(ids) == 1 for ids in sent.values()), "a repeat keeps its id"
            assert len(stage.centre.at("/events")) == 4

    asyncio.run(play())


def test_an_event_nobody_takes_is_given_up():
    async def play():
        async with on_stage({"/in": HANGUP, "/events": 500}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            dead = [one["kind"] for one in caller.entries if one["what"] == "dead_letter"]
            assert sorted(dead) == ["call.failed", "call.started"]
            assert len(stage.centre.at("/events")) == 2 * 3

    asyncio.run(play())


@pytest.mark.parametrize(
    ("envelope", "kind", "where"),
    [("A", "kind", "data"), ("B", "event_kind", "payload"), ("C", None, None)],
)
def test_events_in_each_envelope(envelope, kind, where):
    async def play():
        async with on_stage({"/in": HANGUP}, event_envelope=envelope) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            by_kind = {
                post.headers["X-Sautikit-Event-Kind"]: post for post in stage.centre.at("/events")
            }
            assert set(by_kind) == {"call.started", "call.failed"}
            first = by_kind["call.started"]
            if kind is None:
                assert first.fields["sessionId"] == caller.session_id
            else:
                assert first.fields[kind] == "call.started"
                content = first.fields[where]
                assert content["call_id"] == caller.call_id
                assert content["pbx_call_id"] == caller.session_id
                assert (content["from"], content["to"]) == (CALLER, DID)

    asyncio.run(play())


def test_events_can_be_switched_off():
    async def play():
        async with on_stage({"/in": HANGUP}, events="off") as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert stage.centre.at("/events") == []
            assert (await stage.record(caller))["events"], "the record knows them all the same"

    asyncio.run(play())


def test_faults_repeat_drop_and_refuse():
    async def play():
        faults = [
            {"kind": "repeat", "edge": "completed", "times": 2},
            {"kind": "drop", "edge": "event"},
            {"kind": "rest_error", "route": "GET /v1/wallet", "status": 503},
            {"kind": "rest_error", "route": "POST /v1/calls", "status": 500, "after": True},
        ]
        async with on_stage({"/in": HANGUP}, faults=faults) as stage:
            await stage.ended(await stage.call_in())
            assert len(stage.centre.at("/in", "Completed")) == 3
            assert stage.centre.at("/events") == []
            assert (await stage.request("GET", "/v1/wallet"))[0] == 503
            body = {"from": DID, "to": [AGENT]}
            status, _, _ = await stage.request("POST", "/v1/calls", body, Idempotency_Key="k")
            assert status == 500
            assert stage.simulator.exchange.ledger.opened == 2, "placed all the same"
            await stage.request("PATCH", "/_sim/config", {"faults": []})
            status, _, headers = await stage.request("POST", "/v1/calls", body, Idempotency_Key="k")
            assert (status, headers["Idempotent-Replay"]) == (201, "true")

    asyncio.run(play())


def test_the_same_seed_gives_the_same_faults():
    from simulator.faults import Faults

    rules = [{"kind": "drop", "edge": "event", "probability": 0.5}]
    one, other = Faults(rules, 7), Faults(rules, 7)
    fates = [one.outgoing("event").dropped for _ in range(50)]
    assert fates == [other.outgoing("event").dropped for _ in range(50)]
    assert 10 < sum(fates) < 40
    assert not any(one.outgoing("ringing").dropped for _ in range(50))
