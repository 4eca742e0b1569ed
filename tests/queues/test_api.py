"""`/api/queues/`, `/api/menus/`, `/api/calls/`: fields, refusals at the field, filters, roles."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from queues import calls
from queues.models import CallEvent, Member, Menu, Number, Offer, Queue, QueuedCall
from queues.routing import match
from queues.scene import scene
from reporting.models import CallRecord
from tests.api import Api, api
from tests.factories import CALLER, LINE, T0, make_agent, make_menu, make_queue, make_supervisor
from tests.factories import make_waiting as make_call

pytestmark = pytest.mark.django_db
QUEUES, MENUS, CALLS = "/api/queues/", "/api/menus/", "/api/calls/"
OTHER = "+254200000102"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def supervisor():
    return api(make_supervisor())


class TestQueues:
    def test_creating_answers_201_and_the_row_with_the_defaults(self, supervisor):
        reply = supervisor.post(
            QUEUES, {"slug": "sales", "name": "Sales", "numbers": ["0200 000 101", OTHER]}
        )
        assert reply.status_code == 201
        assert reply.json() == {
            "slug": "sales", "name": "Sales", "numbers": [LINE, OTHER],
            "strategy": "longest_idle", "priority": 0, "direct_dial": True, "ring_timeout": 20,
            "wrap_up_seconds": 30, "service_level_seconds": 20, "short_abandon_seconds": 5,
            "max_wait_seconds": 600, "when_empty": "hold", "language": "en-KE",
            "greeting": "Connecting you to an agent.",
            "hold_message": "All agents are currently with other customers. Please hold.",
            "say_position": True, "agents": [],
            "wrap_up_extension_seconds": 60, "disposition_required": False,
            "service_level_target": 80, "heartbeat_seconds": None, "fetch_recordings": False,
            "keep_recordings_days": 90, "closed_at": None,
            "closed_message": "We are closed at the moment. Please call again later.",
        }  # fmt: skip

    def test_numbers_are_not_required_and_nought_seconds_of_wrap_up_are_allowed(self, supervisor):
        reply = supervisor.post(
            QUEUES,
            {"slug": "s", "name": "S", "wrap_up_seconds": 0, "short_abandon_seconds": 0},
        )
        assert reply.status_code == 201
        assert (reply.json()["wrap_up_seconds"], reply.json()["numbers"]) == (0, [])

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"slug": ""}, "slug"), ({"slug": "two words"}, "slug"), ({"slug": None}, "slug"),
            ({"name": ""}, "name"), ({"name": "x" * 81}, "name"),
            ({"strategy": "fastest"}, "strategy"), ({"when_empty": "cry"}, "when_empty"),
            ({"ring_timeout": 0}, "ring_timeout"), ({"ring_timeout": 1.5}, "ring_timeout"),
            ({"ring_timeout": "soon"}, "ring_timeout"), ({"ring_timeout": 2**31}, "ring_timeout"),
            ({"wrap_up_seconds": -1}, "wrap_up_seconds"),
            ({"service_level_seconds": 0}, "service_level_seconds"),
            ({"short_abandon_seconds": -1}, "short_abandon_seconds"),
            ({"max_wait_seconds": 0}, "max_wait_seconds"),
            ({"priority": 40000}, "priority"),
            ({"numbers": ["12"]}, "numbers"), ({"numbers": ["sip:a@b.example.com"]}, "numbers"),
            ({"numbers": "+254200000101"}, "numbers"), ({"numbers": [""]}, "numbers"),
            ({"greeting": "x" * 501}, "greeting"),
            ({"language": "not a language"}, "language"),
            ({"greeting": "https://cdn.example.test/two words.mp3"}, "greeting"),
            ({"hold_message": "http://"}, "hold_message"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_wrong_is_told_at_its_field(self, supervisor, change, field):
        reply = supervisor.post(QUEUES, {"slug": "sales", "name": "Sales", **change})
        assert (reply.status_code, list(reply.json())) == (400, [field])
        assert not Queue.objects.exists()
        assert not Number.objects.exists()

    def test_slug_and_name_are_required_and_the_slug_is_taken_once(self, supervisor):
        assert sorted(supervisor.post(QUEUES, {}).json()) == ["name", "slug"]
        make_queue("sales")
        reply = supervisor.post(QUEUES, {"slug": "sales", "name": "Again"})
        assert reply.json() == {"slug": ["Another queue already has this slug."]}

    def test_a_number_on_another_queue_or_menu_is_refused_with_its_name(self, supervisor):
        menu_queue = make_queue("billing", number=OTHER)
        make_menu(("1", menu_queue), number=LINE, name="Main menu")
        for number, where in ((OTHER, "queue “Billing”"), (LINE, "menu “Main menu”")):
            reply = supervisor.post(QUEUES, {"slug": "s", "name": "S", "numbers": [number]})
            assert (reply.status_code, list(reply.json())) == (400, ["numbers"])
            assert where in str(reply.json())

    def test_one_number_told_twice_is_one(self, supervisor):
        row = supervisor.post(
            QUEUES, {"slug": "s", "name": "S", "numbers": [LINE, "0200000101"]}
        ).json()
        assert row["numbers"] == [LINE]

    def test_changing_takes_over_what_is_told_and_leaves_the_rest(self, supervisor):
        queue = make_queue("sales", ring_timeout=15)
        make_agent(queue, username="amina")
        row = supervisor.patch(f"{QUEUES}sales/", {"name": "New", "numbers": [OTHER]}).json()
        assert (row["name"], row["numbers"], row["ring_timeout"]) == ("New", [OTHER], 15)
        assert row["agents"] == ["amina"]
        assert supervisor.patch(f"{QUEUES}sales/", {"numbers": []}).json()["numbers"] == []
        assert supervisor.patch(f"{QUEUES}sales/", {"ring_timeout": 0}).status_code == 400

    def test_renumbering_under_a_live_call_is_409_and_changes_nothing(self, supervisor):
        make_call(make_queue("sales"))
        reply = supervisor.patch(f"{QUEUES}sales/", {"name": "New", "numbers": [OTHER]})
        assert reply.status_code == 409
        assert "live call" in reply.json()["detail"]
        queue = Queue.objects.get()
        assert (queue.name, queue.numbers.get().e164) == ("Sales", LINE)
        # a number more is no harm
        reply = supervisor.patch(f"{QUEUES}sales/", {"numbers": [LINE, OTHER]})
        assert reply.status_code == 200

    def test_removing_with_live_calls_is_409_with_the_reason(self, supervisor):
        make_call(make_queue("sales"))
        reply = supervisor.delete(f"{QUEUES}sales/")
        assert (reply.status_code, "live calls" in reply.json()["detail"]) == (409, True)

    def test_removing_one_that_a_menu_leads_to_is_409_with_its_name(self, supervisor):
        make_menu(("1", make_queue("sales")), name="Main menu")
        reply = supervisor.delete(f"{QUEUES}sales/")
        assert (reply.status_code, "Main menu" in reply.json()["detail"]) == (409, True)

    def test_one_that_has_had_calls_stays_in_the_figures_and_frees_slug_and_number(
        self, supervisor
    ):
        call = make_call(make_queue("sales"))
        QueuedCall.objects.update(state="abandoned", abandoned_in="queue", ended_at=after(9))
        assert supervisor.delete(f"{QUEUES}sales/").status_code == 204
        assert supervisor.get(f"{QUEUES}sales/").status_code == 404
        call.refresh_from_db()
        assert call.queue.slug == "sales"
        body = {"slug": "sales", "name": "Sales", "numbers": [LINE]}
        assert supervisor.post(QUEUES, body).status_code == 201

    def test_an_unused_one_is_gone(self, supervisor):
        make_queue("sales")
        assert supervisor.delete(f"{QUEUES}sales/").status_code == 204
        assert not Queue.objects.exists()

    def test_the_list_is_cheap_and_in_pages(self, supervisor, django_assert_max_num_queries):
        for n in range(12):
            queue = make_queue(f"q{n:02}", number=f"+25420000{n:04}")
            make_agent(queue)
        with django_assert_max_num_queries(6):
            page = supervisor.get(f"{QUEUES}?limit=10").json()
        assert len(page["results"]) == 10
        assert [row["slug"] for row in supervisor.get(page["next"]).json()["results"]] == [
            "q10", "q11",
        ]  # fmt: skip


class TestMenus:
    @pytest.fixture
    def sales(self):
        return make_queue("sales", number=None)

    @pytest.fixture
    def body(self, sales):
        return {
            "slug": "main", "numbers": [LINE],
            "options": [{"digit": "1", "queue": "sales", "label": "Sales"}],
        }  # fmt: skip

    def test_creating_answers_201_and_the_row_with_the_defaults(self, supervisor, body):
        reply = supervisor.post(MENUS, body)
        assert reply.status_code == 201
        assert reply.json() == {
            "slug": "main", "name": "", "numbers": [LINE], "prompt": "", "language": "en-KE",
            "timeout": 8, "tries": 3, "on_failure": "first_option",
            "options": [{"digit": "1", "queue": "sales", "menu": None, "label": "Sales"}],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"slug": "no spaces please"}, "slug"),
            ({"numbers": ["x"]}, "numbers"), ({"numbers": None}, "numbers"),
            ({"timeout": 0}, "timeout"), ({"tries": 0}, "tries"),
            ({"on_failure": "shrug"}, "on_failure"), ({"language": "?"}, "language"),
            ({"prompt": "https://cdn.example.test/é.mp3"}, "prompt"),
            ({"options": []}, "options"), ({"options": None}, "options"),
            ({"options": [{"digit": "12", "queue": "sales"}]}, "options"),
            ({"options": [{"digit": "#", "queue": "sales"}]}, "options"),
            ({"options": [{"digit": "1"}]}, "options"),
            ({"options": [{"digit": "1", "queue": "nowhere"}]}, "options"),
            ({"options": [{"digit": "1", "queue": "sales", "menu": "other"}]}, "options"),
            ({"options": [{"digit": "1", "queue": "sales"}] * 2}, "options"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_wrong_is_told_at_its_field(self, supervisor, body, sales, change, field):
        make_menu(("1", sales), slug="other", number=OTHER)
        reply = supervisor.post(MENUS, {**body, **change})
        assert (reply.status_code, list(reply.json())) == (400, [field])
        assert Menu.objects.count() == 1

    def test_slug_numbers_and_options_are_required(self, supervisor):
        assert sorted(supervisor.post(MENUS, {}).json()) == ["numbers", "options", "slug"]

    def test_a_slug_is_taken_once(self, supervisor, body):
        supervisor.post(MENUS, body)
        reply = supervisor.post(MENUS, {**body, "numbers": [OTHER]})
        assert (reply.status_code, list(reply.json())) == (400, ["slug"])

    def test_a_number_of_a_queue_is_refused_by_name(self, supervisor, body):
        make_queue("billing")
        reply = supervisor.post(MENUS, body)
        assert "queue “Billing”" in str(reply.json()["numbers"])

    def test_options_may_lead_to_another_menu(self, supervisor, body):
        supervisor.post(MENUS, body)
        inner = {"slug": "inner", "numbers": [], "options": body["options"]}
        assert supervisor.post(MENUS, inner).status_code == 201
        options = [*body["options"], {"digit": "*", "menu": "inner"}]
        row = supervisor.patch(f"{MENUS}main/", {"options": options}).json()
        assert [(o["digit"], o["queue"], o["menu"]) for o in row["options"]] == [
            ("1", "sales", None), ("*", None, "inner"),
        ]  # fmt: skip
        assert supervisor.delete(f"{MENUS}inner/").status_code == 409

    def test_changing_the_words_leaves_numbers_and_options(self, supervisor, body):
        supervisor.post(MENUS, body)
        row = supervisor.patch(f"{MENUS}main/", {"prompt": "Hello."}).json()
        assert (row["prompt"], row["numbers"], len(row["options"])) == ("Hello.", [LINE], 1)

    def test_one_with_a_caller_in_it_is_409(self, supervisor, body):
        supervisor.post(MENUS, body)
        make_call(None, state="greeting", menu=Menu.objects.get(), offerable_from=None,
                  queued_at=None)  # fmt: skip
        assert supervisor.delete(f"{MENUS}main/").status_code == 409
        assert supervisor.patch(f"{MENUS}main/", {"numbers": [OTHER]}).status_code == 409
        QueuedCall.objects.update(state="abandoned", abandoned_in="menu", ended_at=after(1))
        assert supervisor.delete(f"{MENUS}main/").status_code == 204


@pytest.fixture
def served(provider):
    """A caller who waited 12 s, talked 60 s with Amina, and cost KES 3.00 + KES 1.50."""
    agent = make_agent(make_queue(), username="amina", destination="+254711000001")
    call = make_call(Queue.objects.get())
    match(after(10))
    with scene(call.pk, at=after(12), source="test") as opened:
        calls.connect(opened, at=after(12))
    with scene(call.pk, at=after(72), source="test") as opened:
        calls.finish(opened, reason="agent hung up")
    call.refresh_from_db()
    for leg, cost in zip(call.legs.order_by("role"), (300, 150), strict=True):
        CallRecord.objects.create(
            leg=leg, call=call, session_id=f"r-{leg.role}", status="completed", cost_minor=cost,
            cost_currency="KES", first_seen_at=T0, changed_at=T0,
        )  # fmt: skip
    return call, agent


class TestCalls:
    def test_a_row_has_the_agreed_fields(self, supervisor, served):
        call, _ = served
        [row] = supervisor.get(CALLS).json()["results"]
        legs = row.pop("legs")
        assert sorted(row) == sorted([
            "id", "direction", "status", "abandoned_in", "end_reason", "from", "to", "queue",
            "agent", "arrived_at", "queued_at", "connected_at", "connected_is_estimated",
            "ended_at", "wait_seconds", "talk_seconds", "cost_minor",
        ])  # fmt: skip
        assert (row["id"], row["direction"], row["status"]) == (
            call.public_id, "inbound", "completed",
        )  # fmt: skip
        assert (row["from"], row["to"], row["queue"], row["agent"]) == (
            CALLER, LINE, "support", "amina",
        )  # fmt: skip
        assert (row["wait_seconds"], row["talk_seconds"], row["cost_minor"]) == (12.0, 60.0, 450)
        assert row["connected_at"] == "2026-11-20T11:00:12+03:00"
        assert {leg["role"]: leg["cost_minor"] for leg in legs} == {"agent": 300, "customer": 150}

    def test_the_single_call_has_its_whole_timeline(self, supervisor, served):
        call, _ = served
        row = supervisor.get(f"{CALLS}{call.public_id}/").json()
        assert [event["kind"] for event in row["timeline"]] == [
            "offered", "connected", "offer_ended", "completed",
        ]  # fmt: skip
        assert row["timeline"][0]["detail"]["chosen"] == "Amina"
        assert [(offer["agent"], offer["status"]) for offer in row["offers"]] == [
            ("amina", "ended"),
        ]  # fmt: skip
        assert row["why_waiting"] is None

    def test_it_is_found_by_the_providers_handle_too(self, supervisor, served):
        call, _ = served
        handle = call.legs.get(role="customer").session_id
        assert supervisor.get(f"{CALLS}{handle}/").json()["id"] == call.public_id
        assert supervisor.get(f"{CALLS}nothing/").status_code == 404

    def test_an_open_call_has_nulls_where_nothing_is_known_yet(self, supervisor):
        make_call(make_queue())
        [row] = supervisor.get(CALLS).json()["results"]
        for name in ("agent", "connected_at", "ended_at", "talk_seconds", "cost_minor"):
            assert row[name] is None, name

    def test_why_it_waits_is_told(self, supervisor):
        call = make_call(make_queue())
        row = supervisor.get(f"{CALLS}{call.public_id}/").json()
        assert row["why_waiting"] == "The queue has no agents."

    @pytest.fixture
    def several(self):
        support, sales = make_queue(), make_queue("sales", number=OTHER)
        make_call(support, arrived_at=after(0), public_id="first")
        make_call(sales, arrived_at=after(60), public_id="second", line=OTHER)
        make_call(support, arrived_at=after(120), public_id="third", state="abandoned",
                  abandoned_in="queue", ended_at=after(130), customer="+254722000333")  # fmt: skip

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({}, ["third", "second", "first"]),
            ({"status": "waiting"}, ["second", "first"]),
            ({"status": "waiting,abandoned"}, ["third", "second", "first"]),
            ({"status": "completed"}, []),
            ({"queue": "sales"}, ["second"]),
            ({"number": "0722000333"}, ["third"]),
            ({"number": "+254722000333"}, ["third"]),
            ({"number": OTHER}, ["second"]),
            ({"since": "2026-11-20T08:01:00Z"}, ["third", "second"]),
            ({"until": "2026-11-20T08:01:00Z"}, ["first"]),
            ({"since": "2026-11-20T11:01:00+03:00", "until": "2026-11-20T11:02:00+03:00"},
             ["second"]),
            ({"since": "2026-11-20T11:01"}, ["third", "second"]),  # without a zone: TIME_ZONE
            ({"since": "2026-11-20"}, ["third", "second", "first"]),
            ({"until": "2026-11-20"}, []),
            ({"status": "waiting", "queue": "support", "until": "2026-11-21"}, ["first"]),
        ],
        ids=str,
    )  # fmt: skip
    def test_filters(self, supervisor, several, asked, found):
        rows = supervisor.get(CALLS, asked).json()["results"]
        assert [row["id"] for row in rows] == found

    @pytest.mark.parametrize(
        ("asked", "sentence"),
        [
            ({"status": "waitin"}, "No such status: waitin."),
            ({"queue": "nowhere"}, "No such queue."),
            ({"since": "yesterday"}, "Not a time, e.g. 2026-11-22T08:00:00+03:00."),
            ({"until": "2026-13-01"}, "Not a time, e.g. 2026-11-22T08:00:00+03:00."),
            ({"limit": "0"}, "A number from 1 to 500."),
        ],
        ids=str,
    )
    def test_a_filter_that_makes_no_sense_is_told_at_its_name(self, supervisor, asked, sentence):
        reply = supervisor.get(CALLS, asked)
        assert reply.status_code == 400
        assert reply.json() == {next(iter(asked)): [sentence]}

    def test_pages_follow_each_other_without_gap_or_repeat(self, supervisor, several):
        found, url = [], f"{CALLS}?limit=2"
        while url:
            page = supervisor.get(url).json()
            found += [row["id"] for row in page["results"]]
            url = page["next"]
        assert found == ["third", "second", "first"]

    def test_the_list_costs_the_same_for_many(self, supervisor, django_assert_max_num_queries):
        queue = make_queue()
        for n in range(30):
            make_call(queue, arrived_at=after(n))
        with django_assert_max_num_queries(5):
            assert len(supervisor.get(CALLS).json()["results"]) == 30

    def test_a_call_cannot_be_written(self, supervisor, served):
        call, _ = served
        for method in ("put", "patch", "delete"):
            assert getattr(supervisor, method)(f"{CALLS}{call.public_id}/").status_code == 405

    def test_a_nul_or_a_very_long_id_is_404(self, supervisor):
        assert supervisor.get(f"{CALLS}{'x' * 500}/").status_code == 404
        assert supervisor.get(f"{CALLS}a%00b/").status_code == 404

    @pytest.mark.parametrize(
        "path",
        [f"{QUEUES}a%00b/", f"{MENUS}a%00/", "/api/agents/a%00/", f"{CALLS}?number=%00",
         f"{CALLS}?queue=a%00", f"{CALLS}?status=%00", f"{CALLS}?since=%00",
         f"{CALLS}?number={'9' * 5000}", f"{CALLS}?cursor=%00", "/api/reports/queues/?since=%00"],
    )  # fmt: skip
    def test_a_nul_anywhere_in_an_address_is_no_500(self, supervisor, path):
        assert supervisor.get(path).status_code in {200, 400, 404}


class TestRoles:
    def test_an_agent_sees_own_calls_only(self, served):
        call, agent = served
        other = make_agent(username="brian")
        mine = api(agent.user).get(CALLS).json()["results"]
        assert [row["id"] for row in mine] == [call.public_id]
        assert api(agent.user).get(f"{CALLS}{call.public_id}/").status_code == 200
        assert api(other.user).get(CALLS).json()["results"] == []
        assert api(other.user).get(f"{CALLS}{call.public_id}/").status_code == 404

    def test_the_call_that_rings_is_ones_own(self):
        agent = make_agent(make_queue())
        call = make_call(Queue.objects.get())
        match(T0)
        [row] = api(agent.user).get(CALLS).json()["results"]
        assert (row["id"], row["status"]) == (call.public_id, "offered")

    @pytest.mark.parametrize("path", [QUEUES, MENUS, "/api/live/", "/api/reports/queues/"])
    def test_setup_and_figures_are_for_supervisors(self, path):
        agent = make_agent()
        assert api(agent.user).get(path).status_code == 403
        assert api(User.objects.create_user("visitor")).get(path).status_code == 403
        assert Api().get(path).status_code == 401
        assert api(make_supervisor()).get(path).status_code == 200
        assert api(User.objects.create_superuser("root")).get(path).status_code == 200

    @pytest.mark.parametrize("path", [QUEUES, MENUS])
    def test_an_agent_writes_no_setup(self, path):
        make_queue("sales")
        client = api(make_agent().user)
        assert client.post(path, {}).status_code == 403
        assert client.delete(f"{QUEUES}sales/").status_code == 403
        assert Member.objects.count() == 0

    def test_calls_are_for_people_who_work_here(self, served):
        assert Api().get(CALLS).status_code == 401
        assert api(User.objects.create_user("visitor")).get(CALLS).status_code == 403


def test_a_body_that_is_no_json_is_400_and_another_type_415(supervisor):
    reply = supervisor.generic("POST", QUEUES, "{", "application/json")
    assert reply.status_code == 400
    assert supervisor.generic("POST", QUEUES, "a=b", "text/plain").status_code == 415
    assert supervisor.post(QUEUES, ["a"]).status_code == 400


def test_nothing_happened_leaves_no_event(supervisor):
    supervisor.post(CALLS, {"agent": "nobody", "to": "x"})
    assert not CallEvent.objects.exists()
    assert not Offer.objects.exists()
