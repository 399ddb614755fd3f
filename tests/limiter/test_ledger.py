"""The account as arithmetic: what moves it, in whatever order answers come, and what never does."""

from __future__ import annotations

import pytest

from limiter.driving import PERIOD, Book, refuses
from whereby_async.limiter.redis.present.ageing import GUARD


def test_remaining_moves_the_account_up() -> None:
    """An answer that shows a fresh window opens it at once, long before the ledger alone would."""
    book = Book()
    book.spend()
    assert book.room() == 0
    book.until(PERIOD + GUARD + 0.01)
    book.spend(1)
    assert book.room() == 99


def test_remaining_moves_the_account_down() -> None:
    """The first answer of a process that starts into a spent window leaves it what is left, not what was assumed."""
    book = Book()
    book.call(5)
    assert book.room() == 5
    book.call(4)
    assert book.room() == 4


def test_a_lost_call_that_may_still_arrive_is_not_taken_for_counted() -> None:
    """The next call may overtake it, and then its answer's `Remaining` has not seen it yet."""
    book = Book(10)
    book.call(9, limit=10)
    lost = book.grant()
    book.ledger.lost(lost, book.now)
    overtaking = book.grant()
    book.answer(overtaking, 8, limit=10)  # the lost one is still on its way: one of these eight is its
    assert book.room() == 7
    book.until(book.ledger.slowest + 0.01)
    book.call(6, limit=10)  # by now it has arrived, and was counted
    assert book.room() == 6


def test_reset_moves_the_account() -> None:
    """With nothing left, the next call goes when the window ends as told; without being told, a period later."""
    told, untold = Book(), Book()
    told.call(0, reset_in=12.25)
    untold.call(0)
    for book, seconds in ((told, 12.5), (untold, PERIOD + 0.5)):
        book.ledger.others.proven_until = 0.0
        probe = book.ledger.others
        probe._no_probe_until = 1e9  # pyright: ignore[reportPrivateUsage] - no probes before the end
        book.until(seconds - 0.75)
        assert book.room() < 1
        assert book.ledger.why == "empty"
        book.until(0.75)
        assert book.room() >= 1
        book.grant()
        assert book.room() < 1


def test_reset_is_when_the_wait_ends() -> None:
    """Whole seconds hide up to one more, so the end is taken a second later."""
    book = Book()
    book.call(50, reset_in=12.5)
    assert book.ledger.window.ends_in(book.now) == pytest.approx(12.5, abs=0.05)
    book = Book()
    book.call(50, reset_in=12.0)
    assert book.ledger.window.ends_in(book.now) == pytest.approx(13.0, abs=0.05)


def test_reset_opens_the_window_of_a_server_that_turns_whole() -> None:
    """Where everything was seen to come back at once, the told end sends a lead, long before the ledger's own release."""
    book = Book()
    for left in range(99, -1, -1):
        book.call(left, reset_in=20.5)
    book.ledger.lead.back(everything=True, young=True)
    assert book.room() == 0
    assert book.ledger.again_at == pytest.approx(book.now + 20.5, abs=0.05)
    book.until(20.6)
    assert book.room() >= 1
    lead = book.grant()
    assert book.room() <= 0
    book.answer(lead, 99)
    assert book.room() == 99


def test_points_come_back_a_period_after_the_answer() -> None:
    """Not after the grant: a slow call counts at the server from its arrival, whenever that was."""
    book = Book(10)
    book.call(9, limit=10)
    slow = book.grant(9)
    book.until(30)
    book.answer(slow, 0, limit=10)
    book.until(PERIOD - 0.01)
    assert book.room() <= 1
    book.until(0.05)
    assert book.ledger.limit - book.ledger.held <= 10
    assert book.room(9) >= 9


def test_answers_out_of_order_agree_on_what_is_left() -> None:
    """Whichever of two answers comes first, both calls are known to be spent."""
    for order in ((0, 1), (1, 0)):
        book = Book()
        book.call(99)
        charges = [book.grant(3), book.grant(5)]
        left = [96, 91]
        for index in order:
            book.answer(charges[index], left[index])
        assert book.room() == 91


def test_calls_in_flight_are_charged_at_both_ends() -> None:
    """An answer may know nothing of what was in flight when its call went, nor of what went after it."""
    book = Book()
    book.call(50)
    book.ledger.others.votes = 0
    book.ledger.others.until = 0.0
    before = book.grant(10)
    charge = book.grant(1)
    book.grant(5)
    book.answer(charge, 49)
    assert book.ledger.remaining() == 34
    book.answer(before, 39)
    assert book.ledger.remaining() == 34


def test_late_answer_of_an_old_window_throttles_nobody() -> None:
    """It can not lower what a newer one has proven."""
    book = Book()
    book.call(99)
    straggler = book.grant(1)
    book.until(PERIOD + 1)
    book.call(99)
    book.answer(straggler, 0)
    assert book.room() >= 97


def test_refund_gives_back_exactly_what_was_taken() -> None:
    """Granted and never sent: as if it had not been."""
    book = Book()
    book.call(99)
    room = book.room()
    charge = book.grant(7)
    assert book.room() == room - 7
    book.ledger.refund(charge)
    assert book.room() == room


def test_lost_call_is_held_for_its_longest_flight_too() -> None:
    """A second at least, or as long as the slowest answer took; it holds up no other release."""
    book = Book(10)
    book.call(9, limit=10)
    slow = book.grant(1)
    book.until(5)
    book.answer(slow, 8, limit=10)
    book.ledger.lost(book.grant(3), book.now)
    book.call(4, limit=10)
    book.until(PERIOD + 0.1)
    book.room()
    assert book.ledger.held == 3
    book.until(5)
    book.ledger.room(book.now)
    assert book.ledger.held == 0


def test_lower_limit_counts_at_once_and_higher_one_when_two_agree() -> None:
    """One garbled header can not make us spend; two in a row that agree are believed."""
    book = Book()
    book.call(98)
    book.call(49, limit=50)
    assert book.ledger.limit == 50
    book.call(9, limit=5000)
    assert book.ledger.limit == 50
    book.call(97)
    assert book.ledger.limit == 50
    book.call(96)
    assert book.ledger.limit == 100


@pytest.mark.parametrize("remaining", [100, 101, 10**9])
def test_impossible_remaining_opens_nothing(remaining: int) -> None:
    """A call that was served has cost something, so as much as the limit can not be left."""
    book = Book(None)
    book.call(remaining)
    second = book.grant()
    assert book.room() == 0
    book.ledger.lost(second, book.now)


def test_lead_goes_alone_after_a_full_round() -> None:
    """The first call of the next window is waited for, two seconds at most."""
    book = Book()
    book.spend(60)
    book.until(10)
    for left in range(39, -1, -1):
        book.call(left)
    book.until(PERIOD - 9.9)
    assert book.room() > 0
    lead = book.grant()
    assert book.room() <= 0
    assert book.ledger.why == "pilot"
    book.until(2.0)
    assert book.room() == 59
    book.ledger.lost(lead, book.now)


def test_silence_of_a_period_makes_cold() -> None:
    """Nobody knows what others have spent meanwhile: one call goes first."""
    book = Book()
    book.call(99)
    book.until(PERIOD + 1)
    assert book.room() == 100
    pilot = book.grant()
    assert book.room() == 0
    book.answer(pilot, 20)
    # One answer may be garbled: another call is asked before the burst.
    assert book.room() > 0
    pilot = book.grant()
    assert book.room() == 0
    book.answer(pilot, 19)
    assert 0 < book.room() <= 19


def test_single_garbled_zero_stops_nobody() -> None:
    """One answer of many that reports an empty window is outvoted."""
    book = Book()
    for left in range(99, 89, -1):
        book.call(left)
    book.call(0)
    assert book.room() >= 88


def test_majority_of_answers_shows_the_others() -> None:
    """When most answers say that more is gone than ours, at most half of the rest is in flight."""
    book = Book()
    book.call(99)
    for left in (78, 76, 74, 72, 70, 68):
        book.call(left)
    assert book.room() == 34
    book.grant(34)
    assert book.room() <= 0


def test_refusal_names_the_moment() -> None:
    """Nothing before it, and one call then, even if the ledger thinks that all is spent."""
    book = Book(10)
    for left in range(9, -1, -1):
        book.call(left, limit=10)
    book.ledger.settle(book.grant(1), refuses(7.0), book.now)
    assert book.room() == 0
    assert book.ledger.why == "frozen"
    assert book.ledger.again_at == pytest.approx(book.now + 7.0, abs=0.01)
    book.until(7.01)
    assert book.room() >= 1
    book.grant(1)
    assert book.room() == 0


def test_refusal_without_a_time_waits_for_the_known_end() -> None:
    """The window's end if it is known, else a second, then twice that."""
    book = Book()
    book.call(50, reset_in=20.5)
    book.ledger.settle(book.grant(1), refuses(), book.now)
    assert book.ledger.gate.opens_at - book.now == pytest.approx(20.5, abs=0.1)


def test_persistently_early_reset_is_learned() -> None:
    """A call sent after "the end" and refused says when the end really is."""
    book = Book()
    book.call(0, reset_in=10.5)
    end = book.ledger.window.end
    book.until(11)
    book.ledger.settle(book.grant(1), refuses(2.0), book.now)
    assert book.ledger.window.end == pytest.approx(book.now + 2.0)
    assert book.ledger.window.end > end


def test_least_wait_is_a_lower_bound() -> None:
    """What fits waits for nothing; what does not, for the first release, a turn at any time, and whole periods after it."""
    book = Book()
    book.spend(60)
    assert book.ledger.least_wait(book.now, 40) == 0
    first = book.ledger.least_wait(book.now, 41)
    assert first == pytest.approx(PERIOD + GUARD, abs=0.01)
    assert book.ledger.least_wait(book.now, 141) == first
    assert book.ledger.likely_wait(book.now, 141) == pytest.approx(first + PERIOD)
    assert book.ledger.least_wait(book.now, 241) == pytest.approx(first + PERIOD)
    book.ledger.settle(book.grant(1), refuses(5.0), book.now)
    assert book.ledger.least_wait(book.now, 1) >= 5.0


def test_clock_that_goes_back_only_delays() -> None:
    """Two threads may read the clock in another order than they come to the lock."""
    book = Book()
    book.call(99)
    charge = book.grant(2)
    book.until(-0.5)
    book.answer(charge, 97)
    assert book.ledger.held == 3
    book.until(PERIOD + 1)
    book.ledger.room(book.now)
    assert book.ledger.held == 0
