"""`whereby sandbox`: a fake Whereby that stays up, to develop an app against without an account."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from cyclopts import Parameter, validators

from ..options import INSECURE_VARIABLE, is_loopback
from ..testing import Algorithm, FakeWhereby
from .errors import ExitCode, UsageError
from .global_options import AtLeastOne, Flag, OutputOptions
from .output import THROTTLED, Output, points_left, status_style

if TYPE_CHECKING:
    from ..testing import RecordedRequest

WEEKLY: Final = "/weekly"
"""The room of a filled server that has sessions, recordings and transcriptions."""

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_GUESTS: Final = ("Ada Lovelace", "Alan Turing", "Grace Hopper")
_HEAD: Final = f"{'method':<6} {'status':>6} {'points':>6} {'left':>6}  path"


def sandbox(  # noqa: PLR0913 - the options of the server
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))] = 8700,
    host: str = "127.0.0.1",
    insecure_http: Flag = False,
    limit: AtLeastOne = 1000,
    period: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 60.0,
    algorithm: Algorithm = "fixed",
    empty: Flag = False,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Keep a fake Whereby up, to develop against without an account.

    It has all operations and enforces points; its state is in memory and
    gone when it ends. It prints the two variables that lead a client to it,
    then a line for each request. Ctrl-C ends it.

    For example:

        whereby sandbox
        whereby sandbox --port 9000 --limit 100 --period 10
        whereby sandbox --empty --json
        whereby sandbox --host 0.0.0.0 --insecure-http

    Args:
        port: Port to listen on; 0 finds a free one.
        host: Address to listen on, loopback only unless --insecure-http is given.
        insecure_http: Let other machines and containers in, by plain http.
        limit: Points in each window.
        period: Seconds of a window.
        algorithm: How points are counted.
        empty: Start without any meetings, sessions and recordings.
        options: How to show results.
    """
    if not host.strip() or not host.isascii():
        raise UsageError(f"--host {host!r} is no address to listen on")
    if not is_loopback(host) and not insecure_http:
        raise UsageError(
            f"--host {host}: the sandbox speaks plain http, so it listens on loopback addresses only;"
            " --insecure-http allows others"
        )
    fake = FakeWhereby(limit=limit, period=period, algorithm=algorithm, host=host, port=port)
    if not empty:
        fill(fake)
    asyncio.run(_serve(fake, options.output()))
    return ExitCode.OK


async def _serve(fake: FakeWhereby, output: Output) -> None:
    answered: asyncio.Queue[RecordedRequest | None] = asyncio.Queue()
    fake.subscribe(answered.put_nowait)
    try:
        await fake.start()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # behind that it names the address again
        raise UsageError(f"--host {fake.host} --port {fake.port}: {reason}; --port 0 finds a free one") from None
    calls = points = throttled = 0
    started_at = monotonic()
    try:
        _stop_on_signals(answered)
        _welcome(fake, output)
        while (record := await answered.get()) is not None:
            fake.clear()  # the server's log of requests would grow forever
            calls, points, throttled = calls + 1, points + record.points, throttled + (record.status == THROTTLED)
            show_request(output, record)
    finally:
        await fake.aclose()
    seconds = monotonic() - started_at
    output.say("step", "Stopped")
    output.say(
        "summary",
        f"{calls} requests, {points} points, {throttled} times 429, in {seconds:.0f} s.",
        calls=calls,
        points=points,
        throttled=throttled,
        seconds=round(seconds, 3),
    )


def _stop_on_signals(answered: asyncio.Queue[RecordedRequest | None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C cancels
            loop.add_signal_handler(number, answered.put_nowait, None)


def _welcome(fake: FakeWhereby, output: Output) -> None:
    others = "" if is_loopback(fake.host) else f" Other machines put this one's name there, and {INSECURE_VARIABLE}=1."
    allowed = "" if is_loopback(urlsplit(fake.url).hostname or "") else f"export {INSECURE_VARIABLE}=1\n"
    output.say(
        "ready",
        f"A fake Whereby listens on {fake.url}: {fake.limit} points every {fake.period:g} s ({fake.algorithm}),"
        f" {len(fake.meetings)} meetings, {len(fake.recordings)} recordings.{others} Ctrl-C ends it.",
        base_url=fake.url,
        api_key=fake.api_key,
        limit=fake.limit,
        period=fake.period,
        algorithm=fake.algorithm,
    )
    if not output.is_json:
        print(f"\nexport WHEREBY_BASE_URL={fake.url}\nexport WHEREBY_API_KEY={fake.api_key}\n{allowed}", flush=True)


def show_request(output: Output, record: RecordedRequest) -> None:
    """Print `GET  200  1  999  /v1/meetings`."""
    names = ("method", "path", "operation", "status", "points", "remaining")
    output.table_line(
        {"event": "request", **{name: getattr(record, name) for name in names}},
        _HEAD,
        f"{record.method:<6} ",
        (f"{record.status or 'none':>6}", status_style(record.status)),
        f" {record.points:>6} {points_left(record.remaining):>6}  {record.path}",
    )


def fill(fake: FakeWhereby) -> None:
    """Put meetings, sessions, recordings, transcriptions and a summary on the server."""
    for name in (WEEKLY, "/support-desk", "/interview"):
        fake.add_meeting(room_name=name, start_date=-_DAY, end_date=_DAY)
    transcriptions = [_weekly_session(fake, days_ago) for days_ago in (3, 2, 1)]
    fake.add_summary(transcriptions[-1])
    fake.add_session("/support-desk", participants=2, ended=False, duration=600.0)


def _weekly_session(fake: FakeWhereby, days_ago: int) -> str:
    """A session that was recorded, and the recording transcribed; the transcription's id."""
    started_at = -days_ago * _DAY
    session = fake.add_session(WEEKLY, participants=_GUESTS, started_at=started_at, duration=0.75 * _HOUR)
    recording = fake.add_recording(
        room_session_id=session["roomSessionId"],
        start_date=started_at,
        duration=0.5 * _HOUR,
        size=days_ago * 40_000_000,
    )
    transcription_id: str = fake.add_transcription(recording_id=recording["recordingId"])["transcriptionId"]
    return transcription_id
