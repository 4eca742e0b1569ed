"""A migration runs while the version before it still serves calls: what that version would not
survive is objected to here, unless the migration says why it does (docs/deploying.md).

A migration says so by a text at its top: `RUNS_BESIDE = "why the version before it goes on"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection, models
from django.db.migrations import operations as op
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

OURS = {"agents", "queues", "reporting", "access", "outbox"}
# Tables that grow with the calls: an index on one of them is built beside the writing.
BIG = {
    "queuedcall", "leg", "offer", "callevent", "webhookevent", "callrecord", "presenceperiod",
    "agentinterval",
}  # fmt: skip
HARMLESS = (
    op.CreateModel, op.AlterModelOptions, op.AlterModelManagers, op.RemoveConstraint,
    AddIndexConcurrently, RemoveIndexConcurrently, op.RemoveIndex,
)  # fmt: skip


def objections(migration: Any, state: Any) -> list[str]:
    """What the version that runs before this migration would not survive."""
    made_here = {one.name_lower for one in migration.operations if isinstance(one, op.CreateModel)}
    found = []
    for operation in migration.operations:
        table = getattr(operation, "model_name", "").lower()
        if not (table and table in made_here):
            found += _objections(operation, table, state)
        state = state.clone()
        operation.state_forwards(migration.app_label, state)
    return found


def _objections(operation: Any, table: str, state: Any) -> list[str]:
    what = f"{type(operation).__name__} {operation.describe()}"
    if isinstance(operation, HARMLESS):
        return []
    if isinstance(operation, op.AddField):
        return [] if _may_be_left_out(operation.field) else [f"{what}: no db_default, not null"]
    if isinstance(operation, op.AlterField):
        app = next(app for app, name in state.models if name == table and app in OURS)
        before = state.apps.get_model(app, table)._meta.get_field(operation.name)
        return [f"{what}: {why}" for why in _alterations(before, operation.field)]
    if isinstance(operation, op.AddIndex):
        return [f"{what}: not concurrently, on a big table"] if table in BIG else []
    return [what]


def _may_be_left_out(field: Any) -> bool:
    """Whether an INSERT of a version that does not know the column goes through."""
    return bool(field.null or field.many_to_many or field.db_default is not NOT_PROVIDED)


def _alterations(before: Any, after: Any) -> list[str]:
    why = []
    if before.null and not _may_be_left_out(after):
        why.append("not null any more")
    old, new = before.db_parameters(connection)["type"], after.db_parameters(connection)["type"]
    grows = isinstance(after, models.CharField) and (before.max_length or 0) <= (
        after.max_length or 0
    )
    if old != new and not grows:
        why.append(f"{old} becomes {new}")
    return why


def _later_migrations() -> list[Any]:
    loader = MigrationLoader(None)
    found = [
        pytest.param(loader, key, id=".".join(key))
        for key, migration in sorted(loader.disk_migrations.items())
        if key[0] in OURS and not migration.initial
    ]
    assert len(found) >= 5
    return found


@pytest.mark.parametrize(("loader", "key"), _later_migrations())
def test_the_version_before_a_migration_survives_it(loader: MigrationLoader, key: Any):
    migration = loader.disk_migrations[key]
    state = loader.project_state(key, at_end=False)
    declared = getattr(import_module(migration.__module__), "RUNS_BESIDE", "")
    objected = objections(migration, state)
    assert not objected or len(declared) > 20, (
        f"{key} must not run beside the version before it: {objected}. Do it in two releases, or "
        "say in RUNS_BESIDE why it is safe."
    )
    assert objected or not declared, f"{key} declares what nobody asked for"


NOT_NULL = models.IntegerField(default=1)


@pytest.mark.parametrize(
    ("operation", "is_objected_to"),
    [
        (op.RemoveField("queuedcall", "line"), True),
        (op.RenameField("queuedcall", "line", "our_side"), True),
        (op.DeleteModel("alert"), True),
        (op.RenameModel("alert", "warning"), True),
        (op.RunSQL("SELECT 1"), True),
        (op.RunPython(lambda apps, editor: None), True),
        (op.AddField("queuedcall", "mood", NOT_NULL), True),
        (op.AddField("queuedcall", "mood", models.IntegerField(null=True)), False),
        (op.AddField("queuedcall", "mood", models.IntegerField(db_default=1)), False),
        (op.AlterField("queuedcall", "connected_at", models.DateTimeField()), True),
        (op.AlterField("alert", "kind", models.CharField(max_length=64)), False),
        (op.AlterField("alert", "kind", models.CharField(max_length=8)), True),
        (op.AlterField("alert", "count", models.TextField()), True),
        (op.AddIndex("queuedcall", models.Index(fields=["line"], name="by_line")), True),
        (AddIndexConcurrently("queuedcall", models.Index(fields=["line"], name="by_line")), False),
        (op.AddIndex("alert", models.Index(fields=["kind"], name="by_kind")), False),
        (op.AlterModelOptions("alert", {"ordering": ["pk"]}), False),
    ],
    ids=lambda value: value.describe() if isinstance(value, op.base.Operation) else None,
)
def test_what_is_objected_to(operation: Any, is_objected_to: bool):
    loader = MigrationLoader(None)
    state = loader.project_state(("queues", "0001_initial"))
    migration = type(
        "Made", (), {"operations": [operation], "app_label": "queues", "__module__": __name__}
    )
    assert bool(objections(migration, state)) == is_objected_to
