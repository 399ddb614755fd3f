"""The errors that only a batch has."""

from __future__ import annotations

from ..errors import WherebyError


class JournalError(WherebyError):
    """A journal can not be used, or no longer be written.

    Raised when the batch is entered, nothing was sent: the file is no journal, is damaged in its middle, belongs to another job
    (operation, API, key) or to a newer version, is in use by another process, or can not be opened. Raised by the iteration:
    the disk is full or gone, or an item is not the one that the journal knows by its index. Then no further item is begun,
    those under way come out first, and what had happened by then is in the journal or will be looked up at the next run.
    """


class OutcomeUnknownError(WherebyError):
    """A create was sent, nobody knows whether it happened, and it is not sent again. The text says why it can not be known.

    `may_have_happened` is `True`; what the call itself raised, if it was made in this run, is the `__cause__`.
    """

    may_have_happened: bool = True


class EarlierFailureError(WherebyError):
    """The item failed in an earlier run of the same journal; `retry_failed=True` would try it again.

    Attributes:
        kind: The name of the error's class then, such as `BadRequestError`.
        status: The HTTP status then, if there was one.
    """

    kind: str
    status: int | None

    def __init__(self, message: str, *, kind: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
