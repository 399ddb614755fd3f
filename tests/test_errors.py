from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest

import whereby_async
from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    BudgetTimeoutError,
    ClientClosedError,
    ConfigurationError,
    JobFailedError,
    RateLimitError,
    ResponseDecodeError,
    Throttled,
    WebhookVerificationError,
    WherebyError,
)
from whereby_async.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

Duplicate: TypeAlias = "Callable[[WherebyError], WherebyError]"

BODY = b'{"error": "planted-body", "data": {"msLeft": 1500}}'

PARTS: dict[str, Any] = {
    "message": "planted-words",
    "data": {"msLeft": 1500},
    "operation": "meetings.get",
    "rate_limit": RateLimit(limit=100, remaining=0, retry_after=1.5),
    "body": BODY,
}

TREE = {
    "WherebyError": "APIConnectionError APIStatusError BudgetError ClientClosedError ConfigurationError"
    " JobFailedError ResponseDecodeError Throttled WebhookVerificationError",
    "APIConnectionError": "APITimeoutError",
    "APIStatusError": "AuthenticationError BadRequestError ConflictError InternalServerError NotFoundError"
    " PermissionDeniedError RateLimitError UnprocessableEntityError",
    "BudgetError": "BudgetTimeoutError",
}
PARENTS: dict[type[WherebyError], type[WherebyError]] = {
    getattr(whereby_async, child): getattr(whereby_async, parent)
    for parent, children in TREE.items()
    for child in children.split()
}


def one_of_each() -> list[WherebyError]:
    errors: list[WherebyError] = [
        WherebyError("text"),
        Throttled("text"),
        ConfigurationError("text"),
        ClientClosedError("text"),
        APIConnectionError("text", operation="meetings.create", may_have_happened=True),
        APITimeoutError("text", operation="meetings.create", may_have_happened=True),
        BudgetError("text"),
        BudgetTimeoutError("text", retry_after=2.5),
        ResponseDecodeError("text", body=BODY, path="$.results[0]", operation="meetings.list"),
        JobFailedError("text", job_id="1", state="failed", message="words"),
        WebhookVerificationError("text"),
        *(
            kind("text", status=418, may_have_happened=True, **PARTS)
            for kind in PARENTS
            if issubclass(kind, APIStatusError)
        ),
    ]
    for error in errors:
        if isinstance(error, RateLimitError):
            error.retry_after = 1.5
    return errors


each_error = pytest.mark.parametrize("error", one_of_each(), ids=lambda error: f"{type(error).__name__}")


def test_the_tree_is_the_documented_one() -> None:
    """Each class has its one documented parent, all hang below `WherebyError`, and none is missing at the top."""
    for kind, parent in PARENTS.items():
        assert kind.__bases__[0] is parent
        assert getattr(whereby_async, kind.__name__) is kind
    assert {type(error) for error in one_of_each()} == {WherebyError, *PARENTS}
    assert issubclass(RateLimitError, Throttled)
    assert issubclass(BudgetTimeoutError, Throttled)
    assert {kind for kind in PARENTS if issubclass(kind, Throttled)} == {Throttled, RateLimitError, BudgetTimeoutError}


def pickled(protocol: int) -> Duplicate:
    return lambda error: cast("WherebyError", pickle.loads(pickle.dumps(error, protocol)))


DUPLICATES: dict[str, Duplicate] = {"copy": copy.copy, "deepcopy": copy.deepcopy} | {
    f"pickle{protocol}": pickled(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}


@each_error
@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
def test_every_error_copies_and_pickles(error: WherebyError, duplicate: Duplicate) -> None:
    """A copy has the same class, text and parts, and its repr is as silent."""
    error.add_note("a note")
    other = duplicate(error)
    assert type(other) is type(error)
    assert other.args == error.args
    assert str(other) == str(error)
    assert vars(other) == vars(error)
    assert [type(part) for part in vars(other).values()] == [type(part) for part in vars(error).values()]
    assert repr(other) == repr(error)


@each_error
def test_no_repr_shows_a_body(error: WherebyError) -> None:
    """Neither repr, nor str, nor a formatted traceback with locals shows the body that an error keeps."""
    try:
        raise error
    except WherebyError as caught:
        told = "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format())
    for text in (repr(error), str(error), repr(vars(error).get("body")), told.replace(repr(BODY), "")):
        assert "planted-body" not in text


def test_who_did_nothing_says_so() -> None:
    """`may_have_happened` is `False` if nothing was sent; an answer that does not decode was acted on."""
    for kind in (ConfigurationError, ClientClosedError, BudgetError, BudgetTimeoutError, WebhookVerificationError):
        assert kind("text").may_have_happened is False
    assert APIConnectionError("text").may_have_happened is False
    assert ResponseDecodeError("text", body=b"").may_have_happened is True


def test_a_decode_error_is_told_with_its_operation() -> None:
    error = ResponseDecodeError("the answer is odd", body=BODY, path="$.x").during("meetings.get")
    assert str(error) == "meetings.get: the answer is odd"
    assert (error.body, error.path, error.operation) == (BODY, "$.x", "meetings.get")
