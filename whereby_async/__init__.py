"""An asyncio-native client for the Whereby REST API that spends your points per minute wisely.

```python
from whereby_async import WherebyClient

async with WherebyClient() as whereby:  # the key from WHEREBY_API_KEY
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
```

Names are imported on first use (PEP 562): importing this package costs next to nothing, and `WherebyClient` imports
aiohttp when its name is touched, never inside a running call.
"""

from __future__ import annotations

import importlib

from .version import __version__

TYPE_CHECKING = False  # type checkers know the name; to import typing for it would double what this import costs
if TYPE_CHECKING:
    from . import batch, errors, hooks, limiter, models, webhooks
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
    from .models.model import Page
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
    "NotFoundError",
    "Page",
    "Paginator",
    "PermissionDeniedError",
    "Priority",
    "Progress",
    "RateLimitError",
    "ReachabilitySnapshot",
    "ResponseDecodeError",
    "RetryPolicy",
    "ServiceUnavailableError",
    "SessionPool",
    "Throttled",
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
    "Answer": "transport.exchange",
    "Download": "downloads",
    "Page": "models.model",
    "Paginator": "pagination",
    "Priority": "limiter.protocol",
    "Progress": "downloads",
    "ReachabilitySnapshot": "transport.reachability",
    "RetryPolicy": "retry",
    "SessionPool": "transport.pool",
    "WherebyClient": "client",
    "capture_responses": "context",
    "room_link": "room_links",
    "use_priority": "context",
}
"""Where each name is defined; all that are not here are errors or modules."""
_MODULES = ("batch", "errors", "hooks", "limiter", "models", "webhooks")


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
