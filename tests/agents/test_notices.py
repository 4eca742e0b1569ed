"""A supervisor's messages: shown to each agent until that agent has read it."""

from datetime import timedelta

import pytest

from agents import notices
from agents.models import Notice
from agents.refusals import Refused
from callcenter import bell
from tests.factories import T0, make_agent, make_supervisor

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def send(text, *agents, at=T0):
    return notices.send(text, [agent.pk for agent in agents], sender=make_supervisor(), at=at)


def texts(agent):
    return [waiting.notice.text for waiting in notices.unread(agent)]


def test_each_agent_has_it_until_they_have_read_it():
    amina, brian, chebet = make_agent(), make_agent(), make_agent()
    notice = send("  The meeting is\nat three. ", amina, brian)
    assert notice.text == "The meeting is at three."
    [waiting] = notices.unread(amina)
    notices.read(waiting.pk, amina.pk, at=after(5))
    assert (texts(amina), texts(brian), texts(chebet)) == ([], ["The meeting is at three."], [])
    waiting.refresh_from_db()
    assert waiting.read_at == after(5)


def test_read_twice_it_keeps_the_first_time():
    amina = make_agent()
    send("Hello", amina)
    [waiting] = notices.unread(amina)
    for seconds in (5, 9):
        notices.read(waiting.pk, amina.pk, at=after(seconds))
    waiting.refresh_from_db()
    assert waiting.read_at == after(5)


def test_nobody_reads_what_is_for_another():
    amina, brian = make_agent(), make_agent()
    send("Hello", amina)
    [waiting] = notices.unread(amina)
    notices.read(waiting.pk, brian.pk, at=T0)
    assert texts(amina) == ["Hello"]


def test_the_oldest_comes_first():
    amina, sarah = make_agent(), make_supervisor()
    for text, seconds in (("later", 9), ("earlier", 1)):
        notices.send(text, [amina.pk], sender=sarah, at=after(seconds))
    assert texts(amina) == ["earlier", "later"]


def test_named_twice_an_agent_gets_it_once():
    amina = make_agent()
    send("Hello", amina, amina)
    assert texts(amina) == ["Hello"]


def test_each_recipients_page_is_told(monkeypatch, django_capture_on_commit_callbacks):
    rung = []
    monkeypatch.setitem(bell._answers, "desk", rung.append)
    amina, brian = make_agent(), make_agent()
    with django_capture_on_commit_callbacks(execute=True):
        send("Hello", amina, brian)
    assert sorted(rung) == sorted([amina.pk, brian.pk])


@pytest.mark.parametrize(
    ("text", "why"),
    [(" \n ", "Write what"), ("x" * 281, "at most 280"), ("\x00", "Write what")],
)
def test_no_text_and_too_long_a_text_are_refused(text, why):
    with pytest.raises(Refused, match=why):
        send(text, make_agent())
    assert not Notice.objects.exists()


def test_nobody_to_read_it_is_refused_and_a_removed_agent_is_nobody():
    gone = make_agent(presence="offline", retired_at=T0)
    for agents in ([], [gone.pk]):
        with pytest.raises(Refused, match="at least one agent"):
            notices.send("Hello", agents, sender=None, at=T0)
    assert not Notice.objects.exists()
