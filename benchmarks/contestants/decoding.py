"""The process of one environment's decoders: decodes a page so many times, or holds many pages, when asked.

python -m benchmarks.contestants.decoding NAME…
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from benchmarks.contestants.caller import resident
from benchmarks.kit import bodies
from benchmarks.kit.children import answer_questions

if TYPE_CHECKING:
    from collections.abc import Callable

Decode = dict[str, "Callable[[bytes], object]"]
"""How a page of `meetings` and one of `rooms` is decoded."""


def _ours() -> Decode:
    from whereby_async import operations

    return {"meetings": operations.LIST_MEETINGS.decode, "rooms": operations.INSIGHTS_ROOMS.decode}


def _msgspec() -> Decode:
    from benchmarks.contestants import bare_structs

    return {"meetings": bare_structs.page_of_meetings, "rooms": bare_structs.page_of_rooms}


def _json() -> Decode:
    return {"meetings": json.loads, "rooms": json.loads}


def _orjson() -> Decode:
    loads: Any = importlib.import_module("orjson").loads
    return {"meetings": loads, "rooms": loads}


def _pydantic() -> Decode:
    from benchmarks.contestants import pydantic_models

    return {
        "meetings": pydantic_models.Meetings.model_validate_json,
        "rooms": pydantic_models.Rooms.model_validate_json,
    }


def _generated() -> Decode:
    models: Any = importlib.import_module("generated_whereby.models")

    def reader(model: Any) -> Callable[[bytes], object]:
        def read(body: bytes) -> object:
            return model.from_dict(json.loads(body))

        return read

    return {
        "meetings": reader(models.GetMeetingsResponse200),
        "rooms": reader(models.GetInsightsRoomsResponse200),
    }


DECODERS: dict[str, Callable[[], Decode]] = {
    "whereby_async": _ours,
    "msgspec": _msgspec,
    "json": _json,
    "orjson": _orjson,
    "pydantic": _pydantic,
    "openapi-python-client": _generated,
}
PAGES: dict[str, Callable[[int], bytes]] = {"meetings": bodies.meetings, "rooms": bodies.rooms}


class Decoding:
    """Answers the driver's questions."""

    def __init__(self, names: list[str]) -> None:
        self._decoders = {name: DECODERS[name]() for name in names}
        self._pages = {kind: make(0) for kind, make in PAGES.items()}
        self._held: list[object] = []

    def round(self, name: str, kind: str, times: int) -> dict[str, Any]:
        """How long one page takes, in processor time: the collector runs as it does in a user's process."""
        decode, page = self._decoders[name][kind], self._pages[kind]
        decode(page)
        gc.collect()
        gc.freeze()
        began = time.process_time()
        for _ in range(times):
            decode(page)
        return {"us": (time.process_time() - began) / times * 1e6}

    def hold(self, name: str, kind: str, objects: int, *, traced: bool) -> dict[str, Any]:
        """How much memory so many objects take that are held. The bodies are made and dropped one by one, all different.

        What Python's allocator gave out is exact, but does not see what a library takes elsewhere; what the process grew by
        sees all of it, and the allocator's own margin too.
        """
        decode, make = self._decoders[name][kind], PAGES[kind]
        held = self._held
        decode(make(0))
        gc.collect()
        if traced:
            tracemalloc.start()
        size: Callable[[], int] = (lambda: tracemalloc.get_traced_memory()[0]) if traced else resident
        before = size()
        for seed in range(objects // bodies.PAGE):
            held.append(decode(make(seed)))
        gc.collect()
        return {"mb": (size() - before) / 1e6}


def main() -> None:
    """Run it."""
    decoding = Decoding(sys.argv[1:])
    answer_questions({"round": decoding.round, "hold": decoding.hold})


if __name__ == "__main__":
    main()
