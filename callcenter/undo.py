"""Undoing one change: what it altered is written back, by the rules by which it could be typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

Refuse = Callable[[Any, Sequence[str]], str]


class CannotUndo(Exception):
    """The change cannot be undone; the message is a sentence that says why."""


@transaction.atomic
def undo(model: Any, history_id: int, *, refuse: Refuse) -> None:
    """Undo one row of the history of `model`, which is itself a change with a row of history.

    Only what that change altered is written: later changes of other fields stay. `refuse` says
    why the fields of a row cannot be written now. Raises CannotUndo.
    """
    change = model.history.filter(pk=history_id).first()
    if change is None:
        raise CannotUndo(_("This change is not in the history any more."))
    try:
        with transaction.atomic():
            if change.history_type == "~":
                _write_back(model, change, refuse)
            elif change.history_type == "-":
                _put_back(model, change, refuse)
            else:
                _take_away(model, change, refuse)
    except ValidationError as error:
        raise CannotUndo(_("It does not fit any more: %s") % _words(error)) from error
    except (IntegrityError, ObjectDoesNotExist) as error:
        raise CannotUndo(_("It does not fit any more: something it names is gone.")) from error


def can_undo(row: Any, altered: Sequence[str], is_part: bool) -> bool:
    """Whether a row of history is of a kind that can be undone: parts come back, wholes do not."""
    if row.history_type != "~":
        return is_part
    fields = row.instance_type._meta
    return bool(altered) and all(
        fields.get_field(name).editable and not fields.get_field(name).many_to_many
        for name in altered
    )


def _write_back(model: Any, change: Any, refuse: Refuse) -> None:
    older = (
        model.history.filter(**{model._meta.pk.attname: _key(change)}, history_id__lt=change.pk)
        .order_by("-history_id")
        .first()
    )
    names = [each.field for each in change.diff_against(older).changes] if older else []
    if not can_undo(change, names, is_part=False):
        raise CannotUndo(_("This was not changed in a form, and is not undone in one."))
    row = model._default_manager.select_for_update(of=("self",)).filter(pk=_key(change)).first()
    if row is None:
        raise CannotUndo(_("It has been removed meanwhile."))
    attributes = {name: model._meta.get_field(name).attname for name in names}
    for name, attribute in attributes.items():
        if getattr(row, attribute) != getattr(change, attribute):
            label = model._meta.get_field(name).verbose_name
            raise CannotUndo(
                _("“%s” has been changed again since: undo the newer change first.") % label
            )
    _check(row, names, refuse)
    for attribute in attributes.values():
        setattr(row, attribute, getattr(older, attribute))
    row.full_clean()
    _check(row, names, refuse)
    row.save(update_fields=names)


def _put_back(model: Any, change: Any, refuse: Refuse) -> None:
    if model._default_manager.filter(pk=_key(change)).exists():
        raise CannotUndo(_("It is there again already."))
    row = change.instance
    row.full_clean()
    _check(row, ["pk"], refuse)
    row.save(force_insert=True)


def _take_away(model: Any, change: Any, refuse: Refuse) -> None:
    row = model._default_manager.select_for_update(of=("self",)).filter(pk=_key(change)).first()
    if row is None:
        raise CannotUndo(_("It has been removed meanwhile."))
    _check(row, ["pk"], refuse)
    row.delete()


def _check(row: Any, names: Sequence[str], refuse: Refuse) -> None:
    if told := refuse(row, names):
        raise CannotUndo(told)


def _key(change: Any) -> Any:
    return getattr(change, change.instance_type._meta.pk.attname)


def _words(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        text if name == NON_FIELD_ERRORS else f"{name}: {text}"
        for name, texts in error.message_dict.items()
        for text in texts
    )
