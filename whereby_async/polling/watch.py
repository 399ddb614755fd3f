"""One watch over all jobs of a kind that one client waits for in one loop.

**Theory.** There is no task in the background. Of those who wait, one leads: it does one step at a time (a request, or a
pause until the next look is due), and what it learns it tells to whom it concerns. The others sleep. When the leader has its answer,
is cancelled or runs out of time, it rings for one of the others, who goes on at the next step; the last to leave closes the watch.
So a cancel disturbs nobody else, an `async with asyncio.timeout(…)` needs no support, and nothing is left running.

A watch belongs to one set of options: waits in another lane, with another key or another limiter have a watch of their own.
"""

from __future__ import annotations

import asyncio
import copy
import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..errors import (
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
from ..operation import segment
from ..pagination import MAX_PAGE_SIZE, Paginator
from .kinds import Job
from .pace import Prices, Search, by_age, by_points

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from ..models import Page
    from ..sender import ClientSender
    from .kinds import Kind

J = TypeVar("J", bound=Job)

_TOGETHER = 0.05
"""Seconds before a job is looked at first, so that waits which begin together are looked after together."""
_NEWEST_FIRST = ("sortBy", "startDate:desc")


class Watches:
    """The watches of one client, over all its loops and threads."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[Hashable, Watch[Any]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, kind: Kind[J], caller: ClientSender) -> Watch[J]:
        """The watch for this kind, this loop and the caller's options; it stays while somebody waits."""
        loop, options = asyncio.get_running_loop(), caller.options
        key = (
            loop, kind.name, options.key, id(options.limiter), options.call_priority(), options.retry, options.timeout, options.max_wait,
        )  # fmt: skip
        for other in list(self._open.values()):
            if other.loop.is_closed():  # its waits ended with it
                self._open.pop(other.key, None)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Watch(kind, caller.pinned(), loop, key, self)
        return cast("Watch[J]", found)

    def close(self, watch: Watch[Any]) -> None:
        """Nobody waits there any more."""
        if self._open.get(watch.key) is watch:
            del self._open[watch.key]


class _Watched(Generic[J]):
    """One job that somebody waits for."""

    __slots__ = ("alone", "due_at", "job_id", "outcome", "since", "waits")

    def __init__(self, job_id: str, now: float) -> None:
        self.job_id: str = job_id
        self.since: float = now
        self.due_at: float = now + _TOGETHER
        self.alone: bool = False  # the list does not show it
        self.outcome: J | WherebyError | None = None
        self.waits: list[asyncio.Event] = []


class Watch(Generic[J]):
    """All waits for one kind of job, with one set of options, in one loop."""

    def __init__(
        self, kind: Kind[J], caller: ClientSender, loop: asyncio.AbstractEventLoop, key: Hashable, watches: Watches
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.key: Hashable = key
        self._kind = kind
        self._caller = caller
        self._watches = watches
        self._watched: dict[str, _Watched[J]] = {}
        self._leader: asyncio.Event | None = None
        self._news = asyncio.Event()
        self._prices = Prices()
        self._least = 0.0  # seconds between two looks, for the budget's sake
        self._search: Search | None = None
        self._pages: AsyncIterator[Page[J]] | None = None

    async def wait(self, job_id: str) -> J:
        """Wait until the job is done.

        Raises:
            WherebyError: It failed, or it cannot be looked at.
        """
        bell = asyncio.Event()
        watched = self._watched.setdefault(job_id, _Watched(job_id, self.loop.time()))
        watched.waits.append(bell)
        self._news.set()
        try:
            while watched.outcome is None:
                if self._leader is None:
                    self._leader = bell
                if self._leader is bell:
                    await self._step()
                else:
                    bell.clear()
                    await bell.wait()
        finally:
            self._leave(watched, bell)
        if isinstance(watched.outcome, WherebyError):
            raise copy.copy(watched.outcome)  # others may raise it as well
        return watched.outcome

    def _leave(self, watched: _Watched[J], bell: asyncio.Event) -> None:
        watched.waits.remove(bell)
        if not watched.waits and self._watched.get(watched.job_id) is watched:
            del self._watched[watched.job_id]
        if self._leader is bell:
            self._leader = None
        if self._leader is None:  # it was ours, or was to be ours: somebody has to lead
            for other in self._watched.values():
                other.waits[0].set()
                return
            self._watches.close(self)

    async def _step(self) -> None:
        """One request, or one pause."""
        if self._caller.shared.closed:
            self._tell_all(ClientClosedError(f"{self._kind.name}: the client was closed while it was waited for"))
        elif self._search is not None:
            await self._read_page(self._search)
        else:
            await self._begin_round()

    async def _begin_round(self) -> None:
        now = self.loop.time()
        if delay := max(0.0, min(watched.due_at for watched in self._watched.values()) - now):
            self._news.clear()
            await self._caller.shared.waiting.pause(delay, until=self._news)
            return
        self._reckon()
        # Those that are nearly due go along if the list is read.
        soon = {
            each.job_id
            for each in self._watched.values()
            if not each.alone and each.due_at - now <= self._interval(each) / 2
        }
        if self._prices.by_list(len(soon)):
            self._search = Search(soon)
            request = self._kind.list.bind(query=[_NEWEST_FIRST, ("limit", str(MAX_PAGE_SIZE))])
            self._pages = Paginator(self._caller, request, page_size=MAX_PAGE_SIZE).pages()
        else:
            await self._read_one(min(self._watched.values(), key=lambda each: each.due_at))

    async def _read_one(self, watched: _Watched[J]) -> None:
        kind = self._kind
        request = kind.get.bind({kind.placeholder: segment(kind.placeholder, watched.job_id)})
        try:
            job = await self._caller.send(request)
        except Throttled as refusal:
            self._put_off(refusal, [watched])
        except WherebyError as error:
            self._tell(watched, error)
        else:
            watched.alone = False
            self._saw(watched, job)

    async def _read_page(self, search: Search) -> None:
        assert self._pages is not None  # noqa: S101 - they go together
        try:
            page = await anext(self._pages, None)
        except Throttled as refusal:
            self._end_search()
            self._put_off(refusal, list(self._watched.values()))
        except WherebyError as error:
            self._end_search()
            if _is_about_the_list(error):
                self._prices.pages = math.inf  # so each job is read by its id
            else:
                self._tell_all(error)
        else:
            if page is not None:
                self._saw_page(page, search)
            if page is None or search.is_over(self._prices):
                search.teach(self._prices, ended=page is None)
                self._end_search()
                for job_id in search.sought & self._watched.keys():
                    self._watched[job_id].alone = True
                    self._watched[job_id].due_at = self.loop.time()

    def _end_search(self) -> None:
        self._search = self._pages = None

    def _saw_page(self, page: Page[J], search: Search) -> None:
        ids: set[str] = set()
        for job in page.results:
            ids.add(job_id := self._kind.id_of(job))
            if (watched := self._watched.get(job_id)) is not None:
                self._saw(watched, job)
        search.saw(ids)
        search.sought &= self._watched.keys() | ids  # nobody waits for the others any more

    def _saw(self, watched: _Watched[J], job: J) -> None:
        if job.is_failed:
            self._tell(watched, self._failure(watched.job_id, job))
        elif job.is_done:
            self._tell(watched, job)
        else:
            watched.due_at = self.loop.time() + self._interval(watched)

    def _failure(self, job_id: str, job: Job) -> JobFailedError:
        said = job.error or ""
        text = f"{self._kind.name} {job_id} failed" + (f": {said}" if said else "; the server gives no reason")
        return JobFailedError(text, job_id=job_id, state=job.state or "", message=said)

    def _interval(self, watched: _Watched[J]) -> float:
        return max(by_age(self.loop.time() - watched.since), self._least)

    def _reckon(self) -> None:
        """What looking costs now, and how often the budget bears it."""
        one, page, limiter = self._kind.get, self._kind.list, self._caller.options.limiter
        self._prices.learn(limiter.snapshot(), (one.name, one.cost), (page.name, page.cost))
        self._least = by_points(self._prices.round_of(len(self._watched)), limiter)

    def _put_off(self, refusal: Throttled, jobs: list[_Watched[J]]) -> None:
        """There were no points for it: look again when there are."""
        for watched in jobs:
            watched.due_at = self.loop.time() + max(refusal.retry_after or 0.0, self._interval(watched))

    def _tell(self, watched: _Watched[J], outcome: J | WherebyError) -> None:
        watched.outcome = outcome
        if self._watched.get(watched.job_id) is watched:  # or those who waited for it have left meanwhile
            del self._watched[watched.job_id]
        for bell in watched.waits:
            bell.set()

    def _tell_all(self, error: WherebyError) -> None:
        for watched in list(self._watched.values()):
            self._tell(watched, error)


def _is_about_the_list(error: WherebyError) -> bool:
    """Whether the list is what is refused or cannot be read, so that a job may still be read by its id."""
    if isinstance(error, APIStatusError):
        return not isinstance(error, AuthenticationError | InternalServerError)
    return isinstance(error, ResponseDecodeError | BudgetError)


async def wait_for(watches: Watches, caller: ClientSender, kind: Kind[J], job_id: str) -> J:
    """Wait until a job is done.

    Args:
        watches: The watches that all views of the client share.
        caller: The client; the wait goes by its options and its lane as they are now.
        kind: What kind of job it is.
        job_id: Its id.

    Raises:
        ValueError: The id is empty or holds a slash.
        JobFailedError: It failed for good.
        NotFoundError: There is none, or it was deleted meanwhile.
    """
    segment(kind.placeholder, job_id)
    return await watches.join(kind, caller).wait(job_id)
