"""The stories of one call, and all that may go wrong while it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hypothesis import strategies as st

from .parties import Person, Ring
from .post import NEWS, QUESTIONS, Copy, Post

EVERYBODY = Person()


@dataclass(frozen=True)
class Staff:
    """One agent: from when they are available (None: never), and what their phone does."""

    available: float | None = 0
    rings: tuple[Ring, ...] = (Ring(),)
    confirm_key: bool = False


@dataclass(frozen=True)
class Story:
    """What happens to one customer, and how it must end."""

    name: str
    ends: str
    staff: tuple[Staff, ...] = (Staff(),)
    person: Person = EVERYBODY
    menu: bool = False
    contact: Ring | None = None  # outbound: what the contact's phone does
    ring_timeout: int = 40

    def __repr__(self) -> str:
        said = [
            f"{each.name}={value!r}"
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        ]
        return f"Story({', '.join(said)})"


@dataclass(frozen=True)
class Workers:
    """What becomes of our bells, and when the provider's REST API is away."""

    lost: frozenset[str] = frozenset()  # these bells are never heard
    late: float = 0.02
    twice: bool = False
    sweep_phase: float = 0
    poll_phase: float = 0
    rest_down: tuple[float, float] = (0, 0)
    lost_answers: int = 0  # to `POST /v1/calls`

    def __repr__(self) -> str:
        said = [
            f"{each.name}={sorted(value) if isinstance(value, frozenset) else value!r}"
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        ]
        return f"Workers({', '.join(said)})"


@dataclass(frozen=True)
class Case:
    """A story, how its news travels, and how our own processes fare."""

    story: Story
    post: Post = field(default_factory=Post)
    workers: Workers = Workers()

    def simpler(self) -> Iterator[Case]:
        """The same story with one fault less."""
        news = self.post.news
        for name, copies in news.items():
            yield replace(self, post=Post({n: c for n, c in news.items() if n != name}))
            for less in _less(copies):
                yield replace(self, post=Post({**news, name: less}))
        for each in fields(Workers):
            if getattr(self.workers, each.name) != each.default:
                yield replace(self, workers=_plain(self.workers, each.name))
        for bell in sorted(self.workers.lost):
            yield replace(self, workers=replace(self.workers, lost=self.workers.lost - {bell}))

    def __repr__(self) -> str:
        return f"{self.story!r}\n{self.post!r}\n{self.workers!r}"


def _plain(of: Any, name: str) -> Any:
    """The same with the default of one field."""
    return replace(of, **{name: next(each.default for each in fields(of) if each.name == name)})


def _less(copies: tuple[Copy, ...]) -> Iterator[tuple[Copy, ...]]:
    """Fewer copies, or plainer ones."""
    for i, copy in enumerate(copies):
        if len(copies) > 1:
            yield copies[:i] + copies[i + 1 :]
        for each in fields(Copy):
            if getattr(copy, each.name) != each.default:
                plainer = _plain(copy, each.name)
                yield (*copies[:i], plainer, *copies[i + 1 :])


_seconds = st.integers
# In a room, a talk of which nothing was told counts from 3 s on; before that, the agent has left.
_talk = st.sampled_from([4, 9, 33, 75, 140])
_both = st.booleans()


@st.composite
def direct_answered(draw: st.DrawFn) -> Story:
    ring = Ring(after=draw(_seconds(1, 20)))
    person = Person(talk=draw(_talk | st.just(1)), ends_the_talk=draw(_both))
    return Story("direct dial, answered", "completed", (Staff(rings=(ring,)),), person)


@st.composite
def direct_missed_then_served(draw: st.DrawFn) -> Story:
    first = draw(st.sampled_from([Ring("ignores"), Ring("is_busy"), Ring("rejects", 2)]))
    person = Person(talk=draw(_talk), ends_the_talk=draw(_both))
    staff = (Staff(rings=(first, Ring(after=draw(_seconds(1, 9))))),)
    return Story("direct dial, missed, then served", "completed", staff, person, ring_timeout=15)


@st.composite
def direct_gone_while_ringing(draw: st.DrawFn) -> Story:
    person = Person(patience=draw(_seconds(1, 10)))
    staff = (Staff(rings=(Ring("ignores"),)),)
    return Story(
        "direct dial, caller gone while it rings", "abandoned", staff, person, ring_timeout=60
    )


@st.composite
def held_and_served(draw: st.DrawFn) -> Story:
    person = Person(talk=draw(_talk), ends_the_talk=draw(_both))
    staff = (Staff(available=draw(_seconds(1, 70)), rings=(Ring(after=draw(_seconds(1, 12))),)),)
    return Story("held and served", "completed", staff, person)


@st.composite
def held_and_gone(draw: st.DrawFn) -> Story:
    person = Person(patience=draw(_seconds(1, 90)))
    return Story("held and abandoned", "abandoned", (Staff(available=None),), person)


@st.composite
def held_and_gone_while_ringing(draw: st.DrawFn) -> Story:
    person = Person(patience=draw(_seconds(16, 25)))
    staff = (Staff(available=12, rings=(Ring("ignores"),)),)
    return Story("held, caller gone while it rings", "abandoned", staff, person, ring_timeout=59)


@st.composite
def press_one(draw: st.DrawFn) -> Story:
    person = Person(talk=draw(_talk), ends_the_talk=draw(_both))
    keys: list[str | None] = draw(st.lists(st.sampled_from(["2", None]), max_size=1))
    rings = tuple(Ring(after=draw(_seconds(1, 6)), key=key) for key in [*keys, "1"])
    return Story("press 1", "completed", (Staff(rings=rings, confirm_key=True),), person)


@st.composite
def menu_then_queue(draw: st.DrawFn) -> Story:
    keys = (*draw(st.lists(st.sampled_from(["7", None]), max_size=2)), "1")
    person = Person(keys=keys, talk=draw(_talk), ends_the_talk=draw(_both))
    available = draw(st.sampled_from([0, 40]))
    return Story("menu, then queue", "completed", (Staff(available=available),), person, menu=True)


@st.composite
def menu_and_gone(draw: st.DrawFn) -> Story:
    person = Person(patience=draw(_seconds(1, 6)))
    return Story("gone in the menu", "abandoned", (Staff(),), person, menu=True)


@st.composite
def click_to_call(draw: st.DrawFn) -> Story:
    contact, agent, ends = draw(
        st.sampled_from(
            [
                (Ring(), Ring(), "completed"),
                (Ring("ignores"), Ring(), "no_answer"),
                (Ring("is_busy"), Ring(), "busy"),
                (Ring(), Ring("ignores"), "failed"),
            ]
        )
    )
    key = draw(_both)
    person = Person(talk=draw(_talk), ends_the_talk=draw(_both))
    staff = (Staff(rings=(agent,), confirm_key=key),)
    return Story("click to call", ends, staff, person, contact=contact, ring_timeout=20)


STORIES = (
    direct_answered(), direct_missed_then_served(), direct_gone_while_ringing(), held_and_served(),
    held_and_gone(), held_and_gone_while_ringing(), press_one(), menu_then_queue(),
    menu_and_gone(), click_to_call(),
)  # fmt: skip
stories = st.one_of(*STORIES)

_late = st.sampled_from([0, 0.4, 2, 5, 12, 31, 70, 200])
_copy = st.builds(
    Copy,
    late=_late,
    as_json=st.sampled_from([None, True, False]),
    names=_seconds(0, 2),
    envelope=st.sampled_from(["data", "payload", "flat"]),
    signed=_both,
    elsewhere=_both,
)
_told = st.lists(_copy, max_size=3).map(tuple)
_asked = st.builds(
    lambda first, again: (first, *again),
    st.builds(Copy, as_json=st.sampled_from([None, True]), names=_seconds(0, 2)),
    st.lists(st.builds(Copy, late=_late), max_size=2),
)
posts = st.builds(
    lambda news, questions: Post({**news, **questions}),
    st.dictionaries(st.sampled_from(NEWS), _told, max_size=len(NEWS)),
    st.dictionaries(st.sampled_from(QUESTIONS), _asked, max_size=3),
)
BELLS = ("place", "hang_up", "ask", "check_offer", "ask_handle", "sweep_at", "route")
workers = st.builds(
    Workers,
    lost=st.frozensets(st.sampled_from(BELLS)),
    late=st.sampled_from([0.02, 0.02, 1.5]),
    twice=_both,
    sweep_phase=st.sampled_from([0, 0.3, 0.9]),
    poll_phase=_seconds(0, 14),
    lost_answers=st.sampled_from([0, 0, 1, 2]),
)
cases = st.builds(Case, stories, posts, workers)


def _lost(*names: str) -> Post:
    return Post(dict.fromkeys(names, ()))


_SILENT = Workers(frozenset(BELLS))

# What chance seldom brings together, tried each time.
RARE = (
    # An answer of which nobody told, and a caller who left before we asked: the record corrects.
    Case(
        Story("short", "completed", (Staff(rings=(Ring(after=1),)),), Person(talk=1)),
        _lost("agent rings", "agent answered", "agent ended (event)"),
    ),
    # Not a word but our own questions, and no bell.
    Case(Story("silence", "completed", (Staff(available=20),)), _lost(*NEWS), _SILENT),
    Case(Story("silence", "completed", person=Person(talk=75)), _lost(*NEWS), _SILENT),
    # The question after a missed dial comes once more while they talk.
    Case(
        Story(
            "old question", "completed", (Staff(rings=(Ring("rejects", 2), Ring())),),
            Person(talk=75), ring_timeout=15,
        ),
        Post({"dial-result": (Copy(), Copy(late=40))}),
    ),
)  # fmt: skip
