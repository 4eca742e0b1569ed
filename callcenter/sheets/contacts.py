"""Contacts as rows: a number and whose it is."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from callcenter.sautikit import phone
from callcenter.sheets.rows import Column, Rows
from queues.models import Contact
from queues.serializers import ContactSerializer


class ContactRows(Rows):
    """A number may be written as people write it: 0711 000 001 is +254711000001."""

    serializer = ContactSerializer
    key = "number"
    most_rows = 3000
    explained = _("An empty cell leaves what is there. Nobody is removed.")

    number = Column("number", lambda contact: contact.number)
    name = Column("name", lambda contact: contact.name)
    notes = Column("notes", lambda contact: contact.notes)

    class Meta(Rows.Meta):
        model = Contact
        fields = ("number", "name", "notes")
        import_id_fields = ("number",)

    def key_of(self, row: dict[str, str]) -> str:
        try:
            return phone.normalise(row["number"])
        except phone.BadDestination:
            return row["number"]  # the serializer says what is wrong with it

    def find(self, key: str) -> Contact | None:
        return Contact.objects.filter(number=key).first()
