"""How a call stands or ended: one word of ours for each of the provider's many (contract 1.3)."""

from enum import StrEnum


class Outcome(StrEnum):
    RINGING = "ringing"
    STARTED = "started"
    ANSWERED = "answered"
    COMPLETED = "completed"  # the only good end
    FAILED = "failed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    CANCELED = "canceled"
    UNKNOWN = "unknown"  # a word we do not know, or none

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self in _FINAL


_FINAL = {
    Outcome.COMPLETED,
    Outcome.FAILED,
    Outcome.NO_ANSWER,
    Outcome.BUSY,
    Outcome.CANCELED,
}

# `start` and `end` are left out: conferences say them of rooms.
# Letters and digits only, lower case; the numbers are SIP answers, the long words hang-up causes.
_WORDS = {
    word: outcome
    for outcome, words in {
        Outcome.RINGING: "ringing queued initiated alerting created dialing dialling",
        Outcome.STARTED: "started",
        Outcome.ANSWERED: "answered answer inprogress active connected established bridged "
        "ongoing live talking",
        Outcome.COMPLETED: "completed complete ended hangup hungup finished terminated "
        "disconnected normalclearing",
        Outcome.FAILED: "failed failure fail error rejected declined congestion chanunavail "
        "unreachable invalid aborted networkerror",
        Outcome.NO_ANSWER: "noanswer notanswered unanswered noreply nouserresponse timeout "
        "ringtimeout missed 408 480",
        Outcome.BUSY: "busy userbusy 486 600",
        Outcome.CANCELED: "canceled cancelled cancel originatorcancel 487",
    }.items()
    for word in words.split()
}
_UNREACHED = {Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CANCELED}


def bare(word: str) -> str:
    """Return `word` in lower case without hyphens, underscores, dots and spaces."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def normalise_status(word: str, reason: str = "") -> Outcome:
    """Return our word for a status; `reason` says what `failed` really was (contract 6.3)."""
    key = bare(word)
    outcome = _WORDS.get(key) or _WORDS.get(key.removeprefix("call")) or Outcome.UNKNOWN
    if outcome is Outcome.FAILED:
        return unreached(reason) or outcome
    return outcome


def unreached(reason: str) -> Outcome | None:
    """Return what `reason` tells of a call nobody took: no answer, busy, canceled; else None."""
    outcome = _WORDS.get(bare(reason))
    return outcome if outcome in _UNREACHED else None
