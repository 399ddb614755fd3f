"""Faults picked by what a request says, acts that come late, answers that overtake one another, and scripts that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from testing.bare import Bare, jump, until
from testing.test_faults import soon

from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from whereby_async.testing import RecordedRequest

pytestmark = pytest.mark.anyio


async def test_fault_picks_requests_by_what_they_say(call: Bare, fake: FakeWhereby) -> None:
    """`when` sees the request as it came; those of which it is false neither take nor use up a turn."""

    def locks(request: RecordedRequest) -> bool:
        return bool(request.json["isLocked"])

    fake.faults.add(Fault(operation="meetings.create", when=locks, skip=1, status=503))
    bodies = [{**soon(), "isLocked": locked} for locked in (False, True, False, True, True)]
    statuses = [(await call("POST", "/meetings", json=body)).status for body in bodies]
    assert statuses == [201, 201, 201, 503, 201]


def reads_on(request: RecordedRequest) -> bool:
    """A `when` that holds only where there is a body."""
    return bool(request.json["isLocked"])


async def test_error_in_when_is_told_at_the_exit() -> None:
    """It takes no request and fails none, and comes out of the server's block."""
    fake = FakeWhereby()

    async def block() -> list[int]:
        async with fake, Bare(fake) as call:
            fake.faults.add(Fault(when=reads_on, status=503))
            return [(await call("GET", "/meetings")).status for _ in range(2)]

    with pytest.raises(TypeError, match="subscriptable") as caught:
        await block()
    assert caught.value.__notes__[0].startswith("raised by `when` of Fault(when=<function ")
    assert [record.status for record in fake.requests] == [200, 200]
    fake.faults.raise_problem()  # once is enough


async def test_error_in_when_does_not_hide_the_blocks_own() -> None:
    """What the block raises comes first."""
    fake = FakeWhereby()

    async def block() -> None:
        async with fake, Bare(fake) as call:
            fake.faults.add(Fault(when=reads_on, status=503))
            await call("GET", "/meetings")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()


@pytest.mark.parametrize("odd", [Fault, [Fault()], {"status": 503}, None, 503])
def test_only_faults_are_scripted(odd: Any) -> None:
    """Anything else is refused where it is added."""
    fake = FakeWhereby()
    with pytest.raises(TypeError, match=r"faults\.add takes Fault"):
        fake.faults.add(Fault(), odd)
    assert len(fake.faults) == 0


@pytest.mark.parametrize(
    "script",
    [
        {"status": "503"},
        {"status": True},
        {"times": 1.5},
        {"skip": None},
        {"delay": "1"},
        {"delay": None},
        {"headers": None},
        {"headers": [("a", "b")]},
        {"headers": {"Retry-After": 5}},
        {"garbage_headers": {1: "x"}},
        {"body": "text"},
        {"body": {"a": 1}},
        {"raw": "text"},
        {"redirect": b"/"},
        {"content_type": 1},
        {"operation": 5},
        {"when": True},
        {"endless": 1},
        {"act": "no"},
        {"points": 1.0},
    ],
    ids=str,
)
def test_part_of_another_type_is_refused(script: dict[str, Any]) -> None:
    """With its name, where it is written."""
    with pytest.raises(TypeError, match="headers" if "garbage_headers" in script else next(iter(script))):
        Fault(**script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"status": 99}, "a status has three digits"),
        ({"status": 1000}, "a status has three digits"),
        ({"delay": float("nan")}, "delay must have an end"),
        ({"drip": float("inf")}, "drip must have an end"),
        ({"headers": {"X": "a\r\nB: c"}}, "HTTP has no such header"),
        ({"garbage_headers": {"X Y": "a"}}, "HTTP has no such header"),
        ({"headers": {"": "a"}}, "HTTP has no such header"),
    ],
)
def test_what_http_has_not_is_refused(script: dict[str, Any], words: str) -> None:
    """It would not go out as it is written."""
    with pytest.raises(ValueError, match=words):
        Fault(**script)


@pytest.mark.parametrize(
    "answer", [{"drop": "before"}, {"drop": "after"}, {"status": 504}, {"body": b"{}"}, {"raw": b""}, {"redirect": "/"}]
)
async def test_act_can_come_after_the_answer(call: Bare, fake: FakeWhereby, answer: dict[str, Any]) -> None:
    """The answer goes out or the connection ends at once; the world changes only seconds later, once."""
    fake.faults.add(Fault(acts_in=60.0, **answer))
    with contextlib.suppress(aiohttp.ClientError):
        await call("POST", "/meetings", json=soon())
    (record,) = fake.requests
    assert (record.acted, record.points, len(fake.meetings)) == (False, 3, 0)
    await pass_by(30.0)
    assert not fake.meetings
    jump(31.0)
    await until(lambda: fake.meetings)
    assert fake.requests[0].acted
    assert (await call("GET", "/meetings")).content["results"][0]["meetingId"] in fake.meetings
    assert len(fake.meetings) == 1


async def test_refused_request_does_not_act_late(call: Bare, fake: FakeWhereby) -> None:
    """What the budget says no to never happens."""
    fake.set_limit(1)
    fake.faults.add(Fault(acts_in=60.0, drop="before"))
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/meetings", json=soon())
    await pass_by(90.0)
    assert (fake.meetings, fake.throttled) == ({}, 1)


async def pass_by(seconds: float) -> None:
    """Move the clock on, and let all happen that is due then."""
    jump(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_server_that_stops_does_not_act_late() -> None:
    """Closed before its time, the act never happens; no timer is left."""
    fake = FakeWhereby()
    async with fake, Bare(fake) as call:
        fake.faults.add(Fault(acts_in=60.0, status=504))
        assert (await call("POST", "/meetings", json=soon())).status == 504
    await pass_by(90.0)
    assert not fake.meetings


def test_late_answer_is_overtaken() -> None:
    """While one answer waits, others are served; the first comes last, and it acted first."""

    async def main() -> list[int]:
        arrived: list[int] = []
        async with FakeWhereby() as fake, Bare(fake) as call:
            fake.faults.add(Fault(answer_delay=3.0), Fault(answer_delay=2.0), Fault(answer_delay=1.0))

            async def ask(number: int) -> None:
                await call("POST", "/meetings", json=soon())
                arrived.append(number)

            asked: list[asyncio.Task[None]] = []
            for number in range(3):
                asked.append(asyncio.ensure_future(ask(number)))
                await until(lambda: len(fake.meetings) == number + 1)  # noqa: B023 - awaited in its turn
            await asyncio.gather(*asked)
        return arrived

    assert run_simulated(main()) == [2, 1, 0]


async def _durations(fake: FakeWhereby, count: int = 20) -> list[float]:
    clock = asyncio.get_running_loop().time
    took: list[float] = []
    async with Bare(fake) as call:
        for _ in range(count):
            began = clock()
            await call("GET", "/meetings")
            took.append(round(clock() - began, 3))
    return took


def test_latency_is_drawn_between_bounds() -> None:
    """Other seconds for each request, the same ones for the same seed."""

    async def main(seed: int) -> list[float]:
        async with FakeWhereby(latency=(0.5, 2.0), seed=seed) as fake:
            return await _durations(fake)

    first, again, other = (run_simulated(main(seed)) for seed in (1, 1, 2))
    assert first == pytest.approx(again, abs=0.01)
    assert first != pytest.approx(other, abs=0.01)
    assert 0.5 <= min(first) < max(first) <= 2.01
    assert max(first) - min(first) > 0.5


def test_latency_can_be_asked_for() -> None:
    """A function is called once for each request."""
    answers = iter([1.0, 3.0])

    async def main() -> list[float]:
        async with FakeWhereby() as fake:
            fake.latency = lambda: next(answers)
            return await _durations(fake, 2)

    assert run_simulated(main()) == pytest.approx([1.0, 3.0], abs=0.01)


@pytest.mark.parametrize("latency", [-1.0, (2.0, 1.0), (-1.0, 1.0), float("inf"), float("nan")])
async def test_latency_that_is_none_is_refused(fake: FakeWhereby, latency: Any) -> None:
    """At the start and later; the old one stays."""
    for give in (lambda: FakeWhereby(latency=latency), lambda: setattr(fake, "latency", latency)):
        with pytest.raises(ValueError, match=r"latency is seconds, or the least and the most"):
            give()
    assert fake.latency == 0.0


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"operation": "meeting.create"}, "no operation 'meeting.create': did you mean 'meetings.create'"),
        ({"operation": "x"}, "no operation 'x': one of meetings.create, .*storage"),
        ({"times": -1}, "times must not be below 0: -1"),
        ({"skip": -1}, "skip must not be below 0"),
        ({"delay": -0.5}, "delay must not be below 0: -0.5"),
        ({"truncate": -5}, "truncate must not be below 0"),
        ({"drop": "later"}, "drop is 'before' or 'after' acting, not 'later'"),
        ({"acts_in": 1.0}, "acts_in answers first and acts later: give the answer too"),
        ({"acts_in": 1.0, "status": 504, "act": False}, "no act=False"),
    ],
)
def test_script_that_makes_no_sense_is_refused(script: dict[str, Any], words: str) -> None:
    """Where it is written, with the value and the way out, rather than never happening."""
    with pytest.raises(ValueError, match=words):
        Fault(**script)


def test_fault_shows_what_was_said_of_it() -> None:
    """Its repr leaves out all that is not set, and long bodies."""
    assert repr(Fault()) == "Fault()"
    assert repr(Fault(status=503, garbage_headers={})) == "Fault(status=503, garbage_headers={})"
    assert len(repr(Fault(body=b"x" * 10_000))) < 100


async def test_plan_knows_what_was_not_used(call: Bare, fake: FakeWhereby) -> None:
    """Faults with turns left, and endless ones that never struck."""
    endless, twice, never = (
        Fault(operation="meetings.list", times=None, delay=0.0),
        Fault(operation="meetings.get", times=2),
        Fault(times=0),
    )
    fake.faults.add(never, endless, twice)
    assert fake.faults.unused == [endless, twice]
    await call("GET", "/meetings")
    await call("GET", "/meetings/1")
    assert fake.faults.unused == [twice]
    await call("GET", "/meetings/1")
    assert fake.faults.unused == []


async def test_only_the_newest_requests_are_kept() -> None:
    """With `keep`, memory has a bound; totals go on, and a request that was forgotten in mid-flight stays so."""
    async with FakeWhereby(keep=2) as fake, Bare(fake) as call:
        fake.faults.add(Fault(answer_delay=60.0))
        waiting = asyncio.ensure_future(call("GET", "/meetings"))
        await until(lambda: fake.requests and fake.requests[0].acted)
        for number in range(3):
            await call("GET", f"/meetings/{number}")
        jump(60.0)
        assert (await waiting).status == 200
        assert [record.path for record in fake.requests] == ["/v1/meetings/1", "/v1/meetings/2"]
        assert fake.points_spent == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": -1}, "keep=-1: pass a whole number from 0"),
        ({"header_style": "isoo"}, "unknown header style 'isoo': did you mean 'iso'"),
        ({"header_style": "rfc"}, "unknown header style 'rfc': one of iso"),
        ({"algorithm": "sliding_lag"}, "unknown algorithm 'sliding_lag': did you mean 'sliding_log'"),
        ({"algorithm": "leaky"}, "unknown algorithm 'leaky': one of aligned, fixed"),
        ({"costs": {"insights.rooms": -1}}, "a price must not be below 0 points: -1 for insights.rooms"),
        ({"limit": 0}, "limit=0: pass a whole number above 0"),
        ({"limit": 1.5}, "limit=1.5"),
        ({"limit": -1}, "limit=-1: pass a whole number above 0"),
        ({"period": 0.0}, "period=0.0: pass seconds above 0"),
        ({"period": -1.0}, "period=-1.0: pass seconds above 0"),
        ({"period": float("nan")}, "period=nan: pass seconds above 0"),
        ({"processing_time": -1}, "processing_time=-1: pass seconds from 0"),
        ({"port": -1}, "port=-1: pass a whole number from 0 to 65535"),
        ({"api_key": ""}, "api_key='': pass text"),
        ({"clock_skew": float("inf")}, "clock_skew=inf: pass seconds"),
        ({"latency": (1.0, 2.0, 3.0)}, "latency is seconds, or the least and the most of them"),
    ],
)
def test_option_that_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    """At construction, with the value and the way out."""
    with pytest.raises(ValueError, match=words):
        FakeWhereby(**options)


async def test_filter_of_the_listing_can_be_ignored() -> None:
    """As an option: all meetings come whatever `roomName` asks for."""
    async with FakeWhereby(ignores_name_filter=True) as fake, Bare(fake) as call:
        for name in ("/a", "/b"):
            fake.add_meeting(room_name=name)
        listed = (await call("GET", "/meetings?roomName[startsWith]=/a")).content["results"]
        assert [meeting["roomName"] for meeting in listed] == ["/a", "/b"]
        fake.ignores_name_filter = False
        assert len((await call("GET", "/meetings?roomName[startsWith]=/a")).content["results"]) == 1


async def test_cursor_skips_rows_when_rows_before_it_vanish(call: Bare, fake: FakeWhereby) -> None:
    """A cursor is an offset: a row that is deleted or expires while one pages shifts the rest, and one is not seen."""
    rooms = [fake.add_meeting(room_name=f"/{number}", end_date=1800.0 * number) for number in range(4)]
    first = (await call("GET", "/meetings?limit=2")).content
    await call("DELETE", f"/meetings/{rooms[1]['meetingId']}")
    second = (await call("GET", f"/meetings?limit=2&cursor={first['cursor']}")).content
    assert [row["roomName"] for row in first["results"] + second["results"]] == ["/0", "/1", "/3"]
    jump(3600.0 + 1.0)
    assert [row["roomName"] for row in (await call("GET", "/meetings")).content["results"]] == ["/2", "/3"]


async def test_thing_that_there_is_not_is_told(fake: FakeWhereby) -> None:
    """With its id, and how to make one."""
    for ask, noun in (
        (lambda: fake.add_participant("x"), "session"),
        (lambda: fake.add_transcription(recording_id="x"), "recording"),
        (lambda: fake.add_summary("x"), "transcription"),
        (lambda: fake.finish_transcription("x"), "transcription"),
        (lambda: fake.finish_summary("x"), "summary"),
    ):
        with pytest.raises(KeyError, match=f"no {noun} with the id 'x': there are 0; add_{noun} makes one"):
            ask()
