"""The way to the network: `SessionPool`, and what one attempt of a call or one download is made of."""

from __future__ import annotations

from ..retry import RetryBudget, RetryPolicy
from .exchange import SUCCESS, Answer, Exchange
from .pool import SessionPool
from .storage import Storage, StorageAnswer

__all__ = ["SUCCESS", "Answer", "Exchange", "RetryBudget", "RetryPolicy", "SessionPool", "Storage", "StorageAnswer"]
