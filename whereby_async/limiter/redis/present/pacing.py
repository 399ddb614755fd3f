"""`Pace`: an even flow, for a server that refills as it goes and that others spend from too, or that punishes bursts. Pure.

**Theory.** Of such a server (a log, a bucket, a counter, all sliding) no answer tells how much comes back when. But this
holds for all of them: *what it has left now is what it last told, and what of ours has come back since, less what others
have taken more than they got back.* In a log our points come back exactly as the ledger releases them. In a bucket or a
counter they come back evenly, and no faster than the limit allows; what we spent a period ago is then, once calls flow
evenly, what we may spend now. The others' part is noise about nothing as long as they go on as before. So the calls clock
themselves by their own releases, every answer sets the account right, and nobody's rate need be known, only how uncertain
the time since the last answer makes it: a *margin* of some points (`headroom`, which refusals raise and time lowers) and of
the spread of what others may have taken meanwhile.

What has come back beyond that (others have stopped, our own calls came in lumps) only an answer can tell. So if nothing of
ours comes back for a `gap`, a call probes. The gap follows what the answers find: the time in which one call's worth comes
back unforeseen, and twice as long after each probe that found nothing or was refused.

Taking a fixed window for such a server does no harm: there nothing comes back before the window turns, and then all of it.
So a few signs suffice:

- of three calls in a row, each sent after the last one's answer, the third finds more than both before it, again and again
  within half a period; a fixed window cannot do that but when it turns, and one garbled answer does not make it;
- a refusal names a time well before the end of the window as the server tells it;
- a call that was sent after the time that a refusal had named is refused too, or finds less than half of the limit.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_RISES: Final = 3
_MEMORY: Final = 3.0
_LEAST_HEADROOM: Final = 2.0
_MOST_HEADROOM: Final = 10.0
_MOST_HEADROOM_SHARE: Final = 0.02
_STEP: Final = 2.0
_FIRST_GAP: Final = 1 / 40
_LONGEST_GAP: Final = 1 / 2


class Pace:
    """Whether to pace, and how much may go.

    Attributes:
        until: Paced until then.
        headroom: Points that are left at the server in any case.
        gap: Seconds after an answer from which on a call may go to see what has come back unforeseen.
        probing: The next grant is such a probe.
        probed_at: When the last probe went.
    """

    __slots__ = (
        "_eased_at",
        "_period",
        "_read_at",
        "_readings",
        "_rises",
        "gap",
        "headroom",
        "probed_at",
        "probing",
        "until",
    )

    def __init__(self, period: float) -> None:
        self._period = period
        self._readings: deque[int] = deque(maxlen=2)
        self._read_at = -math.inf
        self._rises: deque[float] = deque(maxlen=_RISES)
        self._eased_at = -math.inf
        self.headroom: float = _LEAST_HEADROOM
        self.gap: float = period * _FIRST_GAP
        self.probing: bool = False
        self.probed_at: float = -math.inf
        self.until: float = -math.inf

    # Whether

    def note(self, remaining: int, granted_at: float, now: float) -> None:
        """An answer to a call granted at `granted_at` said `remaining`."""
        if granted_at < self._read_at:
            return
        self._read_at = now
        if len(self._readings) == 2 and remaining > max(self._readings):  # noqa: PLR2004 - both before it
            self._rises.append(now)
            if len(self._rises) == _RISES and now - self._rises[0] < self._period / 2:
                self.begin(now)
        self._readings.append(remaining)

    def begin(self, now: float) -> None:
        """The server was seen to refill as it goes."""
        self.until = now + _MEMORY * self._period

    # How much

    def room(self, left: float, need: int, back: float, foreign: float) -> int:
        """Points that may go.

        Args:
            left: What was left when it was last told, less what is in flight.
            need: What the next call costs.
            back: Points of ours that have come back since; unconfirmed, so they count for one call.
            foreign: Points that others spend in so much time.
        """
        margin = self.headroom + math.sqrt(foreign)
        return math.floor(left + min(back, need + margin) - margin)

    def refused(self, limit: int, now: float) -> None:
        """A call found less than was thought; refusals of one moment count once."""
        if now - self._eased_at < self._period / 30:
            return
        self._eased_at = now
        self.headroom = min(self.headroom + _STEP, max(_MOST_HEADROOM_SHARE * limit, _MOST_HEADROOM))

    def ease(self, now: float) -> None:
        """Time has passed: dare a little more."""
        if now - self._eased_at > self._period / 2:
            self._eased_at = now
            self.headroom = max(_LEAST_HEADROOM, self.headroom - 1)

    # Probes

    def sent(self, now: float) -> None:
        """A probe has gone."""
        self.probing = False
        self.probed_at = now

    def learn(self, grown: float, need: int, waited: float, *, probe: bool) -> None:
        """A call that went alone after `waited` seconds found `grown` points more than were foreseen."""
        enough = need + self.headroom
        gap = waited * enough / grown if grown > 0 else math.inf
        gap = max(min(gap, 2 * self.gap), self.gap / 2)
        if probe or gap < self.gap:
            self.gap = min(max(gap, self._period * _FIRST_GAP), self._period * _LONGEST_GAP)
