"""The fake server itself: its key, its points and headers, its clock and its records."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from testing.bare import Bare, jump, jumped, until

from whereby_async.limiter import PointBudget, RateLimit
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from whereby_async.testing import Algorithm, HeaderStyle, RecordedRequest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {FAKE_API_KEY}", FAKE_API_KEY])
async def test_wrong_key_costs_nothing(call: Bare, fake: FakeWhereby, authorization: str | None) -> None:
    """401 with an `error`, whatever the route, without a word on the budget."""
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/meetings", "/nowhere"):
        answer = await call("GET", path, key=None, headers=headers)
        assert (answer.status, answer.content) == (401, {"error": "Unauthorized"})
        assert "X-RateLimit-Limit" not in answer.headers
    assert fake.points_spent == 0
    assert [record.status for record in fake.requests] == [401, 401]


async def test_key_can_be_changed_in_the_middle(call: Bare, fake: FakeWhereby) -> None:
    """The old one is refused from then on; another one can be taken beside it."""
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
async def test_unknown_route_is_told(call: Bare, fake: FakeWhereby, method: str, path: str, status: int) -> None:
    """404 for a path that there is not, 405 for a method that it does not take, both with an `error`, for nothing."""
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
    """GET 1, DELETE 2, POST and PUT 3; each answer tells what is left."""
    left = [
        (await call("GET", "/meetings")).headers["X-RateLimit-Remaining"],
        (await call("DELETE", "/meetings/1")).headers["X-RateLimit-Remaining"],
        (await call("POST", "/recordings/bulk-delete", json={"recordingIds": []})).headers["X-RateLimit-Remaining"],
        (await call("PUT", "/rooms/a/theme/logo", json={"theme": "default"})).headers["X-RateLimit-Remaining"],
        (await call("GET", "/meetings/1")).headers["X-RateLimit-Remaining"],
    ]
    assert left == ["999", "997", "994", "991", "990"]
    assert (fake.points_spent, [record.points for record in fake.requests]) == (10, [1, 2, 3, 3, 1])


async def test_empty_window_is_a_429_until_it_ends(call: Bare, fake: FakeWhereby) -> None:
    """The documented body, a fractional wait, and everything back when the window ends."""
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


async def test_refused_write_burns_the_rest(call: Bare) -> None:
    """A 3 with 2 left takes them, and a 1 is refused after it."""
    call.fake.set_limit(5)
    body = {"recordingIds": list[str]()}
    assert (await call("POST", "/recordings/bulk-delete", json=body)).status == 204
    assert (await call("POST", "/recordings/bulk-delete", json=body)).headers["X-RateLimit-Remaining"] == "0"
    assert (await call("GET", "/meetings")).status == 429
    assert (call.fake.points_spent, call.fake.throttled) == (5, 2)


async def test_own_prices_are_charged() -> None:
    """By operation, at the start and later; a name that there is not is refused."""
    async with FakeWhereby(costs={"insights.rooms": 5}) as fake, Bare(fake) as call:
        await call("GET", "/insights/rooms")
        fake.costs["insights.rooms"] = 10
        await call("GET", "/insights/rooms")
        assert fake.points_spent == 15
    with pytest.raises(ValueError, match=r"'insight\.rooms': did you mean 'insights\.rooms'\?"):
        FakeWhereby(costs={"insight.rooms": 5})


async def test_others_spend_from_the_same_budget(call: Bare, fake: FakeWhereby) -> None:
    """Their points are gone for us, and are not counted as ours."""
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
    """A change that leaves one without, or names none, is refused."""
    fake = FakeWhereby()
    before = dict(fake.costs)
    with pytest.raises(kind):
        getattr(fake.costs, method)(*arguments)
    assert fake.costs == before
    fake.costs.update({"meetings.list": 5})
    assert fake.costs["meetings.list"] == 5


async def test_plan_can_change(call: Bare, fake: FakeWhereby) -> None:
    """The header tells the new limit at once; a senseless one is refused."""
    fake.set_limit(100)
    answer = await call("GET", "/meetings")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"], fake.limit) == (
        "100",
        "99",
        100,
    )
    with pytest.raises(ValueError, match="above 0"):
        fake.set_limit(0)


@pytest.mark.parametrize("algorithm", ["fixed", "aligned", "sliding_log", "sliding_counter", "token_bucket"])
async def test_each_algorithm_enforces_the_limit(algorithm: Algorithm) -> None:
    """Ten points are served at once and the eleventh is not; waiting as told is enough."""
    async with FakeWhereby(limit=10, period=3600.0, algorithm=algorithm) as fake, Bare(fake) as call:
        statuses = [(await call("GET", "/meetings")).status for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        refused = await call("GET", "/meetings")
        jump(float(refused.headers["Retry-After"]))
        assert (await call("GET", "/meetings")).status == 200


async def test_aligned_windows_end_on_the_wall_clock() -> None:
    """The reset is a whole multiple of the period in wall time."""
    async with FakeWhereby(algorithm="aligned", header_style="epoch_ms") as fake, Bare(fake) as call:
        answer = await call("GET", "/meetings")
        assert int(answer.headers["X-RateLimit-Reset"]) % 60_000 in {0, 1}


@pytest.mark.parametrize(
    ("style", "shape"),
    [
        ("iso", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
        ("http_date", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
        ("epoch", r"\d{10}"),
        ("epoch_ms", r"\d{13}"),
        ("js", r"\w{3} \w{3} \d\d \d{4} \d\d:\d\d:\d\d GMT\+0000 \(Coordinated Universal Time\)"),
    ],
)
async def test_reset_is_in_the_style_asked_for(style: HeaderStyle, shape: str) -> None:
    """On answers and on refusals."""
    async with FakeWhereby(limit=1, header_style=style) as fake, Bare(fake) as call:
        assert fake.header_style == style
        for _ in range(2):
            assert re.fullmatch(shape, (await call("GET", "/meetings")).headers["X-RateLimit-Reset"])


@pytest.mark.parametrize(
    ("style", "names"),
    [
        ("draft_6", {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"}),
        ("draft_7", {"RateLimit", "RateLimit-Policy"}),
        ("draft_10", {"RateLimit", "RateLimit-Policy"}),
    ],
)
async def test_fields_of_the_ietf_drafts_are_read_from_the_socket(style: HeaderStyle, names: set[str]) -> None:
    """Nothing else tells of the budget, and the client reads limit, rest, end and period; a refusal's wait too."""
    async with FakeWhereby(limit=2, period=30.0, header_style=style) as fake, Bare(fake) as call:
        answers = [await call("GET", "/meetings") for _ in range(3)]
        read = [RateLimit.from_response(answer.status, answer.headers) for answer in answers]
        for answer, rate_limit in zip(answers, read, strict=True):
            told = {name for name in answer.headers if "ratelimit" in name.lower()}
            assert told == names
            assert (rate_limit.limit, rate_limit.period) == (2, 30)
            assert 29 <= (rate_limit.reset_in or 0) <= 30
        assert [(answer.remaining, answer.throttled) for answer in read] == [(1, False), (0, False), (0, True)]
        assert 29 < (read[2].retry_after or 0) <= 30


@pytest.mark.parametrize("style", ["draft_6", "draft_7", "draft_10"])
async def test_budget_learns_its_limit_from_the_ietf_fields(style: HeaderStyle) -> None:
    """The limit, what is left, and so no 429 beyond it."""
    async with FakeWhereby(limit=25, header_style=style) as fake:
        budget = PointBudget()
        async with fake.client(limiter=budget) as whereby:
            for _ in range(5):
                await whereby.meetings.list()
        snapshot = budget.snapshot()
        assert (snapshot.limit, snapshot.remaining) == (25, 20)


async def test_headers_can_be_left_out() -> None:
    """Style `none` tells the wait in the body only."""
    async with FakeWhereby(limit=1, header_style="none") as fake, Bare(fake) as call:
        served, refused = await call("GET", "/meetings"), await call("GET", "/meetings")
        told = [name for answer in (served, refused) for name in answer.headers]
        assert not [name for name in told if name.startswith(("X-RateLimit", "Retry-After"))]
        assert refused.content["data"]["msLeft"] > 0


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
    """A request arrives after the first half and is answered after the second."""
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


async def test_record_tells_what_came(call: Bare, fake: FakeWhereby) -> None:
    """Everything as it was sent, byte for byte, and the key masked."""
    before = asyncio.get_running_loop().time()
    body = {"endDate": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "extra": "ø"}
    await call("POST", "/meetings?a=1&a=%2F&b=", json=body, headers={"X-Mine": "yes"})
    (record,) = fake.requests
    assert (record.method, record.path, record.target) == ("POST", "/v1/meetings", "/v1/meetings?a=1&a=%2F&b=")
    assert (record.operation, record.template, record.query) == (
        "meetings.create",
        "/meetings",
        (("a", "1"), ("a", "/"), ("b", "")),
    )
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
    """It has the server's URL and key, and a budget of its own unless one is given."""
    from whereby_async.limiter import Unlimited

    fake.add_meeting()
    async with fake.client() as whereby, fake.client(limiter=Unlimited(), timeout=5.0) as other:
        for client in (whereby, other):
            assert len(await client.meetings.list().collect()) == 1
    assert fake.points_spent == 2


async def test_listener_is_told_of_every_request(call: Bare, fake: FakeWhereby) -> None:
    """With its status and with what is left, just before the answer goes out; `None` where the budget was not asked."""
    told: list[RecordedRequest] = []
    fake.subscribe(told.append)
    await call("GET", "/meetings")
    await call("DELETE", "/meetings/1")
    await call("GET", "/nowhere")
    assert [(record.status, record.remaining) for record in told] == [(200, 999), (204, 997), (404, None)]
    assert told == fake.requests
