"""`whereby sandbox`: a fake Whereby that stays up, to develop an app against without an account."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from cyclopts import Parameter, validators

from ..options import INSECURE_VARIABLE, is_loopback
from ..testing import Algorithm, FakeWhereby
from .errors import ExitCode, UsageError
from .global_options import AtLeastOne, Flag, OutputOptions
from .keys import WEBHOOK_VARIABLE
from .output import THROTTLED, Output, points_left, status_style
from .webhook_commands import delivery_row, given_secret, sender_to

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..testing import RecordedRequest, WebhookSender

WEEKLY: Final = "/weekly"
"""The room of a filled server that has sessions, recordings and transcriptions."""

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_GUESTS: Final = ("Ada Lovelace", "Alan Turing", "Grace Hopper")
_TICK: Final = 0.2
"""Seconds between two looks at the world."""
_UNTIL_GUESTS: Final = 1.0
"""Seconds from a meeting's creation until its guests come."""
_VISIT: Final = 3.0
"""Seconds that they stay."""
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
    webhook: str | None = None,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Keep a fake Whereby up, to develop against without an account.

    It has all operations and enforces points; its state is in memory and
    gone when it ends. It prints the two variables that lead a client to it,
    then a line for each request. Ctrl-C ends it.

    With --webhook it also posts events to a URL, signed as by Whereby, with
    WHEREBY_WEBHOOK_SECRET or a secret that it prints. A second after a meeting
    was made two guests come into its room; one knocks if it is locked. Three
    seconds later, or when it is deleted, they have left, and a cloud recording
    or live transcription that starts automatically is there. Transcriptions
    start, and finish or fail. 'whereby webhooks send' sends any other event.

    For example:

        whereby sandbox
        whereby sandbox --port 9000 --limit 100 --period 10
        whereby sandbox --empty --json
        whereby sandbox --webhook http://127.0.0.1:8000/webhooks
        whereby sandbox --host 0.0.0.0 --insecure-http

    Args:
        port: Port to listen on; 0 finds a free one.
        host: Address to listen on, loopback only unless --insecure-http is given.
        insecure_http: Let other machines and containers in, by plain http.
        limit: Points in each window.
        period: Seconds of a window.
        algorithm: How points are counted.
        empty: Start without any meetings, sessions and recordings.
        webhook: URL that gets signed events of what happens.
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
    secret = given_secret() or secrets.token_urlsafe(32)
    sender = None if webhook is None else sender_to(fake, "--webhook", webhook, secret)
    facts = {} if sender is None else {"webhook": sender.url}
    if sender is not None and not given_secret():
        facts["webhook_secret"] = secret
    asyncio.run(_serve(fake, sender, facts, options.output()))
    return ExitCode.OK


async def _serve(fake: FakeWhereby, sender: WebhookSender | None, facts: dict[str, str], output: Output) -> None:
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
        _welcome(fake, facts, output)
        async with asyncio.TaskGroup() as group:
            life = None if sender is None else group.create_task(Life(fake, sender, output).go_on())
            while (record := await answered.get()) is not None:
                fake.clear()  # the server's log of requests would grow forever
                calls, points, throttled = calls + 1, points + record.points, throttled + (record.status == THROTTLED)
                show_request(output, record)
            if life is not None:
                life.cancel()
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


def _welcome(fake: FakeWhereby, facts: dict[str, str], output: Output) -> None:
    others = "" if is_loopback(fake.host) else f" Other machines put this one's name there, and {INSECURE_VARIABLE}=1."
    allowed = "" if is_loopback(urlsplit(fake.url).hostname or "") else f"export {INSECURE_VARIABLE}=1\n"
    if secret := facts.get("webhook_secret"):
        allowed += f"export {WEBHOOK_VARIABLE}={secret}\n"
    events = f" Events go to {facts['webhook']}." if facts else ""
    output.say(
        "ready",
        f"A fake Whereby listens on {fake.url}: {fake.limit} points every {fake.period:g} s ({fake.algorithm}),"
        f" {len(fake.meetings)} meetings, {len(fake.recordings)} recordings.{others}{events} Ctrl-C ends it.",
        base_url=fake.url,
        api_key=fake.api_key,
        limit=fake.limit,
        period=fake.period,
        algorithm=fake.algorithm,
        **facts,
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


class Life:
    """What happens in a sandbox by itself: guests come into new rooms, transcriptions finish. Sends the events of it.

    Args:
        fake: The sandbox.
        sender: Where events go.
        output: Where it is told what became of them.
    """

    def __init__(self, fake: FakeWhereby, sender: WebhookSender, output: Output) -> None:
        self._fake = fake
        self._sender = sender
        self._output = output
        self._tasks = asyncio.TaskGroup()
        self._met = set(fake.meetings)
        self._states = {key: each["state"] for key, each in fake.transcriptions.items()}
        self._told = {
            "in_progress": fake.events.transcription_started,
            "ready": fake.events.transcription_finished,
            "failed": fake.events.transcription_failed,
        }

    async def go_on(self) -> None:
        """Let it happen until this is cancelled."""
        async with self._tasks:
            while True:
                self._fake.move_on()
                for meeting_id in self._fake.meetings.keys() - self._met:
                    self._met.add(meeting_id)
                    self._tasks.create_task(self._visit(meeting_id, self._fake.meetings[meeting_id]))
                for key, transcription in list(self._fake.transcriptions.items()):
                    if (state := transcription["state"]) != self._states.get(key):
                        self._states[key] = state
                        self._send(self._told[state](transcription))
                await asyncio.sleep(_TICK)

    async def _visit(self, meeting_id: str, meeting: dict[str, Any]) -> None:
        fake, make = self._fake, self._fake.events
        if not await self._lasts(meeting_id, _UNTIL_GUESTS):
            return
        room, is_locked = meeting["roomName"], bool(meeting.get("isLocked"))
        session_id = fake.add_session(room, participants=0, ended=False, duration=0.0)["roomSessionId"]
        host = self._enter(session_id, meeting_id, _GUESTS[0], "host")
        guest = self._enter(session_id, meeting_id, _GUESTS[1], "granted_visitor" if is_locked else "visitor")
        here = {"host": 1, guest["roleName"]: 1}
        knocked = make.client_knocked(room, **{name: value for name, value in guest.items() if name != "roleName"})
        self._send(
            make.client_joined(room, **host, roomSessionId=None),  # there is none while one waits alone
            *([knocked] if is_locked else []),
            make.client_joined(room, **guest, numClients=2, numClientsByRoleName=here),
            make.session_started(room, meetingId=meeting_id),
        )
        await self._lasts(meeting_id, _VISIT)
        fake.end_session(session_id)
        events = [
            make.client_left(room, **guest, numClients=1, numClientsByRoleName={"host": 1}),
            make.client_left(room, **host),
            make.session_ended(room, meetingId=meeting_id),
        ]
        if _is_automatic(meeting, "recording") and meeting["recording"].get("type") == "cloud":
            events.append(make.recording_finished(fake.add_recording(room_session_id=session_id, duration=_VISIT)))
        if _is_automatic(meeting, "liveTranscription"):
            fake.add_transcription(room_session_id=session_id, duration=_VISIT, state="in_progress")
        self._send(*events)

    def _enter(self, session_id: str, meeting_id: str, name: str, role: str) -> dict[str, Any]:
        """Let somebody take part in a session; what events say of them."""
        person = self._fake.add_participant(session_id, display_name=name, role_name=role)
        return {"meetingId": meeting_id} | {key: person[key] for key in ("displayName", "participantId", "roleName")}

    async def _lasts(self, meeting_id: str, seconds: float) -> bool:
        """Wait so long, and no longer than the meeting is there; whether it still is."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while meeting_id in self._fake.meetings and clock() < end:  # noqa: ASYNC110 - nobody is told of a deletion
            await asyncio.sleep(_TICK)
        return meeting_id in self._fake.meetings

    def _send(self, *events: dict[str, Any]) -> None:
        """Begin to deliver events, one after the other; nothing waits for a receiver that is down."""
        self._tasks.create_task(self._deliver(events))

    async def _deliver(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            delivery = await self._sender.send(event)
            row = delivery_row(event, delivery)
            status = row["status"] or 0
            why = "" if delivery.delivered else row["problem"] or row["answer"].partition("\n")[0]
            self._output.table_line(
                row,
                _HEAD,
                f"{'event':<6} ",
                (f"{status or 'none':>6}", status_style(status)),
                f" {'-':>6} {'-':>6}  {row['type']}{f': {why}' if why else ''}",
            )


def _is_automatic(meeting: dict[str, Any], name: str) -> bool:
    """Whether a meeting is recorded or transcribed without anybody's doing."""
    setting: dict[str, Any] = meeting.get(name) or {}
    return str(setting.get("startTrigger")).startswith("automatic")


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
