"""What all webhook URLs share: verify, read, judge, and always answer.

A voice URL is a person holding a phone: it is always answered, quickly, with a document that
leaves them somewhere; a wrong token alone is refused. An event URL is answered 2xx once the event
is stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from psycopg_pool import PoolTimeout

from callcenter.clocks import in_words
from callcenter.sautikit import actions, signature, tokens
from callcenter.sautikit.callbacks import Unreadable, VoiceCallback, parse_body, parse_voice
from queues import documents, links
from queues.inbox import Arrival, Post, handlers
from queues.models import WebhookEvent

log = logging.getLogger(__name__)
MOST_BYTES = 64 * 1024
# Unsigned, these are believed for the token in their URL.
TRUSTED_BY_TOKEN = {"queue-events", "agent-status", "outbound-status"}


class Refused(Exception):
    """The request is answered with this response, and changes nothing."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status_code)
        self.response = response


def _empty() -> HttpResponse:
    if settings.SAUTIKIT_EMPTY_REPLY == "json":
        return HttpResponse(actions.EMPTY_JSON, content_type="application/json")
    return HttpResponse(actions.EMPTY_XML, content_type="application/xml")


def _voice_reply(document: str | None) -> HttpResponse:
    return HttpResponse(document, content_type="application/json") if document else _empty()


# --- What all of them share --------------------------------------------------------------------


def _receive(request: HttpRequest, endpoint: str, *, own_token: bool) -> Post:
    """Verify and parse a request, or raise Refused (Unreadable for a body that says nothing)."""
    if request.method != "POST":
        raise Refused(HttpResponse(status=405, headers={"Allow": "POST"}))
    token = request.GET.get("token", "")
    reference = None
    if own_token:
        if not tokens.same_secret(tokens.clean(token), settings.SAUTIKIT_WEBHOOK_TOKENS):
            raise Refused(HttpResponse(status=403))
    else:
        try:
            reference = links.read(token)
        except tokens.BadToken as error:
            raise Refused(HttpResponse(status=403)) from error
    raw = request.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise Refused(HttpResponse(status=413))
    fields = parse_body(request.content_type or "", raw)
    arrival = Arrival(
        endpoint=endpoint,
        at=timezone.now(),
        fields=fields,
        headers=request.headers,
        url=request.get_full_path(),
        query=request.GET.dict(),
    )
    _judge(arrival, raw)
    return Post(arrival, reference)


def _judge(arrival: Arrival, raw: bytes) -> None:
    """Say how far this request is to be believed (signature: contract 6.4)."""
    secrets = settings.SAUTIKIT_SIGNING_SECRETS
    verdict = signature.check(
        arrival.headers.get(signature.HEADER),
        raw,
        secrets=secrets,
        now=time.time(),
        allow_bare=settings.SAUTIKIT_ALLOW_BARE_SIGNATURE,
    )
    if not secrets or verdict.result is signature.Result.ABSENT:
        if settings.SAUTIKIT_REQUIRE_SIGNATURE and arrival.endpoint not in TRUSTED_BY_TOKEN:
            arrival.verdict, arrival.note = WebhookEvent.Verdict.QUARANTINED, "not signed"
        elif arrival.endpoint == "events":
            arrival.verdict = WebhookEvent.Verdict.HINT
    elif verdict.is_valid:
        arrival.signature = verdict.digest
    else:
        arrival.verdict = WebhookEvent.Verdict.QUARANTINED
        arrival.note = f"signature {verdict.result.value}"
        if verdict.result is signature.Result.STALE:
            way = "before" if verdict.age > 0 else "after"
            arrival.note += f": made {in_words(verdict.age)} {way} our clock's time"


VoiceHandler = Callable[[Post, VoiceCallback], str | None]
EventHandler = Callable[[Post], None]
View = Callable[[HttpRequest], HttpResponse]


def _postpone(post: Post, error: Exception) -> bool:
    """Keep a request that could not be handled for the sweep; False where even that fails."""
    if isinstance(error.__cause__, PoolTimeout):
        return False  # there is no database: others wait for this thread
    if isinstance(error, DatabaseError):
        connection.close()  # it may be the connection that is dead
    try:
        post.arrival.postpone(post.reference, error)
    except DatabaseError:
        log.warning("%s could not be kept either", post.arrival.endpoint)
        connection.close()
        return False
    return True


def voice(endpoint: str, *, own_token: bool = False) -> Callable[[VoiceHandler], View]:
    """Make a voice URL of a function from a callback to a document (None or "": nothing to do)."""

    def decorate(handle: VoiceHandler) -> View:
        @csrf_exempt
        @login_not_required
        @wraps(handle)
        def view(request: HttpRequest) -> HttpResponse:
            try:
                post = _receive(request, endpoint, own_token=own_token)
            except Refused as refused:
                return refused.response
            except Unreadable:
                return _voice_reply(documents.apology())
            callback = parse_voice(post.arrival.fields, request.GET)
            post.arrival.kind = callback.state.value
            try:
                if post.arrival.verdict == WebhookEvent.Verdict.QUARANTINED:
                    post.arrival.store()
                    return _voice_reply(None if callback.is_end else documents.apology())
                return _voice_reply(_twice(lambda: handle(post, callback)))
            except Refused as refused:
                return refused.response
            except ObjectDoesNotExist:  # a good token of a row that has been removed
                return _voice_reply(None if callback.is_end else documents.apology())
            except Exception as error:
                log.exception("%s could not be handled", endpoint)
                if callback.is_end:
                    _postpone(post, error)
                    return _empty()
                if "resume=1" in request.get_full_path() and not isinstance(error, DatabaseError):
                    return _voice_reply(documents.apology())
                return _voice_reply(documents.static_plan(_absolute(request)))

        handlers[endpoint] = lambda post: handle(
            post, parse_voice(post.arrival.fields, post.arrival.query)
        )
        return view

    return decorate


def _twice(handle: Callable[[], str | None]) -> str | None:
    """Try again at once after a database error: a connection may just have died.

    Not when the pool had none to give: that took all the time there is for a caller who waits.
    """
    try:
        return handle()
    except DatabaseError as error:
        if isinstance(error.__cause__, PoolTimeout):
            raise
        connection.close()
        return handle()


def _absolute(request: HttpRequest) -> str:
    token = tokens.clean(request.GET.get("token", ""))
    return f"{settings.PUBLIC_BASE_URL}{request.path}?token={token}"


def event(
    endpoint: str, *, own_token: bool = False, status: int = 200
) -> Callable[[EventHandler], View]:
    """Make an event URL of a function; what is handled or stored is answered `status`."""

    def decorate(handle: EventHandler) -> View:
        @csrf_exempt
        @login_not_required
        @wraps(handle)
        def view(request: HttpRequest) -> HttpResponse:
            try:
                post = _receive(request, endpoint, own_token=own_token)
            except Refused as refused:
                return refused.response
            except Unreadable as error:
                return HttpResponse(f"unreadable: {error}", status=400, content_type="text/plain")
            try:
                if post.arrival.verdict == WebhookEvent.Verdict.QUARANTINED:
                    post.arrival.store()
                else:
                    handle(post)
            except Exception as error:
                log.exception("%s could not be handled", endpoint)
                if not _postpone(post, error):
                    return HttpResponse(status=503)  # the sender will try again
            return HttpResponse(status=status)

        handlers[endpoint] = handle
        return view

    return decorate
