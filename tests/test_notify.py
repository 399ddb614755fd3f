"""`Listeners`: who is told, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from limiter.driving import says

from whereby_async.notify import Listeners


def test_hook_is_told_once_however_often_it_was_added() -> None:
    """And until it was taken away as often."""

    @dataclass(eq=True)
    class Hook:
        heard: int = 0

        def on_wait(self, _: object) -> None:
            self.heard += 1

    listeners = Listeners()
    assert not listeners
    one, twin = Hook(), Hook()
    listeners.add(one)
    listeners.add(one)
    listeners.add(twin)
    listeners.tell("on_wait", says(1))
    assert (one.heard, twin.heard) == (1, 1)
    listeners.remove(one)
    listeners.tell("on_wait", says(1))
    listeners.remove(one)
    listeners.remove(one)
    listeners.tell("on_wait", says(1))
    assert (one.heard, twin.heard) == (2, 3)
