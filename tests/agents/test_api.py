"""`/api/agents/`: every field, every refusal, and who may do what."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from agents.api import AgentViewSet
from agents.models import Agent, PresencePeriod
from queues import calls
from queues.routing import match
from queues.scene import scene
from tests.api import Api, api
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
URL = "/api/agents/"
AMINA = {"username": "amina", "destination": "+254711000001"}


@pytest.fixture
def supervisor():
    return api(make_supervisor())


def ringing_agent():
    """An agent whose phone rings for a caller."""
    queue = make_queue()
    agent = make_agent(queue, username="amina", destination="+254711000001")
    make_waiting(queue)
    assert match(T0) == 1
    return agent


class TestCreating:
    def test_it_answers_201_and_the_row(self, supervisor):
        make_queue("sales", number=None), make_queue("support", number=None)
        reply = supervisor.post(
            URL,
            {
                "username": "amina", "password": "quite-a-good-one", "name": "Amina W.",
                "destination": "0711 000 001", "queues": ["support", "sales"], "confirm_key": True,
            },
        )  # fmt: skip
        assert reply.status_code == 201
        row = reply.json()
        assert sorted(row.pop("queues")) == ["sales", "support"]
        assert row.pop("since")
        assert row == {
            "username": "amina", "name": "Amina W.", "destination": "+254711000001",
            "confirm_key": True, "presence": "offline", "presence_reason": "",
            "engagement": "idle", "hold_off_until": None, "hold_off_reason": "",
            "wrap_up_until": None,
        }  # fmt: skip

    def test_the_agent_can_sign_in_and_is_no_staff(self, supervisor):
        supervisor.post(URL, {**AMINA, "password": "quite-a-good-one"})
        user = User.objects.get(username="amina")
        assert user.check_password("quite-a-good-one")
        assert (user.is_staff, user.is_superuser) == (False, False)
        assert [group.name for group in user.groups.all()] == ["agent"]

    def test_username_and_destination_are_enough_and_the_name_is_the_username(self, supervisor):
        row = supervisor.post(URL, AMINA).json()
        assert (row["name"], row["queues"], row["confirm_key"]) == ("amina", [], False)
        assert not User.objects.get(username="amina").has_usable_password()

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("0711000001", "+254711000001"),
            ("0110 000-001", "+254110000001"),
            ("254711000001", "+254711000001"),
            ("+44 20 7946 0000", "+442079460000"),
            ("sip:amina@pbx.example.com", "sip:amina@pbx.example.com"),
            ("SIP:amina@pbx.example.com", "sip:amina@pbx.example.com"),
        ],
    )
    def test_a_destination_is_stored_in_one_form(self, supervisor, given, stored):
        row = supervisor.post(URL, {"username": "amina", "destination": given}).json()
        assert row["destination"] == stored

    @pytest.mark.parametrize(
        "bad", ["", "123", "+1", "+12345678901234567", "hello", "sip:", "sip:@x", "amina@x", None]
    )
    def test_one_that_is_no_number_is_refused_at_the_field_with_a_sentence(self, supervisor, bad):
        reply = supervisor.post(URL, {"username": "amina", "destination": bad})
        assert reply.status_code == 400
        assert list(reply.json()) == ["destination"]
        assert reply.json()["destination"][0].endswith(".")
        assert not User.objects.filter(username="amina").exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"username": "amina"}, "destination"),
            ({"destination": "+254711000001"}, "username"),
            ({**AMINA, "username": "a b"}, "username"),
            ({**AMINA, "username": "sarah"}, "username"),
            ({**AMINA, "username": "x" * 151}, "username"),
            ({**AMINA, "queues": ["nowhere"]}, "queues"),
            ({**AMINA, "password": "short"}, "password"),
            ({**AMINA, "confirm_key": "perhaps"}, "confirm_key"),
        ],
    )
    def test_what_is_missing_or_wrong_is_told_at_its_field(self, supervisor, body, field):
        reply = supervisor.post(URL, body)
        assert (reply.status_code, list(reply.json())) == (400, [field])
        assert not Agent.objects.exists()

    def test_two_agents_cannot_have_one_destination_however_it_is_written(self, supervisor):
        supervisor.post(URL, AMINA)
        reply = supervisor.post(URL, {"username": "brian", "destination": "0711000001"})
        assert reply.status_code == 400
        assert reply.json() == {"destination": ["Another agent already has this destination."]}

    def test_what_is_derived_cannot_be_written(self, supervisor):
        row = supervisor.post(
            URL, {**AMINA, "presence": "available", "engagement": "on_call", "strikes": 3}
        ).json()
        assert (row["presence"], row["engagement"]) == ("offline", "idle")
        row = supervisor.patch(f"{URL}amina/", {"engagement": "on_call"}).json()
        assert row["engagement"] == "idle"


class TestReading:
    def test_the_list_is_results_and_next(self, supervisor):
        for name in ("chebet", "amina", "brian"):
            make_agent(username=name)
        page = supervisor.get(f"{URL}?limit=2").json()
        assert [row["username"] for row in page["results"]] == ["amina", "brian"]
        rest = supervisor.get(page["next"]).json()
        assert [row["username"] for row in rest["results"]] == ["chebet"]
        assert rest["next"] is None

    @pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "1.5", "٣"])
    def test_a_limit_beyond_1_to_500_is_refused_in_words(self, supervisor, limit):
        reply = supervisor.get(URL, {"limit": limit})
        assert (reply.status_code, reply.json()) == (400, {"limit": ["A number from 1 to 500."]})

    @pytest.mark.parametrize("cursor", ["%%%", "abc", "é", "LTU"])
    def test_a_cursor_that_is_none_of_ours_is_no_500(self, supervisor, cursor):
        assert supervisor.get(URL, {"cursor": cursor}).status_code in {200, 400}

    def test_the_state_of_an_agent_is_shown(self, supervisor):
        make_agent(username="amina", hold_off_until=T0, hold_off_reason="busy",
                   engagement_since=T0)  # fmt: skip
        row = supervisor.get(f"{URL}amina/").json()
        assert row["presence"] == "available"
        assert (row["hold_off_until"], row["hold_off_reason"]) == (
            "2026-11-20T11:00:00+03:00", "busy",
        )  # fmt: skip
        assert row["since"] == "2026-11-20T11:00:00+03:00"
        assert "password" not in row

    def test_an_unknown_agent_is_404(self, supervisor):
        assert supervisor.get(f"{URL}nobody/").status_code == 404

    def test_the_list_costs_the_same_for_many(self, supervisor, django_assert_max_num_queries):
        queue = make_queue()
        for _ in range(12):
            make_agent(queue)
        with django_assert_max_num_queries(4):
            assert len(supervisor.get(URL).json()["results"]) == 12


class TestChanging:
    def test_fields_one_by_one(self, supervisor):
        make_agent(make_queue(), username="amina")
        make_queue("sales", number=None)
        row = supervisor.patch(
            f"{URL}amina/", {"name": "A.", "queues": ["sales"], "confirm_key": True}
        ).json()
        assert (row["name"], row["queues"], row["confirm_key"]) == ("A.", ["sales"], True)
        assert row["presence"] == "available"

    def test_an_empty_change_is_fine(self, supervisor):
        make_agent(username="amina")
        assert supervisor.patch(f"{URL}amina/", {}).status_code == 200

    def test_the_destination_under_a_live_call_is_409_with_the_reason(self, supervisor):
        ringing_agent()
        reply = supervisor.patch(f"{URL}amina/", {"destination": "+254711000099"})
        assert reply.status_code == 409
        assert "live call" in reply.json()["detail"]
        # the name may change, and the same destination is no change
        reply = supervisor.patch(f"{URL}amina/", {"name": "A.", "destination": "0711000001"})
        assert reply.status_code == 200

    def test_a_change_does_not_overwrite_what_a_call_writes_meanwhile(self, supervisor):
        agent = make_agent(username="amina")
        until = T0 + timedelta(seconds=9)
        Agent.objects.filter(pk=agent.pk).update(engagement="wrap_up", wrap_up_until=until)
        supervisor.patch(f"{URL}amina/", {"name": "A."})
        agent.refresh_from_db()
        assert (agent.name, agent.engagement) == ("A.", "wrap_up")

    def test_a_change_of_queues_writes_no_more_than_that(self, supervisor, monkeypatch):
        agent, support = make_agent(username="amina"), make_queue()
        load, until = AgentViewSet.get_object, T0 + timedelta(seconds=9)

        def and_then_a_talk_ends(view):
            loaded = load(view)
            Agent.objects.update(engagement="wrap_up", wrap_up_until=until)
            return loaded

        monkeypatch.setattr(AgentViewSet, "get_object", and_then_a_talk_ends)
        supervisor.patch(f"{URL}amina/", {"queues": [support.slug]})
        agent.refresh_from_db()
        assert agent.engagement == "wrap_up"
        assert agent.memberships.get().queue == support

    def test_only_an_administrator_sets_anothers_password(self, supervisor):
        agent = make_agent(username="amina")
        reply = supervisor.patch(f"{URL}amina/", {"password": "another-good-one"})
        assert (reply.status_code, list(reply.json())) == (400, ["password"])
        root = api(User.objects.create_superuser("root"))
        assert root.patch(f"{URL}amina/", {"password": "another-good-one"}).status_code == 200
        agent.user.refresh_from_db()
        assert agent.user.check_password("another-good-one")


class TestRemoving:
    def test_an_agent_without_calls_is_gone_with_the_account(self, supervisor):
        make_agent(username="amina")
        assert supervisor.delete(f"{URL}amina/").status_code == 204
        assert not User.objects.filter(username="amina").exists()

    def test_with_a_live_call_it_is_409_with_the_reason(self, supervisor):
        agent = ringing_agent()
        reply = supervisor.delete(f"{URL}amina/")
        assert reply.status_code == 409
        assert agent.name in reply.json()["detail"]
        assert Agent.objects.current().exists()

    def past(self):
        agent = ringing_agent()
        with scene(agent.offers.get().call_id, at=T0, source="test") as opened:
            calls.not_answered(opened, "no_answer")
        return agent

    def test_one_who_has_had_calls_stays_in_the_figures_and_cannot_sign_in(self, supervisor):
        agent = self.past()
        assert supervisor.delete(f"{URL}amina/").status_code == 204
        agent.refresh_from_db()
        assert (agent.presence, bool(agent.retired_at)) == ("offline", True)
        assert not User.objects.get(username="amina").is_active
        assert supervisor.get(f"{URL}amina/").status_code == 404
        assert agent.offers.count() == 1
        assert not agent.memberships.exists()

    def test_the_destination_and_the_username_are_free_again(self, supervisor):
        self.past()
        supervisor.delete(f"{URL}amina/")
        assert supervisor.post(URL, AMINA).status_code == 201
        assert supervisor.get(f"{URL}amina/").json()["presence"] == "offline"
        assert User.objects.get(username="amina").is_active


class TestPresence:
    def test_an_agent_says_what_they_are_and_gets_their_row(self):
        agent = make_agent(username="amina", presence="offline")
        reply = api(agent.user).post(f"{URL}amina/presence/", {"presence": "available"})
        assert (reply.status_code, reply.json()["presence"]) == (200, "available")
        period = PresencePeriod.objects.get()
        assert (period.actor, period.cause) == (agent.user, "api")

    def test_a_supervisor_may_for_all_and_is_named_as_the_actor(self, supervisor):
        make_agent(username="amina", presence="offline")
        reply = supervisor.post(f"{URL}amina/presence/", {"presence": "break", "reason": "Lunch"})
        assert (reply.json()["presence"], reply.json()["presence_reason"]) == ("break", "Lunch")
        assert PresencePeriod.objects.get().actor.username == "sarah"

    @pytest.mark.parametrize(
        ("body", "field"),
        [({}, "presence"), ({"presence": "asleep"}, "presence"), ({"presence": None}, "presence"),
         ({"presence": "break", "reason": "x" * 61}, "reason")],
    )  # fmt: skip
    def test_anything_else_is_refused_at_the_field(self, supervisor, body, field):
        make_agent(username="amina")
        reply = supervisor.post(f"{URL}amina/presence/", body)
        assert (reply.status_code, list(reply.json())) == (400, [field])

    def test_for_another_it_is_not_there(self):
        me = make_agent(username="amina")
        make_agent(username="brian")
        reply = api(me.user).post(f"{URL}brian/presence/", {"presence": "offline"})
        assert reply.status_code in {403, 404}
        assert Agent.objects.get(user__username="brian").presence == "available"

    def test_in_a_call_it_is_taken_and_the_call_goes_on(self):
        agent = ringing_agent()
        row = api(agent.user).post(f"{URL}amina/presence/", {"presence": "break"}).json()
        assert (row["presence"], row["engagement"]) == ("break", "ringing")


class TestRoles:
    def test_an_agent_sees_only_themselves_and_changes_nothing(self):
        me = make_agent(username="amina")
        make_agent(username="brian")
        client = api(me.user)
        assert [row["username"] for row in client.get(URL).json()["results"]] == ["amina"]
        assert client.get(f"{URL}brian/").status_code == 404
        assert client.post(URL, AMINA).status_code == 403
        assert client.patch(f"{URL}amina/", {"destination": "+254711000077"}).status_code == 403
        assert client.delete(f"{URL}amina/").status_code == 403

    def test_nobody_is_401_and_a_user_without_a_role_403(self):
        assert Api().get(URL).status_code == 401
        assert api(User.objects.create_user("visitor")).get(URL).status_code == 403
        staff = User.objects.create_user("clerk", is_staff=True)  # staff without the group
        assert api(staff).get(URL).status_code == 403

    def test_a_token_opens_it_and_a_wrong_one_does_not(self):
        token = Token.objects.create(user=make_supervisor())
        client = Api()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        assert client.get(URL).status_code == 200
        client.credentials(HTTP_AUTHORIZATION="Token nonsense")
        assert client.get(URL).status_code == 401

    def test_a_session_opens_it_and_needs_a_csrf_token_to_write(self):
        client = Api(enforce_csrf_checks=True)
        client.force_login(make_supervisor())
        assert client.get(URL).status_code == 200
        assert client.post(URL, AMINA).status_code == 403

    def test_a_supervisor_touches_no_account_of_staff_through_its_agent(self, supervisor):
        """Supervisors create and edit agents, but never staff."""
        boss = make_agent(username="boss")
        boss.user.is_staff = boss.user.is_superuser = True
        boss.user.save()
        assert supervisor.delete(f"{URL}boss/").status_code == 403
        assert supervisor.patch(f"{URL}boss/", {"username": "bosss"}).status_code in {400, 403}
        boss.user.refresh_from_db()
        assert (boss.user.username, boss.user.is_active) == ("boss", True)
        root = api(User.objects.create_superuser("root"))
        assert root.delete(f"{URL}boss/").status_code == 204
