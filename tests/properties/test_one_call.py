"""One call, told in any order, twice, late or not at all, ends as it truly was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings

from agents.models import Agent
from queues.models import CallEvent, Offer, QueuedCall
from reporting.metrics import queue_rows
from tests.factories import T0

from .post import SECRET
from .stories import RARE, STORIES, Case, cases
from .world import World, world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def house(settings, sautikit_api):
    """The provider signs its events; REST is answered from the truth."""
    settings.SAUTIKIT_SIGNING_SECRETS = [SECRET]
    return sautikit_api


def check(case: Case, mock) -> None:
    """Tell the case; what fails is told in the simplest case that still fails."""
    try:
        examine(case, mock)
    except AssertionError as failure:
        case, failure = simplest(case, failure, mock)
        raise AssertionError(f"{case!r}\n{failure}") from None


def simplest(case: Case, failure: AssertionError, mock) -> tuple[Case, AssertionError]:
    """Leave out one fault after the other, for as long as something still fails."""
    tried = set()
    while simpler := next((each for each in case.simpler() if repr(each) not in tried), None):
        tried.add(repr(simpler))
        try:
            examine(simpler, mock)
        except AssertionError as again:
            case, failure = simpler, again
    return case, failure


def examine(case: Case, mock) -> None:
    """Tell the case and compare the rows with the truth of the switch."""
    with world(case, mock) as made:
        try:
            examined(made)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{made.diary()}") from None


def examined(made: World) -> None:
    customer = made.tell()
    assert made.errors == []
    assert made.switch.man.bad == []
    assert made.unsettled() == []
    compare(made, customer)
    before = figures(made)
    for sent in list(made.switch.man.sent):
        made.switch.man.post(sent.url, sent.raw, sent.kind, signed=sent.signed)
    made.time.pass_(20)
    assert made.unsettled() == []
    assert figures(made) == before, "all of it once more has changed something"


def compare(made, customer):
    case = made.case
    call = QueuedCall.objects.get()
    talks = made.switch.talks
    told = f"{call.state} {call.abandoned_in} ({call.end_reason}); truth: {talks}"
    assert call.state == case.story.ends, told
    assert bool(talks) == (call.state == "completed"), told
    slack = 1 + min(case.post.latest, 31)
    if talks:
        [talk] = talks
        assert call.agent.destination == talk.agent
        truth = (talk.until - talk.since).total_seconds()
        assert truth == case.story.person.talk, "we have cut the talk short"
        assert abs((call.ended_at - call.connected_at).total_seconds() - truth) <= slack
    assert abs((call.ended_at - customer.ended_at).total_seconds()) <= max(slack, 31)
    offers = list(Offer.objects.order_by("created_at"))
    assert [offer.state for offer in offers].count("ended") == len(talks)
    for offer in offers:
        assert CallEvent.objects.filter(offer=offer, kind="offered").count() == 1
    check_figures(made, call, talks)


def check_figures(made: World, call: QueuedCall, talks) -> None:
    [row] = queue_rows(T0 - timedelta(days=1), T0 + timedelta(days=1))
    queued = call.is_inbound and call.queued_at is not None
    assert row["offered"] == queued
    assert row["answered"] == (len(talks) if queued else 0)
    assert row["abandoned"] == (queued and call.state == "abandoned")
    ends = sum(row[state] for state in QueuedCall.FINAL - {"abandoned"})
    assert row["offered"] == ends + row["abandoned"] + row["still_open"]


def figures(made: World) -> list[object]:
    """All that must not change any more."""
    calls = QueuedCall.objects.values(
        "state", "abandoned_in", "agent", "queued_at", "connected_at", "ended_at"
    )
    offers = Offer.objects.order_by("created_at").values("state", "joined_at", "ended_at")
    agents = Agent.objects.order_by("pk").values("engagement", "strikes", "presence")
    return [*calls, *offers, *agents]


@pytest.mark.parametrize("number", range(len(STORIES)))
def test_the_tidy_order(number, house):
    @settings(max_examples=2)
    @given(STORIES[number])
    def tidy(story):
        check(Case(story), house)

    tidy()


@pytest.mark.parametrize("case", RARE, ids=lambda case: case.story.name)
def test_what_is_rare_ends_as_it_truly_was(house, case):
    check(case, house)


@given(case=cases)
def test_any_order_ends_as_it_truly_was(house, case):
    check(case, house)


@pytest.mark.long
@settings(settings.get_profile("thorough"))
@given(case=cases)
def test_any_order_of_many_more_ends_as_it_truly_was(house, case):
    check(case, house)
