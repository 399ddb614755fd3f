"""An asyncio-native client for the Whereby REST API that spends your points per minute wisely.

```python
from whereby_async import WherebyClient

async with WherebyClient() as whereby:  # the key from WHEREBY_API_KEY
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
```

Names are imported on first use (PEP 562): importing this package costs next to nothing, and `WherebyClient` imports
aiohttp when its name is touched, never inside a running call.

What a call returns and raises is here. Budgets are in `whereby_async.limiter`, what goes into calls in
`whereby_async.models`, the types of `client.meetings` and so on in `whereby_async.resources`, what a batch gives and
takes in `whereby_async.batch`, hooks in `whereby_async.hooks`, webhooks in `whereby_async.webhooks`, and the server for
tests in `whereby_async.testing`.
"""

from __future__ import annotations

import importlib

from .version import __version__

# Not typing's, whose import costs more than all of this; without `bool`, Jedi would complete nothing from here.
TYPE_CHECKING: bool = False
if TYPE_CHECKING:
    from . import batch, downloads, errors, hooks, limiter, models, sender, webhooks  # noqa: F401 - for annotations
    from .client import WherebyClient
    from .context import capture_responses, use_priority
    from .downloads import Download, Progress
    from .errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BudgetError,
        BudgetTimeoutError,
        ClientClosedError,
        ConfigurationError,
        ConflictError,
        InternalServerError,
        JobFailedError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        ResponseDecodeError,
        ServiceUnavailableError,
        Throttled,
        UnprocessableEntityError,
        WebhookVerificationError,
        WherebyError,
    )
    from .limiter.protocol import Priority
    from .models import (
        AccessLink,
        Meeting,
        Page,
        ParticipantDetails,
        ParticipantInsights,
        Recording,
        RoomInsights,
        RoomSessionInsights,
        Summary,
        SummaryJob,
        Transcription,
        TranscriptionJob,
    )
    from .pagination import Paginator
    from .retry import RetryPolicy
    from .room_links import room_link
    from .transport.exchange import Answer
    from .transport.pool import SessionPool
    from .transport.reachability import ReachabilitySnapshot

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AccessLink",
    "Answer",
    "AuthenticationError",
    "BadRequestError",
    "BudgetError",
    "BudgetTimeoutError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "Download",
    "InternalServerError",
    "JobFailedError",
    "Meeting",
    "NotFoundError",
    "Page",
    "Paginator",
    "ParticipantDetails",
    "ParticipantInsights",
    "PermissionDeniedError",
    "Priority",
    "Progress",
    "RateLimitError",
    "ReachabilitySnapshot",
    "Recording",
    "ResponseDecodeError",
    "RetryPolicy",
    "RoomInsights",
    "RoomSessionInsights",
    "ServiceUnavailableError",
    "SessionPool",
    "Summary",
    "SummaryJob",
    "Throttled",
    "Transcription",
    "TranscriptionJob",
    "UnprocessableEntityError",
    "WebhookVerificationError",
    "WherebyClient",
    "WherebyError",
    "__version__",
    "batch",
    "capture_responses",
    "errors",
    "hooks",
    "limiter",
    "models",
    "room_link",
    "use_priority",
    "webhooks",
]

_HOMES = {
    "AccessLink": "models",
    "Answer": "transport.exchange",
    "Download": "downloads",
    "Meeting": "models",
    "Page": "models",
    "Paginator": "pagination",
    "ParticipantDetails": "models",
    "ParticipantInsights": "models",
    "Priority": "limiter.protocol",
    "Progress": "downloads",
    "ReachabilitySnapshot": "transport.reachability",
    "Recording": "models",
    "RetryPolicy": "retry",
    "RoomInsights": "models",
    "RoomSessionInsights": "models",
    "SessionPool": "transport.pool",
    "Summary": "models",
    "SummaryJob": "models",
    "Transcription": "models",
    "TranscriptionJob": "models",
    "WherebyClient": "client",
    "capture_responses": "context",
    "room_link": "room_links",
    "use_priority": "context",
}
"""Where each name is defined; all that are not here are errors or modules."""
_MODULES = ("batch", "downloads", "errors", "hooks", "limiter", "models", "sender", "webhooks")
"""Annotations of this package name what would load too much through it, such as `whereby_async.sender.ClientSender`."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
