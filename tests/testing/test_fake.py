"""The fake server itself: its options, its key, its points and headers, its clock and its records."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.bare import Bare, jump, jumped, until

from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, RateLimit, Unlimited
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, simulated

if TYPE_CHECKING:
    from whereby_async.testing import Algorithm, HeaderStyle, RecordedRequest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {FAKE_API_KEY}", FAKE_API_KEY])
async def test_wrong_key_costs_nothing(call: Bare, fake: FakeWhereby, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/meetings", "/nowhere"):
        answer = await call("GET", path, key=None, headers=headers)
        assert (answer.status, answer.content) == (401, {"error": "Unauthorized"})
        assert "X-RateLimit-Limit" not in answer.headers
    assert fake.points_spent == 0
    assert [record.status for record in fake.requests] == [401, 401]


async def test_key_can_be_changed_in_the_middle(call: Bare, fake: FakeWhereby) -> None:
    old = fake.api_key
    fake.also_accept("second")
    assert (await call("GET", "/meetings", key="second")).status == 200
    fake.api_key = "third"
    assert [(await call("GET", "/meetings", key=key)).status for key in (old, "second", "third")] == [401, 401, 200]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/users/me", 404),
        ("GET", "/meetings/1/2", 404),
        ("GET", "/rooms/abc", 404),
        ("PATCH", "/meetings/1", 405),
        ("DELETE", "/meetings", 405),
        ("GET", "/rooms/abc/theme/logo", 405),
        ("PUT", "/insights/rooms", 405),
    ],
)
async def test_unknown_route_is_reported(call: Bare, fake: FakeWhereby, method: str, path: str, status: int) -> None:
    answer = await call(method, path)
    assert (answer.status, list(answer.content)) == (status, ["error"])
    assert (fake.points_spent, fake.requests[0].operation) == (0, "")


async def test_path_outside_the_api_is_unknown(call: Bare, fake: FakeWhereby) -> None:
    """The API begins at /v1 and nowhere else, also for a proxy's absolute form."""
    async with call.session.get(fake.url[:-3] + "/meetings") as response:
        assert response.status == 401
    reader, writer = await asyncio.open_connection(fake.host, fake.port)
    writer.write(
        f"GET {fake.url}/meetings?limit=1 HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {fake.api_key}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    assert b" 200 OK" in await reader.readline()
    writer.close()
    assert fake.requests[-1].target == "/v1/meetings?limit=1"


async def test_points_are_counted_by_method(call: Bare, fake: FakeWhereby) -> None:
    answers = [
        await call("GET", "/meetings"),
        await call("DELETE", "/meetings/1"),
        await call("POST", "/recordings/bulk-delete", json={"recordingIds": []}),
        await call("PUT", "/rooms/a/theme/logo", json={"theme": "default"}),
    ]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["999", "997", "994", "991"]
    assert (fake.points_spent, [record.points for record in fake.requests]) == (9, [1, 2, 3, 3])


async def test_empty_window_is_a_429_until_it_ends(call: Bare, fake: FakeWhereby) -> None:
    fake.set_limit(2)
    assert [(await call("GET", "/meetings")).status for _ in range(2)] == [200, 200]
    jump(20.0)
    refused = await call("GET", "/meetings")
    left = refused.content["data"]["msLeft"]
    assert refused.content["error"] == "Rate limit active for throttle key: organization:1"
    assert (refused.status, 39_000 < left <= 40_000) == (429, True)
    assert float(refused.headers["Retry-After"]) == left / 1000
    assert (fake.throttled, fake.points_spent, fake.requests[-1].acted) == (1, 2, False)
    jump(left / 1000)
    assert (await call("GET", "/meetings")).status == 200


async def test_own_prices_are_charged() -> None:
    async with FakeWhereby(costs={"insights.rooms": 5}) as fake, Bare(fake) as call:
        await call("GET", "/insights/rooms")
        fake.costs["insights.rooms"] = 10
        await call("GET", "/insights/rooms")
        assert fake.points_spent == 15


async def test_others_spend_from_the_same_budget(call: Bare, fake: FakeWhereby) -> None:
    fake.spend(990)
    assert (await call("GET", "/meetings")).headers["X-RateLimit-Remaining"] == "9"
    assert fake.points_spent == 1


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("update", [{"meetings.lst": 1}], ValueError),
        ("__setitem__", ["meetings.list", -1], ValueError),
        ("__setitem__", ["meetings.list", 1.5], TypeError),
        ("__ior__", [{"x": 1}], ValueError),
        ("clear", [], TypeError),
        ("pop", ["meetings.list"], TypeError),
        ("popitem", [], TypeError),
        ("__delitem__", ["meetings.list"], TypeError),
    ],
)
def test_every_operation_keeps_a_price(method: str, arguments: list[Any], kind: type[Exception]) -> None:
    fake = FakeWhereby()
    before = dict(fake.costs)
    with pytest.raises(kind):
        getattr(fake.costs, method)(*arguments)
    assert fake.costs == before
    costs = fake.costs
    costs |= {"meetings.list": 5}
    assert fake.costs["meetings.list"] == 5


async def test_plan_can_change(call: Bare, fake: FakeWhereby) -> None:
    fake.set_limit(100)
    headers = (await call("GET", "/meetings")).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"], fake.limit) == ("100", "99", 100)
    with pytest.raises(ValueError, match="above 0"):
        fake.set_limit(0)


@pytest.mark.parametrize("algorithm", ["fixed", "aligned", "sliding_log", "sliding_counter", "token_bucket"])
async def test_each_algorithm_enforces_the_limit(algorithm: Algorithm) -> None:
    async with FakeWhereby(limit=10, period=3600.0, algorithm=algorithm) as fake, Bare(fake) as call:
        statuses = [(await call("GET", "/meetings")).status for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        refused = await call("GET", "/meetings")
        jump(float(refused.headers["Retry-After"]))
        assert (await call("GET", "/meetings")).status == 200


async def test_aligned_windows_end_on_the_wall_clock() -> None:
    async with FakeWhereby(algorithm="aligned", header_style="epoch_ms") as fake, Bare(fake) as call:
        answer = await call("GET", "/meetings")
        assert int(answer.headers["X-RateLimit-Reset"]) % 60_000 in {0, 1}


@pytest.mark.parametrize("style", ["draft_6", "draft_7", "draft_10"])
async def test_fields_of_the_ietf_drafts_are_read_from_the_socket(style: HeaderStyle) -> None:
    """Nothing else tells of the budget, and the client reads limit, rest, end and period; a refusal's wait too."""
    async with FakeWhereby(limit=2, period=30.0, header_style=style) as fake, Bare(fake) as call:
        answers = [await call("GET", "/meetings") for _ in range(3)]
        read = [RateLimit.from_response(answer.status, answer.headers) for answer in answers]
        for answer, rate_limit in zip(answers, read, strict=True):
            assert not [name for name in answer.headers if name.startswith("X-RateLimit")]
            assert (rate_limit.limit, rate_limit.period) == (2, 30)
            assert 29 <= (rate_limit.reset_in or 0) <= 30
        assert [(answer.remaining, answer.throttled) for answer in read] == [(1, False), (0, False), (0, True)]
        assert 29 < (read[2].retry_after or 0) <= 30


@pytest.mark.parametrize("style", ["draft_6", "draft_7", "draft_10"])
async def test_budget_learns_its_limit_from_the_ietf_fields(style: HeaderStyle) -> None:
    async with FakeWhereby(limit=25, header_style=style) as fake:
        budget = PointBudget()
        async with fake.client(limiter=budget) as whereby:
            for _ in range(5):
                await whereby.meetings.list()
        snapshot = budget.snapshot()
        assert (snapshot.limit, snapshot.remaining) == (25, 20)


async def test_headers_can_be_left_out() -> None:
    async with FakeWhereby(limit=1, header_style="none") as fake, Bare(fake) as call:
        served, refused = await call("GET", "/meetings"), await call("GET", "/meetings")
        told = [name for answer in (served, refused) for name in answer.headers]
        assert not [name for name in told if name.startswith(("X-RateLimit", "Retry-After"))]
        assert refused.content["data"]["msLeft"] > 0
        assert fake.header_style == "none"


async def test_date_and_reset_come_from_one_clock(call: Bare, fake: FakeWhereby) -> None:
    """Both are skewed alike, follow the loop's clock, and jump when the skew is changed."""
    for skew in (0.0, 7200.0):
        fake.clock_skew = skew
        assert fake.clock_skew == skew
        for later in (0.0, 30.0):
            jump(later)
            answer = await call("GET", "/meetings")
            date = parsedate_to_datetime(answer.headers["Date"])
            reset = datetime.fromisoformat(answer.headers["X-RateLimit-Reset"])
            assert 0 <= (reset - date).total_seconds() <= 61
            ahead = (date - datetime.now(UTC)).total_seconds()
            assert ahead == pytest.approx(skew + jumped(), abs=3)


async def test_latency_is_spent_half_on_each_way(call: Bare, fake: FakeWhereby) -> None:
    fake.latency = 40.0
    assert fake.latency == 40.0
    waiting = asyncio.ensure_future(call("GET", "/meetings"))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not fake.requests
    jump(20.0)
    await until(lambda: fake.requests and fake.requests[0].acted)
    assert not waiting.done()
    jump(20.0)
    assert (await waiting).status == 200


async def test_record_says_what_came(call: Bare, fake: FakeWhereby) -> None:
    before = asyncio.get_running_loop().time()
    body = {"endDate": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "extra": "ø"}
    await call("POST", "/meetings?a=1&a=%2F&b=", json=body, headers={"X-Mine": "yes"})
    (record,) = fake.requests
    assert (record.method, record.path, record.target) == ("POST", "/v1/meetings", "/v1/meetings?a=1&a=%2F&b=")
    assert (record.operation, record.template) == ("meetings.create", "/meetings")
    assert record.query == (("a", "1"), ("a", "/"), ("b", ""))
    assert (record.json, record.headers["x-mine"], record.headers["authorization"]) == (body, "yes", "***")
    assert (record.status, record.acted, record.points) == (201, True, 3)
    assert before <= record.at <= asyncio.get_running_loop().time()


async def test_secrets_do_not_show_in_a_repr(call: Bare, fake: FakeWhereby) -> None:
    """Neither key, query, body nor file shows, of the server, a record or an upload."""
    form = aiohttp.FormData()
    form.add_field("image", b"secret-bytes", filename="a.png", content_type="image/png")
    await call("PUT", "/rooms/a/theme/logo?q=secret-query", data=form)
    await call("POST", "/meetings", json={"recording": "secret-body"})
    shown = repr([fake, fake.requests, fake.requests[0].files])
    assert "secret" not in shown
    assert fake.api_key not in shown
    assert "<UploadedFile image: 12 bytes>" in shown
    assert "<POST meetings.create: status 400, did not act, 3 points" in shown


async def test_clear_forgets_requests_only(call: Bare, fake: FakeWhereby) -> None:
    """World and budget stay; a request under way when it is called stays forgotten."""
    fake.set_limit(2)
    fake.add_meeting()
    await call("GET", "/meetings")
    fake.faults.add(Fault(answer_delay=60.0))
    waiting = asyncio.ensure_future(call("GET", "/meetings"))
    await until(lambda: len(fake.requests) == 2 and fake.requests[1].acted)
    fake.clear()
    jump(60.0)
    assert len((await waiting).content["results"]) == 1
    assert (fake.requests, fake.points_spent, fake.throttled) == ([], 0, 0)


async def test_client_is_ready_to_use(fake: FakeWhereby) -> None:
    fake.add_meeting()
    async with fake.client() as whereby, fake.client(limiter=Unlimited(), timeout=5.0) as other:
        for client in (whereby, other):
            assert len(await client.meetings.list().collect()) == 1
    assert fake.points_spent == 2


async def test_clients_share_one_budget() -> None:
    """As those of one key do: an app that makes one for each request meets no 429 that it could have avoided."""
    async with FakeWhereby(limit=5, period=30.0) as fake:
        for _ in range(5):
            async with fake.client() as whereby:
                await whereby.meetings.list()
        async with fake.client(max_wait=0) as late:
            with pytest.raises(BudgetTimeoutError):
                await late.meetings.list()
        assert fake.throttled == 0


async def test_listener_hears_of_every_answer(call: Bare, fake: FakeWhereby) -> None:
    heard: list[RecordedRequest] = []
    fake.subscribe(heard.append)
    await call("GET", "/meetings")
    await call("GET", "/meetings/1")
    await call("GET", "/nowhere")
    assert [(r.operation, r.status, r.points, r.remaining) for r in heard] == [
        ("meetings.list", 200, 1, 999),
        ("meetings.get", 404, 1, 998),
        ("", 404, 0, None),
    ]
    assert heard == fake.requests
    fake.subscribe(lambda _: fake.clear())
    fake.faults.add(Fault(status=503))
    for status in (503, 200):
        await call("GET", "/meetings")
        assert (heard[-1].status, fake.requests) == (status, [])


@simulated
async def durations(count: int, **options: Any) -> list[float]:
    """How long each of so many requests to a new server takes."""
    clock = asyncio.get_running_loop().time
    took: list[float] = []
    async with FakeWhereby(**options) as fake, Bare(fake) as call:
        for _ in range(count):
            began = clock()
            await call("GET", "/meetings")
            took.append(round(clock() - began, 3))
    return took


def test_latency_is_drawn_between_bounds() -> None:
    first, again, other = (durations(20, latency=(0.5, 2.0), seed=seed) for seed in (1, 1, 2))
    assert first == pytest.approx(again, abs=0.01)
    assert first != pytest.approx(other, abs=0.01)
    assert 0.5 <= min(first) < max(first) <= 2.01
    assert max(first) - min(first) > 0.5


def test_latency_can_be_asked_for() -> None:
    answers = iter([1.0, 3.0])
    assert durations(2, latency=lambda: next(answers)) == pytest.approx([1.0, 3.0], abs=0.01)


@pytest.mark.parametrize("latency", [-1.0, (2.0, 1.0), (-1.0, 1.0), float("inf"), float("nan")])
async def test_latency_that_is_none_is_refused(fake: FakeWhereby, latency: Any) -> None:
    for give in (lambda: FakeWhereby(latency=latency), lambda: setattr(fake, "latency", latency)):
        with pytest.raises(ValueError, match=r"latency is seconds, or the least and the most"):
            give()
    assert fake.latency == 0.0


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
        ({"costs": {"insight.rooms": 5}}, r"'insight\.rooms': did you mean 'insights\.rooms'\?"),
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
    with pytest.raises(ValueError, match=words):
        FakeWhereby(**options)


async def test_thing_that_there_is_not_is_reported(fake: FakeWhereby) -> None:
    for ask, noun in (
        (lambda: fake.add_participant("x"), "session"),
        (lambda: fake.add_transcription(recording_id="x"), "recording"),
        (lambda: fake.add_summary("x"), "transcription"),
        (lambda: fake.finish_transcription("x"), "transcription"),
        (lambda: fake.finish_summary("x"), "summary"),
    ):
        with pytest.raises(KeyError, match=f"no {noun} with the id 'x': there are 0; add_{noun} makes one"):
            ask()
