"""`Target`: where the calls of an operation go, in the words of the semantic conventions; made once, shared by all its calls.

No attribute holds an id, a room's name, a query, a header, a key or the text of an error: a path is told by its template, and an
error by its class or status. The conventions ask for `url.full`; it is left out, since Whereby's paths and queries name rooms and
people. A call of `client.request` without `operation=` goes by its method, as its name is made of its path.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

    from ..hooks import CallDetails, EndDetails

METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
RESENDS: Final = "http.request.resend_count"
ERROR: Final = "error.type"
OPERATION: Final = "whereby.operation"
LANE: Final = "whereby.lane"
ATTEMPT: Final = "whereby.attempt"
COST: Final = "whereby.points.cost"
SPENT: Final = "whereby.points.spent"
WAITED: Final = "whereby.points.waited"
REMAINING: Final = "whereby.points.remaining"
LIMIT: Final = "whereby.points.limit"
REASON: Final = "whereby.retry.reason"
DELAY: Final = "whereby.retry.delay"
BUDGET: Final = "whereby.budget"
ADDRESS: Final = "server.address"

SUCCESS: Final = range(200, 300)

_UNKNOWN_PATH: Final = "{path}"
_UNNAMED: Final = "_OTHER"
_PORTS: Final = {"https": 443, "http": 80}
_BY_STATUS: Final = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.APIStatusError)
)


class Target(msgspec.Struct, frozen=True, eq=False):
    """Where calls of one operation and lane go.

    Attributes:
        name: What their spans are called.
        span: Attributes of their spans, from the beginning.
        request: Attributes of what is measured of each request.
        points: Attributes of what is measured of their points.
    """

    name: str
    span: Mapping[str, AttributeValue]
    request: Mapping[str, AttributeValue]
    points: Mapping[str, AttributeValue]


def target_of(details: CallDetails) -> Target:
    """Where a call goes."""
    operation = details.operation if details.named else None
    return _target(details.base_url, details.method, details.path, operation, details.priority.lower())


@lru_cache(maxsize=512)
def _target(base_url: str, method: str, path: str, operation: str | None, lane: str) -> Target:
    url = urlsplit(base_url)
    request: dict[str, AttributeValue] = {
        METHOD: method,
        ADDRESS: address_of(base_url),
        "server.port": url.port or _PORTS[url.scheme],
        "url.scheme": url.scheme,
    }
    if path != _UNKNOWN_PATH:
        request["url.template"] = url.path + path
    span = request | {LANE: lane}
    if operation is not None:
        span[OPERATION] = operation
    points: dict[str, AttributeValue] = {OPERATION: operation or _UNNAMED, LANE: lane}
    return Target(operation or method, span, request, points)


def address_of(base_url: str) -> str:
    """The server's name, or its IP address."""
    return urlsplit(base_url).hostname or ""


def error_type(details: EndDetails) -> str | None:
    """What kind of error a call ended with: the status as text if it was one by status, else the error's class."""
    if details.error in _BY_STATUS and details.status is not None:
        return str(details.status)
    return details.error


def outcome(status: int | None, error: str | None) -> dict[str, AttributeValue]:
    """The attributes of what became of a request or a call."""
    attributes: dict[str, AttributeValue] = {}
    if status is not None:
        attributes[STATUS] = status
    if error is not None:
        attributes[ERROR] = error
    return attributes
