"""Each row of a spreadsheet goes through the API's serializer: the same rules and words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import tablib
from django.core.exceptions import ValidationError
from django.db.models import Model
from import_export import fields, resources
from rest_framework import exceptions, serializers


class Rows(resources.ModelResource):  # type: ignore[misc]  # no types shipped
    """Rows of one model. What exists is updated by `key`; nothing is ever removed.

    A column that is not in the file stays as it is. A subclass names the serializer, how a cell
    becomes the serializer's value (`read`), and how many rows one import may have: they are
    saved in one transaction, and calls wait for the agents in it.
    """

    serializer: type[serializers.ModelSerializer[Any]]
    key = ""
    most_rows = 1000
    explained: Any = ""  # what the columns want, under the field for the file
    write_only: tuple[str, ...] = ()  # read and never shown or exported

    class Meta:
        use_transactions = True
        skip_unchanged = True
        store_instance = True
        clean_model_instances = False  # the serializer has done so

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: set[str] = set()

    def refuse(self, table: tablib.Dataset) -> str:
        """Say why this file is not for these rows; "" where it is."""
        known = [field.column_name for field in self.get_export_fields()]
        known += [column for column in self.write_only if column not in known]
        if self.key not in table.headers:
            return f"The column “{self.key}” is missing: it says who is meant."
        if unknown := [head for head in table.headers if head not in known]:
            return f"The column “{unknown[0]}” is not known. Known are: {', '.join(known)}."
        if len(table) > self.most_rows:
            return f"At most {self.most_rows} rows at a time: split the file."
        return ""

    def get_instance(self, instance_loader: Any, row: dict[str, str]) -> Model | None:
        """Return the row that the key names; the same key twice in one file is a mistake."""
        key = self.key_of(row)
        if key in self.seen:
            raise ValidationError({self.key: "This is in the file twice."})
        self.seen.add(key)
        return self.find(key)

    def key_of(self, row: dict[str, str]) -> str:
        return row[self.key]

    def find(self, key: str) -> Model | None:
        """Return what has this key now."""
        raise NotImplementedError

    def read(self, row: dict[str, str], *, is_new: bool) -> dict[str, Any]:
        """Return what the serializer is to be given: an empty cell says nothing."""
        return {name: value for name, value in row.items() if value != ""}

    def import_instance(self, instance: Model, row: dict[str, str], **kwargs: Any) -> None:
        """Check the row. Raises ValidationError with the columns' names."""
        is_new = instance.pk is None
        request = SimpleNamespace(user=kwargs["user"])
        self.checked = self.serializer(
            None if is_new else instance, data=self.read(row, is_new=is_new),
            partial=not is_new, context={"request": request},
        )  # fmt: skip
        try:
            if self.checked.is_valid():
                return
        except exceptions.APIException as error:  # in use by a live call
            raise ValidationError(str(error.detail)) from error
        raise ValidationError({name: _words(told) for name, told in self.checked.errors.items()})

    def skip_row(
        self, instance: Model, original: Model, row: dict[str, str], errors: Any = None
    ) -> bool:
        """Skip a row that says what is so already."""
        if errors or original.pk is None:
            return False
        return self.is_so_already(original, self.checked.validated_data)

    def is_so_already(self, row: Any, asked: dict[str, Any]) -> bool:
        """Whether saving `asked` would change nothing."""
        return all(getattr(row, name) == value for name, value in asked.items())

    def do_instance_save(self, instance: Model, is_create: bool) -> None:
        """Save as the API would; the instance becomes the saved one, for the preview."""
        saved = self.checked.save()
        vars(instance).update(vars(saved))

    def save_m2m(self, instance: Model, row: dict[str, str], **kwargs: Any) -> None:
        """The serializer has saved them."""


class Column(fields.Field):  # type: ignore[misc]  # no types shipped
    """A column that is shown and exported; the serializer writes."""

    def __init__(self, name: str, shown: Any) -> None:
        super().__init__(column_name=name, attribute=name)
        self.shown = shown

    def get_value(self, instance: Model, **kwargs: Any) -> Any:
        return self.shown(instance) if instance.pk else ""

    def export(self, instance: Model, **kwargs: Any) -> str:
        return str(self.get_value(instance))


def _words(told: Any) -> list[str]:
    return [str(each) for each in (told if isinstance(told, list) else [told])]
