"""Telling open pages that they are stale: one Redis subscription a web process, fanned out.

A nudge carries no data: the page re-reads its fragment through the view that checks permissions.
A lost nudge costs nothing, because pages also poll; a nudge that fails is not an error for whoever
caused it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import redis
import redis.asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from callcenter import bell
from callcenter.permissions import is_supervisor

log = logging.getLogger(__name__)
CHANNEL = "callcenter.live"
BOARD = "board"  # the topic of the wallboard, and of the screens on walls
AT_MOST_EVERY = 0.9  # seconds between two nudges of one board
KEEP_ALIVE = 15.0

_publisher: redis.Redis | None = None


def nudge(topic: str) -> None:
    """Tell every web process that the pages of `topic` are stale."""
    try:
        with _client().pipeline() as both:
            if topic == BOARD:
                both.incr(f"{CHANNEL}.{BOARD}")
            both.publish(CHANNEL, topic)
            both.execute()
    except redis.RedisError as error:
        log.warning("pages were not nudged: %s", error)


def board_version() -> int | None:
    """Count the nudges of the board, those of other processes too; None while Redis is away.

    A page that was told of a nudge finds it counted, whichever process answers.
    """
    try:
        return int(_client().get(f"{CHANNEL}.{BOARD}") or 0)
    except redis.RedisError:
        return None


def _client() -> redis.Redis:
    global _publisher
    if _publisher is None:
        _publisher = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5
        )
    return _publisher


def connect() -> None:
    """Answer the bells that concern pages."""
    bell.answer("board", lambda: nudge(BOARD))
    bell.answer("desk", lambda agent_pk: nudge(f"desk:{agent_pk}"))


class Hub:
    """The viewers of this process, and the one subscription that serves them."""

    def __init__(self) -> None:
        self.viewers: dict[str, set[asyncio.Event]] = {}
        self.task: asyncio.Task[None] | None = None
        self.ending: set[asyncio.Task[None]] = set()

    def join(self, topic: str) -> asyncio.Event:
        """Add a viewer of `topic`; the event is set when the page is stale."""
        stale = asyncio.Event()
        self.viewers.setdefault(topic, set()).add(stale)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._listen())
        return stale

    def leave(self, topic: str, stale: asyncio.Event) -> None:
        """Remove a viewer; the last one out ends the subscription."""
        self.viewers[topic].discard(stale)
        if not self.viewers[topic]:
            del self.viewers[topic]
        if not self.viewers and self.task:
            self.task.cancel()
            self.ending.add(self.task)  # kept until it has let go of its connection
            self.task.add_done_callback(self.ending.discard)
            self.task = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._subscribe()
            except (redis.RedisError, OSError) as error:
                log.warning("the live subscription is away: %s", error)
                await asyncio.sleep(1)

    async def _subscribe(self) -> None:
        async with (
            redis.asyncio.from_url(settings.REDIS_URL, health_check_interval=15) as client,
            client.pubsub() as channel,
        ):
            await channel.subscribe(CHANNEL)
            self._mark_all()  # what was missed while away
            while True:
                message = await channel.get_message(
                    ignore_subscribe_messages=True, timeout=KEEP_ALIVE
                )
                if message:
                    for stale in self.viewers.get(message["data"].decode(), ()):
                        stale.set()

    def _mark_all(self) -> None:
        for viewers in self.viewers.values():
            for stale in viewers:
                stale.set()


_hubs: dict[int, Hub] = {}


def _hub() -> Hub:
    """Return the hub of the running event loop."""
    return _hubs.setdefault(id(asyncio.get_running_loop()), Hub())


def viewers(topic: str) -> int:
    """Count the pages of `topic` that are open at this process."""
    return sum(len(hub.viewers.get(topic, ())) for hub in list(_hubs.values()))


async def _stream(topic: str) -> AsyncIterator[str]:
    hub = _hub()
    stale = hub.join(topic)
    try:
        yield "retry: 2000\n\nevent: stale\ndata: 1\n\n"
        while True:
            try:
                await asyncio.wait_for(stale.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield "event: alive\ndata: 1\n\n"  # the page notices where this stops
                continue
            stale.clear()
            yield "event: stale\ndata: 1\n\n"
            await asyncio.sleep(AT_MOST_EVERY)
    finally:
        with contextlib.suppress(KeyError):
            hub.leave(topic, stale)


@sync_to_async
def ask(question: Callable[[], bool]) -> bool:
    """Ask the database something for a stream; leaves no connection behind."""
    try:
        return question()
    finally:
        connection.close()


@sync_to_async
def _may_see(request: HttpRequest, board: str) -> str | None:
    """Return the topic of this page for this user, or None; leaves no connection behind."""
    try:
        user = request.user
        if not user.is_authenticated:
            return None
        if board == "desk":
            agent = getattr(user, "agent", None)
            return f"desk:{agent.pk}" if agent else None
        return BOARD if is_supervisor(user) else None
    finally:
        connection.close()


@login_not_required
async def events(request: HttpRequest, board: str) -> HttpResponseBase:
    """The event stream of a page: it says `stale`, and nothing else."""
    topic = await _may_see(request, board)
    return stream(topic) if topic else HttpResponse(status=403)


def stream(topic: str) -> StreamingHttpResponse:
    """Answer with the events of a topic, for who may see it."""
    return StreamingHttpResponse(
        _stream(topic),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
