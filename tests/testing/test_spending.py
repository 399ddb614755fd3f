"""`FakeWhereby.spends`: what a block costs, and what it says when it costs something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.bare import Bare

    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


async def test_block_within_its_bounds_passes(call: Bare, fake: FakeWhereby) -> None:
    """Points count from the block's begin to its end, whatever was spent before and after, and can be read then."""
    await call("GET", "/meetings")
    with fake.spends(at_most=3, at_least=3, exactly=3, throttled=0) as spent:
        assert spent.points == 0
        await call("DELETE", "/meetings/1")
        await call("GET", "/meetings")
    await call("GET", "/meetings")
    assert (spent.points, spent.throttled) == (3, 0)
    assert [charge.operation for charge in spent.charges] == ["meetings.delete", "meetings.list"]
    assert repr(spent) == "<Spending: 3 points in 2 calls>"


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"at_most": 6}, "spent 7 points where at most 6 were expected"),
        ({"at_least": 8}, "spent 7 points where at least 8 were expected"),
        (
            {"exactly": 8, "at_least": 8},
            "spent 7 points where at least 8 were expected, spent 7 points where exactly 8",
        ),
        ({"throttled": 1}, "0 × 429 where 1 were expected"),
    ],
)
async def test_block_out_of_its_bounds_fails_with_a_list(
    call: Bare, fake: FakeWhereby, bounds: dict[str, Any], words: str
) -> None:
    with pytest.raises(AssertionError) as caught, fake.spends(**bounds):  # noqa: PT012 - the block is the subject
        for _ in range(2):
            await call("POST", "/meetings", json={})
        await call("GET", "/meetings")
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(words)
    assert rest == ["  2 × meetings.create at 3 = 6", "  1 × meetings.list at 1 = 1"]


async def test_refused_calls_show(call: Bare, fake: FakeWhereby) -> None:
    """A 429 of the budget counts, with the points that it burned; a scripted one is only a call."""
    fake.set_limit(2)
    fake.faults.add(Fault(status=429))
    with pytest.raises(AssertionError) as caught, fake.spends(throttled=0):  # noqa: PT012 - the block is the subject
        await call("GET", "/meetings")
        await call("POST", "/meetings", json={})
    assert str(caught.value).splitlines() == [
        "1 × 429 where 0 were expected",
        "  1 × meetings.list at 1 = 1",
        "  1 × meetings.create at 1 = 1 (refused: 429)",
    ]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"at_most": 5, "at_least": 6}, "nothing is at least 6 and at most 5"),
        ({"exactly": 7, "at_most": 6}, "exactly=7 is out of the other bounds"),
        ({"exactly": "1"}, "exactly='1': pass a whole number from 0"),
        ({"at_most": -1}, "at_most=-1: "),
        ({"throttled": True}, "throttled=True: "),
    ],
)
async def test_bounds_that_nothing_can_keep_are_refused(fake: FakeWhereby, bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fake.spends(**bounds)


async def test_block_without_a_call_says_so_but_for_an_error_of_its_own(fake: FakeWhereby) -> None:
    words = "spent 0 points where exactly 1 were expected\n  no calls at all"
    with pytest.raises(AssertionError, match=words), fake.spends(exactly=1):
        pass
    with pytest.raises(ZeroDivisionError), fake.spends(exactly=1):
        raise ZeroDivisionError


async def test_blocks_nest(call: Bare, fake: FakeWhereby) -> None:
    """Each counts for itself; what others take does not count; a cleared log is no loss."""
    with fake.spends(exactly=2) as outer:
        await call("GET", "/meetings")
        with fake.spends(exactly=1):
            fake.spend(100)
            await call("GET", "/meetings")
            fake.clear()
    assert outer.points == 2
