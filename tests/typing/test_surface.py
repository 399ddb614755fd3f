"""The types of the public surface, as a user's type checker sees them.

mypy and pyright read the functions below and find them right or wrong; pytest sees to it that they exist and that the
`type: ignore`s are still needed (both checkers report those that are not).
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

from whereby_async import (
    Answer,
    APIStatusError,
    BudgetTimeoutError,
    Download,
    Page,
    Paginator,
    Priority,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
    Throttled,
    WherebyClient,
    WherebyError,
    capture_responses,
    use_priority,
)
from whereby_async.limiter import BudgetSnapshot, Forecast, Limiter, Permit, PointBudget, RateLimit, Unlimited
from whereby_async.models import (
    AccessLink,
    LiveTranscriptionOptions,
    Meeting,
    ParticipantDetails,
    ParticipantInsights,
    Recording,
    RecordingOptions,
    RoomInsights,
    RoomPreferences,
    RoomSessionInsights,
    StreamingOptions,
    Summary,
    SummaryJob,
    Transcription,
    TranscriptionJob,
)
from whereby_async.testing import FakeWhereby, Fault, RecordedRequest

if TYPE_CHECKING:
    from whereby_async.hooks import AttemptDetails, ResponseDetails, RetryDetails, WaitDetails

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


class Hook:
    """A hook with three methods, two of the client's and one of the limiter's."""

    def on_attempt(self, details: AttemptDetails) -> None:
        assert_type(details.cost, int)
        assert_type(details.waited, float)

    def on_response(self, details: ResponseDetails) -> None:
        assert_type(details.rate_limit, RateLimit)

    def on_wait(self, details: WaitDetails) -> None:
        assert_type(details.delay, float)


class OneMethod:
    """A hook with one."""

    def on_retry(self, details: RetryDetails) -> None:
        assert_type(details.reason, str)


async def client() -> None:
    async with WherebyClient() as whereby:
        assert_type(whereby, WherebyClient)
    full = WherebyClient(
        "key",
        base_url="https://api.whereby.dev/v1",
        insecure_http=None,
        limiter=PointBudget(100, period=60.0, costs={"insights.rooms": 5}, reserve=0.1),
        pool=SessionPool(connections=10, proxy=None, trust_env=True),
        retry=RetryPolicy(attempts=2, base=0.1, cap=1.0),
        timeout=5,
        max_wait=None,
        priority=Priority.BATCH,
        hooks=[Hook(), OneMethod()],
    )
    assert_type(full.with_options(timeout=1, max_wait=None, priority=None), WherebyClient)
    assert_type(full.with_options(api_key="rotated", limiter=Unlimited(), retry=RetryPolicy()), WherebyClient)
    assert_type(full.base_url, str)
    assert_type(full.closed, bool)
    assert_type(full.limiter, Limiter)
    with use_priority(Priority.INTERACTIVE), capture_responses() as answers:
        assert_type(answers, list[Answer])
        assert_type(answers[0].status, int)
        assert_type(answers[0].headers, Mapping[str, str])
        body: bytes = answers[0].body
        assert body
    assert_type(await full.aclose(), None)
    WherebyClient(retries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - no such option
    WherebyClient("key", "https://x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - options are keywords
    full.with_options(hooks=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - a view shares them
    full.with_options(timeout=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - no endless attempt


async def meetings(c: WherebyClient) -> None:
    made = await c.meetings.create(
        end_date=UNTIL,
        is_locked=True,
        room_mode="group",
        room_name_pattern="a pattern of tomorrow",
        recording=RecordingOptions(type="cloud", destination=None),
        live_transcription=LiveTranscriptionOptions(language="en"),
        streaming={"destination": {"url": "rtmp://x"}},
        room_preferences=RoomPreferences(streaming=False),
        fields=["hostRoomUrl", "viewerRoomUrl"],
        extra={"new": 1},
    )
    assert_type(made, Meeting)
    assert_type(made.meeting_id, str)
    assert_type(made.end_date, datetime | None)
    assert_type(made.host_room_url, str | None)
    assert_type(await c.meetings.create(end_date="2099-01-01T00:00:00Z", streaming=StreamingOptions()), Meeting)
    assert_type(await c.meetings.get("1", fields=("hostRoomUrl",)), Meeting)
    assert_type(c.meetings.list(fields=["dialIn"], name_starts_with="/x", page_size=5, cursor=None), Paginator[Meeting])
    assert_type(await c.meetings.delete("1"), None)
    await c.meetings.create()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - an end is needed
    await c.meetings.create(end_date=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await c.meetings.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - ids are text
    made.meeting_id = "2"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - results are frozen


async def pages(c: WherebyClient) -> None:
    recordings = c.recordings.list(room_name="/x", sort_by="startDate:desc", prefetch=1)
    assert_type(recordings, Paginator[Recording])
    async for recording in recordings:
        assert_type(recording, Recording)
    async for page in recordings.pages():
        assert_type(page, Page[Recording])
        assert_type(page.cursor, str | None)
        assert_type(page.results, list[Recording])
        assert_type(page[0], Recording)
        assert_type(page[:2], list[Recording])
        for item in page:
            assert_type(item, Recording)
    assert_type(recordings.pages(), AsyncIterator[Page[Recording]])
    assert_type(await recordings, Page[Recording])
    assert_type(await recordings.collect(max_items=5), list[Recording])
    async with recordings as items:
        assert_type(items, Paginator[Recording])
        assert_type([each async for each in items], list[Recording])


async def media(c: WherebyClient) -> None:
    assert_type(await c.recordings.get("1"), Recording)
    assert_type(await c.recordings.delete("1"), None)
    assert_type(await c.recordings.bulk_delete(str(i) for i in range(3)), None)
    assert_type(await c.recordings.access_link("1", valid_for=60), AccessLink)
    assert_type(await c.transcriptions.create("1"), TranscriptionJob)
    assert_type(await c.transcriptions.get("1"), Transcription)
    assert_type(c.transcriptions.list(), Paginator[Transcription])
    assert_type(await c.transcriptions.delete("1"), None)
    assert_type(await c.transcriptions.bulk_delete(["1"]), None)
    assert_type((await c.transcriptions.access_link("1")).access_link, str)
    assert_type(await c.transcriptions.wait("1"), Transcription)
    assert_type(await c.summaries.wait("1"), Summary)
    assert_type(await c.recordings.download("1", "film.mp4"), Download)
    assert_type(await c.recordings.download("1", Path(), overwrite=True, on_progress=print), Download)
    assert_type(await c.transcriptions.download("1", io.BytesIO(), valid_for=60, stall_timeout=5), Download)
    assert_type((await c.recordings.download("1", io.FileIO("film.mp4", "w"))).path, Path | None)
    assert_type(await c.summaries.create("1", template="SOAP"), SummaryJob)
    assert_type(await c.summaries.get("1"), Summary)
    assert_type((await c.summaries.get("1")).summary, dict[str, Any] | str | None)
    assert_type(c.summaries.list(), Paginator[Summary])
    assert_type(await c.summaries.delete("1"), None)


async def rooms(c: WherebyClient) -> None:
    assert_type(await c.rooms.set_theme_tokens("/x", primary="#000000"), None)
    assert_type(await c.rooms.reset_theme_tokens("/x"), None)
    assert_type(await c.rooms.set_logo("/x", b"image"), None)
    assert_type(await c.rooms.set_logo("/x", Path("logo.png")), None)
    assert_type(await c.rooms.set_background("/x", io.BytesIO(b"image")), None)
    assert_type(await c.rooms.set_background("/x", palette="grey", theme="rocks"), None)
    assert_type(await c.rooms.set_knock_background("/x", "logo.png"), None)
    assert_type(await c.rooms.reset_knock_background("/x"), None)
    await c.rooms.set_logo("/x", io.StringIO())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - text


async def insights(c: WherebyClient) -> None:
    assert_type(c.insights.rooms(name="/x", created_from=UNTIL), Paginator[RoomInsights])
    assert_type(c.insights.room_sessions("/x"), Paginator[RoomSessionInsights])
    assert_type(c.insights.participants(external_id="1"), Paginator[ParticipantInsights])
    assert_type(await c.insights.participant("1", "2"), list[ParticipantDetails])


async def request(c: WherebyClient) -> None:
    assert_type(await c.request("GET", "/meetings", params={"limit": 1}), Any)
    assert_type(await c.request("GET", "/meetings/1", type=Meeting), Meeting)
    assert_type(await c.request("GET", "/meetings", type=Page[Meeting]), Page[Meeting])
    assert_type(await c.request("PUT", "/x", files={"image": b""}, cost=3, idempotent=True), Any)


async def limiter(any_limiter: Limiter, permit: Permit) -> None:
    budgets: Sequence[Limiter] = [PointBudget(), Unlimited()]
    assert_type(budgets[0].snapshot(), BudgetSnapshot)
    assert_type(await any_limiter.acquire(3, operation="x", priority=Priority.BATCH, max_wait=0, after=permit), Permit)
    assert_type(any_limiter.forecast(1000), Forecast)
    assert_type(permit.settle(RateLimit.from_response(200, {})), None)
    assert_type(permit.cost, int)


def errors(error: WherebyError) -> None:
    assert_type(error.may_have_happened, bool)
    if isinstance(error, APIStatusError):
        assert_type(error.status, int)
        assert_type(error.body, bytes)
        assert_type(error.rate_limit, RateLimit | None)
    if isinstance(error, ResponseDecodeError):
        assert_type(error.path, str)
    throttled: Sequence[Throttled] = [RateLimitError("text", status=429), BudgetTimeoutError("text", retry_after=1.0)]
    assert_type(throttled[0].retry_after, float | None)


async def kit() -> None:
    async with FakeWhereby(limit=10, algorithm="fixed", header_style="iso") as fake, fake.client() as whereby:
        assert_type(fake, FakeWhereby)
        assert_type(whereby, WherebyClient)
        assert_type(fake.url, str)
        assert_type(fake.requests, list[RecordedRequest])
        assert_type(fake.points_spent, int)
        fake.faults.add(Fault(status=503, times=None))


async def mistakes(c: WherebyClient, page: Page[Meeting]) -> None:
    """What is told in words when it runs, a type checker finds before."""
    with c:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    with SessionPool(), FakeWhereby():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    with c.batch(c.meetings.get, []):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    await c.batch(c.meetings.get, [])  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    list(c.meetings.list())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    len(c.meetings.list())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = c.meetings.list()[0]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    _ = c.meetings.list().cursor  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType]
    if c.meetings.list():  # type: ignore[truthy-bool]
        pass
    [row async for row in page]  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues,reportUnknownVariableType]


def test_the_checks_are_there_for_the_type_checkers() -> None:
    """Every function above is one that mypy and pyright read; nothing of it runs."""
    checks = (client, meetings, pages, media, rooms, insights, request, limiter, errors, kit, mistakes)
    assert all(map(inspect.isfunction, checks))
