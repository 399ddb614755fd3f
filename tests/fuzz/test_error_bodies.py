"""Whatever body comes with a status that is no success, it becomes an error of the tree that a person can read.

The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import pytest
from fuzz.effort import effort
from fuzz.mutations import altered, spoilt, words
from hypothesis import given, strategies as st

from whereby_async.errors import APIStatusError, InternalServerError, RateLimitError, status_error_class
from whereby_async.rate_limit import RateLimit
from whereby_async.status_errors import status_error

KEY = "eyJhbGciOiJub25lIn0.c2VjcmV0.a-planted-key"

KNOWN = (
    {"error": "Rate limit active for throttle key: organization:1", "data": {"msLeft": 38689}},
    {"message": "no such meeting", "statusCode": 404},
    {"error": {"code": "x", "reasons": ["a", {"b": None}]}},
    f"the key {KEY} is wrong",
    [f"Bearer {KEY}"],
)
PAGES = (
    *(json.dumps(known).encode() for known in KNOWN),
    b"<html><head><style>a{}</style></head><body><h1>502 Bad Gateway</h1>nginx</body></html>",
    b"<script>" * 700,
    b"<" * 6000,
    b'{"error":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"error":' + b"9" * 4400 + b"}",
)


def error_of(status: int, body: bytes) -> APIStatusError:
    """The error for a body."""
    rate_limit = RateLimit.from_response(status, {}, body)
    return status_error("meetings.get", status, body, rate_limit=rate_limit, key=KEY, key_source="it was passed")


def bodies() -> st.SearchStrategy[bytes]:
    """Any bytes, any JSON, and bodies of known shapes, spoilt."""
    shaped = st.sampled_from(KNOWN).flatmap(altered) | words().map(lambda value: {"error": value})
    return st.binary() | spoilt(PAGES) | st.sampled_from(PAGES) | shaped.map(lambda value: json.dumps(value).encode())


@effort(600)
@given(status=st.sampled_from((302, 400, 401, 404, 429, 500)) | st.integers(0, 999), body=bodies())
def test_any_body_becomes_the_error_of_its_status(status: int, body: bytes) -> None:
    """Its class, a line that can be printed, no key in any of its parts; it pickles."""
    error = error_of(status, body)
    assert type(error) is status_error_class(status)
    assert isinstance(error, InternalServerError) == (status >= 500)
    assert isinstance(error, RateLimitError) == (status == 429)
    assert str(error).isprintable()
    assert len(error.message) <= 300
    for told in (str(error), repr(error), error.message, "".join(traceback.format_exception(error))):
        assert KEY not in told
    assert KEY.encode() not in error.body
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, APIStatusError)
    copy.deepcopy(error)
    assert (again.status, again.message, again.body) == (error.status, error.message, error.body)


@pytest.mark.parametrize("deep", [b"[" * 600 + b"]" * 600, b'{"a":' * 600 + b"1" + b"}" * 600])
def test_data_nested_too_deeply_to_be_copied_is_left_out(deep: bytes) -> None:
    """Its error pickles and copies like any other, and its body is kept whole; data of usual depth is kept."""
    body = b'{"error":"no","data":' + deep + b"}"
    error = error_of(400, body)
    assert (error.message, error.data, error.body) == ("no", None, body)
    assert copy.deepcopy(pickle.loads(pickle.dumps(error))).body == body
    shallow = error_of(400, b'{"data":[{"a":[1]}]}')
    assert shallow.data == [{"a": [1]}]
