"""Jobs of a forking worker: each runs in a process of its own, and all of them share one budget of points.

Run workers with WHEREBY_API_KEY and REDIS_URL set, as many as you like, on as many machines:
`rq worker --config rq_jobs --with-scheduler`. The worker imports this module as its settings, once, before the forks:
what the module makes serves every job.
"""

import asyncio
import math
import os
from datetime import UTC, datetime, timedelta

from rq import Retry

from whereby_async import Throttled, WherebyClient
from whereby_async.limiter import RedisPointBudget

REDIS_URL = os.environ["REDIS_URL"]  # read by rq
budget = RedisPointBudget(REDIS_URL)
whereby = WherebyClient(limiter=budget, max_wait=5.0)


def make_room(name: str) -> str | Retry | None:
    """A room's link; or rq is told to try again when there are points, and the worker is free until then."""
    try:
        return asyncio.run(_make_room(name))
    except Throttled as error:
        return Retry(max=5, interval=math.ceil(error.retry_after or 1))


async def _make_room(name: str) -> str | None:
    end_date = datetime.now(UTC) + timedelta(days=1)
    meeting = await whereby.meetings.create(end_date=end_date, room_name_prefix=f"{name}-")
    return meeting.room_url
