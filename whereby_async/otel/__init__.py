"""Traces and metrics of a client's calls for OpenTelemetry (extra `[otel]`, which brings in `opentelemetry-api` alone).

```python
from whereby_async import WherebyClient
from whereby_async.otel import OpenTelemetryHooks

async with WherebyClient(hooks=[OpenTelemetryHooks()]) as whereby:
    ...
```

Nothing else in this package imports OpenTelemetry. Source of the names: the OpenTelemetry semantic conventions for HTTP client
spans and metrics; what is Whereby's own is called `whereby.…`.
"""

from __future__ import annotations

try:
    from .listener import OpenTelemetryHooks
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(
        "whereby_async.otel needs its extra: pip install 'whereby-async[otel]'", name=_missing.name
    ) from _missing

__all__ = ["OpenTelemetryHooks"]
