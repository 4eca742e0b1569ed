"""The provider's REST API (contract 2 and 3), one method per thing we ask of it."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

import callcenter
from callcenter.sautikit import answers, bodies, stats, supervision
from callcenter.sautikit.account import Account
from callcenter.sautikit.actions import is_web_url
from callcenter.sautikit.bodies import Unreadable
from callcenter.sautikit.commands import (
    LABEL,
    Page,
    PlaceCall,
    PlacedCall,
    Shape,
    Wallet,
    placed_call,
    whole_second,
)
from callcenter.sautikit.errors import (
    BadShape,
    Conflict,
    Gone,
    NotFound,
    OutOfFunds,
    Rejected,
    SautikitError,
)
from callcenter.sautikit.recordings import REDIRECTS, RecordingAnswer, recording_answer
from callcenter.sautikit.records import Record, parse_record
from callcenter.sautikit.stats import Stats
from callcenter.sautikit.supervision import Supervised

__all__ = ["Page", "PlaceCall", "PlacedCall", "SautikitClient", "Wallet"]

log = logging.getLogger(__name__)

CALLS = "/v1/calls"
STATS = f"{CALLS}/stats"
_CLOCKS_AGREE = 5.0  # seconds
_MOST_SHOWN = 5  # unreadable rows of a page
_CURSOR_REFUSED = {400, 404, 410, 422}


class SautikitClient(Account):
    """Asks the provider; every failure is a SautikitError.

    One keep-alive session, to be shared by the threads of one process. Timeouts are in seconds.
    No redirect is followed and nothing is retried here: whether to ask again is for the caller,
    who knows what is at stake. `heard` is told after each request: its error or None, and whether
    it was to place a call.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        session: requests.Session | None = None,
        connect_timeout: float = 3.05,
        read_timeout: float = 8.0,
        heard: Callable[[SautikitError | None, bool], None] | None = None,
    ) -> None:
        self._base_url = base_url.strip().rstrip("/")
        if not is_web_url(self._base_url):
            raise ValueError("base_url: an absolute http(s) URL")
        self._auth = _Bearer(api_key)
        self._timeout = (connect_timeout, read_timeout)
        self.clock_ahead = 0.0  # seconds by which our clock is ahead of the provider's
        self._session = session or _new_session()
        self._heard = heard or (lambda error, placing: None)
        self._headers = {
            "Accept": "application/json",
            "User-Agent": f"callcenter/{callcenter.__version__}",
        }

    def place_call(self, call: PlaceCall, *, shape: Shape, idempotency_key: str) -> PlacedCall:
        """Place `call`; return once the provider has taken it, before the other side answers.

        The same key with the same call and shape places it once (contract 2.5): after an
        Unavailable with `maybe_placed`, ask again. Raises BadShape when the body was not
        understood, so that no call exists.
        """
        return self.place_body(call.body(shape), idempotency_key=idempotency_key)

    def place_body(self, body: bytes, *, idempotency_key: str) -> PlacedCall:
        """Place the call that `body` describes: for a repeat with the very bytes sent before."""
        if not LABEL.fullmatch(idempotency_key):
            raise ValueError("idempotency_key: 1 to 64 of [A-Za-z0-9._-]")
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        try:
            response = self._send("POST", CALLS, data=body, headers=headers)
        except Rejected as error:
            if error.status in (400, 422) and not isinstance(error, OutOfFunds):
                raise BadShape(**answers.facts(error)) from None
            raise
        replayed = bodies.truth(response.headers.get("Idempotent-Replay", "")) is True
        answer = answers.value(response, placing=True) if response.content.strip() else {}
        if not isinstance(answer, dict):
            raise answers.unreadable(response, placing=True)
        return placed_call(answer, replayed=replayed)

    def get_call(self, handle: str) -> Record:
        """Return the record of the call with this UUID or `HD_…` handle. Raises NotFound."""
        response = self._send("GET", _path(handle))
        try:
            return parse_record(answers.value(response))
        except Unreadable:
            raise answers.unreadable(response) from None

    def list_calls(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        status: Sequence[str] = (),
        direction: str | None = None,
        q: str | None = None,
        session_id: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        """Return one page of records, newest first (contract 3.3).

        `since` and `until` are aware times; `q` is part of the other party's number or of a
        session id. A row that cannot be read is left out and counted.
        """
        if since and self.clock_ahead > _CLOCKS_AGREE:  # else the list would begin in its future
            since -= timedelta(seconds=self.clock_ahead)
        asked = {
            "from": whole_second(since) if since else None,
            "to": whole_second(until, up=True) if until else None,
            "status": status if isinstance(status, str) else ",".join(status),
            "direction": direction,
            "q": q,
            "session_id": session_id,
            "cursor": cursor,
            "limit": str(max(1, min(limit, 100))),
        }
        query = {name: value for name, value in asked.items() if value}
        response = self._send("GET", CALLS, params=query)
        answer = answers.value(response)
        rows = answers.rows(answer)
        if rows is None:
            raise answers.unreadable(response)
        records, bad = [], []
        for row in rows:
            try:
                records.append(parse_record(row))
            except Unreadable:
                bad.append(row)
        if bad:
            log.warning("sautikit: %d of %d call records are unreadable", len(bad), len(rows))
        cursor, flaw = answers.next_cursor(answer)
        strange = tuple(answers.shown(row) for row in bad[:_MOST_SHOWN])
        return Page(tuple(records), cursor, len(bad), strange, cut_off=flaw)

    def iter_pages(self, *, max_pages: int = 50, **query: Any) -> Iterator[Page]:
        """Yield the pages of `list_calls(**query)` until the last, or one that is `cut_off`.

        That one has a cursor that leads nowhere or back. The last of `max_pages` says `has_more`.
        """
        seen: set[str] = set()
        for number in range(1, max_pages + 1):
            try:
                page = self.list_calls(**query)
            except Rejected as error:
                if number == 1 or error.status not in _CURSOR_REFUSED:
                    raise
                page = Page((), cut_off=f"its cursor is refused: {error}")
            if page.next_cursor in seen:
                page = replace(page, cut_off="its cursor leads back")
            elif page.next_cursor and number == max_pages:
                page = replace(page, has_more=True)
                log.warning("sautikit: the list of calls has more than %d pages", max_pages)
            if page.cut_off:
                log.warning("sautikit: the list of calls is cut off: %s", page.cut_off)
            yield page
            if page.next_cursor is None or page.cut_off:
                return
            seen.add(page.next_cursor)
            query["cursor"] = page.next_cursor

    def iter_calls(self, *, max_pages: int = 50, **query: Any) -> Iterator[Record]:
        """Yield the records of `iter_pages`, newest first."""
        for page in self.iter_pages(max_pages=max_pages, **query):
            yield from page.records

    def stats(self, since: str = "7d", bucket: str = "day") -> Stats:
        """Return the provider's own sums (contract 3.5).

        `since` is today, 7d or month, `bucket` hour or day. They lag a call's end by some seconds.
        """
        response = self._send("GET", STATS, params={"since": since, "bucket": bucket})
        found = stats.parse(answers.value(response))
        if found is None:
            raise answers.unreadable(response)
        return found

    def hang_up(self, handle: str) -> bool:
        """End a call. True also when it had ended before; False when there is no such live call."""
        try:
            self._send("POST", f"{_path(handle)}/hangup")
        except (NotFound, Conflict):
            return False
        except Rejected as error:
            if error.status == 410:  # gone
                return False
            raise
        return True

    def start_supervision(self, handle: str, body: bytes, *, idempotency_key: str) -> Supervised:
        """Have a supervisor's phone rung, to listen to this live call (contract 3.8).

        The same key and bytes ring once. Raises Conflict where somebody listens already.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        response = self._send("POST", _supervision(handle), data=body, headers=headers)
        answer = answers.value(response, placing=True) if response.content.strip() else {}
        return supervision.parse(answer) or Supervised()

    def change_supervision(self, handle: str, mode: str) -> None:
        """Change whether a supervisor is heard. Raises Conflict while their phone still rings."""
        body = supervision.body_to_change(mode)
        headers = {"Content-Type": "application/json"}
        self._send("PATCH", _supervision(handle), data=body, headers=headers)

    def end_supervision(self, handle: str) -> None:
        """Take the supervisor off a call; also when nobody listens (any more)."""
        try:
            self._send("DELETE", _supervision(handle))
        except Rejected as error:
            if error.status not in (404, 409, 410):
                raise

    def get_supervision(self, handle: str) -> Supervised | None:
        """Return how a call's supervision stands, None where the provider knows of none."""
        return supervision.parse(answers.value(self._send("GET", _supervision(handle))))

    def recording(self, handle: str) -> RecordingAnswer:
        """Return where the recording of a call is, or when to ask again (contract 3.7).

        Raises NotFound where there is none, or none yet; Gone where there will be none. The URL
        is for whoever asks without our key: nothing is fetched here.
        """
        try:
            response = self._send("GET", f"{_path(handle)}/recording", also=REDIRECTS)
        except Rejected as error:
            if error.status == 410:
                raise Gone(**answers.facts(error)) from None
            raise
        return recording_answer(response, self._base_url)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> requests.Response:
        """Return the 2xx answer, or one of `also`; raise what any other one means."""
        started = time.monotonic()
        acting = method != "GET"
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                params=params,
                data=data,
                headers={**self._headers, **(headers or {})},
                auth=self._auth,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except OSError as error:  # requests' own errors, and a missing certificate bundle
            # Not chained: requests' own texts quote the URL, and with it a number in its query.
            failure = answers.no_answer(error, acting=acting)
            self._heard(failure, acting and path == CALLS)
            raise failure from None
        spent = (time.monotonic() - started) * 1000
        log.debug("sautikit: %s %s -> %d, %.0f ms", method, path, response.status_code, spent)
        if (ahead := answers.clock_ahead(response)) is not None:
            self.clock_ahead = ahead
        taken = 200 <= response.status_code < 300 or response.status_code in also
        refused = None if taken else answers.refusal(response, acting=acting, key=self._auth.key)
        self._heard(refused, acting and path == CALLS)
        if refused:
            raise refused
        return response


class _Bearer(AuthBase):
    """Sets the key itself, so that a ~/.netrc entry for the host cannot replace it."""

    def __init__(self, api_key: str) -> None:
        key = api_key.strip().strip("\"'").strip()
        key = re.sub(r"^bearer\s+", "", key, flags=re.IGNORECASE).strip("\"' \t")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("api_key: printable ASCII without spaces")
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def __repr__(self) -> str:
        return "<bearer key>"


class _NoCookies(RequestsCookieJar):
    """Keeps nothing: a jar is shared state that an API with a key has no use for."""

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> None:
        return None


def _new_session() -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=32)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies = _NoCookies()
    return session


def _path(handle: str) -> str:
    """Return the path of one call; an empty or dotted handle would name another resource."""
    if not handle.strip(". ") or len(handle) > 256:
        raise Rejected("this is no call's handle", code="bad_handle")
    return f"{CALLS}/{quote(handle, safe='')}"


def _supervision(handle: str) -> str:
    return f"{_path(handle)}/supervision"
