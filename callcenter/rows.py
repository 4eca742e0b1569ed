"""Model instances from hand-written SQL, for the few statements that run with every webhook."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model

Row = TypeVar("Row", bound=Model)


def from_row(model: type[Row], row: Mapping[str, Any]) -> Row:
    """Return an instance of `model` from its columns, in whatever order they came."""
    fields = model._meta.concrete_fields
    names = [field.attname for field in fields]
    return model.from_db("default", names, [row[str(field.column)] for field in fields])
