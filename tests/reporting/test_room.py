"""The supervisor's room: what it shows, and that each action reaches its row or says why not."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, BreakReason, Notice, Preferences
from callcenter import live as streams
from queues import supervision
from queues.models import Alert, Queue, QueuedCall
from reporting import live, metrics, shared
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting
from tests.pages import made_up

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}


@pytest.fixture
def sarah():
    client = Client()
    client.force_login(make_supervisor())
    return client


def told(reply) -> tuple[str, str]:
    """The tone and the sentence that came with a fragment."""
    found = re.search(r'id="told" hidden(?: data-text="([^"]*)" data-tone="(\w+)")?', text(reply))
    assert found
    return found[2], found[1]


def text(reply) -> str:
    assert reply.status_code == 200
    return reply.content.decode()


def do(client, address, **values):
    return told(client.post(address, values, headers=HX))


def talking(queue, **values) -> tuple[QueuedCall, Agent]:
    """A talk that the provider knows, for listening in on it."""
    agent = made_up.put("amina", "on_call", since=40)
    row = made_up.call(queue, "connected", ago=60, waited=9, agent=agent, customer="+254700000009")
    made_up.offer(row, agent, "joined", ago=50, answered=40)
    return row, agent


# --- Calls ---------------------------------------------------------------------------------------


class TestCallers:
    @pytest.fixture
    def queue(self):
        return make_queue(direct_dial=False)

    @pytest.fixture
    def callers(self, queue):
        at = timezone.now() - timedelta(seconds=60)
        return [make_waiting(queue, arrived_at=at + timedelta(seconds=n)) for n in range(3)]

    def ask(self, client, call, name, **values):
        return do(client, f"/room/calls/{call.public_id}/", do=name, **values)

    def test_the_last_one_is_moved_to_the_front(self, sarah, callers):
        assert self.ask(sarah, callers[2], "move-up") == ("free", "Moved to the front of the line.")
        places = {call["id"]: call["place"] for call in live.snapshot(timezone.now())["calls"]}
        assert [places[call.public_id] for call in callers] == [2, 3, 1]

    def test_a_caller_is_moved_to_another_queue(self, sarah, callers):
        make_queue("billing", number="+254200000102")
        assert self.ask(sarah, callers[0], "queue", queue="billing")[0] == "free"
        callers[0].refresh_from_db()
        assert callers[0].queue.slug == "billing"

    def test_a_caller_is_kept_for_an_agent_and_for_nobody_again(self, sarah, queue, callers):
        agent = make_agent(queue, username="amina", presence="break")
        assert self.ask(sarah, callers[0], "keep", agent=agent.pk)[0] == "free"
        assert "Kept for Amina, who is on break." in text(sarah.get("/board/"))
        assert self.ask(sarah, callers[0], "keep", agent="")[0] == "free"
        callers[0].refresh_from_db()
        assert callers[0].wanted_agent is None

    def test_a_caller_is_pulled_to_a_free_agent(self, sarah, queue, callers):
        agent = make_agent(queue, username="amina")
        assert self.ask(sarah, callers[1], "pull", agent=agent.pk)[0] == "free"
        callers[1].refresh_from_db()
        assert (callers[1].state, callers[1].offer.agent) == ("offered", agent)

    def test_pulling_to_nobody_is_refused_in_words(self, sarah, callers):
        said = ("bad", "Choose the agent whose phone is to ring.")
        assert self.ask(sarah, callers[1], "pull", agent="") == said
        assert self.ask(sarah, callers[1], "pull", agent="²") == said

    def test_a_caller_is_hung_up(self, sarah, callers):
        assert self.ask(sarah, callers[0], "hang-up")[0] == "free"
        callers[0].refresh_from_db()
        assert callers[0].is_final

    @pytest.mark.parametrize("name", ["move-up", "queue", "keep", "pull", "hang-up", "listen"])
    def test_one_who_has_gone_meanwhile_is_a_sentence(self, sarah, queue, callers, name):
        agent = make_agent(queue)
        Preferences.objects.create(user=User.objects.get(username="sarah"), phone="+254711000999")
        self.ask(sarah, callers[0], "hang-up")
        tone, sentence = self.ask(sarah, callers[0], name, agent=agent.pk, queue="support")
        assert tone == "bad"
        assert sentence.endswith(".")

    def test_what_is_no_call_and_no_action_is_a_sentence(self, sarah, callers):
        nowhere = do(sarah, "/room/calls/no-such-call/", do="move-up")
        assert nowhere == ("bad", "There is no such call.")
        assert self.ask(sarah, callers[0], "explode")[0] == "bad"
        assert self.ask(sarah, callers[0], "stop")[0] == "bad"

    def test_without_script_it_is_told_on_the_page(self, sarah, callers):
        reply = sarah.post(f"/room/calls/{callers[2].public_id}/", {"do": "move-up"}, follow=True)
        assert 'data-testid="toast">Moved to the front of the line.<' in text(reply)


class TestListening:
    @pytest.fixture
    def talk(self):
        made_up.centre()
        return talking("support")[0]

    @pytest.fixture
    def sarah(self, talk):
        user = User.objects.get(username="supervisor")
        Preferences.objects.update_or_create(user=user, defaults={"phone": "+254711000999"})
        client = Client()
        client.force_login(user)
        return client

    def test_it_begins_changes_and_ends(self, sarah, talk):
        address = f"/room/calls/{talk.public_id}/"
        assert do(sarah, address, do="listen") == ("free", "Your phone rings in a moment.")
        row = talk.supervisions.get()
        assert (row.mode, row.state, row.phone) == ("listen", "planned", "+254711000999")
        assert "is being rung to listen in" in text(sarah.get("/board/"))
        talk.supervisions.update(state="connected", connected_at=row.created_at)
        assert do(sarah, address, do="whisper")[0] == "free"
        row = talk.supervisions.get()
        assert (row.wanted_mode or row.mode) == "whisper"
        assert "Sarah whispers to the agent" in text(sarah.get("/board/"))
        assert do(sarah, address, do="stop") == ("free", "Listening in has ended.")
        assert not supervision.open_by_call() or talk.supervisions.get().stop_at

    def test_another_supervisor_is_told_who_listens(self, sarah, talk):
        do(sarah, f"/room/calls/{talk.public_id}/", do="listen")
        other = make_supervisor("tom")
        Preferences.objects.create(user=other, phone="+254711000998")
        client = Client()
        client.force_login(other)
        tone, sentence = do(client, f"/room/calls/{talk.public_id}/", do="barge")
        assert tone == "bad"
        assert "listens to this call already" in sentence

    def test_who_asks_for_help_stands_on_top_with_the_ways_to_help(self, sarah, talk):
        now = timezone.now()
        for n in range(25):
            Alert.objects.create(kind="x", subject=str(n), text="x", first_at=now, last_at=now)
        before = now - timedelta(hours=1)
        Alert.objects.create(kind="help", subject=talk.public_id, text="Needs help.",
                             first_at=before, last_at=before)  # fmt: skip
        html = text(sarah.get("/board/"))
        first = html[html.index('data-testid="alert"') :]
        assert "<strong>Amina Yusuf</strong> · Needs help." in first[:600]
        assert f'formaction="/room/calls/{talk.public_id}/"' in first[:1000]
        assert html.count('data-testid="help-whisper"') == 1
        QueuedCall.objects.update(public_id="another")  # the talk is not there any more
        assert 'data-testid="help-whisper"' not in text(sarah.get("/board/"))


# --- Agents, queues, messages --------------------------------------------------------------------


class TestAgents:
    def test_a_presence_is_changed_with_its_reason(self, sarah):
        agent = make_agent(make_queue(), username="amina")
        BreakReason.objects.create(name="Training", is_paid=True)
        assert "<option>Training</option>" in text(sarah.get("/"))
        said = do(sarah, f"/room/agents/{agent.pk}/", do="break", reason="Training")
        assert said == ("free", "Amina is on break.")
        agent.refresh_from_db()
        assert (agent.presence, agent.presence_reason) == ("break", "Training")
        period = agent.presence_periods.get(ended_at=None)
        assert period.actor.username == "sarah"
        do(sarah, f"/room/agents/{agent.pk}/", do="offline", reason="Training")
        agent.refresh_from_db()
        assert (agent.presence, agent.presence_reason) == ("offline", "")

    def test_a_wrap_up_is_ended(self, sarah):
        made_up.centre()
        agent = made_up.put("amina", "wrap_up", wrap_up_until=timezone.now() + timedelta(hours=1))
        assert do(sarah, f"/room/agents/{agent.pk}/", do="wrap-up")[0] == "free"
        agent.refresh_from_db()
        assert agent.engagement == "idle"
        assert do(sarah, f"/room/agents/{agent.pk}/", do="wrap-up")[0] == "bad"

    def test_one_who_was_removed_is_a_sentence(self, sarah):
        assert do(sarah, "/room/agents/999/", do="available")[0] == "bad"


class TestQueues:
    def test_it_is_closed_and_opened_again(self, sarah):
        queue = make_queue()
        assert do(sarah, "/room/queues/support/", do="close")[0] == "free"
        queue.refresh_from_db()
        assert queue.closed_at
        html = text(sarah.get("/board/"))
        assert 'data-testid="closed"' in html
        assert 'data-state="closed"' in html
        assert do(sarah, "/room/queues/support/", do="close")[0] == "bad"
        assert do(sarah, "/room/queues/support/", do="open")[0] == "free"
        assert 'data-testid="closed"' not in text(sarah.get("/board/"))
        assert do(sarah, "/room/queues/none/", do="open")[0] == "bad"


class TestMessages:
    @pytest.fixture
    def people(self):
        support, billing = make_queue(), make_queue("billing", number=None)
        return [make_agent(support, username="amina"), make_agent(billing, username="brian")]

    @pytest.mark.parametrize(
        ("to", "names"),
        [("all", ["Amina", "Brian"]), ("queue:billing", ["Brian"]), ("agent:{}", ["Amina"])],
    )
    def test_it_reaches_those_whom_it_is_for(self, sarah, people, to, names):
        to = to.format(people[0].pk)
        said = do(sarah, "/room/message/", to=to, text="Lunch is at one.")
        assert said == ("free", f"The message was sent to {len(names)}.")
        notice = Notice.objects.get()
        assert (notice.text, notice.sender.username) == ("Lunch is at one.", "sarah")
        assert sorted(row.agent.name for row in notice.recipients.all()) == names

    @pytest.mark.parametrize(
        ("to", "words"),
        [
            ("all", " "),
            ("all", "x" * 281),
            ("queue:none", "Hello"),
            ("agent:x", "Hello"),
            ("", "x"),
        ],
    )
    def test_nothing_to_say_or_nobody_to_say_it_to_is_a_sentence(self, sarah, people, to, words):
        assert do(sarah, "/room/message/", to=to, text=words)[0] == "bad"
        assert not Notice.objects.exists()


# --- Figures -------------------------------------------------------------------------------------


def test_the_estimated_wait_is_ahead_times_handling_by_who_is_signed_in(sarah):
    queue = make_queue(wrap_up_seconds=30)
    now = timezone.now()
    first, _away = make_agent(queue), make_agent(queue, presence="offline")
    make_agent(queue, presence="break")

    def estimate():
        return live.snapshot(timezone.now())["queues"][0]["estimated_wait_seconds"]

    for _ in range(3):
        make_waiting(queue, arrived_at=now)
    assert estimate() is None  # nobody has talked yet
    assert 'data-testid="estimated-wait">–<' in text(sarah.get("/board/"))
    for ago, talk in ((600, 100), (500, 200), (7200, 9000)):  # the last one too long ago
        begun = now - timedelta(seconds=ago)
        row = make_waiting(queue, arrived_at=begun)
        QueuedCall.objects.filter(pk=row.pk).update(
            state="completed", agent=first, connected_at=begun,
            ended_at=begun + timedelta(seconds=talk),
        )  # fmt: skip
    assert estimate() == 225.0  # 3 * 150 s / 2
    for agent in Agent.objects.exclude(presence="offline"):
        do(sarah, f"/room/agents/{agent.pk}/", do="offline")
    assert estimate() is None


def test_without_anybody_signed_in_a_wait_is_unknown():
    assert metrics.estimated_wait(3, 100.0, 0) is None
    assert metrics.estimated_wait(0, 100.0, 2) == 0


def test_the_service_level_of_all_is_that_of_their_calls_together():
    rows = [
        {"service_level": 1.0, "offered": 10, "short_abandons": 0},
        {"service_level": 0.5, "offered": 32, "short_abandons": 2},
        {"service_level": None, "offered": 1, "short_abandons": 1},
    ]
    assert metrics.overall_service_level(rows) == 0.625  # (10 + 15) / 40
    assert metrics.overall_service_level([]) is None


def test_a_queue_under_its_target_says_so_in_words(sarah):
    queue = make_queue(service_level_target=60, service_level_seconds=20)
    agent, now = make_agent(queue), timezone.now()
    for waited in (5, 50):
        begun = now - timedelta(seconds=300)
        row = make_waiting(queue, arrived_at=begun)
        QueuedCall.objects.filter(pk=row.pk).update(
            state="completed", agent=agent, connected_at=begun + timedelta(seconds=waited),
            ended_at=begun + timedelta(seconds=60),
        )  # fmt: skip
    html = text(sarah.get("/board/"))
    assert "under 60 %" in html
    assert "1 queue under target" in html
    Queue.objects.update(service_level_target=50)
    html = text(sarah.get("/board/"))
    assert "under target" not in html
    assert "on target" in html


def test_a_hundred_queues_cost_no_more_statements_than_one():
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as said:
            live.snapshot(T0)
        return len(said)

    make_waiting(make_queue())
    make_agent(Queue.objects.get())
    statements()
    one = statements()
    for n in range(30):
        queue = make_queue(f"q{n}", number=None)
        make_agent(queue)
        make_waiting(queue)
    assert statements() == one


# --- Many viewers --------------------------------------------------------------------------------


class TestShared:
    @pytest.fixture
    def redis(self, monkeypatch):
        """Two viewers, and a count of nudges."""
        state = {"viewers": 2, "version": 1, "at": 100.0}
        monkeypatch.setattr(streams, "viewers", lambda topic: state["viewers"])
        monkeypatch.setattr(streams, "board_version", lambda: state["version"])
        monkeypatch.setattr(shared.time, "monotonic", lambda: state["at"])
        monkeypatch.setattr(shared, "_latest", {})
        return state

    @pytest.fixture
    def made(self):
        made = []

        def render() -> str:
            made.append(len(made))
            return f"rendering {len(made)}"

        return render

    def test_viewers_of_a_second_share_one(self, redis, made):
        assert shared.fragment("k", made) == ("rendering 1", False)
        redis["at"] += 0.9
        assert shared.fragment("k", made) == ("rendering 1", False)
        assert shared.fragment("other", made) == ("rendering 2", False)
        redis["at"] += 0.2
        assert shared.fragment("k", made) == ("rendering 3", False)

    def test_news_are_shown_at_once_and_in_a_storm_twice_in_two_seconds(self, redis, made):
        shared.fragment("k", made)
        redis["version"] += 1
        assert shared.fragment("k", made) == ("rendering 2", False)
        redis["version"] += 1
        assert shared.fragment("k", made) == ("rendering 2", True)  # ask again
        redis["at"] += 2.1
        assert shared.fragment("k", made) == ("rendering 3", False)

    def test_a_single_viewer_and_an_absent_redis_get_fresh_ones(self, redis, made):
        shared.fragment("k", made)
        redis["viewers"] = 1
        assert shared.fragment("k", made) == ("rendering 2", False)
        redis |= {"viewers": 2, "version": None}
        assert shared.fragment("k", made) == ("rendering 3", False)

    def test_who_is_answered_with_old_figures_asks_again(self, redis, sarah):
        make_queue()
        first = sarah.get("/board/")
        assert "HX-Trigger" not in first
        redis["version"] += 1
        sarah.get("/board/")
        redis["version"] += 1
        assert sarah.get("/board/").headers["HX-Trigger"] == "again"

    def test_ones_own_action_is_in_the_next_one(self, redis, sarah):
        queue = make_queue()
        for _ in range(2):
            redis["version"] += 1
            sarah.get("/board/")
        do(sarah, f"/room/queues/{queue.slug}/", do="close")
        assert 'data-testid="closed"' in text(sarah.get("/board/"))

    def test_a_shared_one_tells_the_time_of_each_answer_and_nothing_of_a_user(self, redis, sarah):
        make_waiting(make_queue())
        now = re.compile(r'data-now="([^"]+)"')
        one, other = text(sarah.get("/board/")), text(sarah.get("/board/"))
        assert now.search(one)[1] < now.search(other)[1]
        assert now.sub("", one) == now.sub("", other)
        assert "csrf" not in one
