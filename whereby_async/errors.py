"""The errors of `whereby_async`, one tree, and how a status becomes one of them.

```
WherebyError                                .may_have_happened
├─ ConfigurationError · ClientClosedError
├─ APIConnectionError                       no answer
│  ├─ APITimeoutError
│  └─ ServiceUnavailableError               .retry_after: the service was away for longer than the call may wait
├─ APIStatusError                           an answer that is not 2xx
│  ├─ BadRequestError 400 · AuthenticationError 401 · PermissionDeniedError 403 · NotFoundError 404
│  ├─ ConflictError 409 · UnprocessableEntityError 422 · InternalServerError ≥500
│  └─ RateLimitError 429                    .retry_after
├─ BudgetError                              our own refusal: nothing was sent, no point spent
│  └─ BudgetTimeoutError                    .retry_after
├─ ResponseDecodeError                      .body .path
├─ JobFailedError                           .job_id .state .message: a transcription or summary came to nothing
└─ WebhookVerificationError
```

Every error pickles and copies. None holds a request, a header or a key; bodies that they keep have a silent repr.
Arguments that no call could use (an empty id, a naive datetime) raise the builtin `ValueError` or `TypeError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never, Self, TypeVar

import whereby_async

from .redaction import SilentBytes, redact

C = TypeVar("C", bound=type)


def refuses(**advice: str) -> Callable[[C], C]:
    """Let a class say in words what to write instead of an operation that it does not have, such as `with`.

    The methods are set and not written into the class, so that type checkers and completion find none.

    Args:
        advice: The text of the `TypeError`, by the name of the special method. With `__enter__` goes `__exit__`, which
            `with` looks for too. `__getattr__` adds its text to the `AttributeError` for an unknown attribute.
    """

    def refusal(method: str, text: str) -> Callable[..., Never]:
        def refuse(self: object, *given: Any) -> Never:
            if method == "__getattr__":
                what = f"{type(self).__name__!r} object has no attribute {given[0]!r}"
                raise AttributeError(f"{what}; {text}", name=given[0], obj=self)
            raise TypeError(text)

        refuse.__name__, refuse.__doc__ = method, f"Not there: {text}"
        return refuse

    def decorate(cls: C) -> C:
        for name, text in advice.items():
            for method in (name, "__exit__") if name == "__enter__" else (name,):
                setattr(cls, method, refusal(method, text))
        return cls

    return decorate


def _restore(cls: type[WherebyError], args: tuple[Any, ...], state: dict[str, Any]) -> WherebyError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class WherebyError(Exception):
    """The root of everything that this package raises about the API, its budget or its configuration.

    Attributes:
        may_have_happened: Did the server perhaps act on the call? `False` means: surely not, it is safe to call again.
    """

    may_have_happened: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class Throttled(WherebyError):  # noqa: N818 - a trait of two errors, named so in the contract
    """What `RateLimitError` and `BudgetTimeoutError` share, so that one `except` serves a web handler's 503.

    Attributes:
        retry_after: Seconds until the call would be served; `None` if nobody can say.
    """

    retry_after: float | None = None


class ConfigurationError(WherebyError):
    """An option of the client, its pool, its limiter or its environment cannot be used. Nothing was sent."""


class ClientClosedError(WherebyError):
    """The client (or its pool) was closed before this call could be sent. Nothing was sent."""


class APIConnectionError(WherebyError):
    """No answer came: the connection was refused, reset or dropped.

    Attributes:
        operation: The operation's name, such as `meetings.create`.
        may_have_happened: `False` if the connection was never made, else `True`.
        permanent: To try again is of no use: a certificate does not verify, a proxy refuses, or what
            comes is not what was asked for, such as another content encoding.
    """

    operation: str
    permanent: bool

    def __init__(
        self, message: str, *, operation: str = "", may_have_happened: bool = False, permanent: bool = False
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.may_have_happened = may_have_happened
        self.permanent = permanent


class APITimeoutError(APIConnectionError):
    """No answer came within `timeout` seconds of one attempt."""


class ServiceUnavailableError(APIConnectionError):
    """The service can not be reached, and the call would wait, or has waited, longer for it than its `max_outage`.

    The text says since when, why, and how often it was tried. `may_have_happened` is `False` if nothing of the call was
    sent; what its last attempt ended with, if there was one, is the `__cause__`.

    Attributes:
        retry_after: Seconds until it is tried next whether the service is back.
    """

    retry_after: float | None

    def __init__(
        self, message: str, *, operation: str = "", may_have_happened: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message, operation=operation, may_have_happened=may_have_happened)
        self.retry_after = retry_after


class APIStatusError(WherebyError):
    """The server answered with a status that is not 2xx; redirects, which are not followed, too.

    Attributes:
        status: The HTTP status.
        message: The server's own words (`error`, else `message`, else its text), secrets masked.
        data: The `data` object of the answer, if it had one.
        operation: The operation's name, such as `meetings.create`.
        rate_limit: What the answer's rate-limit headers said.
        body: The answer's body, decoded from its transfer encoding only.
    """

    status: int
    message: str
    data: Any
    operation: str
    rate_limit: whereby_async.limiter.RateLimit | None
    body: bytes

    def __init__(  # noqa: PLR0913 - an answer has this many parts; all but the text are keywords
        self,
        text: str,
        *,
        status: int,
        message: str = "",
        data: Any = None,
        operation: str = "",
        rate_limit: whereby_async.limiter.RateLimit | None = None,
        body: bytes = b"",
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.message = message
        self.data = data
        self.operation = operation
        self.rate_limit = rate_limit
        self.body = SilentBytes(body)
        self.may_have_happened = may_have_happened


class BadRequestError(APIStatusError):
    """400: the server could not use what was sent; its words are in `message`."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the key is right, but the plan or the storage does not allow this."""


class NotFoundError(APIStatusError):
    """404: no such meeting, recording, transcription or summary, or it is gone."""


class ConflictError(APIStatusError):
    """409: the resource is in a state that does not allow this."""


class UnprocessableEntityError(APIStatusError):
    """422: well-formed, but its values were refused."""


class InternalServerError(APIStatusError):
    """500 and above: the service or a proxy in front of it failed."""


class RateLimitError(APIStatusError, Throttled):
    """429: the organisation's points are spent; the call was not acted on.

    Attributes:
        retry_after: Seconds until the server would take the call, as it said itself.
    """


class BudgetError(WherebyError):
    """Our own refusal: the call can not be paid for. Nothing was sent and no point was spent."""


class BudgetTimeoutError(BudgetError, Throttled):
    """The call would have waited, or has waited, longer for points than its `max_wait`.

    Attributes:
        retry_after: Seconds until it would have been served, as far as can be known.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ResponseDecodeError(WherebyError):
    """A 2xx answer whose body is not what the operation returns. The server did act: `may_have_happened` is `True`.

    Attributes:
        body: The body as it came, whole.
        path: Where in the body it failed, such as `$.results[3].endDate`.
        operation: The operation's name, such as `meetings.create`.
    """

    body: bytes
    path: str
    operation: str

    def __init__(self, message: str, *, body: bytes, path: str = "$", operation: str = "") -> None:
        super().__init__(message)
        self.body = SilentBytes(body)
        self.path = path
        self.operation = operation
        self.may_have_happened = True

    def during(self, operation: str, *secrets: str) -> Self:
        """The same error, told with the operation's name, and without the request's secrets in its text."""
        text = redact(f"{operation}: {self}", *secrets)
        return type(self)(text, body=self.body, path=self.path, operation=operation)


class JobFailedError(WherebyError):
    """A transcription or a summary that was waited for has failed, for good: nothing will come of it.

    Attributes:
        job_id: Its id.
        state: The server's word for it, such as `failed`.
        message: The server's reason; empty if it gave none.
    """

    job_id: str
    state: str
    message: str

    def __init__(self, text: str, *, job_id: str, state: str = "", message: str = "") -> None:
        super().__init__(text)
        self.job_id = job_id
        self.state = state
        self.message = message


class WebhookVerificationError(WherebyError):
    """A webhook's signature, time or body can not be trusted."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_SERVER_ERROR = 500


def status_error_class(status: int) -> type[APIStatusError]:
    """The class for a status: its own, `InternalServerError` from 500 on, else `APIStatusError`."""
    return _BY_STATUS.get(status) or (InternalServerError if status >= _SERVER_ERROR else APIStatusError)
