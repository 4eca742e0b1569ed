"""State moves by compare-and-set: one UPDATE that names the states it may leave."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db import models

from callcenter import together


class StaleTransition(Exception):
    """The row was no longer in a state from which this move is allowed."""


class Transitions(models.Model):
    """A model with a `state` whose allowed moves are data.

    `MOVES` maps each target state to the states it may follow; `FINAL` are the ends.
    """

    MOVES: ClassVar[Mapping[str, frozenset[str]]]
    FINAL: ClassVar[frozenset[str]]

    class Meta:
        abstract = True

    def move_to(self, state: str, **changes: Any) -> None:
        """Move this row to `state` and write `changes` with it, in one UPDATE.

        Raises StaleTransition, and changes nothing, when the row has left the states from which
        `state` may be reached. The instance carries the new values afterwards. A row that is not
        saved yet moves in memory only; one that a scene has locked is written with the scene's
        other writes (`callcenter.together`).
        """
        held = together.holder(self)
        if held or self._state.adding:
            self._may_move(state)
        if self._state.adding:
            self._take({"state": state, **changes})
            return
        if held:
            held.update(self, {"state": state, **changes}, self.MOVES[state])
            return
        rows: models.QuerySet[Any] = type(self)._default_manager.filter(pk=self.pk)
        leavable: dict[str, Any] = {"state__in": self.MOVES[state]}
        moved = rows.filter(**leavable).update(**{"state": state, **changes})
        if not moved:
            raise StaleTransition(f"{self} can no longer become {state}")
        self._take({"state": state, **changes})

    def _may_move(self, state: str) -> None:
        if self.__dict__["state"] not in self.MOVES[state]:
            raise StaleTransition(f"{self} cannot become {state}")

    def _take(self, changes: Mapping[str, Any]) -> None:
        for name, value in changes.items():
            setattr(self, name, value)

    @property
    def is_final(self) -> bool:
        """Whether the row has reached an end that nothing reopens."""
        return getattr(self, "state") in self.FINAL  # noqa: B009 - declared by each model
