"""Creates whose answers were lost: looked up, adopted, sent again, or left unknown, in one run and after a restart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from support.batches import TIMEOUT, UNTIL, created, creates, each_once, lines, outcomes_of, rooms, sent, states

from whereby_async import APIConnectionError, NotFoundError, WherebyClient
from whereby_async.batch import OutcomeUnknownError
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from whereby_async.batch import Batch
    from whereby_async.testing import RecordedRequest

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

LOST = {
    "reset after acting": Fault(drop="after"),
    "503, acted": Fault(status=503, act=True),
    "acted, then stalled": Fault(answer_delay=3 * TIMEOUT),
    "stalled, then acted": Fault(delay=1.5 * TIMEOUT),
    "stalled for long, then acted": Fault(delay=2.5 * TIMEOUT),
    "cut off": Fault(truncate=10),
    "no JSON": Fault(body=b"<html>"),
}
NOT_DONE = {"reset before acting": Fault(drop="before"), "503, not acted": Fault(status=503)}


def lose(fake: FakeWhereby, fault: Fault, *skips: int) -> None:
    fake.faults.add(*(msgspec.structs.replace(fault, operation="meetings.create", skip=skip) for skip in skips))


async def left(batch: Batch[Any], until: Callable[[], bool]) -> tuple[str, ...]:
    """Leave a batch in the middle, as soon as something is so; the keys of the items that are in doubt then."""
    async with batch as outcomes:
        while not until():
            await asyncio.sleep(0.005)
        return outcomes.in_doubt


def others(fake: FakeWhereby, count: int) -> None:
    """Make rooms that are no business of the batch."""
    for number in range(count):
        fake.add_meeting(room_name_prefix=f"other{number}-")


@pytest.mark.parametrize("ignored", [False, True], ids=["filter works", "filter ignored"])
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_room_is_adopted(fake: FakeWhereby, whereby: WherebyClient, fault: Fault, *, ignored: bool) -> None:
    """A room whose answer was lost is found by its marker, whether the server heeds the filter or not."""
    fake.ignores_name_filter = ignored
    others(fake, 150)
    lose(fake, fault, 2, 7)
    outcomes = await created(whereby, creates(20, fields=["hostRoomUrl"]))
    assert states(outcomes) == {"ok": 20}
    assert sum(outcome.adopted for outcome in outcomes) >= 2  # a busy machine may be late with another answer
    assert each_once(fake, 20)
    for outcome in outcomes:
        meeting = fake.meetings[outcome.result.meeting_id]
        assert outcome.result.host_room_url == meeting["hostRoomUrl"]
        assert meeting["roomName"].startswith(f"/r{outcome.index}-")


@pytest.mark.parametrize("fault", NOT_DONE.values(), ids=NOT_DONE)
async def test_create_that_did_nothing_is_sent_again(fake: FakeWhereby, whereby: WherebyClient, fault: Fault) -> None:
    lose(fake, fault, 3)
    outcomes = await created(whereby, 8)
    assert states(outcomes) == {"ok": 8}
    assert each_once(fake, 8)
    assert sent(fake, "meetings.create") == 9
    prefixes = [request.json["roomNamePrefix"] for request in fake.requests if request.operation == "meetings.create"]
    assert len(set(prefixes)) == 8


async def test_other_items_go_on_while_a_room_is_looked_for(fake: FakeWhereby, whereby: WherebyClient) -> None:
    lose(fake, Fault(drop="after"), 0)
    began = anyio.current_time()
    async with whereby.batch(whereby.meetings.create, creates(30), concurrency=1) as outcomes:
        for _ in range(29):
            assert not (await anext(outcomes)).adopted
        assert anyio.current_time() - began < TIMEOUT
        assert list(outcomes.in_doubt) == ["0"]
        assert (await anext(outcomes)).adopted
        assert list(outcomes.in_doubt) == []


@pytest.mark.parametrize("open_as", ["begun", "unknown"])
async def test_what_earlier_runs_left_open_is_looked_up_while_the_rest_runs(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, open_as: str
) -> None:
    """However many of them there are, nothing waits for them, and the progress says how long they will take."""
    whereby = whereby.with_options(timeout=2 * TIMEOUT)
    if open_as == "begun":
        fake.faults.add(Fault(operation="meetings.create", answer_delay=10, times=6))
        batch = whereby.batch(whereby.meetings.create, creates(20), journal=journal, concurrency=6)
        assert len(await left(batch, lambda: len(fake.meetings) == 6)) == 6
    else:
        fake.faults.add(
            Fault(operation="meetings.create", status=503, act=True, times=6),
            Fault(operation="meetings.list", status=403, times=None),
        )
        assert states(await created(whereby, 6, journal=journal)) == {"unknown": 6}
    fake.faults.clear()
    began = anyio.current_time()
    async with whereby.batch(whereby.meetings.create, creates(20), journal=journal, concurrency=1) as outcomes:
        for _ in range(14):
            assert not (await anext(outcomes)).adopted
        assert anyio.current_time() - began < 2 * TIMEOUT
        progress = outcomes.progress
        assert (progress.lookups, progress.under_way) == (6, 6)
        assert progress.lookups_end == pytest.approx(8 * TIMEOUT - progress.elapsed, abs=0.1)
        assert progress.eta == progress.lookups_end
        assert [(await anext(outcomes)).adopted for _ in range(6)] == [True] * 6
    assert (outcomes.progress.lookups, outcomes.progress.lookups_end, outcomes.progress.eta) == (0, None, 0.0)
    assert each_once(fake, 20)


async def test_nobody_looks_before_an_attempt_s_time_has_passed(fake: FakeWhereby, whereby: WherebyClient) -> None:
    lose(fake, Fault(drop="after"), 0)
    await created(whereby, 1)
    create, *looks = fake.requests
    assert looks
    assert all(look.at - create.at >= TIMEOUT for look in looks)


async def test_create_that_is_never_answered_ends_failed_when_it_surely_did_nothing(
    fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """After three sends that each were shown to have done nothing the item fails, and says so."""
    fake.faults.add(Fault(operation="meetings.create", drop="before", times=None))
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert isinstance(outcome.error, APIConnectionError)
    assert (outcome.state, outcome.error.may_have_happened) == ("failed", False)
    assert "sent 3 times" in str(getattr(outcome.error, "__notes__", ""))
    assert sent(fake, "meetings.create") == 3


@pytest.mark.parametrize("ignored", [False, True], ids=["filter works", "filter ignored"])
async def test_absence_is_not_believed_while_rooms_vanish(
    fake: FakeWhereby, whereby: WherebyClient, *, ignored: bool
) -> None:
    """Rooms that vanish while the list is read shift others past the cursor: such readings prove nothing."""
    fake.ignores_name_filter = ignored
    others(fake, 350)
    lose(fake, Fault(drop="before"), 0)

    def vanish(request: RecordedRequest) -> None:
        if request.operation == "meetings.list" and "cursor" in dict(request.query):
            del fake.meetings[next(iter(fake.meetings))]

    fake.subscribe(vanish)
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.state == "unknown"
    assert "kept vanishing" in str(outcome.error)
    assert sent(fake, "meetings.create") == 1


async def test_room_that_a_reading_skipped_is_found_by_the_next(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A cursor that skips the very room that is looked for does not lead to a second one."""
    fake.ignores_name_filter = True
    others(fake, 101)
    lose(fake, Fault(drop="after"), 0)
    vanished = 0

    def vanish(request: RecordedRequest) -> None:
        nonlocal vanished
        if request.operation == "meetings.list" and "cursor" not in dict(request.query) and vanished < 2:
            vanished += 1  # the page was made with it; the next page begins one room too late
            del fake.meetings[next(iter(fake.meetings))]
            fake.add_meeting(room_name_prefix=f"later{vanished}-")

    fake.subscribe(vanish)
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.adopted
    assert vanished == 2
    assert sent(fake, "meetings.list") >= 4  # the filter, a reading of two pages that missed it, and another
    assert each_once(fake, 1)


@pytest.mark.parametrize("ignored", [False, True], ids=["filter works", "filter ignored"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"results": [{"meetingId": "1", "roomName": {"not": "read"}}]}',
        b'{"results": [{"meetingId": "1", "roomName": "/other"}, null]}',
        b'{"cursor":null,"results":[null,{"meetingId":"1","roomName":"/other"}]}',
        b"[null]",
    ],
)
async def test_absence_is_not_believed_beside_a_room_whose_name_can_not_be_read(
    fake: FakeWhereby, whereby: WherebyClient, body: bytes, *, ignored: bool
) -> None:
    """It may be the one that is looked for."""
    fake.ignores_name_filter = ignored
    lose(fake, Fault(drop="after"), 0)
    fake.faults.add(Fault(operation="meetings.list", status=200, body=body, times=None))
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.state == "unknown"
    assert "name could not be read" in str(outcome.error)
    assert sent(fake, "meetings.create") == 1


@pytest.mark.parametrize("encoded", [False, True], ids=["plain link", "percent-encoded link"])
@pytest.mark.parametrize("name", [None, "", "/", "null", "undefined", ["/x"], "/another"])
async def test_room_is_found_by_its_link_whatever_name_the_list_gives_it(
    fake: FakeWhereby, whereby: WherebyClient, name: object, *, encoded: bool
) -> None:
    def garble(_: RecordedRequest) -> None:
        for meeting in fake.meetings.values():
            path = meeting["roomUrl"].rpartition("/")[2]
            said = "".join(f"%{ord(letter):02x}" for letter in path) if encoded and "%" not in path else path
            meeting.update(roomName=name, roomUrl=f"https://x.whereby.com/{said}")

    fake.ignores_name_filter = True
    fake.subscribe(garble)
    lose(fake, Fault(drop="after"), 0)
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.adopted
    assert sent(fake, "meetings.create") == 1


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("", ""),
        ("/", "https://x.whereby.com/"),
        ("//", "https://x.whereby.com//?roomKey=1"),
        ("null", None),
        ("undefined", "undefined"),
        (None, "https://x.whereby.com"),
    ],
)
async def test_absence_is_not_believed_beside_a_room_without_a_name(
    fake: FakeWhereby, whereby: WherebyClient, name: object, link: object
) -> None:
    """What stands for a name is none, neither in the name nor in the link: the room may be the one looked for."""

    def garble(_: RecordedRequest) -> None:
        for meeting in fake.meetings.values():
            meeting.update(roomName=name, roomUrl=link)

    fake.ignores_name_filter = True
    fake.subscribe(garble)
    lose(fake, Fault(drop="after"), 0)
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.state == "unknown"
    assert "name could not be read" in str(outcome.error)
    assert sent(fake, "meetings.create") == 1


async def test_unreadable_dates_in_the_list_decide_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A lost room with such a date is found by its name; beside others with such dates, absence can be shown."""
    others(fake, 120)

    def garble(_: RecordedRequest) -> None:
        for meeting in fake.meetings.values():
            meeting["startDate"] = "Invalid date"

    fake.subscribe(garble)
    lose(fake, Fault(drop="before"), 0)
    lose(fake, Fault(drop="after"), 1)
    outcomes = await created(whereby, 2, absent_after=0)
    assert states(outcomes) == {"ok": 2}
    assert sum(outcome.adopted for outcome in outcomes) == 1
    assert each_once(fake, 2)
    assert sent(fake, "meetings.create") == 3


@pytest.mark.parametrize(
    ("skew", "in_extra"),
    [(0.0, False), (7200.0, False), (0.0, True)],
    ids=["by our clock", "by the server's", "with its end in `extra`"],
)
async def test_absence_is_not_believed_of_a_room_that_may_have_ended(
    fake: FakeWhereby, whereby: WherebyClient, skew: float, *, in_extra: bool
) -> None:
    """Ended rooms leave the list, so one whose end has passed on either clock stays unknown and is not sent again."""
    fake.clock_skew = skew
    ends = (datetime.now(UTC) + timedelta(seconds=skew + 0.6)).isoformat()
    request = {"end_date": UNTIL, "extra": {"endDate": ends}} if in_extra else {"end_date": ends}
    lose(fake, Fault(drop="before"), 0)
    (outcome,) = await created(whereby, [{**request, "room_name_prefix": "r0-"}])
    assert outcome.state == "unknown"
    assert "ended rooms leave the list" in str(outcome.error)
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert outcome.error.may_have_happened
    assert isinstance(outcome.error.__cause__, APIConnectionError)
    assert sent(fake, "meetings.create") == 1


@pytest.mark.parametrize(
    ("faults", "words", "made"),
    [
        (
            [Fault(drop="after"), Fault(operation="meetings.list", status=404, times=None)],
            "read (NotFoundError",
            {0: 1},
        ),
        ([Fault(body=b"<html>", act=False)], "said that it made the room", {}),
    ],
    ids=["the list can not be read", "a 2xx that can not be read"],
)
async def test_item_stays_unknown_and_is_not_sent_again(
    fake: FakeWhereby, whereby: WherebyClient, faults: list[Fault], words: str, made: dict[int, int]
) -> None:
    """A list that can not be read proves nothing, and after a 2xx the room must be somewhere."""
    lose(fake, faults[0], 0)
    fake.faults.add(*faults[1:])
    (outcome,) = await created(whereby, 1, absent_after=0)
    assert outcome.state == "unknown"
    assert words in str(outcome.error)
    assert rooms(fake) == made
    assert sent(fake, "meetings.create") == 1


async def test_look_up_that_fails_for_a_while_is_made_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    lose(fake, Fault(drop="after"), 0)
    fake.faults.add(Fault(operation="meetings.list", status=400), Fault(operation="meetings.list", status=409, times=2))
    (outcome,) = await created(whereby, 1)
    assert outcome.adopted
    assert each_once(fake, 1)


async def test_adopted_room_whose_links_can_not_be_read_is_adopted_still(
    fake: FakeWhereby, whereby: WherebyClient
) -> None:
    lose(fake, Fault(drop="after"), 0)
    fake.faults.add(Fault(operation="meetings.get", status=404))
    (outcome,) = await created(whereby, creates(1, template_type="viewerMode"))
    assert outcome.adopted
    assert outcome.result.host_room_url is None


async def test_prefix_too_long_for_the_marker_is_refused_before_sending(
    fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """29 of the 39 characters are the caller's; a longer prefix fails its own item only."""
    requests: list[dict[str, Any]] = [
        {"end_date": UNTIL, "room_name_prefix": "a" * 29},
        {"end_date": UNTIL, "room_name_prefix": "a" * 30},
        {"end_date": UNTIL, "extra": {"roomNamePrefix": "b" * 29}},
        {"end_date": UNTIL, "extra": {"roomNamePrefix": "b" * 30}},
        {"end_date": UNTIL, "room_name_prefix": 5},
        {"end_date": "soon", "room_name_prefix": "c"},
    ]
    outcomes = await created(whereby, requests)
    assert [outcome.state for outcome in outcomes] == ["ok", "failed", "ok", "failed", "failed", "failed"]
    assert "use at most 29, or pass mark=False" in str(outcomes[1].error)
    assert sent(fake, "meetings.create") == 2


async def test_without_a_mark_a_lost_create_stays_unknown(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """`mark=False` leaves names alone, and then nothing can be looked up, in a later run with marks neither."""
    lose(fake, Fault(drop="after"), 1)
    for options in ({"mark": False, "concurrency": 1}, {}):
        outcomes = await created(whereby, 3, journal=journal, **options)
        assert [outcome.state for outcome in outcomes] == ["ok", "unknown", "ok"]
    assert [request.json["roomNamePrefix"] for request in fake.requests] == ["r0-", "r1-", "r2-"]


async def test_other_creates_stay_unknown(fake: FakeWhereby, whereby: WherebyClient) -> None:
    requests = [{"recording_id": fake.add_recording()["recordingId"]} for _ in range(3)]
    fake.faults.add(Fault(operation="transcriptions.create", drop="after", skip=1))
    outcomes = await outcomes_of(whereby.batch(whereby.transcriptions.create, requests, concurrency=1))
    assert [outcome.state for outcome in outcomes] == ["ok", "unknown", "ok"]
    assert len(fake.transcriptions) == sent(fake, "transcriptions.create") == 3


async def test_own_function_is_unknown_once_something_may_have_happened(
    fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """In a function of several calls, an error behind a create leaves the item unknown; before one it is a failure."""

    async def make(where: str) -> None:
        if where == "before":
            await whereby.meetings.get("1")
        await whereby.meetings.create(end_date=UNTIL)
        if where == "behind":
            raise KeyError(where)
        if where == "twice":
            await whereby.meetings.create(end_date="nonsense")
        await whereby.meetings.delete("1")

    fake.faults.add(Fault(operation="meetings.create", status=403, skip=2))
    requests = [{"where": where} for where in ("before", "behind", "no", "refused")]
    outcomes = await outcomes_of(whereby.batch(make, requests, concurrency=1))
    assert [outcome.state for outcome in outcomes] == ["failed", "unknown", "ok", "failed"]
    assert isinstance(outcomes[0].error, NotFoundError)


async def test_leaving_early_says_what_is_in_doubt(
    fake: FakeWhereby, whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.add(Fault(operation="meetings.create", answer_delay=10, skip=2, times=None))
    async with whereby.with_options(timeout=5).batch(whereby.meetings.create, creates(20), concurrency=4) as outcomes:
        await anext(outcomes)
        await anext(outcomes)
        while len(outcomes.in_doubt) < 4:
            await asyncio.sleep(0.01)
    assert set(outcomes.in_doubt) == {"2", "3", "4", "5"}
    assert "4 calls of which nobody knows" in caplog.text


async def test_restart_finds_what_was_under_way(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    lose(fake, Fault(answer_delay=10), 3)
    lose(fake, Fault(delay=2 * TIMEOUT), 3)
    lose(fake, Fault(drop="before"), 3)
    batch = whereby.batch(whereby.meetings.create, creates(20), journal=journal, concurrency=3)
    async with batch as outcomes:
        await anext(outcomes)
        while len(outcomes.in_doubt) < 3:
            await asyncio.sleep(0.005)
    fake.faults.clear()
    doubtful = set(batch.in_doubt)
    assert {line["item"] for line in lines(journal) if line.get("state") == "begun"} >= doubtful
    again = await created(whereby, 20, journal=journal)
    assert states(again) == {"ok": 20}
    assert each_once(fake, 20)
    assert {outcome.key for outcome in again if outcome.adopted} <= doubtful


@pytest.mark.parametrize("ended", [False, True])
async def test_restart_does_not_resend_what_can_not_be_shown_absent(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, *, ended: bool
) -> None:
    """An item that was begun, is not in the list and may have ended stays unknown, in every later run too."""
    ends = datetime.now(UTC) + timedelta(seconds=0.1 if ended else 3600)
    requests = [{"end_date": ends, "room_name_prefix": "r0-"}]
    fake.faults.add(Fault(operation="meetings.create", delay=10))
    batch = whereby.batch(whereby.meetings.create, requests, journal=journal)
    assert await left(batch, lambda: bool(fake.requests)) == ("0",)
    for resumed in (False, True):
        (outcome,) = await created(whereby, requests, journal=journal)
        assert outcome.state == ("unknown" if ended else "ok")
        assert outcome.resumed or not (resumed or ended)
    assert sent(fake, "meetings.create") == (1 if ended else 2)
    assert lines(journal)[-1].get("state") != "begun"


async def test_unknown_item_is_looked_for_again_but_never_sent_again(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    lose(fake, Fault(drop="before"), 0)
    lose(fake, Fault(drop="after"), 0)
    fake.faults.add(Fault(operation="meetings.list", status=403, times=2))
    first = await created(whereby, 2, journal=journal, concurrency=2)
    assert states(first) == {"unknown": 2}
    fake.faults.clear()
    made = next(iter(rooms(fake)))
    again = await created(whereby, 2, journal=journal, absent_after=0)
    assert (again[made].state, again[made].adopted) == ("ok", True)
    assert (again[1 - made].state, again[1 - made].resumed) == ("unknown", True)
    assert "gave it up" in str(again[1 - made].error)
    assert sent(fake, "meetings.create") == 2


async def test_prefix_that_was_changed_between_the_runs_hides_nothing(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """A keyed item is looked for by the marker that was sent, whatever its request says now."""
    fake.faults.add(Fault(operation="meetings.create", answer_delay=10, times=2))
    requests = [{**request, "id": number} for number, request in enumerate(creates(2))]
    batch = whereby.batch(whereby.meetings.create, requests, journal=journal, key="id")
    assert len(await left(batch, lambda: len(fake.meetings) == 2)) == 2
    later = [
        {"id": 0, "end_date": UNTIL, "room_name_prefix": "new"},
        {"id": 1, "end_date": UNTIL, "room_name_prefix": 5},
    ]
    again = await created(whereby, later, journal=journal, key="id")
    assert [(outcome.state, outcome.adopted) for outcome in again] == [("ok", True)] * 2
    assert each_once(fake, 2)


async def test_restart_with_other_creates(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    """A transcription that was begun stays unknown, unless the caller says that it may be repeated."""
    recording = fake.add_recording()["recordingId"]
    fake.faults.add(Fault(operation="transcriptions.create", delay=10))
    requests = [{"recording_id": recording}]
    batch = whereby.batch(whereby.transcriptions.create, requests, journal=journal)
    assert await left(batch, lambda: bool(fake.requests)) == ("0",)
    for _ in range(2):
        (outcome,) = await outcomes_of(whereby.batch(whereby.transcriptions.create, requests, journal=journal))
        assert (outcome.state, outcome.resumed) == ("unknown", True)
    (outcome,) = await outcomes_of(
        whereby.batch(whereby.transcriptions.create, requests, journal=journal, idempotent=True)
    )
    assert outcome.ok
    assert sent(fake, "transcriptions.create") == 2


async def test_two_rooms_with_one_marker_are_told(
    fake: FakeWhereby, whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Should a room be there twice all the same, the first is taken and the log names both."""
    fake.ignores_name_filter = True
    lose(fake, Fault(drop="after"), 0)

    def double(request: RecordedRequest) -> None:
        if request.operation == "meetings.create":
            fake.add_meeting(end_date=UNTIL, room_name_prefix=request.json["roomNamePrefix"])

    fake.subscribe(double)
    (outcome,) = await created(whereby, 1)
    assert outcome.adopted
    assert outcome.result.meeting_id == next(iter(fake.meetings))
    assert "carry the same marker" in caplog.text


async def test_dates_that_the_server_garbles_decide_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A `Date` that is none is passed over, one without a zone is UTC."""
    lose(fake, Fault(drop="before"), 0, 0)
    fake.faults.add(
        Fault(operation="meetings.list", headers={"Date": "soon"}),
        Fault(operation="meetings.list", headers={"Date": "Mon, 01 Jan 2024 00:00:00 -0000"}, times=None),
    )
    outcomes = await created(whereby, 3, concurrency=2)
    assert states(outcomes) == {"ok": 3}
    assert each_once(fake, 3)


async def test_room_that_has_left_the_list_is_not_made_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A room that was made, ended and is gone from the list looks like one that never was: it stays unknown."""
    lose(fake, Fault(drop="after"), 0)

    def time_passes(request: RecordedRequest) -> None:
        if request.operation == "meetings.create":
            fake.clock_skew += 3 * 3600

    fake.subscribe(time_passes)
    ends = datetime.now(UTC) + timedelta(hours=1)
    request = {"end_date": ends, "room_name_prefix": "r0-"}
    (outcome,) = await created(whereby, [request])
    assert outcome.state == "unknown"
    assert not fake.live_meetings()
    assert sent(fake, "meetings.create") == 1


async def test_answers_out_of_order_find_their_items(fake: FakeWhereby, whereby: WherebyClient) -> None:
    for number in range(15):
        fake.faults.add(Fault(operation="meetings.create", answer_delay=0.15 - 0.01 * number))
    lose(fake, Fault(drop="after"), 5, 9)
    outcomes = await created(whereby, 30, concurrency=30)
    assert states(outcomes) == {"ok": 30}
    assert all((outcome.result.room_name or "").startswith(f"/r{outcome.index}-") for outcome in outcomes)
    assert each_once(fake, 30)


async def test_ignored_filter_does_not_delay_the_finding(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Where the server ignores the filter the whole list is read at once, not only when absence may be shown."""
    fake.ignores_name_filter = True
    others(fake, 150)
    lose(fake, Fault(drop="after"), 0, 0)
    batch = whereby.batch(whereby.meetings.create, creates(3), absent_after=1000)
    with anyio.fail_after(20):
        outcomes = await outcomes_of(batch)
    assert sum(outcome.adopted for outcome in outcomes) >= 2  # a busy machine may be late with another answer
    assert sent(fake, "meetings.list") <= 8
