"""Thousands of calls: `client.batch` and what it gives.

```python
async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
    async for outcome in outcomes:
        print(outcome.key, outcome.state)
```
"""

from __future__ import annotations

from .estimate import Estimate
from .failures import EarlierFailureError, JournalError, OutcomeUnknownError
from .job import Batch
from .outcome import Outcome, OutcomeState
from .progress import OnProgress, Progress
from .source import KeyOf, Requests

__all__ = [
    "Batch",
    "EarlierFailureError",
    "Estimate",
    "JournalError",
    "KeyOf",
    "OnProgress",
    "Outcome",
    "OutcomeState",
    "OutcomeUnknownError",
    "Progress",
    "Requests",
]
