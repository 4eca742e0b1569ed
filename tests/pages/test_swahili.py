"""Every page in Swahili: nothing of the English source is left in it."""

from __future__ import annotations

import html as entities
import re
from datetime import date
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import formats, translation

from agents.models import Preferences
from queues.models import Alert, QueuedCall
from tests.pages import made_up, made_up_desk
from tests.pages.made_up_call import with_everything

pytestmark = pytest.mark.django_db
SWAHILI = Path(__file__).parents[2] / "locale/sw/LC_MESSAGES/django.po"


@pytest.fixture(scope="module")
def english() -> list[re.Pattern[str]]:
    """Every English sentence or word of some length, with anything in its blanks."""
    with SWAHILI.open("rb") as file:
        catalogue = read_po(file, locale="sw")
    found = []
    for message in catalogue:
        for text in [message.id] if isinstance(message.id, str) else message.id:
            words = re.sub(r"<[^>]*>", " ", text)
            parts = re.split(r"%\(\w+\)[sd]|%[sd]|\{\w+\}", " ".join(words.split()))
            longest = max(parts, key=len).strip(" .,:;…")
            if len(longest) > 11 and longest not in str(message.string):
                found.append(re.compile(rf"(?<!\w){re.escape(longest)}(?!\w)"))
    return found


@pytest.fixture
def story() -> QueuedCall:
    made_up.centre()
    made_up_desk.set_up()
    made_up.history(6)
    told = with_everything(made_up.told())
    made_up.busy()
    made_up.needing_help()
    Alert.objects.all().delete()  # written once, for everybody, in English
    made_up_desk.missed(2)
    return told


def words_of(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, address
    html = answer.content.decode()
    assert '<html lang="sw">' in html
    told = re.findall(r'(?:aria-label|placeholder|title|data-spoken|data-title)="([^"]*)"', html)
    text = re.sub(r"<pre.*?</pre>|<datalist.*?</datalist>", " ", html, flags=re.S)
    return entities.unescape(" ".join([*told, *re.sub(r"<[^>]+>", " ", text).split()]))


def signed_in(name: str) -> Client:
    user = User.objects.get(username=name)
    Preferences.objects.update_or_create(user=user, defaults={"language": "sw"})
    client = Client()
    client.force_login(user)
    return client


def test_no_page_speaks_english_to_who_chose_swahili(
    story: QueuedCall, english: list[re.Pattern[str]]
) -> None:
    assert len(english) > 600
    supervisor, amina, nobody = signed_in("supervisor"), signed_in("amina"), Client()
    nobody.cookies["django_language"] = "sw"
    pages = [
        (supervisor, "/", 200), (supervisor, "/calls-log/", 200),
        (supervisor, f"/calls-log/{story.public_id}/", 200),
        (supervisor, "/calls-log/?status=lost&from=soon&wait=x&number=0x", 200),
        (supervisor, "/wall-links/", 200), (supervisor, "/start/", 200),
        (supervisor, "/start/check/", 200), (supervisor, "/nowhere/", 404),
        (supervisor, "/preferences/", 200), (supervisor, "/password/", 200),
        (supervisor, "/password/done/", 200), (supervisor, "/second-factor/", 200),
        (amina, "/agent/", 200), (amina, "/agent/calls/", 200), (amina, "/calls-log/", 403),
        (nobody, "/login/", 200), (nobody, "/wall/none/", 403),
    ]  # fmt: skip
    for client, address, status in pages:
        words = words_of(client, address, status)
        assert [each.pattern for each in english if each.search(words)] == [], address


def test_the_desk_speaks_swahili_in_every_state(
    story: QueuedCall, english: list[re.Pattern[str]]
) -> None:
    amina = signed_in("amina")

    def check() -> None:
        words = words_of(amina, "/agent/")
        assert [each.pattern for each in english if each.search(words)] == []

    made_up.put("amina", presence="offline")
    check()
    made_up.put("amina", since=5)
    check()
    made_up_desk.on_break("Lunch", since=60)
    check()
    with transaction.atomic():
        agent = made_up.put("amina", "ringing")
        row = made_up.call("support", "offered", ago=38, customer="+254722418377")
        made_up.offer(row, agent, "ringing", ago=4)
    check()


def test_dates_are_written_as_in_swahili(story: QueuedCall) -> None:
    page = words_of(signed_in("amina"), "/agent/calls/?day=2026-01-15")
    assert "Simu zako za Alhamisi, 15 Januari 2026" in page
    with translation.override("sw"):
        assert formats.date_format(date(2026, 3, 1), "DATE_FORMAT") == "1 Machi 2026"
