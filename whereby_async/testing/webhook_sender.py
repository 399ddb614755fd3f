"""Webhooks as the service sends them: signed, with a deadline, sent again after a failure, twice or in disorder on request.

The documented rules: a delivery waits 5 seconds for its answer; a 5xx or no answer is tried again, twice at most, after short,
growing pauses; a 4xx is not. Events may come more than once and in any order. The signature stands in `Whereby-Signature` as
`t=<unix seconds>,v1=<hex>`, the HMAC-SHA256 of `<t>.<body>`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import yarl

from ..webhooks import SIGNATURE_HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAKE_WEBHOOK_SECRET = "fake-webhook-secret"  # noqa: S105 - it guards nothing
"""The secret that a webhook sender signs with unless told otherwise."""

_FAILED = 500


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver an event.

    Attributes:
        status: The status of the answer; `None`: there was none.
        problem: Why there was none, or `""`.
        elapsed: Seconds that it took.
    """

    status: int | None
    problem: str
    elapsed: float


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        body: The bytes that were sent.
        signature: The value of the header `Whereby-Signature`; `""` if it was left out.
        attempts: Each try, the last one last.
    """

    body: bytes
    signature: str
    attempts: tuple[DeliveryAttempt, ...]

    @property
    def status(self) -> int | None:
        """The status of the last answer; `None`: there was none."""
        return self.attempts[-1].status

    @property
    def delivered(self) -> bool:
        """The receiver took it: the last answer was a 2xx."""
        return self.status is not None and self.status // 100 == 2


class WebhookSender:
    """Signs events and posts them to a URL, as the service would; `FakeWhereby.webhook_sender` makes one.

    ```python
    sender = fake.webhook_sender("http://127.0.0.1:8000/webhooks", secret="s3cret")
    delivery = await sender.send(fake.events.client_joined("/standup", display_name="Zoë"))
    assert delivery.status == 200
    ```

    Args:
        url: Where events go.
        secret: What they are signed with.
        timeout: Seconds until an answer counts as missing.
        retries: How often a delivery is tried again after a 5xx or without an answer.
        backoff: Seconds before the first of these; doubled before each other.
        signs_again: Sign each try anew, with the time at which it is made; by default all carry the first one's signature.
        now: The clock that signatures are dated by, in seconds since 1970; by default this machine's.

    Raises:
        TypeError: The URL is none.
        ValueError: The URL is no http or https URL, or `timeout`, `retries` or `backoff` is no such number.
        ConfigurationError: The secret is blank.
    """

    def __init__(  # noqa: PLR0913 - the rules of delivery
        self,
        url: str | yarl.URL,
        *,
        secret: str = FAKE_WEBHOOK_SECRET,
        timeout: float = 5.0,
        retries: int = 2,
        backoff: float = 0.5,
        signs_again: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(url, str | yarl.URL):
            raise TypeError(f"url must be text or a yarl.URL, not {url!r}")
        url = str(url)
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError(f"url must be an http or https URL, such as http://127.0.0.1:8000/webhooks, not {url!r}")
        _require("timeout", timeout, "seconds above 0", least=0.0, fits=timeout != 0)
        _require("backoff", backoff, "seconds from 0", least=0.0)
        _require("retries", retries, "a whole number from 0", least=0.0, fits=isinstance(retries, int))
        sign(b"", secret)  # a secret that signs nothing is told now
        self.url: str = url
        self.timeout: float = timeout
        self.retries: int = retries
        self.backoff: float = backoff
        self.signs_again: bool = signs_again
        self._secret = secret
        self._now = now

    def __repr__(self) -> str:
        return f"<WebhookSender to {urlsplit(self.url).hostname}>"

    def sign(self, body: bytes, *, secret: str | None = None, skew: float = 0.0) -> str:
        """The value of the header `Whereby-Signature` for a body.

        Args:
            body: The bytes to sign.
            secret: In place of the sender's own.
            skew: Seconds by which its date is off; negative for the past.
        """
        return sign(body, self._secret if secret is None else secret, at=self._now() + skew)

    async def send(  # noqa: PLR0913 - what can be wrong with one
        self,
        event: Mapping[str, Any] | bytes | bytearray | memoryview,
        *,
        secret: str | None = None,
        skew: float = 0.0,
        tampered: bytes | bool = False,
        signature: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Delivery:
        """Deliver one event, by the rules; all that can be wrong with one is an option.

        Args:
            event: The event, such as `fake.events.client_joined()`; or a body, byte for byte.
            secret: Sign with this in place of the sender's own.
            skew: Seconds by which the signature's date is off: `-600` was signed ten minutes ago, or is a replay.
            tampered: Change the body after it was signed: `True` adds a key, bytes are sent in its place.
            signature: The value of the header in place of the right one; `""` leaves it out.
            headers: More headers, over the sender's own.

        Returns:
            What became of it. A receiver that refuses, fails or does not answer raises nothing.

        Raises:
            TypeError: The event is neither a dictionary nor bytes.
            ValueError: `skew` is no number of seconds.
        """
        _require("skew", skew, "seconds")
        body = signed = _body(event)
        if tampered:
            body = tampered if isinstance(tampered, bytes) else _tampered(signed)
        attempts: list[DeliveryAttempt] = []
        value = ""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout)) as session:
            while not attempts or self._again(attempts):
                if attempts:
                    await asyncio.sleep(self.backoff * 2 ** (len(attempts) - 1))
                if not attempts or self.signs_again:
                    value = self.sign(signed, secret=secret, skew=skew) if signature is None else signature
                own = {"Content-Type": "application/json"} | ({SIGNATURE_HEADER: value} if value else {})
                attempts.append(await self._attempt(session, body, {**own, **(headers or {})}))
        return Delivery(body=body, signature=value, attempts=tuple(attempts))

    async def send_all(
        self, events: Iterable[Mapping[str, Any]], *, copies: int = 1, shuffled: bool = False, seed: int = 0
    ) -> list[Delivery]:
        """Deliver events, one after the other.

        Args:
            events: The events.
            copies: How often each is delivered; the copies have the same id.
            shuffled: In an order left to chance, copies too.
            seed: Where chance begins: the same order for the same seed.

        Returns:
            What became of each, in the order in which they were sent.

        Raises:
            TypeError: `events` is one event and no list, or one of them is no event; then none is sent.
        """
        if isinstance(events, Mapping | str | bytes | bytearray | memoryview):
            raise TypeError("send_all takes a list of events: pass [event], or use send(event)")
        events = list(events)
        for event in events:
            _body(event)
        queue = [event for event in events for _ in range(copies)]
        if shuffled:
            random.Random(seed).shuffle(queue)  # noqa: S311 - chance is to repeat itself here
        return [await self.send(event) for event in queue]

    def _again(self, attempts: list[DeliveryAttempt]) -> bool:
        status = attempts[-1].status
        return len(attempts) <= self.retries and (status is None or status >= _FAILED)

    async def _attempt(
        self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]
    ) -> DeliveryAttempt:
        clock = asyncio.get_running_loop().time
        began = clock()
        status, problem = None, ""
        try:
            url = yarl.URL(self.url, encoded=True)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                status = response.status
        except TimeoutError:
            problem = f"no answer within {self.timeout:g} s"
        except aiohttp.ClientError as error:
            problem = f"no answer: {type(error).__name__}"
        return DeliveryAttempt(status=status, problem=problem, elapsed=clock() - began)


def _body(event: object) -> bytes:
    if isinstance(event, bytes | bytearray | memoryview):
        return bytes(event)  # pyright: ignore[reportUnknownArgumentType] - a view of anything is bytes
    if not isinstance(event, Mapping):
        raise TypeError(f"an event is a dictionary as fake.events makes it, or a body in bytes, not {event!r}")
    return msgspec.json.encode(event)


def _require(name: str, number: object, what: str, *, least: float = -math.inf, fits: bool = True) -> None:
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not (fits and is_number and least <= number < math.inf and number > -math.inf):  # type: ignore[operator]  # a number, as asked
        raise ValueError(f"{name}={number!r}: pass {what}")


def _tampered(body: bytes) -> bytes:
    """The same JSON object with one key more; another byte where it is none."""
    return body[:-1] + b',"tampered":true}' if body.endswith(b"}") and body != b"{}" else body + b" tampered"
