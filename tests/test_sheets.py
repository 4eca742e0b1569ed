"""Agents and contacts in and out of spreadsheets: previewed, checked at the cell, harmless."""

from __future__ import annotations

import csv
import io
import re

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from callcenter.sheets import formats
from queues.models import Contact
from queues.roles import set_up_roles
from tests.factories import make_agent, make_offered, make_queue, make_supervisor

pytestmark = pytest.mark.django_db
PAGES = {Agent: "admin:agents_agent", Contact: "admin:queues_contact"}


@pytest.fixture
def sarah():
    set_up_roles()
    client = Client()
    client.force_login(make_supervisor())
    return client


def file(text: str | bytes, name: str = "rows.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode() if isinstance(text, str) else text)


def look(client, model, text, name: str = "rows.csv"):
    """Choose a file; return the page with the preview or the errors."""
    body = {"import_file": file(text, name), "format": "0", "resource": "0"}
    return client.post(reverse(f"{PAGES[model]}_import"), body)


def confirm(client, model, page):
    return client.post(
        reverse(f"{PAGES[model]}_process_import"), page.context["confirm_form"].initial
    )


def errors(page) -> dict[tuple[int, str], list[str]]:
    """What is wrong, by row and column."""
    return {
        (row["number"], cell["column"]): cell["errors"]
        for row in page.context["refused"]
        for cell in row["cells"]
        if cell["errors"]
    }


def export(client, model, kind: int) -> bytes:
    reply = client.post(reverse(f"{PAGES[model]}_export"), {"format": str(kind), "resource": "0"})
    assert reply["Content-Disposition"].startswith("attachment")
    return reply.content


class TestAgents:
    HEAD = "username,name,destination,queues,confirm_key\n"

    def test_nothing_is_done_before_the_preview_is_confirmed(self, sarah):
        make_queue("support")
        page = look(sarah, Agent, self.HEAD + "amina,Amina,0711 000 001,support,yes\n")
        assert not Agent.objects.exists()
        assert "+254711000001" in page.content.decode()
        assert confirm(sarah, Agent, page).status_code == 302
        amina = Agent.objects.get()
        assert (amina.user.username, amina.destination) == ("amina", "+254711000001")
        assert amina.confirm_key
        assert [queue.slug for queue in amina.queues.all()] == ["support"]
        assert not amina.user.has_usable_password()

    def test_who_is_there_is_updated_by_username_and_keeps_what_is_left_empty(self, sarah):
        make_agent(make_queue(), username="amina", confirm_key=True)
        before = Agent.objects.get()
        page = look(sarah, Agent, "username,name,destination,queues\namina,Amina W.,,\n")
        row = page.context["result"].rows[0]
        assert row.import_type == "update"
        assert "W." in str(row.diff)
        confirm(sarah, Agent, page)
        after = Agent.objects.get()
        assert (after.name, after.destination) == ("Amina W.", before.destination)
        assert after.confirm_key
        assert after.queues.count() == 1
        change = Agent.history.order_by("-history_id").first()
        assert (change.history_user.username, change.name) == ("sarah", "Amina W.")

    def test_none_takes_an_agent_out_of_all_queues(self, sarah):
        make_agent(make_queue(), username="amina")
        confirm(sarah, Agent, look(sarah, Agent, "username,queues\namina,none\n"))
        assert Agent.objects.get().queues.count() == 0

    def test_a_row_that_says_what_is_so_is_left_alone(self, sarah):
        agent = make_agent(make_queue(), username="amina")
        text = f"username,name,destination,queues\namina,Amina,{agent.destination},support\n"
        assert look(sarah, Agent, text).context["result"].rows[0].import_type == "skip"

    def test_errors_stand_at_their_cells_and_nothing_is_saved(self, sarah):
        taken = make_agent(username="taken").destination
        page = look(sarah, Agent, self.HEAD
                    + "brian,Brian,+254711000002,,no\n"
                    + f"chebet,Chebet,{taken},nowhere,no\n"
                    + "david,David,0711,,perhaps\n"
                    + "brian,Brian,+254711000003,,no\n")  # fmt: skip
        assert "confirm_form" not in page.context
        told = errors(page)
        assert told[(2, "destination")] == ["Another agent already has this destination."]
        assert "nowhere" in told[(2, "queues")][0]
        assert told[(3, "confirm_key")] == ["Write yes or no."]
        assert told[(4, "username")] == ["This is in the file twice."]
        assert Agent.objects.count() == 1
        assert 'data-wrong="destination"' in page.content.decode()

    def test_a_live_call_keeps_its_phone(self, sarah):
        make_offered(make_queue())
        name = Agent.objects.get().user.username
        page = look(sarah, Agent, f"username,destination\n{name},+254711999999\n")
        assert "live call" in str(page.context["refused"][0]["others"])

    def test_what_no_longer_fits_when_confirmed_stops_all_of_it(self, sarah):
        text = self.HEAD + "eve,Eve,+254711000001,,no\nfay,Fay,+254711000002,,no\n"
        page = look(sarah, Agent, text)
        make_agent(username="other", destination="+254711000002")
        reply = confirm(sarah, Agent, page)
        assert reply.url.endswith("/import/")
        assert Agent.objects.count() == 1

    def test_a_password_is_for_new_agents_and_never_comes_out(self, sarah):
        head = "username,destination,initial_password\n"
        weak = look(sarah, Agent, head + "amina,+254711000001,12345\n")
        assert "initial_password" in weak.context["refused"][0]["others"][0]
        page = look(sarah, Agent, head + "amina,+254711000001,a-good-password-7\n")
        assert "a-good-password-7" not in page.content.decode()
        confirm(sarah, Agent, page)
        user = Agent.objects.get().user
        assert user.check_password("a-good-password-7")
        again = look(sarah, Agent, head + "amina,+254711000001,another-one-9\n")
        assert "Only a new agent" in again.context["refused"][0]["others"][0]
        for kind in (0, 1):
            assert b"password" not in export(sarah, Agent, kind)
            assert user.password.encode() not in export(sarah, Agent, kind)

    def test_what_was_exported_imports_without_a_change(self, sarah):
        make_agent(make_queue(), username="amina", confirm_key=True)
        Agent.objects.update(name="=1+1")
        make_agent(username="brian", destination="sip:brian@pbx.example.com")
        for kind, name in ((0, "a.xlsx"), (1, "a.csv")):
            page = look(sarah, Agent, export(sarah, Agent, kind), name)
            assert [row.import_type for row in page.context["result"].rows] == ["skip", "skip"]


class TestContacts:
    def test_numbers_as_people_write_them(self, sarah):
        Contact.objects.create(number="+254711000001", name="Old name")
        text = "Number;Name\n0711 000 001;Wanjiru Traders\n254722000002;Otieno\n"
        page = look(sarah, Contact, text)
        assert [row.import_type for row in page.context["result"].rows] == ["update", "new"]
        confirm(sarah, Contact, page)
        assert dict(Contact.objects.values_list("number", "name")) == {
            "+254711000001": "Wanjiru Traders", "+254722000002": "Otieno",
        }  # fmt: skip

    def test_an_excel_file_whose_numbers_are_numbers(self, sarah):
        book = openpyxl.Workbook()
        for row in (["number", "name"], [254711000001, "Wanjiru"], [711000002.0, "Otieno"]):
            book.active.append(row)
        written = io.BytesIO()
        book.save(written)
        confirm(sarah, Contact, look(sarah, Contact, written.getvalue(), "a.xlsx"))
        assert set(Contact.objects.values_list("number", flat=True)) == {
            "+254711000001", "+254711000002",
        }  # fmt: skip


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("telephone,name\n1,x\n", "The column “number” is missing"),
            ("number,name,colour\n1,x,red\n", "The column “colour” is not known"),
            ("number,name\n", "has no rows"),
            ("number,number\n1,2\n", "Two columns"),
            ("number,name\n1,x,y\n", "more cells"),
            ("PK and no zip at all\n", "cannot be read"),
            ("number,name\n\0,x\n", "neither CSV nor XLSX"),
            ("number,name\n" + "".join(f"0711{n:06},x\n" for n in range(3001)), "At most 3000"),
            ("number,name\n" + "x" * 600_000, "larger than 512 KB"),
        ],
        ids=lambda value: value[:20] if "\n" not in value else None,
    )
    def test_one_that_cannot_be_taken_is_told_at_the_field(self, sarah, text, told):
        page = look(sarah, Contact, text)
        assert told in page.context["form"].errors["import_file"][0]

    def test_one_that_would_unpack_to_too_much(self, sarah, monkeypatch):
        monkeypatch.setattr(formats, "_MOST_UNPACKED", 1000)
        book = io.BytesIO()
        openpyxl.Workbook().save(book)
        page = look(sarah, Contact, book.getvalue(), "a.xlsx")
        assert "too large when unpacked" in page.context["form"].errors["import_file"][0]

    def test_the_file_waits_in_the_page_and_cannot_be_swapped(self, sarah):
        page = look(sarah, Contact, "number,name\n0711000001,Wanjiru\n")
        body = page.context["confirm_form"].initial
        for name in ("passwd", body["import_file_name"][:-2] + "xx"):
            sarah.post(reverse(f"{PAGES[Contact]}_process_import"),
                       body | {"import_file_name": name})  # fmt: skip
        assert not Contact.objects.exists()

    def test_no_other_page_takes_one(self, sarah):
        for path in ("/login/?next=/", "/admin/queues/queue/add/", "/password/"):
            assert sarah.post(path, {"file": file("x")}).status_code == 400

    def test_a_request_that_is_too_large_is_not_read(self, sarah):
        reply = sarah.post(reverse(f"{PAGES[Contact]}_import"),
                           {"import_file": file("x" * 2_200_000)})  # fmt: skip
        assert reply.status_code == 400


class TestExports:
    EVIL = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")']

    @pytest.fixture
    def book(self, sarah):
        for n, name in enumerate(self.EVIL):
            Contact.objects.create(number=f"+25471100000{n}", name=name.strip(), notes="ok")
        return sarah

    def test_no_cell_of_a_csv_is_a_formula_and_numbers_keep_their_plus(self, book):
        raw = export(book, Contact, 1)
        assert raw.startswith(b"\xef\xbb\xbf")
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
        assert rows[0] == ["number", "name", "notes"]
        cells = [cell for row in rows[1:] for cell in row]
        assert len(cells) == 18
        wrong = [c for c in cells if re.match(r"[=+\-@\t]", c)]
        assert sorted(wrong) == [f"+25471100000{n}" for n in range(6)]

    def test_every_cell_of_an_excel_file_is_text(self, book):
        sheet = openpyxl.load_workbook(io.BytesIO(export(book, Contact, 0))).active
        rows = list(sheet.iter_rows(min_row=2))
        assert {cell.data_type for row in rows for cell in row} == {"s"}
        assert {row[1].value for row in rows} == {name.strip() for name in self.EVIL}
        assert all(row[0].value.startswith("+254") and row[0].quotePrefix for row in rows)
