"""`shared_budget`: the process's own budget for an API and a key, so that clients made per request share one account.

Found by a digest: the key itself is not kept. A budget lives as long as somebody holds it, and two periods beyond its last
use, since the server's window outlives the client that spent from it.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref

from .local import PointBudget

_lock = threading.Lock()
_alive: weakref.WeakValueDictionary[bytes, PointBudget] = weakref.WeakValueDictionary()
_kept: dict[bytes, PointBudget] = {}


def shared_budget(base_url: str, api_key: str) -> PointBudget:
    """The process-wide budget for this API and key; made at its first use.

    Args:
        base_url: The API's base URL; a slash at its end makes no difference.
        api_key: The key; only a digest of it is kept.
    """
    digest = hashlib.sha256(f"{base_url.rstrip('/')}\0{api_key}".encode()).digest()
    with _lock:
        for other in [other for other, budget in _kept.items() if budget.idle]:
            del _kept[other]
        budget = _alive.get(digest)
        if budget is None:
            budget = _alive[digest] = PointBudget()
        _kept[digest] = budget
        return budget


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when the process forked
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
