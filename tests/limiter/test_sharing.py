"""Sharing a server that refills as it goes: how it is recognised, and how calls flow then."""

from __future__ import annotations

import pytest

from limiter.driving import PERIOD, Book, refuses
from whereby_async.limiter import RateLimit
from whereby_async.limiter.redis.present.ageing import GRAIN, GUARD


def paced(book: Book) -> bool:
    """Are calls paced?"""
    return book.ledger.pace.until > book.now


def refused(book: Book, answer: RateLimit) -> None:
    """A call is refused."""
    book.ledger.settle(book.grant(), answer, book.now)


def shared(*, spent: int = 40) -> Book:
    """We have spent so many points in the last seconds, others the rest; the server has shown that it refills as it goes."""
    book = Book()
    for _ in range(spent):
        book.call(60 - spent)
        book.until(0.1)
    book.ledger.settle(book.grant(), RateLimit(throttled=True, retry_after=0.5, reset_in=40.0), book.now)
    assert paced(book)
    book.until(0.6)
    book.call(0)
    return book


@pytest.mark.parametrize(
    ("retry_after", "reset_in", "known"), [(0.5, 40.0, True), (39.8, 40.0, False), (0.5, None, False)]
)
def test_refusal_that_names_a_time_well_before_the_windows_end_shows_it(
    retry_after: float, reset_in: float | None, known: bool
) -> None:
    """A fixed window has nothing to give before it turns."""
    book = Book()
    book.call(50)
    refused(book, RateLimit(throttled=True, retry_after=retry_after, reset_in=reset_in))
    assert paced(book) is known


def test_refusal_after_the_time_that_the_last_one_named_shows_it() -> None:
    """A fixed window would be fresh by then; a call that was under way before says nothing."""
    book = Book()
    book.call(50)
    under_way = book.grant()
    refused(book, refuses(2.0))
    book.until(1.0)
    book.ledger.settle(under_way, refuses(1.0), book.now)
    assert not paced(book)
    book.until(1.1)
    refused(book, refuses(2.0))
    assert paced(book)


@pytest.mark.parametrize(("remaining", "known"), [(49, True), (50, False)])
def test_call_after_the_named_time_that_finds_little_shows_it(remaining: int, known: bool) -> None:
    """Less than half of the limit is no fresh window."""
    book = Book()
    book.call(50)
    refused(book, refuses(2.0))
    book.until(2.1)
    book.call(remaining)
    assert paced(book) is known


def test_refusal_without_a_time_shows_nothing() -> None:
    """Our own guess was wrong, not the server's word."""
    book = Book()
    book.call(50)
    for seconds in (1.1, 2.1, 4.1):
        refused(book, refuses())
        book.until(seconds)
    assert not paced(book)


def test_refusal_while_paced_is_no_cold_start() -> None:
    """It says that nothing is left: no call goes to find out as soon as the gate opens."""
    book = shared()
    book.until(1.0)
    refused(book, refuses(0.2))
    reasons: list[str] = []
    for seconds in (0.1, 0.2):
        book.until(seconds)
        assert book.room() < 1
        reasons.append(book.ledger.why)
    assert reasons == ["frozen", "empty"]


def test_calls_flow_as_their_points_come_back() -> None:
    """Not before they do; what has come back counts for one call until an answer confirms it, then for all."""
    book = shared(spent=20)
    first = book.ledger.ageing.first_at
    assert first is not None
    assert first == pytest.approx(1000.0 + PERIOD + GUARD + GRAIN)
    book.ledger.pace.gap = 1000.0  # no probes
    book.ledger.others.rate = 0.0
    book.until(first - book.now - 0.01)
    assert book.room(3) < 3
    assert book.ledger.again_at == pytest.approx(first)
    book.until(1.0)  # eleven points are back
    assert book.room(3) == 3
    charge = book.grant(3)
    assert book.room(3) < 3
    book.until(0.1)
    book.answer(charge, 30)
    assert book.room(3) == 30 - book.ledger.pace.headroom


def test_points_come_back_no_faster_than_the_limit_allows() -> None:
    """A lump of ours that a bucket has long had back is not there twice."""
    book = shared(spent=20)
    book.ledger.pace.gap = 1000.0
    book.ledger.others.rate = 0.0
    book.until(PERIOD + 10)
    book.call(0)
    book.ledger.others.released -= 50  # fifty come back at this very moment
    assert book.room(3) < 3
    # At a hundred a minute five points and the headroom take some seconds.
    wait = book.ledger.again_at - book.now
    assert 0 < wait < 6
    book.until(6.0)
    assert book.room(3) == 3


def test_longer_silence_needs_a_wider_margin() -> None:
    """What others may have taken meanwhile is unknown, and more so the longer ago the last answer is."""
    book = shared()
    book.ledger.pace.gap = 1000.0
    book.call(30)
    book.ledger.others.rate = 1.0
    sure = book.room()
    book.until(9.0)
    assert book.room() == sure - 3


def test_probe_goes_after_the_gap_and_alone() -> None:
    """Where nothing of ours comes back, a call sees now and then whether anything else has."""
    book = shared()
    gap = book.ledger.pace.gap
    assert book.room(3) < 3
    assert book.ledger.again_at == pytest.approx(book.now + gap)
    book.until(gap)
    assert book.room(3) == 3
    probe = book.grant(3)
    assert book.room(3) < 3
    book.answer(probe, 0)
    assert book.ledger.pace.gap > gap
    book.until(book.ledger.pace.gap)
    assert book.room(3) == 3
    book.answer(book.grant(3), 40)
    assert book.ledger.pace.gap < 2 * gap


@pytest.mark.parametrize(("said", "refuted"), [(0, 3), (8, 6)])
def test_nothing_beyond_what_is_proven_goes_before_a_refusal_has_refuted_the_proof(said: int, refuted: int) -> None:
    """Pacing makes nobody who spends alone spend more, whatever a garbled answer says: neither room nor a probe."""
    book = Book(10)
    for left in range(9, -1, -1):
        book.call(left, limit=10)
    book.ledger.others.beware(said, book.now, 0)
    book.ledger.pace.begin(book.now)
    book.until(30)
    assert book.room(3) < 1
    book.ledger.others.proven_until = book.now + 1
    assert book.room(3) == refuted


def test_doubt_ends_with_the_window() -> None:
    """A call that was refused again and again may try when the window surely turns, however long the back-off has become."""
    book = Book()
    for left in (50, 49, 48, 47):
        book.call(left, reset_in=20.5 - (book.now - 1000.0))
    for _ in range(6):
        book.ledger.settle(book.grant(), refuses(0.1), book.now)
        book.until(book.ledger.gate.opens_at - book.now + 0.01)
    assert book.now - 1000.0 == pytest.approx(20.6, abs=0.2)
    book.ledger.settle(book.grant(), refuses(0.1), book.now)
    assert book.ledger.gate.opens_at - book.now > 30


def test_foreign_rate_is_told_on_a_server_that_refills() -> None:
    """What is missing beside ours was spent by others within the last period."""
    book = shared()
    for _ in range(100):
        book.until(1.0)
        book.call(10)
    spent = book.ledger.answered - book.ledger.ageing.released
    assert book.ledger.others.rate == pytest.approx((100 - 10 - spent) / PERIOD, rel=0.1)
