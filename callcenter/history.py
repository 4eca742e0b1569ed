"""Who changed what when: a row of history for each change of what people set up.

Each row has all fields that are kept, so a change can be read as the difference of two rows, and
undone by writing the older one back. Live state is left out and costs nothing: a save of fields
that are not kept makes no row and asks the database nothing.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model, signals
from simple_history.models import HistoricalRecords

COMMAND = "command"  # no request: manage.py, a task, the demo


class Changes(HistoricalRecords):  # type: ignore[misc]  # no types shipped
    """History with a row for each save or delete that changed a kept field.

    The actor is the user of the request, by session or token. `history_change_reason` says by
    which door: admin, api, page or command; and "password" where that was what changed.
    """

    def post_save(self, instance: Any, created: bool, using: Any = None, **kwargs: Any) -> None:
        """Keep a save, unless it touched no kept field or left them as they were."""
        if not created and not self._changed(instance, kwargs.get("update_fields")):
            return
        super().post_save(instance, created, using=using, **kwargs)

    def _changed(self, instance: Any, update_fields: frozenset[str] | None) -> bool:
        kept = self.fields_included(type(instance))
        if update_fields is not None:
            names = {name for field in kept for name in (field.name, field.attname)}
            if not names & set(update_fields) and not new_password(instance):
                return False
        newest = getattr(instance, self.manager_name).order_by("-history_id").first()
        if newest is None or new_password(instance):
            return True
        return any(
            getattr(newest, field.attname) != field.to_python(getattr(instance, field.attname))
            for field in kept
        )

    def get_change_reason_for_object(self, instance: Any, history_type: str, using: Any) -> str:
        """Say by which door the change came in."""
        request = getattr(self.context, "request", None)
        if request is None:
            door = COMMAND
        elif request.path.startswith("/admin/"):
            door = "admin"
        else:
            door = "api" if request.path.startswith(("/api/", "/calls/")) else "page"
        return f"{door}: new password" if new_password(instance) else door


class Removals(Changes):
    """History of removals only, for what the program itself writes."""

    def post_save(self, instance: Any, created: bool, using: Any = None, **kwargs: Any) -> None:
        """Keep nothing."""


class Accounts(Changes):
    """History of users and groups: also when a user is put into a group from the group's side."""

    def m2m_changed(
        self, instance: Any, action: str, attr: str, pk_set: Any, reverse: bool, **kwargs: Any
    ) -> None:
        """Keep a row for each account whose groups or rights have changed."""
        if not reverse:
            super().m2m_changed(instance, action, attr, pk_set, reverse, **kwargs)
        elif action in {"post_add", "post_remove"}:
            for row in kwargs["model"].objects.filter(pk__in=pk_set):
                self.create_historical_record(row, "~")


class Tokens(Changes):
    """History of API tokens: made and removed. The key itself is never kept."""

    def finalize(self, sender: Any, **kwargs: Any) -> None:
        """Watch the proxy model too, by which the admin makes and removes them."""
        super().finalize(sender, **kwargs)
        for proxy in (each for each in sender.__subclasses__() if each._meta.proxy):
            signals.post_save.connect(self.post_save, sender=proxy, weak=False)
            signals.post_delete.connect(self.post_delete, sender=proxy, weak=False)

    def _changed(self, instance: Any, update_fields: frozenset[str] | None) -> bool:
        return False  # nothing of a token changes while it lives


def new_password(instance: Model) -> bool:
    """Whether this save gives an account a new password (Django keeps it until saved)."""
    return getattr(instance, "_password", None) is not None
