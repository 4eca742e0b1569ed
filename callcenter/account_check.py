"""Whether the account at Sautikit and our own public address fit together, line by line, in words.

Nothing is changed by it, and the key is never shown. Each line says what was found, and what to do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from callcenter import first_run
from callcenter.clocks import in_words
from callcenter.sautikit import errors, own_door, tokens
from callcenter.sautikit.account import OwnedNumber
from callcenter.sautikit.client import SautikitClient
from callcenter.sautikit.own_door import Came
from queues import provider
from queues.models import Number, ProviderFact, WebhookEvent

EVERY = timedelta(seconds=10)  # at the most, by all people together
CHECKED = "account_checked"  # the fact that says when
CLOCKS_MAY_DIFFER = 60.0  # seconds; a signature is refused at 300


@dataclass(frozen=True)
class Line:
    """One finding. `tone` is good, warn, bad or open: not known."""

    tone: str
    title: str
    told: str
    todo: str = ""
    number: OwnedNumber | None = None  # whose addresses can be set from here


def may_check(at: datetime) -> bool:
    """Whether it is time for another check; if so, this one is written down as the newest."""
    fact, is_first = ProviderFact.objects.get_or_create(
        pk=CHECKED, defaults={"value": True, "at": at}
    )
    if is_first or fact.at > at:  # a clock that was set back must not lock anybody out
        return True
    due = ProviderFact.objects.filter(pk=CHECKED, at__lte=at - EVERY)
    return bool(due.update(at=at))


def client() -> SautikitClient:
    """Return a client with little patience: somebody waits for the page."""
    return SautikitClient(
        settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY,
        connect_timeout=3.0, read_timeout=4.0,
    )  # fmt: skip


def check(*, at: datetime) -> list[Line]:
    """Ask the provider, and our own address; return what was found."""
    try:
        asked = client()
    except ValueError:
        return [
            Line(
                "bad", _("API key"), _("The key or the address of the API cannot be used."),
                _("Check SAUTIKIT_API_KEY and SAUTIKIT_API_BASE_URL in .env, and restart."),
            ),
            *_own_door(),
        ]  # fmt: skip
    try:
        key = _key(asked)
        lines = [key]
        if key.tone != "bad":
            lines += [_wallet(asked), *_numbers(asked, at), _clock(asked)]
    finally:
        asked.close()
    return [*lines, *_own_door()]


def our_numbers() -> list[str]:
    """Return the numbers that lead to us, and the one that we call from."""
    numbers = list(Number.objects.order_by("pk").values_list("e164", flat=True))
    own = settings.SAUTIKIT_NUMBER
    return numbers if not own or own in numbers else [*numbers, own]


def set_routing(e164: str) -> OwnedNumber:
    """Have Sautikit call us on this number. Raises SautikitError; NotFound: it is not ours."""
    asked = client()
    try:
        number = next((one for one in asked.numbers() if one.e164 == e164), None)
        if number is None:
            raise errors.NotFound(_("the account has no such number"))
        asked.set_routing(
            number.id,
            voice_url=first_run.routing_url(first_run.INBOUND),
            events_url=first_run.routing_url(first_run.EVENTS),
        )
        return number
    finally:
        asked.close()


def _key(asked: SautikitClient) -> Line:
    title = _("API key")
    if not settings.SAUTIKIT_API_KEY:
        return Line(
            "bad", title, _("There is none."), _("Set SAUTIKIT_API_KEY in .env, and restart.")
        )
    try:
        asked.list_calls(limit=1)
    except errors.Unauthorised as error:
        if error.status == 403:
            return Line(
                "warn", title, _("Sautikit knows the key, and does not let it read calls."),
                _("Give it the right to read and place calls, in Sautikit's console."),
            )  # fmt: skip
        return Line(
            "bad", title, _("Sautikit does not take the key: %s") % error,
            _("Make a new key in Sautikit's console; set SAUTIKIT_API_KEY in .env, and restart."),
        )  # fmt: skip
    except errors.Unavailable as error:
        return Line(
            "bad", title, _("Sautikit did not answer: %s") % error,
            _("Look whether this machine reaches %s: name server, firewall, proxy.")
            % settings.SAUTIKIT_API_BASE_URL,
        )  # fmt: skip
    except errors.SautikitError as error:
        return Line(
            "bad", title, _("The answer is not that of Sautikit's API: %s") % error,
            _("Check SAUTIKIT_API_BASE_URL in .env."),
        )  # fmt: skip
    return Line("good", title, _("It works: Sautikit answered a question about calls."))


def _wallet(asked: SautikitClient) -> Line:
    title = _("Wallet")
    try:
        wallet = asked.wallet()
    except errors.SautikitError as error:
        return Line(
            "warn", title, _("It could not be read: %s") % error,
            _("Give the key the right to read the wallet, or look at it in Sautikit's console."),
        )  # fmt: skip
    held = f"{wallet.currency} {wallet.balance_minor / 100:,.2f}".strip()
    if wallet.balance_minor <= 0:
        return Line("bad", title, _("It holds %s.") % held, _("Top it up: no call is possible."))
    least = settings.SAUTIKIT_LOW_BALANCE_MINOR or wallet.low_balance_threshold_minor or 0
    if wallet.balance_minor < least:
        return Line("warn", title, _("It holds %s, which is low.") % held, _("Top it up soon."))
    return Line("good", title, _("It holds %s.") % held)


def _numbers(asked: SautikitClient, at: datetime) -> Iterator[Line]:
    ours = our_numbers()
    if not ours:
        yield Line(
            "warn", _("Numbers"), _("No queue and no menu has a number."),
            _("Add your Sautikit number to a queue."),
        )  # fmt: skip
        return
    try:
        owned = {number.e164: number for number in asked.numbers()}
    except errors.SautikitError as error:
        yield Line(
            "warn", _("Numbers"), _("They could not be read: %s") % error,
            _("Give the key the right to read numbers, or compare them in Sautikit's console."),
        )  # fmt: skip
        return
    routed = []
    for e164 in ours:
        line = _number(e164, owned.get(e164))
        routed.append(line.tone == "good")
        yield line
    provider.learn(first_run.ROUTED, all(routed), at=at)


def _number(e164: str, owned: OwnedNumber | None) -> Line:
    title = _("Number %s") % e164
    if owned is None:
        return Line(
            "bad", title, _("The account has no such number."),
            _("Correct the number on its queue or menu (or SAUTIKIT_NUMBER), or get it at "
              "Sautikit."),
        )  # fmt: skip
    if not owned.is_active:
        return Line(
            "bad", title, _("At Sautikit it is “%s”, not active.") % owned.status,
            _("Activate it in Sautikit's console."),
        )  # fmt: skip
    if owned.voice_url is None and owned.events_url is None:
        return Line(
            "open", title, _("It is in the account; Sautikit does not tell where it leads."),
            _("Compare both addresses in Sautikit's console."),
        )  # fmt: skip
    wrong = [
        what
        for what, is_right in (
            (_("voice"), is_ours(owned.voice_url, first_run.INBOUND)),
            (_("events"), is_ours(owned.events_url, first_run.EVENTS)),
        )
        if not is_right
    ]
    if wrong:
        return Line(
            "bad", title, _("It leads elsewhere: %s.") % ", ".join(wrong),
            _("Set both addresses, here or in Sautikit's console."), owned,
        )  # fmt: skip
    return Line("good", title, _("It is in the account, and both addresses lead here."))


def is_ours(url: str | None, path: str) -> bool:
    """Whether this address is ours, with a token that is in use."""
    start = f"{settings.PUBLIC_BASE_URL}{path}?token="
    token = (url or "").removeprefix(start) if (url or "").startswith(start) else ""
    return bool(token) and tokens.same_secret(token, settings.SAUTIKIT_WEBHOOK_TOKENS)


def _clock(asked: SautikitClient) -> Line:
    title, ahead = _("Clock"), asked.clock_ahead
    if abs(ahead) <= CLOCKS_MAY_DIFFER:
        return Line("good", title, _("It agrees with Sautikit's."))
    told = (
        _("It is %s ahead of Sautikit's.") if ahead > 0 else _("It is %s behind Sautikit's.")
    ) % in_words(ahead)
    return Line(
        "bad", title, told,
        _("Set this machine's clock (systemd-timesyncd or chrony): signatures are refused from "
          "five minutes on."),
    )  # fmt: skip


def _own_door() -> list[Line]:
    url = first_run.routing_url(first_run.EVENTS)
    title = _("Our public address")
    if not url:
        return [
            Line("bad", title, _("There is no token for webhooks."),
                 _("Set SAUTIKIT_WEBHOOK_TOKEN in .env, and restart."))
        ]  # fmt: skip
    nonce, secrets = f"test-{uuid.uuid4().hex}", settings.SAUTIKIT_SIGNING_SECRETS
    answer = own_door.knock(url, nonce, secret=secrets[0] if secrets else "")
    base = settings.PUBLIC_BASE_URL
    if answer.came is Came.TAKEN:
        return [_arrived(title, base, nonce, is_signed=bool(secrets))]
    told, todo = {
        Came.NO_NAME: (
            _("The name in %s has no address.") % base,
            _("Add an A record at your name server, or correct PUBLIC_BASE_URL."),
        ),
        Came.NO_TLS: (
            _("The certificate at %s is not to be trusted.") % base,
            _("Look at the proxy: certificates come by themselves with Caddy, by certbot with "
              "nginx."),
        ),
        Came.NO_ANSWER: (
            _("Nobody answers at %s.") % base,
            _("Look whether the proxy runs and the firewall lets 80 and 443 in. Some networks do "
              "not let a machine reach its own public address: then try it from another one."),
        ),
        Came.REFUSED: (
            _("%(base)s answered %(status)s.") % {"base": base, "status": answer.status},
            _REFUSALS().get(
                answer.status or 0,
                _("Another program may answer there: look at the proxy, which must lead here."),
            ),
        ),
    }[answer.came]  # fmt: skip
    return [Line("bad", title, told, todo)]


def _REFUSALS() -> dict[int, str]:
    return {
        400: _("The proxy must pass the host name on: Host must be that of PUBLIC_BASE_URL."),
        401: _("The proxy asks for a password: let /calls/ through without one."),
        403: _("The token was refused: another installation may answer there, or the proxy cuts "
               "the part after the question mark."),
        404: _("The proxy does not lead /calls/ here."),
        502: _("The proxy does not reach this program: look at its port."),
    } | dict.fromkeys(
        (301, 302, 307, 308), _("It leads elsewhere: PUBLIC_BASE_URL must be the final address.")
    )  # fmt: skip


def _arrived(title: str, base: str, nonce: str, *, is_signed: bool) -> Line:
    """Say how the test event was taken: it was stored by the process that answered."""
    event = WebhookEvent.objects.filter(endpoint="events", body__contains=nonce).first()
    if event is None:
        return Line(
            "bad", title, _("%s answered, and nothing arrived here.") % base,
            _("Another installation answers there: correct the proxy or PUBLIC_BASE_URL."),
        )  # fmt: skip
    if event.verdict == WebhookEvent.Verdict.QUARANTINED:
        return Line(
            "bad", title, _("A test event arrived and was not believed: %s.") % event.note,
            _("Look at SAUTIKIT_SIGNING_SECRETS, SAUTIKIT_REQUIRE_SIGNATURE and the clock."),
        )  # fmt: skip
    if is_signed:
        return Line("good", title, _("A test event came through, and its signature was verified."))
    return Line(
        "good", title, _("A test event came through. No signing secret is set."),
        _("Where Sautikit shows you one, put it into SAUTIKIT_SIGNING_SECRETS."),
    )  # fmt: skip
