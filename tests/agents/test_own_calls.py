"""The agent's own calls, day by day."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Agent
from tests.agents.test_desk import (  # noqa: F401 - a fixture
    NUMBER,
    amina,
    dispositions,
    page,
    part,
    words,
    wrapping_up,
)
from tests.pages import made_up

pytestmark = pytest.mark.django_db


def test_ones_own_calls_can_be_read_by_day_and_changed_today(amina: Client) -> None:  # noqa: F811
    offer, known = wrapping_up(), dispositions()
    html = page(amina, "/agent/calls/")
    assert "+254722418377 Answered 0:50 Support · no disposition" in words(html)
    answer = amina.post(f"/agent/calls/{offer.pk}/",
                        {"notes": "Sent", "disposition": known["Changed"].pk})  # fmt: skip
    assert answer.headers["Location"] == f"/agent/calls/?saved={offer.pk}#call-{offer.pk}"
    html = page(amina, "/agent/calls/", saved=str(offer.pk))
    assert "Support · Order: Changed Sent" in words(html)
    assert "Saved" in part(html, "kept")
    yesterday = timezone.localdate() - timedelta(days=1)
    html = page(amina, "/agent/calls/", day=yesterday.isoformat())
    assert "No calls on this day." in words(html)
    assert 'data-testid="day-after"' in html


def test_what_cannot_be_saved_is_told_and_kept_in_the_form(amina: Client) -> None:  # noqa: F811
    offer, known = wrapping_up(), dispositions()
    answer = amina.post(f"/agent/calls/{offer.pk}/",
                        {"notes": "Typed at length", "disposition": known["Order"].pk})  # fmt: skip
    html = answer.content.decode()
    assert "Choose an entry of “Order”." in part(html, "why")
    assert ">Typed at length</textarea>" in html


def test_the_calls_of_others_are_not_there(amina: Client) -> None:  # noqa: F811
    brian = Agent.objects.get(user__username="brian")
    row = made_up.call("support", "completed", ago=99, talked=9, customer=NUMBER, agent=brian)
    theirs = made_up.offer(row, brian, "ended", ago=98, answered=97, until=88)
    assert NUMBER not in page(amina, "/agent/calls/")
    assert amina.post(f"/agent/calls/{theirs.pk}/", {"notes": "x"}).status_code == 404


def test_any_day_can_be_asked_for(amina: Client) -> None:  # noqa: F811
    for day in ("", "tomorrow", "0001-01-01", "9999-12-31", "2026-02-30"):
        assert amina.get("/agent/calls/", {"day": day}).status_code == 200
