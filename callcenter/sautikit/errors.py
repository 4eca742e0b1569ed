"""What may go wrong when the provider is asked for something, in words a caller can act on."""


class SautikitError(Exception):
    """The provider did not do what was asked.

    `code` is the provider's own dotted code, or `http_<status>`, or a word of ours
    (`timeout`, `unreachable`, `unreadable`, `redirected`, `bad_handle`) where it gave none
    (contract 2.2). `status` is the HTTP status, None when no answer came. `request_id` is what
    the provider's support asks for. `message` holds no full phone number and no key.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        status: int | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message or code or type(self).__name__)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))

    def __str__(self) -> str:
        known = (
            ("code", self.code),
            ("status", self.status),
            ("request", self.request_id),
        )
        facts = ", ".join(f"{name} {value}" for name, value in known if value)
        return f"{self.message} ({facts})" if self.message and facts else self.args[0]


class Unavailable(SautikitError):
    """Time-out, broken connection, 5xx, unreadable answer: the same command may be sent again.

    `maybe_placed` is true when the provider may have acted all the same: the request went out
    and no answer that says otherwise came back. `retry_after` is in seconds, None if not given.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        status: int | None = None,
        request_id: str = "",
        maybe_placed: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, request_id=request_id)
        self.maybe_placed = maybe_placed
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """429: nothing was done; wait `retry_after` seconds, or back off when that is None."""


class Rejected(SautikitError):
    """Any other refusal: sending it again would not help."""


class BadShape(Rejected):
    """400 or 422 on placing a call: no call exists, and the other body shape may be taken."""


class NotFound(Rejected):
    """404: the provider knows no such call, or it is another workspace's."""


class Gone(Rejected):
    """410: there is no such thing any more, or there never was."""


class OutOfFunds(Rejected):
    """402 or `wallet.insufficient_funds`: nothing happened; stop until the wallet is topped up."""


class Unauthorised(Rejected):
    """401 or 403: the key is wrong, expired, or lacks the scope for this."""


class Conflict(Rejected):
    """409: an idempotency key used for another body, or a thing already under way."""


def _rebuild(
    kind: type[SautikitError], args: tuple[object, ...], state: dict[str, object]
) -> SautikitError:
    """Restore a pickled error (Celery results, process pools) with all its attributes."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
