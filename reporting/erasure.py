"""Erasing one person by their number, and the proof that nothing is left.

The calls stay, with all their times, so that no figure changes; who it was goes. The number is
replaced everywhere by one fresh name. Then every text of every table is searched for it, in the
same transaction; what is found is replaced too, and searched for once more. What is found then is
told (`remaining`): 0 is the proof.
"""

from __future__ import annotations

import logging
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from agents.models import Agent
from callcenter.sautikit import phone
from queues import recordings
from queues.models import CallEvent, Contact, Leg, Number, QueuedCall, Recording, WrapUp
from reporting import pseudonyms, traces
from reporting.files import exports
from reporting.models import Erasure, Export
from reporting.traces import Person

log = logging.getLogger(__name__)
LONGEST_REASON = 200


class Refused(Exception):
    """Why this number cannot be erased, in a sentence for people."""


@dataclass
class Found:
    """What there is about a person."""

    person: Person
    calls: list[Any] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # by table.column
    notes: int = 0
    recordings: int = 0
    exports: int = 0

    @property
    def nothing(self) -> bool:
        """Whether there is nothing at all."""
        return not self.rows and not self.exports


def person(number: str) -> Person:
    """Return who is meant. Raises Refused for no number, and for one of ours."""
    try:
        found = Person(number.strip()[:160].replace("\x00", ""))
    except phone.BadDestination as error:
        raise Refused(_(str(error))) from error
    if Number.objects.filter(e164=found.number).exists() or (
        found.number == settings.SAUTIKIT_NUMBER
    ):
        raise Refused(_("That is a number of this call centre, not of a person who called it."))
    if Agent.objects.current().filter(destination=found.number).exists():
        raise Refused(
            _("That is an agent's phone. Give the agent another one first, or remove the agent.")
        )
    return found


def look(number: str) -> Found:
    """Return what would be erased; nothing is changed. Raises Refused."""
    found = Found(person(number))
    found.calls = _calls(found.person)
    found.rows = traces.count(found.person)
    found.notes = _notes(found.calls).count()
    found.recordings = Recording.objects.filter(call__in=found.calls).exclude(path="").count()
    found.exports = len(_exports(found.person))
    return found


def erase(number: str, *, at: datetime, actor: Any = None, reason: str = "") -> Erasure:
    """Take a person's number out of everything, and search for it afterwards.

    Raises Refused while they are on a call. What is left behind by an end in the middle is an
    erasure without `ended_at`: nothing was changed then, but that files may be gone.
    """
    whom = person(number)
    row = Erasure.objects.create(
        digest=pseudonyms.digest(whom.number), masked=phone.masked(whom.number)[:24],
        replaced_by=pseudonyms.fresh(), reason=reason.strip()[:LONGEST_REASON],
        requested_by=actor, started_at=at,
    )  # fmt: skip
    try:
        _erase(row, whom, at)
    except Refused:
        row.delete()
        raise
    return row


def _erase(row: Erasure, whom: Person, at: datetime) -> None:
    counts: Counter[str] = Counter()
    with transaction.atomic():
        with connection.cursor() as cursor:  # no figure changes, so none is counted again
            cursor.execute("SET LOCAL callcenter.bulk = 'on'")
        calls = _calls(whom)
        counts["queues_wrapup"] += _notes(calls).update(notes="")
        counts["queues_callevent"] += _hide_endings(calls, row.replaced_by)
        _remove_contacts(whom, row.replaced_by, counts)
        row.files = _remove_recordings(calls, at) + _remove_exports(whom)
        left = _replace(whom, row.replaced_by, calls, counts)
        row.remaining, row.verified_at = sum(left.values()) + len(_exports(whom)), at
        row.counts = {table: n for table, n in sorted(counts.items()) if n}
        row.ended_at = at
        # The reason is left as it stands by now: it may have named the number, too.
        row.save(update_fields=["files", "counts", "remaining", "verified_at", "ended_at"])
    log.warning("%s was erased (%s): %s", row.masked, row.pk, row.counts)
    if left:
        log.warning("erasure %s: the number is still in %s", row.pk, ", ".join(left))


def _replace(whom: Person, name: str, calls: list[Any], counts: Counter[str]) -> dict[str, int]:
    """Replace the number in the rows of these calls and in all small tables; prove it.

    Where it is found elsewhere all the same, everything in that table is replaced. Returns where
    it is found after that.
    """

    def told(table: str, count: int) -> None:
        counts[table] += count

    traces.replace(whom, name, told=told, calls=calls)
    left = traces.count(whom)
    if not left:
        return {}
    tables = {place.partition(".")[0] for place in left}
    traces.replace(whom, name, told=told, tables=tables)
    return traces.count(whom)


def _calls(whom: Person) -> list[Any]:
    """The calls with this person. Raises Refused while one goes on."""
    by_legs = Leg.objects.filter(role=Leg.Role.CUSTOMER, party__regex=whom.core)
    legs = by_legs.values_list("call_id", "party")
    named = {call for call, party in legs if whom.is_in(party)}
    customers = QueuedCall.objects.filter(customer__regex=whom.core).values_list("pk", "customer")
    named |= {call for call, customer in customers if whom.is_in(customer)}
    calls = QueuedCall.objects.filter(pk__in=named)
    if calls.exclude(ended_at__isnull=False, is_provisional=False).exists():
        raise Refused(
            _("A call with this number is still going on. Wait until it is over, or end it.")
        )
    return list(calls.values_list("pk", flat=True))


def _notes(calls: list[Any]) -> Any:
    return WrapUp.objects.filter(offer__call__in=calls).exclude(notes="")


def _hide_endings(calls: list[Any], name: str) -> int:
    """Timelines name the caller by the first and last digits."""
    hidden = 0
    for event in CallEvent.objects.filter(call__in=calls, detail__has_key="customer"):
        event.detail["customer"] = name
        hidden += CallEvent.objects.filter(pk=event.pk).update(detail=event.detail)
    return hidden


def _remove_contacts(whom: Person, name: str, counts: Counter[str]) -> None:
    """Remove the contact and its history; that it was removed, and by whom, is kept."""
    history: Any = Contact.history.model
    keys = set(history.objects.filter(number=whom.number).values_list("id", flat=True))
    for contact in Contact.objects.filter(number=whom.number):
        keys.add(contact.pk)
        contact.delete()
        counts["queues_contact"] += 1
    rows = history.objects.filter(id__in=keys)
    last = rows.filter(history_type="-").order_by("-history_id").first()
    if last:
        rows.filter(pk=last.pk).update(number=name, name=name, notes="")
    counts["queues_historicalcontact"] += rows.exclude(pk=last.pk if last else 0).delete()[0]


def _remove_recordings(calls: list[Any], at: datetime) -> int:
    """The file goes first, as always; what was still to be fetched is not fetched any more."""
    mine = Recording.objects.filter(call__in=calls)
    removed = 0
    for recording in mine.exclude(path=""):
        (recordings.storage() / recording.path).unlink(missing_ok=True)
        removed += 1
    mine.filter(state=Recording.State.STORED).update(
        state=Recording.State.REMOVED, removed_at=at, path=""
    )
    mine.filter(state=Recording.State.WANTED).update(
        state=Recording.State.MISSING, fetch_at=None, error=_("erased")
    )
    return removed


# --- Exports -----------------------------------------------------------------------------------


def _exports(whom: Person) -> list[Export]:
    """The exports whose files hold the number."""
    there = Export.objects.exclude(path="").filter(state=Export.State.DONE)
    return [export for export in there if _holds(exports.storage() / export.path, whom)]


def _holds(path: Path, whom: Person) -> bool:
    if not path.is_file():
        return False
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            return any(_line_holds(parts.open(name), whom) for name in parts.namelist())
    with path.open("rb") as file:
        return _line_holds(file, whom)


def _line_holds(file: Any, whom: Person) -> bool:
    """Read in pieces that overlap, as a sheet may be one long line."""
    before = ""
    while piece := file.read(1 << 20):
        text = before + piece.decode(errors="replace")
        if whom.is_in(text):
            return True
        before = text[-200:]
    return False


def _remove_exports(whom: Person) -> int:
    removed = 0
    for export in _exports(whom):
        (exports.storage() / export.path).unlink(missing_ok=True)
        Export.objects.filter(pk=export.pk).update(state=Export.State.REMOVED, path="")
        removed += 1
    return removed
