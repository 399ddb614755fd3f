"""Waits for transcriptions and summaries, which are looked at again and again until they are done.

**Theory.** A job takes from seconds to hours, and the server says nothing while it runs. All waits of one client for
one kind of job, in one loop and with the same options, share one `Watch`. There is no background task: one of the
waiting tasks leads. It takes one step at a time, which is a request or a pause until the next look is due, and it wakes
the tasks whose job has an outcome. When the leader has its own outcome, is cancelled or runs out of time, it wakes
another waiting task, which leads from the next step on; the last task to leave removes the watch. So a cancellation
disturbs no other wait, `asyncio.timeout(…)` needs no support, and nothing is left running.

The interval between two looks is a third of the time waited so far, within bounds, so that the end is seen at most a
third late. All waits of a watch together take about a tenth of the budget: the more a round of looks costs, and the
slower points come, the longer the interval.

A page of the list costs about as much as one job, and shows a hundred. Which page a job is on is not known before, so a
search of the list begins with the newest sessions, ends as soon as all jobs that it seeks were seen, and is given up
when the pages that it may still need cost more than the remaining jobs one by one. Each page in a row without any of
them doubles the number of pages that may still be needed: a hopeless search reads about as many pages as the logarithm
of the number of jobs. 300 waits of a minute cost 33 points on a plan of 1,000 points a minute, and 18 on one of 100.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import AsyncIterator, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

import whereby_async

from .errors import (
    APIStatusError,
    AuthenticationError,
    BudgetError,
    ClientClosedError,
    InternalServerError,
    JobFailedError,
    ResponseDecodeError,
    Throttled,
    WherebyError,
)
from .models import Page
from .operation import Operation
from .pagination import MAX_PAGE_SIZE, Paginator

if TYPE_CHECKING:
    from .limiter.protocol import BudgetSnapshot, Limiter

__all__ = ["Kind", "Watches", "wait_for"]

SHORTEST: Final = 2.0
LONGEST: Final = 30.0
"""Seconds between two looks at a job, while there are points to spare."""
LONGEST_FOR_POINTS: Final = 300.0
"""Seconds between two looks, however few points there are."""
_BUDGET_SHARE: Final = 10
"""One part in so many of the budget may be spent on looks."""
_WINDOWS_AHEAD: Final = 10
"""Windows of the budget over which its speed is measured."""
_FIRST_DELAY: Final = 0.05
"""Seconds before the first look at a job, so that waits which begin together share it."""
_NEWEST_FIRST: Final = ("sortBy", "startDate:desc")


class ServerJob(Protocol):
    """Work of the server, as it is listed and as it is read by its id."""

    @property
    def state(self) -> str | None:
        """How far it is, in the server's word."""
        ...

    @property
    def error(self) -> str | None:
        """Why it failed, if the server says so."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it is ready or failed. A state that this version does not know counts as still under way."""
        ...

    @property
    def is_failed(self) -> bool:
        """Whether it failed for good."""
        ...


J = TypeVar("J", bound=ServerJob)


class Kind(NamedTuple, Generic[J]):
    """A kind of job: its name, such as `transcription` (its id is then `transcription_id`), and how it is read."""

    name: str
    get: Operation[J]
    list: Operation[Page[J]]

    def id_of(self, job: J) -> str:
        """The id of a job."""
        job_id: str = getattr(job, f"{self.name}_id")
        return job_id


class Watches:
    """The watches of one client, over all its views, loops and threads. Each is kept while tasks wait."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[Hashable, Watch[Any]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, kind: Kind[J], caller: whereby_async.sender.ClientSender) -> Watch[J]:
        """The watch for this kind, this loop and the caller's options as they are now."""
        loop, options = asyncio.get_running_loop(), caller.options
        key = (
            loop, kind.name, options.key, id(options.limiter), options.call_priority(), options.retry, options.timeout,
            options.max_wait, options.max_outage,
        )  # fmt: skip
        for other in list(self._open.values()):  # a copy, since other threads wait too
            if other.loop.is_closed():  # its waits ended with it
                self.close(other)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Watch(kind, caller.patient().pinned(), loop, key, self)
        return cast("Watch[J]", found)

    def close(self, watch: Watch[Any]) -> None:
        """Forget a watch that no task waits for any more."""
        if self._open.get(watch.key) is watch:
            del self._open[watch.key]


async def wait_for(watches: Watches, caller: whereby_async.sender.ClientSender, kind: Kind[J], job_id: str) -> J:
    """Wait until a job is done, by the options and the priority of the caller as they are now."""
    kind.get.bind(job_id)  # refuses what is no id
    return await watches.join(kind, caller).wait(job_id)


class _AwaitedJob(msgspec.Struct, Generic[J], eq=False):
    """A job that somebody waits for."""

    job_id: str
    since: float
    due_at: float
    outcome: J | WherebyError | None = None
    waits: list[asyncio.Event] = []
    unlisted: bool = False  # the list does not show it


class Watch(Generic[J]):
    """All waits for one kind of job, of one client, with one set of options, in one loop."""

    def __init__(
        self,
        kind: Kind[J],
        caller: whereby_async.sender.ClientSender,
        loop: asyncio.AbstractEventLoop,
        key: Hashable,
        watches: Watches,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.key: Hashable = key
        self._kind = kind
        self._caller = caller
        self._watches = watches
        self._jobs: dict[str, _AwaitedJob[J]] = {}
        self._leader: asyncio.Event | None = None
        self._joined = asyncio.Event()
        self._costs = PollingCosts()
        self._least_interval = 0.0
        self._search: tuple[ListSearch, AsyncIterator[Page[J]]] | None = None

    async def wait(self, job_id: str) -> J:
        """Wait until the job is done; raises a `WherebyError` if it failed or cannot be looked at."""
        woken, now = asyncio.Event(), self.loop.time()
        job = self._jobs.setdefault(job_id, _AwaitedJob(job_id, now, now + _FIRST_DELAY))
        job.waits.append(woken)
        self._joined.set()
        try:
            while job.outcome is None:
                if self._leader is None:
                    self._leader = woken
                if self._leader is woken:
                    await self._step()
                else:
                    woken.clear()
                    await woken.wait()
        finally:
            self._leave(job, woken)
        if isinstance(job.outcome, WherebyError):
            raise copy.copy(job.outcome)  # others may raise it as well
        return job.outcome

    def _leave(self, job: _AwaitedJob[J], woken: asyncio.Event) -> None:
        job.waits.remove(woken)
        if not job.waits and self._jobs.get(job.job_id) is job:
            del self._jobs[job.job_id]
        if self._leader is woken:
            self._leader = None
        if self._leader is None:  # this task led or was to lead: another one has to
            for other in self._jobs.values():
                other.waits[0].set()
                return
            self._watches.close(self)

    async def _step(self) -> None:
        """Send one request, or pause once."""
        now = self.loop.time()
        if self._caller.shared.closed:
            self._end_all(ClientClosedError(f"{self._kind.name}: the client was closed while it was waited for"))
        elif self._search is not None:
            await self._read_page(*self._search)
        elif delay := max(0.0, min(job.due_at for job in self._jobs.values()) - now):
            self._joined.clear()
            await self._caller.shared.waiting.pause(delay, until=self._joined)
        else:
            await self._begin_round(now)

    async def _begin_round(self, now: float) -> None:
        get, list_, limiter = self._kind.get, self._kind.list, self._caller.options.limiter
        self._costs.learn(limiter.snapshot(), (get.name, get.cost), (list_.name, list_.cost))
        self._least_interval = interval_for_points(self._costs.round_of(len(self._jobs)), limiter)
        # If the list is read, jobs that are nearly due are sought in it too.
        listed = [job for job in self._jobs.values() if not job.unlisted]
        soon = {job.job_id for job in listed if job.due_at - now <= self._interval(job) / 2}
        if self._costs.prefers_list(len(soon)):
            request = list_.bind(query=[_NEWEST_FIRST, ("limit", str(MAX_PAGE_SIZE))])
            self._search = ListSearch(soon), Paginator(self._caller, request, page_size=MAX_PAGE_SIZE).pages()
        else:
            await self._read_one(min(self._jobs.values(), key=lambda job: job.due_at))

    async def _read_one(self, job: _AwaitedJob[J]) -> None:
        try:
            read = await self._caller.send(self._kind.get.bind(job.job_id))
        except Throttled as refusal:
            self._put_off(refusal, [job])
        except WherebyError as error:
            self._end(job, error)
        else:
            job.unlisted = False
            self._look_at(job, read)

    async def _read_page(self, search: ListSearch, pages: AsyncIterator[Page[J]]) -> None:
        try:
            page = await anext(pages, None)
        except Throttled as refusal:
            self._search = None
            self._put_off(refusal, list(self._jobs.values()))
        except WherebyError as error:
            self._search = None
            if _concerns_the_list(error):
                self._costs.give_up_list()
            else:
                self._end_all(error)
        else:
            if page is not None:
                self._look_at_page(page, search)
            if page is None or search.is_over(self._costs):
                self._search = None
                self._costs.learn_from(search, ended=page is None)
                for job_id in search.sought & self._jobs.keys():
                    self._jobs[job_id].unlisted = True
                    self._jobs[job_id].due_at = self.loop.time()

    def _look_at_page(self, page: Page[J], search: ListSearch) -> None:
        rows = {self._kind.id_of(row): row for row in page.results}
        for job_id, row in rows.items():
            if (job := self._jobs.get(job_id)) is not None:
                self._look_at(job, row)
        search.saw(rows.keys())
        search.sought &= self._jobs.keys()  # nobody waits for the others any more

    def _look_at(self, job: _AwaitedJob[J], read: J) -> None:
        if read.is_failed:
            reason = read.error or ""
            text = f"{self._kind.name} {job.job_id} failed" + (
                f": {reason}" if reason else "; the server gives no reason"
            )
            self._end(job, JobFailedError(text, job_id=job.job_id, state=read.state or "", message=reason))
        elif read.is_done:
            self._end(job, read)
        else:
            job.due_at = self.loop.time() + self._interval(job)

    def _interval(self, job: _AwaitedJob[J]) -> float:
        return max(interval_by_age(self.loop.time() - job.since), self._least_interval)

    def _put_off(self, refusal: Throttled, jobs: list[_AwaitedJob[J]]) -> None:
        """Look again when there are points for it."""
        for job in jobs:
            job.due_at = self.loop.time() + max(refusal.retry_after or 0.0, self._interval(job))

    def _end(self, job: _AwaitedJob[J], outcome: J | WherebyError) -> None:
        job.outcome = outcome
        if self._jobs.get(job.job_id) is job:  # those who waited for it may have left meanwhile
            del self._jobs[job.job_id]
        for woken in job.waits:
            woken.set()

    def _end_all(self, error: WherebyError) -> None:
        for job in list(self._jobs.values()):
            self._end(job, error)


def _concerns_the_list(error: WherebyError) -> bool:
    """Whether only the list is refused or cannot be read, so that a job may still be read by its id."""
    if isinstance(error, APIStatusError):
        return not isinstance(error, AuthenticationError | InternalServerError)
    return isinstance(error, ResponseDecodeError | BudgetError)


def interval_by_age(waited: float) -> float:
    """Seconds until the next look at a job that has been waited for so many seconds, if points are plenty."""
    return min(max(SHORTEST, waited / 3), LONGEST)


def interval_for_points(round_cost: int, limiter: Limiter) -> float:
    """The least seconds between two looks, of `round_cost` points each, that leave the budget to other calls."""
    points = _WINDOWS_AHEAD * max(1, limiter.snapshot().limit)
    seconds_per_point = limiter.forecast(points).seconds / points
    seconds = max(_BUDGET_SHARE * round_cost * seconds_per_point, limiter.forecast(round_cost).seconds)
    return min(seconds, LONGEST_FOR_POINTS)


class PollingCosts(msgspec.Struct, eq=False):
    """What looks cost, by id and in the list.

    Attributes:
        one: Points for one job by its id.
        page: Points for one page of the list.
        pages: Pages that the next search of the list takes, as far as is known; infinite if the list is of no use.
        unlisted: Jobs that the last search did not find.
    """

    one: int = 1
    page: int = 1
    pages: float = 1
    unlisted: int = 0

    def learn(self, snapshot: BudgetSnapshot, one: tuple[str, int], page: tuple[str, int]) -> None:
        """Take over the known prices of both operations, given by name and seed price."""
        self.one = snapshot.costs.get(*one)
        self.page = snapshot.costs.get(*page)

    def learn_from(self, search: ListSearch, *, ended: bool) -> None:
        """Expect the next search to be like this one; `ended`: the list has no more pages."""
        self.pages = max(1, search.pages + (0 if ended else search.pages_ahead))
        self.unlisted = len(search.sought) if ended else 0

    def give_up_list(self) -> None:
        """Read each job by its id from now on."""
        self.pages = math.inf

    @property
    def _list_cost(self) -> float:
        return self.pages * self.page + self.unlisted * self.one

    def prefers_list(self, jobs: int) -> bool:
        """Whether to search the list is cheaper than to read so many jobs."""
        return self._list_cost < jobs * self.one

    def round_of(self, jobs: int) -> int:
        """Points for one look at so many jobs, the cheaper way."""
        return int(min(jobs * self.one, self._list_cost))


class ListSearch:
    """One search of the list: the ids that have not been seen yet, and the pages that were read."""

    def __init__(self, sought: set[str]) -> None:
        self.sought: set[str] = sought
        self.pages: int = 0
        self._fruitless = 0

    def saw(self, ids: Iterable[str]) -> None:
        """Count a page that held these."""
        left = self.sought.difference(ids)
        self.pages += 1
        self._fruitless = 0 if len(left) < len(self.sought) else self._fruitless + 1
        self.sought = left

    @property
    def pages_ahead(self) -> int:
        """Pages that may still be needed."""
        return 2 ** min(self._fruitless, 30) if self.sought else 0

    def is_over(self, costs: PollingCosts) -> bool:
        """Whether all were seen, or the rest is cheaper one by one."""
        return len(self.sought) * costs.one <= self.pages_ahead * costs.page
