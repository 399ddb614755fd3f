"""The hunt: ten planted secrets, looked for in every repr, log record, error and traceback with locals."""

from __future__ import annotations

import asyncio
import copy
import functools
import io
import json
import logging
import pickle
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.pretty import pretty_repr
from rich.traceback import Traceback
from support.telemetry import Telemetry
from support.wire_server import WireServer, answering

from whereby_async import (
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    WherebyError,
    capture_responses,
    models,
    room_link,
)
from whereby_async.cli import profiles
from whereby_async.cli.keys import key_and_root
from whereby_async.limiter import PointBudget, RedisPointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault
from whereby_async.webhooks import parse_event, sign, unwrap, verify_signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

KEY = "eyJhbGciOi.plantedapikey.sigsigsig"
SECRETS = {
    "api key": "plantedapikey",
    "room key, host": "plantedhostkey",
    "room key, viewer": "plantedviewerkey",
    "access key id": "AKIAPLANTEDACCESSID",
    "access key secret": "plantedaccesssecret",
    "stream key": "plantedstreamkey",
    "access link": "plantedlinksignature",
    "dial-in code": "planteddialincode",
    "proxy password": "plantedproxypassword",
    "webhook secret": "plantedwebhooksecret",
}
HOST_URL = "https://s.whereby.com/r?roomKey=plantedhostkey"
VIEWER_URL = "https://s.whereby.com/r?roomKey=plantedviewerkey"
MEETING: dict[str, Any] = {
    "meetingId": "1",
    "roomName": "/r",
    "roomUrl": "https://s.whereby.com/r",
    "endDate": "2030-01-01T00:00:00.000Z",
    "hostRoomUrl": HOST_URL,
    "viewerRoomUrl": VIEWER_URL,
    "dialIn": {"code": "planteddialincode", "phoneNumbers": []},
}
LINK = {
    "accessLink": "https://s3.example/x?AWSAccessKeyId=AKIAPLANTEDACCESSID&Signature=plantedlinksignature",
    "expires": 1740819600000,
}
RECORDING = {
    "type": "cloud",
    "destination": {
        "provider": "s3",
        "bucket": "b",
        "accessKeyId": "AKIAPLANTEDACCESSID",
        "accessKeySecret": "plantedaccesssecret",
    },
}
STREAMING = {"destination": {"url": "rtmp://live.example/app/plantedstreamkey"}, "startTrigger": "none"}
END = datetime(2030, 1, 1, tzinfo=UTC)


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def everything(value: object) -> bytes:
    """An error body of a server that repeats all it knows."""
    return json.dumps(
        {"error": f"bad: {value} Bearer {KEY} {HOST_URL}", "data": [MEETING, LINK, RECORDING, STREAMING]}
    ).encode()


class Hunt:
    """Collects all that a person or a tool may see; `telemetry` is what OpenTelemetry sees of its clients.

    Of texts that have more than `longest` characters rich shows the beginning.
    """

    telemetry: Telemetry
    longest = 1_000_000

    def __init__(self) -> None:
        Hunt.telemetry = Telemetry()
        self.seen: list[tuple[str, str]] = []

    def text(self, where: str, text: str) -> None:
        self.seen.append((where, text))

    def thing(self, where: str, value: object) -> None:
        self.text(f"repr of {where}", repr(value))
        self.text(f"str of {where}", str(value))
        self.text(f"container of {where}", repr([{"x": value}]))
        self.text(f"rich {where}", pretty_repr(value))

    def error(self, where: str, error: BaseException) -> None:
        linked: BaseException | None = error
        while linked is not None:
            self.thing(f"{where}: {type(linked).__name__}", linked)
            self.text(f"args of {where}", repr(linked.args))
            told = traceback.TracebackException.from_exception(linked, capture_locals=True, compact=False)
            self.text(f"traceback of {where}", "".join(told.format()))
            trace = Traceback.extract(
                type(linked),
                linked,
                linked.__traceback__,
                show_locals=True,
                locals_max_length=10_000,
                locals_max_string=self.longest,
            )
            shown = [node for stack in trace.stacks for frame in stack.frames for node in (frame.locals or {}).values()]
            self.text(f"rich traceback of {where}", "".join(str(node) for node in shown))
            linked = linked.__cause__ or linked.__context__

    def found(self) -> set[tuple[str, str]]:
        self.text("spans and metrics", self.telemetry.everything())
        return {(name, where) for where, text in self.seen for name, secret in SECRETS.items() if secret in text}


class _Recorded(logging.Handler):
    def __init__(self, hunt: Hunt) -> None:
        super().__init__(logging.DEBUG)
        self.hunt = hunt

    def emit(self, record: logging.LogRecord) -> None:
        self.hunt.text(
            f"log of {record.name}", logging.Formatter().format(record) + repr(record.args) + repr(record.__dict__)
        )


@pytest.fixture
def hunt() -> Iterator[Hunt]:
    hunt = Hunt()
    root, handler = logging.getLogger(), _Recorded(hunt)
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield hunt
    root.setLevel(level)
    root.removeHandler(handler)


def client_for(url: str, **options: Any) -> WherebyClient:
    defaults: dict[str, Any] = {"limiter": Unlimited(), "retry": RetryPolicy(attempts=2, base=0), "timeout": 2.0}
    defaults["hooks"] = [Hunt.telemetry.hooks]
    return WherebyClient(KEY, base_url=url, **(defaults | options))


CALLS: dict[str, Callable[[WherebyClient], Awaitable[object]]] = {
    "get": lambda w: w.meetings.get("1", fields=["hostRoomUrl"]),
    "list": lambda w: w.meetings.list().collect(),
    "access link": lambda w: w.recordings.access_link("1"),
    "create from dictionaries": lambda w: w.meetings.create(end_date=END, recording=RECORDING, streaming=STREAMING),
    "create from Structs": lambda w: w.meetings.create(
        end_date=END,
        recording=models.RecordingOptions(
            type="cloud",
            destination=models.RecordingDestination(
                provider="s3", access_key_id="AKIAPLANTEDACCESSID", access_key_secret="plantedaccesssecret"
            ),
        ),
        streaming=models.StreamingOptions(
            destination=models.StreamingDestination(url="rtmp://live.example/app/plantedstreamkey")
        ),
    ),
    "create, refused here": lambda w: w.meetings.create(
        end_date=END, recording=RECORDING, extra={"x": {"y": object(), **RECORDING}}
    ),
    "request": lambda w: w.request("POST", "/x", json={"recording": RECORDING, "streaming": STREAMING}),
    "upload": lambda w: w.rooms.set_logo("/r", b"\x89PNG\r\n\x1a\n" + b"0" * 200_000),
}


async def outcome_of(call: Callable[[WherebyClient], Awaitable[object]], client: WherebyClient) -> object:
    try:
        return await call(client)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked through
        return error


async def all_calls(hunt: Hunt, where: str, client: WherebyClient) -> list[object]:
    outcomes: list[object] = []
    for name, call in CALLS.items():
        outcome = await outcome_of(call, client)
        outcomes.append(outcome)
        if isinstance(outcome, BaseException):
            hunt.error(f"{where}, {name}", outcome)
        elif name != "request":  # whose result is the caller's own plain dictionary
            hunt.thing(f"{where}, {name}", outcome)
    return outcomes


ANSWERS = {
    "meeting": http(200, json.dumps(MEETING).encode()),
    "page": http(200, json.dumps({"results": [MEETING], "cursor": None}).encode()),
    "link": http(200, json.dumps(LINK).encode()),
    "401": http(401, everything("401")),
    "403": http(403, everything("403")),
    "404": http(404, everything("404")),
    "500": http(500, everything("500")),
    "redirect": http(302, b"", f"Location: {LINK['accessLink']}", f"Set-Cookie: a={KEY}"),
    "wrong shape": http(200, json.dumps([[MEETING, LINK], RECORDING, STREAMING]).encode()),
    "wrong types": http(200, json.dumps({**MEETING, "endDate": HOST_URL, "meetingId": [HOST_URL]}).encode()),
    "no JSON": http(200, f"<html>{HOST_URL} {KEY} {LINK['accessLink']}".encode()),
    "too large": http(200, json.dumps([MEETING] * 3000).encode()),
    "truncated": http(200, json.dumps([MEETING, LINK, RECORDING, STREAMING]).encode())[:-5],
    "no HTTP": f"{KEY} {HOST_URL}\r\n\r\n".encode(),
    "bad header": http(200, b"{}", f"X-\x01: {KEY}"),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_secret_shows_whatever_the_server_answers(hunt: Hunt, answer: str) -> None:
    """Results, errors, tracebacks with locals and logs of every call are clean, and so is the raw answer's repr."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(ANSWERS[answer])
        await writer.drain()

    asyncio.get_running_loop().set_debug(True)
    async with WireServer(script) as server:
        pool = SessionPool(max_body=400_000)
        async with client_for(server.url, pool=pool) as client:
            with capture_responses() as answers:
                await all_calls(hunt, answer, client)
            for raw in answers:
                hunt.thing("raw answer", raw)
        await pool.aclose()
    assert len(hunt.seen) > 50
    assert hunt.found() == set()


async def test_no_secret_shows_when_the_connection_fails(hunt: Hunt) -> None:
    """Refused, reset, stalled, cancelled: aiohttp's frames and errors are clean too."""

    async def reset(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def stall(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    for name, script in (("reset", reset), ("stalled", stall)):
        pool = SessionPool()
        async with WireServer(script) as server, client_for(server.url, timeout=0.2, pool=pool) as client:
            await all_calls(hunt, name, client)
            cancelled = [asyncio.create_task(outcome_of(call, client)) for call in CALLS.values()]
            await asyncio.sleep(0.05)  # while some stall, or wait for a service that resets them
            for task in cancelled:
                task.cancel()
            for outcome in await asyncio.gather(*cancelled, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    hunt.error(f"cancelled, {name}", outcome)
        await pool.aclose()
    async with client_for("http://127.0.0.1:9") as client:
        await all_calls(hunt, "refused", client)
    assert hunt.found() == set()


async def test_no_secret_shows_through_a_proxy_that_fails(hunt: Hunt) -> None:
    async with WireServer(answering(http(407, b"no"))) as proxy:
        pool = SessionPool(proxy=f"http://user:plantedproxypassword@127.0.0.1:{proxy.port}")
        hunt.thing("pool", pool)
        for url in ("https://api.example", "http://localhost:1"):
            async with client_for(url, pool=pool) as client:
                await all_calls(hunt, f"proxy to {url}", client)
        await pool.aclose()
    assert hunt.found() == set()


async def test_no_secret_shows_in_what_a_client_is_made_of(hunt: Hunt) -> None:
    async with client_for("http://127.0.0.1:9") as client:
        view = client.with_options(api_key=KEY + "2")
        parts = [client, view, client.limiter, client.meetings, *vars(client).values(), *vars(view).values()]
        for part in parts:
            hunt.thing("part of a client", part)
            for name in getattr(part, "__slots__", ()):
                hunt.text(f"repr of {name}", repr(getattr(part, name)))
    for wrong in (KEY + "\n x", f"{KEY} x", KEY + "é"):
        try:
            WherebyClient(wrong)
        except WherebyError as error:
            hunt.error("key", error.with_traceback(None))
    assert hunt.found() == set()


async def test_errors_keep_what_the_server_sent_and_still_show_none_of_it(hunt: Hunt) -> None:
    """The body stays reachable as an attribute, through pickling and copying, and out of every repr."""
    async with WireServer(answering(ANSWERS["wrong types"])) as server, client_for(server.url) as client:
        error = await outcome_of(CALLS["get"], client)
    assert isinstance(error, ResponseDecodeError)
    for kept in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert b"plantedhostkey" in kept.body
        hunt.thing("error", kept)
        hunt.text("attributes", repr(vars(kept)))
    assert hunt.found() == set()


# Values by name: the source lines in a traceback are not ours to hide.
USER, QUERY = "https://u:plantedapikey@h", "https://h/?token=plantedapikey"
PROXY, BAD_PROXY, BAD_PORT = (
    f"{start}u:plantedproxypassword@h{end}" for start, end in (("http://", ""), ("ftp://", ""), ("http://", ":port"))
)

# Of a type that no option has.
KEY_AS: dict[str, Any] = {
    "bytes": KEY.encode(),
    "a bytearray": bytearray(KEY.encode()),
    "a tuple": (KEY,),
    "a list": [KEY],
    "a set": {KEY},
    "a dictionary": {"api_key": KEY},
}
URL_AS: dict[str, Any] = {"bytes": USER.encode(), "a tuple": (PROXY,), "a list": [PROXY]}

BAD_OPTIONS: dict[str, Callable[[], object]] = {
    **{f"key as {name}": functools.partial(WherebyClient, key) for name, key in KEY_AS.items()},
    **{
        f"a view's key as {name}": functools.partial(WherebyClient("k").with_options, api_key=key)
        for name, key in KEY_AS.items()
    },
    **{f"base_url as {name}": functools.partial(WherebyClient, "k", base_url=url) for name, url in URL_AS.items()},
    **{f"proxy as {name}": functools.partial(SessionPool, proxy=url) for name, url in URL_AS.items()},
    "timeout": lambda: WherebyClient(KEY, timeout=-1),
    "key": lambda: WherebyClient(KEY + " x"),
    "base_url with a user": lambda: WherebyClient("k", base_url=USER),
    "base_url with a query": lambda: WherebyClient("k", base_url=QUERY),
    "view": lambda: WherebyClient("k").with_options(api_key=KEY, timeout=-1),
    "proxy": lambda: SessionPool(proxy=BAD_PROXY),
    "proxy's port": lambda: SessionPool(proxy=BAD_PORT),
    "pool": lambda: SessionPool(connections=0, proxy=PROXY),
}


@pytest.mark.parametrize("longest", [Hunt.longest, 30], ids=["whole", "cut"])
@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_no_secret_shows_when_an_option_is_refused(hunt: Hunt, option: str, longest: int) -> None:
    """Neither where a traceback shows the whole of a long text nor where it shows the beginning, as rich's does."""
    hunt.longest = longest
    try:
        BAD_OPTIONS[option]()
    except WherebyError as error:
        hunt.error(option, error)
    assert hunt.seen
    assert hunt.found() == set()


BAD_FILES = {
    "two keys": f"{KEY}\n{KEY}\n",
    "a key in quotes": f'"{KEY}"',
    "a key of no text": f"{KEY}\udcff",
    "a huge file": f"{KEY}\n" * 50_000,
    "no TOML": f"[acme]\napi_key = {KEY}",
    "no TOML at its end": f'[acme]\napi_key = "{KEY}"\n[',
    "no text": f'[acme]\napi_key = "{KEY}"\n#\udcff',
    "another field": f'[acme]\napi_key = "{KEY}"\nx = "{KEY}"',
    "another type": f'[acme]\napi_key = ["{KEY}"]',
    "another root": f'[acme]\napi_key = "{KEY}"\nbase_url = "x"',
    "no such profile": f'[beta]\napi_key = "{KEY}"',
    "not to be changed": f'acme = {{ api_key = "{KEY}" }}',
    "a wrong key": f'[acme]\napi_key = "{KEY} x"',
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_no_secret_shows_when_a_file_of_keys_is_refused(
    hunt: Hunt, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the variable's file nor of the profiles' one, be it read or changed."""
    file = tmp_path / "whereby" / "profiles.toml"
    file.parent.mkdir()
    file.write_bytes(BAD_FILES[kind].encode(errors="surrogateescape"))
    file.chmod(0o600)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def by_variable() -> None:
        monkeypatch.setenv("WHEREBY_API_KEY_FILE", str(file))
        WherebyClient()

    def by_profile() -> None:
        monkeypatch.delenv("WHEREBY_API_KEY_FILE")
        WherebyClient(key_and_root("acme", None)[0])

    def added() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(KEY.encode())))
        profiles.add("acme", replace=True)

    for act in (by_variable, by_profile, added):
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked through
            hunt.error(kind, error)
    assert hunt.seen
    assert hunt.found() == set()


@pytest.mark.parametrize("url", [BAD_PROXY, *URL_AS.values()], ids=["text", *URL_AS])
def test_no_secret_shows_when_the_url_of_a_store_is_refused(hunt: Hunt, url: Any) -> None:
    try:
        RedisPointBudget(url)
    except WherebyError as error:
        frame = error.__traceback__ and error.__traceback__.tb_next
        while frame is not None:
            for name, value in frame.tb_frame.f_locals.items():
                if name != "self":
                    hunt.text(name, repr(value))
            frame = frame.tb_next
        hunt.thing("error", error)
    assert hunt.seen
    assert hunt.found() == set()


BAD_ARGUMENTS: dict[str, Callable[[WherebyClient], Awaitable[object]]] = {
    "a link as an id": lambda w: w.meetings.get(HOST_URL),
    "a link as a name": lambda w: w.rooms.reset_logo(HOST_URL),
    "a link as a path": lambda w: w.request("GET", HOST_URL),
    "a link in a list": lambda w: w.recordings.bulk_delete([HOST_URL, ""]),
    "a list as a body": lambda w: w.request("POST", "/x", json=[RECORDING, float("inf")]),
    "params": lambda w: w.request("GET", "/x", params={"roomKey": "plantedhostkey", "x": object()}),
}


@pytest.mark.parametrize("argument", BAD_ARGUMENTS)
async def test_no_secret_shows_in_the_text_when_an_argument_is_refused(hunt: Hunt, argument: str) -> None:
    """A room's link where its name belongs is an easy mistake, and its `roomKey` must not end in a log."""
    async with client_for("http://127.0.0.1:9") as client:
        outcome = await outcome_of(BAD_ARGUMENTS[argument], client)
    assert isinstance(outcome, ValueError | TypeError)
    hunt.thing("error", outcome)
    assert hunt.found() == set()


WEBHOOK_SECRET = "plantedwebhooksecret"
SEVERAL_SECRETS = ["other", WEBHOOK_SECRET + "\n"]
WITH_A_BLANK_ONE = [WEBHOOK_SECRET, " "]
AS_BYTES: Any = WEBHOOK_SECRET.encode()
DATA = {"roomName": HOST_URL, "metadata": HOST_URL, "displayName": f"Bearer {KEY}", "link": LINK["accessLink"]}
WEBHOOK = json.dumps({"id": "1", "type": "room.client.joined", "data": DATA}).encode()
UNKNOWN = json.dumps({"id": "1", "type": "x", "data": {**MEETING, **LINK}}).encode()
NO_EVENT = json.dumps({"id": "1", "type": "room.client.joined", "data": [HOST_URL, LINK, RECORDING]}).encode()
NO_JSON = f"{HOST_URL} {KEY}".encode()
AS_TEXT: Any = WEBHOOK.decode()
AS_JSON: Any = json.loads(WEBHOOK)
SIGNED = {body: sign(body, WEBHOOK_SECRET) for body in (WEBHOOK, UNKNOWN, NO_EVENT, NO_JSON)}
SIGNATURE = SIGNED[WEBHOOK]
DIGEST = SIGNATURE.rpartition("=")[2]
ENLARGED = WEBHOOK + b" "

OTHER_KEY = {"roomKey": "plantedviewerkey"}
ODD_EXTRA = {**OTHER_KEY, "x": object()}

WEBHOOKS: dict[str, Callable[[], object]] = {
    "an event": lambda: unwrap(WEBHOOK, SIGNATURE, WEBHOOK_SECRET),
    "an unknown event": lambda: unwrap(UNKNOWN, SIGNED[UNKNOWN], WEBHOOK_SECRET),
    "no header": lambda: unwrap(WEBHOOK, None, WEBHOOK_SECRET),
    "a malformed header": lambda: unwrap(WEBHOOK, DIGEST, WEBHOOK_SECRET),
    "a header too many": lambda: unwrap(WEBHOOK, [SIGNATURE, "t=1"], WEBHOOK_SECRET),
    "another body": lambda: unwrap(ENLARGED, SIGNATURE, WEBHOOK_SECRET),
    "another secret": lambda: verify_signature(WEBHOOK, SIGNATURE, SEVERAL_SECRETS),
    "too old": lambda: verify_signature(WEBHOOK, SIGNATURE, WEBHOOK_SECRET, now=1),
    "no tolerance": lambda: verify_signature(WEBHOOK, SIGNATURE, WEBHOOK_SECRET, tolerance=-1),
    "a blank secret": lambda: verify_signature(WEBHOOK, SIGNATURE, WITH_A_BLANK_ONE),
    "a secret of bytes": lambda: unwrap(WEBHOOK, SIGNATURE, AS_BYTES),
    "text": lambda: unwrap(AS_TEXT, SIGNATURE, WEBHOOK_SECRET),
    "parsed JSON": lambda: unwrap(AS_JSON, SIGNATURE, WEBHOOK_SECRET),
    "no event": lambda: unwrap(NO_EVENT, SIGNED[NO_EVENT], WEBHOOK_SECRET),
    "no JSON": lambda: unwrap(NO_JSON, SIGNED[NO_JSON], WEBHOOK_SECRET),
    "no event, parsed": lambda: parse_event(NO_EVENT),
    "text, parsed": lambda: parse_event(AS_TEXT),
    "text to sign": lambda: sign(AS_TEXT, WEBHOOK_SECRET),
    "a room link": lambda: room_link(HOST_URL, chat=True) and None,
    "a room link's value": lambda: room_link(HOST_URL, lang="$"),
    "a room link's other key": lambda: room_link(HOST_URL, extra=OTHER_KEY),
    "a room link's extra": lambda: room_link("https://s.whereby.com/r", extra=ODD_EXTRA),
    "a room link's host": lambda: room_link(HOST_URL.replace("s.whereby.com", "s.example")),
}


@pytest.mark.parametrize("case", WEBHOOKS)
def test_no_secret_shows_of_a_webhook_or_a_room_link(hunt: Hunt, case: str) -> None:
    try:
        outcome = WEBHOOKS[case]()
    except (WherebyError, TypeError, ValueError) as error:
        hunt.error(case, error)
        assert DIGEST not in str(hunt.seen)
    else:
        hunt.thing(case, outcome)
    assert hunt.seen
    assert hunt.found() == set()


async def test_the_log_names_no_meeting_and_no_room(hunt: Hunt) -> None:
    """At DEBUG, whatever a call is made of and is answered: by its path, its values or its result."""
    calls: list[Callable[[WherebyClient], Awaitable[object]]] = [
        lambda w: w.meetings.create(end_date=END, room_name_prefix="planted-room"),
        lambda w: w.meetings.get("planted-id"),
        lambda w: w.rooms.set_theme_tokens("/planted-room", primary="#000000"),
        lambda w: w.insights.participants(room_session_id="planted-id").collect(),
        lambda w: w.request("GET", "/meetings/planted-id"),
        lambda w: w.request("PUT", "/rooms/planted-room/theme/tokens", json={"tokens": {}}),
    ]
    odd = b'{"meetingId": "planted-id", "roomName": "/planted-room", "endDate": "planted-date"}'
    async with FakeWhereby() as fake, fake.client(limiter=PointBudget(), retry=RetryPolicy(base=0)) as client:
        fake.faults.add(Fault(drop="after"), Fault(status=503, body=b"planted"), Fault(body=odd))
        for call in calls:
            await outcome_of(call, client)
        fake.faults.add(Fault(status=429, headers={"Retry-After": "120"}, times=None))
        waiting = [asyncio.create_task(outcome_of(call, client)) for call in calls]
        while sum(client.limiter.snapshot().waiting.values()) < len(calls):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting)
    lines = [text for where, text in hunt.seen if where == "log of whereby_async"]
    for words in (": 404 for ", ": 503 for ", " failed (", " could not be read ", ": calls wait ", " waits about "):
        assert any(words in line for line in lines), words
    assert not [line for line in lines if "planted" in line]


def test_the_hunt_finds_what_is_there(hunt: Hunt) -> None:
    """The test's own teeth: a plain string in a local, in a log or in a repr is found."""

    def leak(key: str) -> None:
        msg = "no secret in the message"
        raise ValueError(msg)

    try:
        leak(KEY)
    except ValueError as error:
        hunt.error("leak", error)
    assert ("api key", "traceback of leak") in hunt.found()
    assert ("api key", "rich traceback of leak") in hunt.found()
    logging.getLogger("aiohttp.client").debug("sent %s", HOST_URL)
    assert ("room key, host", "log of aiohttp.client") in hunt.found()


async def test_the_hunt_looks_through_spans_and_metrics(hunt: Hunt) -> None:
    """Calls of the hunt are traced and measured; a secret that were in there would be found."""
    async with WireServer(answering(ANSWERS["meeting"])) as server, client_for(server.url) as client:
        await all_calls(hunt, "meeting", client)
        assert {"meetings.get", "rooms.set_logo", "POST"} <= {span.name for span in hunt.telemetry.calls}
        assert hunt.found() == set()
        await client.request("GET", "/x", operation="plantedstreamkey")
        assert ("stream key", "spans and metrics") in hunt.found()
