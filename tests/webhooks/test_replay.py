"""An event that comes twice is handled once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from whereby_async.webhooks import EventInProgressError, SeenEvents


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_first_is_new() -> None:
    seen = SeenEvents()
    assert [seen.add(id_) for id_ in ("a", "b", "a", "a")] == [True, True, False, False]
    assert "a" in seen
    assert "c" not in seen
    assert len(seen) == 2
    seen.discard("a")
    seen.discard("never there")
    assert seen.add("a")


def test_the_oldest_go_when_there_are_too_many() -> None:
    seen = SeenEvents(3)
    for number in range(100_000):
        assert seen.add(str(number))
    assert len(seen) == 3
    assert [str(number) in seen for number in range(99_996, 100_000)] == [False, True, True, True]
    assert not seen.add("99999")
    assert len(seen) == 3


def test_ids_are_forgotten_with_age() -> None:
    """Counted from when an id came first; all that is too old goes, in `in`, `len` and `add`."""
    clock = Clock()
    seen = SeenEvents(max_age=600, clock=clock)
    seen.add("a")
    clock.now += 600
    assert not seen.add("a")
    seen.add("b")
    clock.now += 0.5
    assert "a" not in seen
    assert len(seen) == 1
    assert seen.add("a")
    clock.now += 10_000
    assert len(seen) == 0


def test_work_that_fails_is_forgotten() -> None:
    """So that the next delivery of the event is handled; a repeat that fails forgets nothing."""
    seen = SeenEvents()

    def work(*problems: BaseException) -> bool:
        with seen.once("a") as is_new:
            for problem in problems:
                raise problem
        return is_new

    for problem in (KeyError("a"), KeyboardInterrupt()):
        with pytest.raises(type(problem)):
            work(problem)
        assert "a" not in seen
    assert [work(), work()] == [True, False]
    with pytest.raises(KeyError):
        work(KeyError("a"))
    assert "a" in seen


def test_event_in_the_works_is_not_taken_for_done() -> None:
    """A repeat is told to come again, and is handled if the first delivery fails after all."""
    seen = SeenEvents()
    with pytest.raises(ZeroDivisionError), seen.once("a"):  # noqa: PT012 - the block is the subject
        assert ("a" in seen, len(seen), seen.add("a")) == (True, 1, False)
        with pytest.raises(EventInProgressError, match="503"), seen.once("a"):
            pytest.fail("handled twice")
        assert "a" in seen
        raise ZeroDivisionError
    assert "a" not in seen
    with seen.once("a") as is_new:
        assert is_new
    with seen.once("a") as is_new:
        assert not is_new


def test_discarding_within_the_work_counts() -> None:
    """The event comes again, and whoever works on it then is not disturbed by the end of the first."""
    seen = SeenEvents()
    with seen.once("a"):
        seen.discard("a")
    assert "a" not in seen
    second = seen.once("a")
    with seen.once("a"):
        seen.discard("a")
        assert second.__enter__()
    with pytest.raises(EventInProgressError), seen.once("a"):
        pass
    second.__exit__(None, None, None)
    assert not seen.add("a")


def test_work_may_outlast_the_memory() -> None:
    """What is being worked on is remembered however long it takes, and however much else comes."""
    clock = Clock()
    seen = SeenEvents(1, max_age=10, clock=clock)
    with seen.once("a"):
        clock.now += 100.0
        seen.add("b")
        assert "a" in seen
    assert (seen.add("a"), "b" in seen) == (False, False)


def test_threads_agree_who_was_first() -> None:
    seen = SeenEvents()
    ids = [str(number) for number in range(2000)]
    start = threading.Barrier(8)
    counts: list[int] = []

    def deliver() -> None:
        start.wait()
        counts.append(sum(seen.add(id_) for id_ in ids))

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(seen) == 2000


def test_an_event_in_place_of_its_id_is_refused() -> None:
    odd: Any = object()
    seen = SeenEvents()
    with pytest.raises(TypeError, match=r"event\.id"):
        seen.add(odd)
    with pytest.raises(TypeError, match=r"event\.id"), seen.once(odd):
        pass
    assert odd not in seen


@pytest.mark.parametrize("options", [{"max_count": 0}, {"max_count": True}, {"max_count": 1.5}, {"max_age": 0}])
def test_bounds_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        SeenEvents(**options)
    with pytest.raises(ValueError, match="max_age"):
        SeenEvents(max_age=float("nan"))


def test_its_repr_says_how_full_it_is() -> None:
    seen = SeenEvents(10, max_age=60)
    seen.add("some id")
    assert repr(seen) == "SeenEvents(max_count=10, max_age=60) with 1 ids"
