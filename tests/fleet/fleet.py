"""A fleet: processes that spend from one budget, the process that plays the API, and the store between them."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from .child import Child, ask_all

if TYPE_CHECKING:
    from collections.abc import Callable

_names = itertools.count(1)


class Yard:
    """Processes that are started once and used by one fleet after the other."""

    def __init__(self) -> None:
        self._api: Child | None = None
        self._workers: list[Child] = []

    def api(self) -> Child:
        """The process that plays the API."""
        if self._api is None or not self._api.runs:
            self._api = Child("api")
        return self._api

    def workers(self, count: int) -> list[Child]:
        """So many workers; the same ones every time, but for those that have died."""
        self._workers = [worker for worker in self._workers if worker.runs]
        while len(self._workers) < count:
            self._workers.append(Child("worker"))
        return self._workers[:count]

    def close(self) -> None:
        """End them all."""
        children = [*self._workers, *([self._api] if self._api else [])]
        for child in children:
            child.hang_up()
        for child in children:
            child.close()


class Fleet:
    """Some processes that spend from one budget."""

    def __init__(
        self,
        yard: Yard,
        store: str,
        *,
        count: int,
        limit: int,
        period: float,
        latency: float = 0.01,
        algorithm: str = "fixed",
        **options: Any,
    ) -> None:
        self._yard = yard
        self._store = store
        self._options = {"name": f"fleet{next(_names)}", "period": period, **options}
        self._numbers = itertools.count(1)
        self.limit: int = limit
        self.period: float = period
        self.api: Child = yard.api()
        self._where: dict[str, str] = self.api.ask(
            "open", limit=limit, period=period, latency=latency, algorithm=algorithm
        )
        self.workers: list[Child] = []
        self.join(count)

    @property
    def key(self) -> str:
        """The key of the budget in the store."""
        return f"whereby:{{{self._options['name']}}}:2"

    def join(self, count: int, **options: Any) -> list[Child]:
        """So many processes more; `options` of their budgets in place of the fleet's."""
        new = [worker for worker in self._yard.workers(len(self.workers) + count) if worker not in self.workers][:count]
        opening = [
            worker.begin(
                "open",
                who=f"w{next(self._numbers)}",
                **{"store": self._store, "api": self._where, **self._options, **options},
            )
            for worker in new
        ]
        for pending in opening:
            pending.get()
        self.workers += new
        return new

    def lose(self, worker: Child) -> None:
        """Kill one with SIGKILL."""
        worker.kill()
        self.workers.remove(worker)

    def ask(self, do: str, **order: Any) -> list[Any]:
        """Give all workers an order."""
        return ask_all(self.workers, do, **order)

    def look(self) -> dict[str, Any]:
        """What the API has seen."""
        seen: dict[str, Any] = self.api.ask("look")
        return seen

    def refused(self) -> list[int]:
        """How many 429s there were in each window."""
        return [sum(window["throttled"].values()) for window in self.look()["windows"]]

    def windows(self, count: int) -> None:
        """Wait until so many more windows have begun."""
        self.api.ask("windows", count=count)

    def spent(self, share: float, patience: float = 20.0) -> None:
        """Wait until so much of the present window is spent."""
        ends = time.monotonic() + patience
        while not (windows := self.look()["windows"]) or windows[-1]["points"] < share * self.limit:
            assert time.monotonic() < ends, windows
            time.sleep(0.01)

    def until(self, condition: Callable[[list[dict[str, Any]]], bool], patience: float = 20.0) -> list[dict[str, Any]]:
        """Wait until something is true of what the workers say of themselves."""
        ends = time.monotonic() + patience
        while not condition(said := self.ask("look")):
            assert time.monotonic() < ends, said
            time.sleep(0.02)
        return said

    def close(self) -> None:
        """Let the workers go; they stay alive for the next fleet."""
        for worker in self.workers:
            if worker.runs:
                worker.ask("end")
