"""Thousands of calls: `client.batch` and what it gives.

```python
async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
    async for outcome in outcomes:
        print(outcome.key, outcome.state)
print(outcomes.progress.done)
```

Items come from any iterable or async iterable, calls have `BATCH` priority, and memory does not grow with the job. An
item that fails says so in `outcome.error` and never stops the others, unless asked to. With `journal=` the job can be
killed at any moment (`kill -9`, a power cut, a full disk) and run again: what is done comes out again with
`outcome.resumed`, what was under way is looked up.

`Batch.stop` ends a job in order, such as on Ctrl-C: calls on the wire may end, everything else is dropped, and the next
run goes on at once. While the service can not be reached the job pauses by itself. If that takes longer than
`max_outage`, it ends with one `ServiceUnavailableError`, and the next run takes up what was not done, without
`retry_failed`.

How often a call runs, exactly:

- Reads, deletes and PUTs: at least once; repeating them does no harm.
- `meetings.create`: at most once, as long as the API's list of meetings is complete.
- Other creates, and functions of yours that make some: at most once. If a run died in the middle, or an answer was
  lost, the outcome is `unknown`.

So that a `meetings.create` whose answer was lost can be found, a batch puts a marker of ten letters and digits behind
its `room_name_prefix` (`mark=False` leaves names alone). Such a room is looked up and adopted (`outcome.adopted`). If
it is not in the list, and that shows that it was never made, it is sent again. That takes: four timeouts since it may
have left (see `absent_after`), two readings of the whole list of which the second has every room of the first, and an
end that has not passed. Else the item ends `unknown` and is never sent again; later runs look for it, but do not make
it. A room that somebody deletes before it is looked up, or that the API makes minutes after it dropped the request, can
not be told from one that was never made.

Without `key=` the journal knows items by their place, so the input must be the same in each run; a request that differs
ends the job before it is sent. Mind dates such as "in an hour", which differ each time: compute them once, or pass
`key=`.
"""

from __future__ import annotations

from .estimate import Estimate, OnProgress, Progress
from .item import EarlierFailureError, KeyOf, Outcome, OutcomeState, OutcomeUnknownError, Requests
from .job import Batch
from .journal_file import JournalError

__all__: list[str] = ["Batch", "EarlierFailureError", "Estimate", "JournalError", "KeyOf", "OnProgress", "Outcome"]
__all__ += ["OutcomeState", "OutcomeUnknownError", "Progress", "Requests"]
