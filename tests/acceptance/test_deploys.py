"""A new version, or new secrets, in mid-call: no caller is lost and no request fails."""

from __future__ import annotations

import threading

import pytest

from callcenter.launch import commands
from callcenter.launch.processes import CannotStart
from tests.acceptance.centre import Centre
from tests.acceptance.outage import Blow, Outage
from tests.acceptance.own_stack import OwnStack
from tests.acceptance.stack import SECRETS

NEW_TOKEN, NEW_SECRET = "the-new-webhook-token-of-this-stack", "the-new-signing-secret"
NEW_KEY = "the-second-secret-key-of-this-stack-9876543210"


@pytest.mark.long
def test_a_reload_with_new_secrets_in_mid_call_loses_nobody(own_centre: Centre):
    """Web, worker and beat are all new afterwards; no voice webhook had an error meanwhile.

    The secret key, the webhook token and the signing secret change with it, the old ones beside:
    calls under way use URLs that the old ones signed. The new key is made known to all, by a
    reload of its own, before anything is signed with it.
    """
    own_stack = own_centre.stack
    assert isinstance(own_stack, OwnStack)
    before = {name: own_stack.pid(name) for name in ("web", "worker", "beat")}
    old_key, old_token = "the-first-secret-key-of-this-stack-0123456789", own_stack.webhook_token
    own_centre.switch(signing_secrets=SECRETS[:1])
    own_stack.set(SECRET_KEY_FALLBACKS=NEW_KEY)
    commands.reload(own_stack.inside)
    reload = threading.Thread(target=commands.reload, args=[own_stack.inside])

    def begin(stack: OwnStack) -> None:
        stack.set(
            SECRET_KEY=NEW_KEY,
            SECRET_KEY_FALLBACKS=old_key,
            SAUTIKIT_WEBHOOK_TOKEN=f"{NEW_TOKEN},{old_token}",
            SAUTIKIT_SIGNING_SECRETS=f"{NEW_SECRET},{SECRETS[0]}",
        )
        reload.start()

    def rotate_at_the_provider(stack: OwnStack) -> None:
        reload.join(60)
        numbers = own_centre.sim("GET", "/config")["numbers"]
        for number in numbers:
            for url in ("voice_callback_url", "events_url"):
                number[url] = number[url].replace(old_token, NEW_TOKEN)
        own_centre.switch(numbers=numbers, signing_secrets=[NEW_SECRET])

    blows: list[tuple[float, Blow]] = [(3, begin), (13, rotate_at_the_provider)]
    outage = Outage(own_centre, 61, callers=36, seconds=17, blows=blows)
    try:
        outage.endure()
    finally:
        reload.join(60)
        own_stack.webhook_token = NEW_TOKEN
    assert own_stack.inside.reloaded.read_text() == ""
    assert all(own_stack.pid(name) != pid for name, pid in before.items())
    posts = own_centre.sim("GET", "/posts?brief=1")
    assert posts["unanswered"] == 0
    statuses = {one["status"] for one in own_centre.sim("GET", "/posts")["posts"]}
    assert statuses <= {200, 204}


def test_a_reload_that_cannot_start_leaves_the_old_web_serving(own_centre: Centre):
    own_stack = own_centre.stack
    assert isinstance(own_stack, OwnStack)
    before = own_stack.pid("web")
    own_stack.set(SAUTIKIT_CALL_SCHEMA="nonsense")
    try:
        with pytest.raises(CannotStart, match="manage"):
            commands.reload(own_stack.inside)
        queue = own_centre.queue()
        own_centre.agent(queue)
        [told] = own_centre.over(own_centre.call_in(queue, talk=1))
        assert told["status"] == "completed"
        assert own_stack.pid("web") == before
    finally:
        own_stack.set(SAUTIKIT_CALL_SCHEMA="auto")
        commands.reload(own_stack.inside)
